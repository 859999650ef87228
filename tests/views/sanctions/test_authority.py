"""冻结收缴管理 and its enquiries: officers' forms, enterprises' pages."""

from __future__ import annotations

import csv
import io
import re
from datetime import date

import pytest

from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Application, ApplicationLine
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import (
    account,
    at,
    confirmed,
    entered,
    give,
    instrument,
    issued_to,
    known,
    member,
    quantity,
    submitted,
)
from tests.operations.ledger.test_verification import Lien
from tests.views.toys import table


@pytest.fixture
def cea(plant):
    return issued_to(plant, 1000)


@pytest.fixture
def enterprise(sign_in, plant):
    return sign_in(member(of=plant))


def form(cea, tonnes="400", **more):
    return {
        "submit": "1",
        "document_no": "（2026）鄂01执保118号",
        "authority": "武汉市中级人民法院",
        "starts_on": "2026-11-20",
        "ends_on": "2027-11-19",
        "category": "supervision",
        "lines-0-choice": str(cea.id),
        "lines-0-quantity": tonnes,
    } | more


def held(plant, cea):
    buckets = (Bucket.AVAILABLE, Bucket.FROZEN, Bucket.CONFISCATED)
    return tuple(quantity(plant, cea, bucket) for bucket in buckets)


def line_of(application_id):
    return db.session.query(ApplicationLine.id).filter_by(application_id=application_id).scalar()


def test_the_enterprise_is_chosen_first(plant, desk):
    page = desk.get("/freezes/new").text
    assert "选择重点排放单位" in page
    assert f"account={plant.id}" in page
    assert plant.name in desk.get(f"/freezes/new?q={plant.member_no}").text
    assert plant.name not in desk.get("/freezes/new?q=无\x00此").text
    assert desk.get("/freezes/new?account=1").status_code == 404  # The issuance account.
    assert desk.get("/freezes/new?account=x").status_code == 404


def test_a_freeze_is_entered_listed_and_confirmed(plant, cea, desk, checker, sign_in):
    address = f"/freezes/new?account={plant.id}"
    page = desk.get(address).text
    assert plant.name in page
    for label in ("文号", "决定机关", "生效日期", "截止日期", "原因", "监管措施"):
        assert label in page

    answer = desk.post(address, data=form(cea))

    assert answer.status_code == 302
    assert "由管理部门的另一名人员复核" in desk.get(answer.location).text
    assert held(plant, cea) == (600, 400, 0)
    made = db.session.query(Application).one()
    assert made.number not in desk.get("/reviews/").text  # Not for who entered it.
    second = sign_in(checker)
    assert made.number in second.get("/reviews/").text
    assert (
        second.post(f"/reviews/{made.id}/decide", data={"decision": "approve"}).status_code == 302
    )
    (row,) = table(desk.get("/freezes/").text)
    for text in (
        "（2026）鄂01执保118号",
        "武汉市中级人民法院",
        "2027-11-19",
        "400",
        "已通过",
        "解冻",
    ):
        assert any(text in cell for cell in row), text


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"lines-0-quantity": "1200"}, "1,000"),
        ({"lines-0-quantity": "1.5"}, "整数"),
        ({"document_no": ""}, "请填写文号"),
        ({"document_no": "文" * 101}, "超过"),
        ({"authority": ""}, "请填写决定机关"),
        ({"starts_on": ""}, "请填写生效日期"),
        ({"starts_on": "tomorrow"}, "日期"),
        ({"ends_on": ""}, "请填写截止日期"),
        ({"ends_on": "2026-11-19"}, "截止日期"),
        ({"ends_on": "2029-11-21"}, "冻结期限不得超过三年"),
        ({"category": ""}, "请选择类型"),
        ({"category": "whim"}, "请选择类型"),
        ({"lines-0-choice": "999999"}, "不能选择"),
        ({"reason": "\x07"}, "无法识别的字符"),
    ],
)
def test_bad_input_is_answered_beside_the_field_and_nothing_moves(plant, cea, desk, typed, message):
    answer = desk.post(f"/freezes/new?account={plant.id}", data=form(cea, **typed))

    assert answer.status_code == 400
    assert message in re.sub(r"<[^>]+>", "", answer.text)
    assert held(plant, cea) == (1000, 0, 0)
    assert db.session.query(Application).count() == 0


def test_the_row_of_a_freeze_leads_to_its_lifting(plant, cea, desk, maker, checker):
    freeze = entered("freeze", plant, maker, lines={cea: 400})
    other = entered("freeze", plant, maker, lines={cea: 100})
    for made in (freeze, other):
        confirmed(made, checker)
    page = desk.get("/freezes/").text
    address = f"/unfreezes/new?account={plant.id}&amp;source={freeze}"
    assert address in page

    filled = desk.get(address.replace("&amp;", "&")).text
    assert f'name="lines-0-choice" value="s{line_of(freeze)}"' in filled
    assert f"s{line_of(other)}" not in filled
    typed = form(cea, "150", ends_on="", category="", **{"lines-0-choice": f"s{line_of(freeze)}"})
    assert desk.post(address.replace("&amp;", "&"), data=typed).status_code == 302
    confirmed(db.session.query(Application.id).filter_by(kind="unfreeze").scalar(), checker)

    assert held(plant, cea) == (650, 350, 0)
    row = next(row for row in table(desk.get("/freezes/").text) if any(c == "400" for c in row))
    assert {"400", "150", "250"} <= set(row)
    refused = desk.post(
        address.replace("&amp;", "&"),
        data=typed | {"lines-0-quantity": "251", "request_key": "another-key"},
    )
    assert refused.status_code == 400
    assert "250" in refused.text


def test_lifting_is_offered_for_as_long_as_the_form_has_something_left(
    plant, cea, desk, maker, checker
):
    freeze = entered("freeze", plant, maker, lines={cea: 400})
    confirmed(freeze, checker)
    address = f"/unfreezes/new?account={plant.id}&source={freeze}"
    lifting = entered("unfreeze", plant, maker, lines={cea: 400}, source=freeze)

    page = desk.get("/freezes/").text
    assert {"400", "0"} <= set(next(row for row in table(page) if any(c == "400" for c in row)))
    assert address.replace("&", "&amp;") not in page  # Still frozen, but all of it is asked for.
    assert "无剩余" in desk.get(address).text
    assert held(plant, cea) == (600, 400, 0)

    with transaction():
        engine.send_back([lifting], Actor.of(checker), now=clock.now(), comment="文号有误")
    assert address.replace("&", "&amp;") in desk.get("/freezes/").text
    assert "无剩余" not in desk.get(address).text


def test_confiscated_and_refunded_by_the_desk(plant, cea, desk, checker):
    page = f"/confiscations/new?account={plant.id}"
    assert desk.post(page, data=form(cea, category="true_up")).status_code == 302
    claim = db.session.query(Application).one()
    confirmed(claim.id, checker)
    assert held(plant, cea) == (600, 0, 400)
    assert f"source={claim.id}" in desk.get("/confiscations/").text

    page = f"/confiscation-refunds/new?account={plant.id}"
    typed = form(cea, "150", category="", **{"lines-0-choice": f"s{line_of(claim.id)}"})
    assert desk.post(page, data=typed).status_code == 302
    confirmed(
        db.session.query(Application.id).filter_by(kind="confiscation_refund").scalar(), checker
    )
    assert held(plant, cea) == (750, 0, 250)


def test_a_freeze_that_ends_soon_or_has_ended_is_marked(
    plant, cea, desk, maker, checker, enterprise
):
    for ends, tonnes in (("2026-12-20", 1), ("2026-12-21", 2), ("2026-11-20", 3)):
        freeze = entered(
            "freeze",
            plant,
            maker,
            lines={cea: tonnes},
            ends_on=date.fromisoformat(ends),
        )
        confirmed(freeze, checker)

    for browser, address in ((desk, "/freezes/"), (enterprise, "/enquiries/freezes/")):
        marked = {
            row[-1]: [cell for cell in row if "到期" in cell]
            for row in table(browser.get(address).text)
        }
        assert len(marked) >= 1
        assert browser.get(f"{address}?expiry=soon").text.count("30日内到期</") >= 1
        assert len(table(browser.get(f"{address}?expiry=soon").text)) == 2
        assert table(browser.get(f"{address}?expiry=expired").text) == []
    with transaction():
        clock.set_to(at("10:00", day=21), Actor.of(maker))
    assert len(table(enterprise.get("/enquiries/freezes/?expiry=expired").text)) == 1
    assert len(table(enterprise.get("/enquiries/freezes/?expiry=soon").text)) == 2


# What the enterprise sees --------------------------------------------------------------------


def test_query_screens_show_what_was_approved_a_row_a_line(plant, cea, maker, checker, enterprise):
    cea21 = instrument("CEA21")
    give(plant, cea21, 50)
    waiting = entered("freeze", plant, maker, lines={cea: 9})
    freeze = entered("freeze", plant, maker, lines={cea: 400, cea21: 50}, document_no="冻1号")
    confirmed(freeze, checker)
    lift = entered("unfreeze", plant, maker, lines={cea: 150}, source=freeze, document_no="解1号")
    confirmed(lift, checker)
    claim = entered("confiscation", plant, maker, lines={cea: 100}, category="true_up")
    confirmed(claim, checker)
    refund = entered("confiscation_refund", plant, maker, lines={cea: 30}, source=claim)
    confirmed(refund, checker)

    frozen = table(enterprise.get("/enquiries/freezes/").text)
    assert len(frozen) == 2
    row = next(row for row in frozen if cea.code in row)
    assert {cea.code, cea.name, "400", "150", "250", "冻1号", "监管措施"} <= set(row)
    (lifted,) = table(enterprise.get("/enquiries/unfreezes/").text)
    assert {"150", "解1号", "冻1号"} <= set(lifted)
    (taken,) = table(enterprise.get("/enquiries/confiscations/").text)
    assert {"100", "30", "70"} <= set(taken)
    assert len(table(enterprise.get("/enquiries/confiscation-refunds/").text)) == 1
    number = db.session.get_one(Application, waiting).number
    assert number not in enterprise.get("/enquiries/freezes/").text

    for page in ("freezes", "unfreezes", "confiscations", "confiscation-refunds"):
        text = enterprise.get(f"/enquiries/{page}/").text
        assert "新增" not in text
        with enterprise.get(f"/enquiries/{page}/export.csv") as answer:
            rows = list(csv.reader(io.StringIO(answer.get_data(as_text=True).lstrip("\ufeff"))))
        assert len(rows) >= 2
        assert "文号" in rows[0]


def test_the_frozen_quantity_leads_to_what_holds_it(
    plant, cea, maker, checker, enterprise, sign_in
):
    own = member(of=plant)
    case = submitted("voluntary_cancellation", own, {cea: 70}, reason="碳中和")
    freeze = entered("freeze", plant, maker, lines={cea: 400}, document_no="冻1号")
    confirmed(freeze, checker)
    lift = entered("unfreeze", plant, maker, lines={cea: 150}, source=freeze)
    confirmed(lift, checker)
    gone = entered("freeze", plant, maker, lines={cea: 5})
    confirmed(gone, checker)
    confirmed(entered("unfreeze", plant, maker, lines={cea: 5}, source=gone), checker)

    page = enterprise.get("/holdings/").text
    address = f"/holdings/frozen/?account={plant.id}&amp;instrument={cea.id}"
    assert address in page
    rows = table(enterprise.get(address.replace("&amp;", "&")).text)

    assert len(rows) == 2
    assert {"自愿注销", case.number, "70"} <= set(next(row for row in rows if case.number in row))
    assert {"冻结", "冻1号", "250"} <= set(next(row for row in rows if "冻1号" in row))
    stranger = sign_in(member(of=account("乙水泥有限公司")))
    assert stranger.get(address.replace("&amp;", "&")).status_code == 404


def test_what_a_new_kind_freezes_is_among_what_holds_it(
    plant, cea, checker, enterprise, monkeypatch
):
    """Derived from the kind's own data, before and after its approval."""
    known(monkeypatch, Lien)
    case = submitted(Lien.code, member(of=plant), {cea: 200})
    address = f"/holdings/frozen/?account={plant.id}&instrument={cea.id}"

    (row,) = table(enterprise.get(address).text)
    assert {case.number, "200", "业务申请占用"} <= set(row)
    confirmed(case.id, checker)
    assert held(plant, cea) == (800, 200, 0)
    (row,) = table(enterprise.get(address).text)
    assert {case.number, "200", "有权机关冻结"} <= set(row)


def test_a_restricted_enterprise_is_told_so_at_home(plant, maker, checker, enterprise, desk):
    assert "被限制" not in enterprise.get("/").text
    typed = {
        "submit": "1",
        "document_no": "鄂环函〔2026〕36号",
        "authority": "湖北省生态环境厅",
        "starts_on": "2026-11-20",
        "reason": "逾期未整改",
    }
    assert desk.post(f"/restrictions/new?account={plant.id}", data=typed).status_code == 302
    assert "被限制" not in enterprise.get("/").text
    confirmed(db.session.query(Application.id).scalar(), checker)

    home = enterprise.get("/").text
    assert re.search(r"本单位账户自2026-11-20 10:0\d:\d\d起被限制", home)
    assert "鄂环函〔2026〕36号" in home
    assert "湖北省生态环境厅" in home

    typed["request_key"] = "another-key"
    assert desk.post(f"/restriction-liftings/new?account={plant.id}", data=typed).status_code == 302
    lifting = db.session.query(Application.id).filter_by(kind="restriction_lifting").scalar()
    confirmed(lifting, checker)
    assert "被限制" not in enterprise.get("/").text


@pytest.mark.parametrize(
    "page",
    [
        "freezes",
        "unfreezes",
        "confiscations",
        "confiscation-refunds",
        "restrictions",
        "issuances",
        "instruments",
    ],
)
@pytest.mark.parametrize("role", ["enterprise", "province", "auditor", "registry_checker"])
def test_only_the_first_officer_enters(plant, sign_in, page, role):
    scope = {"of": plant} if role == "enterprise" else {}
    if role == "province":
        scope = {"province": "42"}
    browser = sign_in(member(role, **scope))
    expected = 200 if role == "registry_checker" else 403
    assert browser.get(f"/{page}/").status_code == expected
    assert browser.get(f"/{page}/new?account={plant.id}").status_code == 403
    assert browser.post(f"/{page}/new?account={plant.id}", data={"submit": "1"}).status_code == 403


def test_a_returned_freeze_is_changed_and_submitted_again(plant, cea, desk, maker, checker):
    made = entered("freeze", plant, maker, lines={cea: 400})
    with transaction():
        engine.send_back([made], Actor.of(checker), now=clock.now(), comment="数量有误").one()

    page = desk.get(f"/freezes/{made}/edit").text
    assert 'value="400"' in page
    assert desk.post(f"/freezes/{made}/edit", data=form(cea, "300")).status_code == 302

    assert held(plant, cea) == (700, 300, 0)
