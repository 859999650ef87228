"""Forms sent twice, from two tabs, or too late; and unwanted drafts."""

from __future__ import annotations

import io
import re
from html import unescape
from typing import Any

import pytest
from sqlalchemy import func, select

from app.domain.errors import NotAllowed, NotFound
from app.extensions import db, transaction
from app.models import (
    Application,
    ApplicationEvent,
    ApplicationLine,
    Attachment,
    OperationLog,
    UnfinishedForm,
)
from app.operations.applications import attachments, desk, engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import nothing_moves, quantity
from tests.files import pdf

KIND = "voluntary_cancellation"
LIST = "/voluntary-cancellations/"
NEW = f"{LIST}new"
KEY = "the-form-of-one-page"


@pytest.fixture
def cea(plant):
    made = factories.instrument()
    factories.give(plant, made, 3000)
    return made


@pytest.fixture
def colleague(plant):
    return factories.member(of=plant)


@pytest.fixture
def browser(sign_in, operator):
    return sign_in(operator)


def form(cea, tonnes: int, reason: str = "碳中和", *, button: str = "submit", **more: Any) -> dict:
    return {
        "lines-0-choice": str(cea.id),
        "lines-0-quantity": str(tonnes),
        "reason": reason,
        button: "1",
        **more,
    }


def the_only() -> Application:
    db.session.rollback()
    return db.session.scalars(select(Application)).one()


def content(application: Application) -> tuple[int, str]:
    return sum(line.quantity for line in application.lines), application.reason


def files_of(application: Application) -> list[str]:
    names = select(Attachment.name).where(Attachment.application_id == application.id)
    return list(db.session.scalars(names))


def done_to(application: Application) -> list[str]:
    return [event.action for event in application.events]


def text(page: Any) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", page.text))


def value(page: Any, name: str) -> str | None:
    field = re.search(rf'<input[^>]*\bname="{name}"[^>]*>', page.text)
    found = field and re.search(r'\bvalue="([^"]*)"', field[0])
    return unescape(found[1]) if found else None


# One form, sent more than once ----------------------------------------------------------------


def test_saved_changed_and_submitted_from_the_same_page_the_new_content_counts(browser, plant, cea):
    browser.post(NEW, data=form(cea, 100, "甲一", button="save", request_key=KEY))
    answer = browser.post(NEW, data=form(cea, 900, "乙二", request_key=KEY))

    made = the_only()
    assert answer.location == f"{LIST}{made.id}/done"
    assert content(made) == (900, "乙二")
    assert done_to(made) == ["save", "save", "submit"]
    assert quantity(plant, cea) == 2100


def test_one_page_may_change_its_draft_again_and_again(browser, cea):
    for tonnes in (100, 200, 300):
        browser.post(NEW, data=form(cea, tonnes, button="save", request_key=KEY))
    assert content(the_only()) == (300, "碳中和")
    page = browser.get(f"{LIST}{the_only().id}/edit")
    again = {"version": value(page, "version"), "request_key": value(page, "request_key")}
    for tonnes in (400, 500):
        browser.post(f"{LIST}{the_only().id}/edit", data=form(cea, tonnes, button="save", **again))
    assert content(the_only()) == (500, "碳中和")


def test_the_same_form_sent_again_says_by_whom_and_when_it_was_submitted(browser, operator, cea):
    sent = form(cea, 100, request_key=KEY)
    browser.post(NEW, data=sent)
    with nothing_moves():
        answer = browser.post(NEW, data=sent, follow_redirects=True)

    made = the_only()
    assert done_to(made) == ["save", "submit"]
    assert f"申请 {made.number}：{operator.first_name} 于 2026-11-20" in text(answer)
    assert f'href="{LIST}{made.id}' in answer.text


def test_the_same_form_sent_again_after_it_was_withdrawn_leads_to_the_application(
    browser, operator, cea
):
    sent = form(cea, 100, request_key=KEY)
    browser.post(NEW, data=sent)
    browser.post(f"{LIST}{the_only().id}/withdraw")
    with nothing_moves():
        answer = browser.post(NEW, data=sent)
    assert answer.location == f"{LIST}{the_only().id}"
    assert f"{operator.first_name} 于" in text(browser.get(answer.location))


@pytest.mark.parametrize("button", ["save", "submit"])
def test_other_content_after_the_submission_is_refused_with_both_in_sight(
    browser, operator, plant, cea, button
):
    browser.post(NEW, data=form(cea, 100, "甲一", request_key=KEY))
    with nothing_moves():
        answer = browser.post(NEW, data=form(cea, 900, "乙二", button=button, request_key=KEY))

    made = the_only()
    assert (answer.status_code, content(made)) == (400, (100, "甲一"))
    said = text(answer)
    assert "该申请已不能修改" in said
    assert f"{operator.first_name} 于 2026-11-20" in said
    for each in ("100 吨", "甲一", "900 吨", "乙二"):
        assert each in said
    assert f'href="{LIST}{made.id}"' in answer.text
    assert value(answer, "lines-0-quantity") == "900"
    assert 'name="submit"' not in answer.text


def test_a_file_that_came_too_late_is_not_lost_in_silence(browser, cea):
    browser.post(NEW, data=form(cea, 100, request_key=KEY))
    late = form(cea, 100, request_key=KEY) | {"attachments": (pdf_file(), "说明.pdf")}
    answer = browser.post(NEW, data=late)
    assert answer.status_code == 400
    assert "该申请已不能修改" in text(answer)


def test_what_was_sent_back_meanwhile_is_not_submitted_again_unread(
    browser, operator, plant, cea, sign_in
):
    sent = form(cea, 100, request_key=KEY)
    browser.post(NEW, data=sent)
    made = the_only()
    officer = factories.member("registry_maker")
    back = {"decision": "send_back", "comment": "数量有误"}
    sign_in(officer).post(f"/reviews/{made.id}/decide", data=back)
    with nothing_moves():
        answer = browser.post(NEW, data=sent)
    assert (answer.status_code, the_only().status) == (400, "returned")
    assert f"{officer.first_name} 于 2026-11-20" in text(answer)

    again = sent | {"version": value(answer, "version")}
    assert browser.post(NEW, data=again).status_code == 302
    assert the_only().status == "in_review"


def test_too_late_the_draft_keeps_its_files(browser, plant, cea, monkeypatch):
    """It was refused for the hour alone: the files need not be chosen again."""
    from app.domain.errors import OutsideTradingHours

    def refuse(*_args, **_named):
        raise OutsideTradingHours("请于下一交易日提交")

    monkeypatch.setattr(engine, "submit", refuse)
    with nothing_moves():
        data = form(cea, 100) | {"attachments": (pdf_file(), "说明.pdf")}
        answer = browser.post(NEW, data=data)
    assert answer.location == f"{LIST}{the_only().id}"
    assert [each.name for each in attachments.of_application(the_only().id)] == ["说明.pdf"]


def pdf_file():
    from io import BytesIO

    return BytesIO(pdf())


# Two forms about one draft ----------------------------------------------------------------------


def test_saving_over_a_newer_version_is_refused_with_who_and_when(
    browser, sign_in, operator, colleague, cea
):
    made = factories.draft(KIND, operator, {cea: 100}, reason="甲一")
    place = f"{LIST}{made}/edit"
    one, other = browser.get(place), sign_in(colleague).get(place)
    theirs = form(cea, 200, "丙三", button="save", version=value(other, "version"))
    assert sign_in(colleague).post(place, data=theirs).status_code == 302

    mine = form(cea, 900, "乙二", button="save", version=value(one, "version"))
    answer = sign_in(operator).post(place, data=mine)

    assert (answer.status_code, content(the_only())) == (400, (200, "丙三"))
    said = text(answer)
    assert f"{colleague.first_name} 于 2026-11-20" in said
    for each in ("200 吨", "丙三", "900 吨", "乙二"):
        assert each in said
    assert value(answer, "lines-0-quantity") == "900"

    # Having seen both, the own content may take the other's place.
    seen = mine | {"version": value(answer, "version")}
    assert sign_in(operator).post(place, data=seen).status_code == 302
    assert content(the_only()) == (900, "乙二")


def test_the_two_tabs_of_one_person_do_not_overwrite_each_other(browser, operator, cea):
    made = factories.draft(KIND, operator, {cea: 100}, reason="甲一")
    place = f"{LIST}{made}/edit"
    tabs = [browser.get(place), browser.get(place)]
    answers = [
        browser.post(
            place,
            data=form(
                cea,
                tonnes,
                button="save",
                version=value(tab, "version"),
                request_key=value(tab, "request_key"),
            ),
        )
        for tab, tonnes in zip(tabs, (200, 300), strict=True)
    ]
    assert [answer.status_code for answer in answers] == [302, 400]
    assert content(the_only()) == (200, "碳中和")


def test_the_page_that_made_a_draft_does_not_overwrite_what_another_page_saved(browser, cea):
    browser.post(NEW, data=form(cea, 100, button="save", request_key=KEY))
    place = f"{LIST}{the_only().id}/edit"
    version = value(browser.get(place), "version")
    browser.post(place, data=form(cea, 200, button="save", version=version))

    answer = browser.post(NEW, data=form(cea, 900, request_key=KEY))

    assert (answer.status_code, content(the_only())) == (400, (200, "碳中和"))
    assert the_only().status == "draft"


def test_a_refused_form_keeps_the_version_it_was_read_with(browser, sign_in, operator, cea):
    made = factories.draft(KIND, operator, {cea: 100})
    place = f"{LIST}{made}/edit"
    version = value(browser.get(place), "version")
    browser.post(place, data=form(cea, 200, button="save", version=version))
    refused = browser.post(place, data=form(cea, 0, button="save", version=version))
    assert (refused.status_code, value(refused, "version")) == (400, version)


@pytest.mark.parametrize("version", ["", "x", "-1", "9" * 30, "1\x00"])
def test_a_version_that_is_none_breaks_nothing(browser, operator, cea, version):
    made = factories.draft(KIND, operator, {cea: 100})
    answer = browser.post(f"{LIST}{made}/edit", data=form(cea, 5, button="save", version=version))
    assert answer.status_code in (302, 400)


def test_nobody_takes_over_a_draft_by_its_key(sign_in, browser, cea):
    browser.post(NEW, data=form(cea, 100, button="save", request_key=KEY))
    b = factories.account("乙水泥有限公司", "31")
    factories.give(b, cea, 10)
    with nothing_moves():
        answer = sign_in(factories.member(of=b)).post(NEW, data=form(cea, 5, request_key=KEY))
    assert answer.status_code in (400, 404)
    assert the_only().number not in answer.text
    assert content(the_only()) == (100, "碳中和")


# Drafts that are deleted -------------------------------------------------------------------------


def test_a_draft_is_deleted_with_its_files_and_the_log_says_so(browser, operator, plant, cea):
    made = factories.draft(KIND, operator, {cea: 100}, reason="甲一")
    with transaction():
        file = attachments.look_at("说明.pdf", pdf())
        attachments.change(made, Actor.of(operator), now=clock.now(), add=[file])
    number = the_only().number
    for page in (browser.get(LIST), browser.get(f"{LIST}{made}")):
        assert f"{LIST}{made}/discard" in page.text
        assert f"确认删除草稿 {number}" in page.text

    with nothing_moves():
        answer = browser.post(f"{LIST}{made}/discard", follow_redirects=True)

    assert f"草稿 {number} 已删除" in text(answer)
    assert f"{LIST}{made}" not in answer.text
    assert browser.get(f"{LIST}{made}").status_code == 404
    assert browser.get(f"{LIST}{made}/edit").status_code == 404
    row = the_only()
    assert (row.number, row.status, row.reason) == (number, "discarded", "")
    assert done_to(row) == ["save", "discard"]
    for table in (Attachment, ApplicationLine):
        assert db.session.scalar(select(func.count()).select_from(table)) == 0
    logged = select(OperationLog.action).where(OperationLog.subject == number)
    found = set(db.session.scalars(logged))
    assert {f"{KIND}.discard", "attachment.remove"} <= found


def test_a_deleted_draft_does_not_come_back_by_its_form(browser, operator, cea):
    sent = form(cea, 100, request_key=KEY)
    browser.post(NEW, data=form(cea, 100, button="save", request_key=KEY))
    browser.post(f"{LIST}{the_only().id}/discard")
    with nothing_moves():
        answer = browser.post(NEW, data=sent)
    assert (answer.status_code, the_only().status) == (400, "discarded")
    assert f"{operator.first_name} 于 2026-11-20" in text(answer)


def test_only_what_was_never_submitted_is_deleted(browser, sign_in, operator, cea):
    made = factories.submitted(KIND, operator, {cea: 100}, reason="碳中和")
    place = f"{LIST}{made.id}/discard"
    assert place not in browser.get(LIST).text
    with nothing_moves():
        assert "不能进行此操作" in text(browser.post(place, follow_redirects=True))
    assert the_only().status == "in_review"
    back = {"decision": "send_back", "comment": "数量有误"}
    sign_in(factories.member("registry_maker")).post(f"/reviews/{made.id}/decide", data=back)
    browser = sign_in(operator)
    assert place not in browser.get(LIST).text
    browser.post(place)
    assert the_only().status == "returned"


def test_nobody_deletes_another_s_draft(sign_in, operator, plant, cea):
    made = factories.draft(KIND, operator, {cea: 100})
    b = factories.member(of=factories.account("乙水泥有限公司", "31"))
    officers = [factories.member("registry_maker"), factories.member("province", province="42")]
    for other in (b, *officers):
        answer = sign_in(other).post(f"{LIST}{made}/discard")
        assert answer.status_code in (403, 404)
    with pytest.raises((NotAllowed, NotFound)), transaction():
        desk.discard(made, Actor.of(officers[0]), now=clock.now())
    assert the_only().status == "draft"


def test_a_draft_of_a_file_is_withdrawn_with_its_batch_alone(app, cea, plant, cluster):
    maker = factories.member("registry_maker")
    made = factories.entered(
        "issuance", plant, maker, submits=False, lines={cea: 5}, category="approved"
    )
    with cluster.connect("registry") as connection:
        connection.execute(
            "WITH f AS (INSERT INTO import_file (kind, name, sha256, rows, imported_at, attempt)"
            " VALUES ('allocation', 'a.csv', 'x', 1, now(), 1) RETURNING id)"
            " UPDATE application SET import_id = f.id FROM f WHERE application.id = %s",
            [made],
        )
    with pytest.raises(NotAllowed) as refused, transaction():
        desk.discard(made, Actor.of(maker), now=clock.now())
    assert refused.value.code == "came_with_a_file"
    assert db.session.get_one(Application, made).status == "draft"


def test_incomplete_drafts_can_be_deleted_too(app, plant):
    maker = factories.member("registry_maker")
    about = {"document_no": "", "authority": "", "starts_on": None}
    made = factories.entered("restriction", plant, maker, submits=False, **about)
    with transaction():
        desk.discard(made, Actor.of(maker), now=clock.now())
    assert db.session.get_one(Application, made).status == "discarded"


# The picker ---------------------------------------------------------------------------------------


def test_a_picked_form_can_be_reloaded(browser, operator, cea):
    typed = form(cea, 100, "写了一半", button="pick", picked=str(cea.id), request_key=KEY)
    answer = browser.post(NEW, data=typed)
    assert answer.status_code == 303
    for _each in range(2):  # Back, and forward again.
        page = browser.get(answer.location)
        assert page.status_code == 200
        assert (value(page, "lines-0-quantity"), value(page, "request_key")) == ("100", KEY)
        assert "写了一半" in page.text
    assert db.session.scalar(select(func.count()).select_from(Application)) == 0

    assert browser.post(answer.location, data=form(cea, 100, request_key=KEY)).status_code == 302
    assert content(the_only()) == (100, "碳中和")


def test_files_chosen_before_a_picking_are_kept(browser, operator, cea):
    typed = form(cea, 100, button="pick", picked=str(cea.id), request_key=KEY)
    typed["attachments"] = [(io.BytesIO(pdf()), "决议.pdf"), (io.BytesIO(b"MZ"), "程序.exe")]
    answer = browser.post(NEW, data=typed, content_type="multipart/form-data")
    page = browser.get(answer.location)
    assert "决议.pdf" in page.text
    assert "程序.exe：仅接受" in text(page)
    browser.post(answer.location, data=form(cea, 100, request_key=KEY))
    assert files_of(the_only()) == ["决议.pdf"]


def test_of_several_files_the_good_ones_outlive_a_refusal(browser, operator, cea):
    typed = form(cea, 100, request_key=KEY)
    typed["attachments"] = [(io.BytesIO(b"MZ"), "程序.exe"), (io.BytesIO(pdf()), "决议.pdf")]
    with nothing_moves():
        answer = browser.post(NEW, data=typed, content_type="multipart/form-data")
    assert answer.status_code == 400
    assert "程序.exe：仅接受" in text(answer)
    browser.post(NEW, data=form(cea, 100, request_key=KEY))
    assert files_of(the_only()) == ["决议.pdf"]


@pytest.mark.parametrize("tonnes", [100, 9000], ids=["a form in order", "a refused form"])
def test_too_many_files_are_said_on_the_form(browser, operator, cea, tonnes):
    for count in (15, 15):
        typed = form(cea, tonnes, reason="", request_key=KEY)
        typed["attachments"] = [(io.BytesIO(pdf(f"{n}")), f"{n}.pdf") for n in range(count)]
        answer = browser.post(NEW, data=typed, content_type="multipart/form-data")
    assert answer.status_code == 400
    assert "最多" in text(answer)
    assert value(answer, "lines-0-quantity") == str(tonnes)


def test_stored_form_data_are_private(browser, sign_in, colleague, cea):
    typed = form(cea, 100, "写了一半", button="pick", request_key=KEY)
    place = browser.post(NEW, data=typed).location
    assert "写了一半" not in sign_in(colleague).get(place).text


def test_stored_form_data_expire_after_a_day(browser, cea):
    browser.post(NEW, data=form(cea, 100, button="pick", request_key=KEY))
    with transaction():
        db.session.execute(
            db.text("UPDATE unfinished_form SET kept_at = now() - interval '2 days'")
        )
    browser.post(NEW, data=form(cea, 100, button="pick", request_key="another-form"))
    db.session.rollback()
    assert list(db.session.scalars(select(UnfinishedForm.request_key))) == ["another-form"]


# Who comes late to a review -------------------------------------------------------------------------


@pytest.fixture
def officers(app):
    return [factories.member("registry_maker") for _each in range(2)]


@pytest.mark.parametrize(("decision", "done"), [("approve", "已通过"), ("send_back", "退回")])
def test_a_second_reviewer_is_told_who_decided_what_and_when(
    sign_in, operator, cea, officers, decision, done
):
    made = factories.submitted(KIND, operator, {cea: 100}, reason="碳中和")
    form_ = {"decision": decision, "comment": "意见"}
    sign_in(officers[0]).post(f"/reviews/{made.id}/decide", data=form_)
    late = sign_in(officers[1])
    before = the_only().status
    with nothing_moves():
        answer = late.post(f"/reviews/{made.id}/decide", data=form_, follow_redirects=True)
    for page in (answer, late.get(f"/reviews/{made.id}", follow_redirects=True)):
        said = text(page)
        assert made.number in said
        assert f"{officers[0].first_name} 于 2026-11-20" in said
        assert done in said
    assert 'name="decision"' not in page.text
    assert (the_only().status, done_to(the_only()).count(decision)) == (before, 1)


def test_what_was_withdrawn_says_so_to_its_reviewer(sign_in, operator, cea, officers):
    made = factories.submitted(KIND, operator, {cea: 100}, reason="碳中和")
    with transaction():
        engine.withdraw([made.id], Actor.of(operator), now=clock.now()).one()
    assert f"{operator.first_name} 于" in text(sign_in(officers[0]).get(f"/reviews/{made.id}"))


def test_who_never_reviews_a_kind_learns_nothing(sign_in, operator, plant, cea, officers):
    made = factories.submitted(KIND, operator, {cea: 100}, reason="碳中和")
    form_ = {"decision": "approve", "comment": ""}
    sign_in(officers[0]).post(f"/reviews/{made.id}/decide", data=form_)
    province = factories.member("province", province=plant.province)
    assert sign_in(province).get(f"/reviews/{made.id}").status_code == 404


# Many at once -----------------------------------------------------------------------------------------


def test_the_question_names_tonnes_instruments_and_enterprises(sign_in, operator, cea, officers):
    b = factories.account("乙水泥有限公司", "31")
    other = factories.instrument("2021年度碳排放配额")
    factories.give(b, other, 1000)
    ids = [
        factories.submitted(KIND, by, what, reason="碳中和").id
        for by, what in ((operator, {cea: 1000}), (operator, {cea: 500}),
                         (factories.member(of=b), {other: 7}))
    ]  # fmt: skip
    page = sign_in(officers[0]).post("/reviews/bulk", data={"action": "approve", "id": ids})
    said = re.sub(r"\s+", " ", text(page))
    assert "单位数 2" in said
    for each in ("1,507", f"{cea.code} {cea.name} 1,500", f"{other.code} {other.name} 7"):
        assert each in said


def question(page: Any) -> dict[str, Any]:
    """Return the form data of the question."""
    ids = re.findall(r'name="id" value="(\d+)"', page.text)
    return {"id": ids, "count": value(page, "count"), "state": value(page, "state")}


def test_a_question_whose_rows_changed_says_so(sign_in, operator, plant, cea, officers):
    made = [factories.submitted(KIND, operator, {cea: 10}, reason="碳中和").id for _ in range(3)]
    browser = sign_in(officers[0])
    asked = question(browser.post("/reviews/bulk", data={"action": "approve", "id": made}))
    with transaction():  # Another officer is faster.
        engine.approve([made[0]], Actor.of(officers[1]), now=clock.now()).one()

    with nothing_moves():
        again = browser.post("/reviews/bulk", data={"action": "approve", **asked})
    assert "原 3 条，现 2 条" in text(again)
    done = browser.post("/reviews/bulk", data={"action": "approve", **question(again)})
    assert "成功 2 条" in re.sub(r"\s+", " ", text(done))


def test_a_question_whose_rows_say_something_else_by_now_says_so(
    sign_in, operator, plant, cea, officers
):
    """After withdrawal and a new submission the number is another; after a return it is the same."""
    made = factories.submitted(KIND, operator, {cea: 10}, reason="碳中和").id
    browser = sign_in(officers[0])
    asked = question(browser.post("/reviews/bulk", data={"action": "approve", "id": [made]}))
    with transaction():
        engine.send_back([made], Actor.of(officers[1]), now=clock.now(), comment="改").one()
        draft = engine.Draft(
            KIND, plant.id, (factories.Line(cea.id, 10),), "other", reason="别的用途"
        )
        engine.edit(made, draft, Actor.of(operator), now=clock.now())
        engine.submit([made], Actor.of(operator), now=clock.now()).one()
    with nothing_moves():
        again = browser.post("/reviews/bulk", data={"action": "approve", **asked})
    assert "请重新核对" in text(again)
    assert the_only().status == "in_review"


def test_rows_that_are_gone_before_the_question_are_named_in_it(sign_in, operator, cea, officers):
    made = [factories.submitted(KIND, operator, {cea: 10}, reason="碳中和").id for _ in range(2)]
    with transaction():
        engine.approve([made[0]], Actor.of(officers[1]), now=clock.now()).one()
    page = sign_in(officers[0]).post("/reviews/bulk", data={"action": "approve", "id": made})
    assert "有 1 条已不在此列表中" in text(page)


def test_each_draft_has_the_events_that_were_and_no_more(browser, cea):
    browser.post(NEW, data=form(cea, 100))
    db.session.rollback()
    events = select(ApplicationEvent.action).order_by(ApplicationEvent.id)
    assert list(db.session.scalars(events)) == ["save", "submit"]
