"""履约通知书办理 on screen: the form, the preview of a table, the second officer, taking back."""

from __future__ import annotations

import io
import re

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import Application, Member, Notice
from tests import factories
from tests.factories import colleague, confirmed, submitted
from tests.views.frame.test_language import WORD, english
from tests.views.toys import table

NEW, IMPORT = "/notice-decisions/new", "/notice-decisions/import"
HEADING = "会员编号,履约年度,行业,应履约量（吨）"


@pytest.fixture
def plant(app):
    return factories.account("甲发电有限公司", "42", sector="power")


@pytest.fixture
def cea25(plant):
    row = factories.instrument("2025年度配额", vintage=2025)
    factories.give(plant, row, 1000)
    return row


@pytest.fixture
def cea24(plant):
    return factories.instrument("2024年度配额", vintage=2024)


@pytest.fixture
def notice(plant, cea25, maker):
    return factories.notice(plant, 600, [cea25], by=maker)


@pytest.fixture
def form(cea25):
    return {
        "year": "2025",
        "sector": "power",
        "obligation": "1234567",
        "reason": "核查结果",
        "submit": "1",
    }


def bare(page) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def the_application() -> Application:
    db.session.rollback()
    latest = select(Application).where(Application.kind == "notice").order_by(Application.id.desc())
    return db.session.scalars(latest).first()


def seen(page) -> str:
    """Return what the form says that the notice said when it was opened."""
    (value,) = re.findall(r'name="before"[^>]*value="([^"]*)"', page.text)
    return value.replace("&#34;", '"')


def upload(browser, *lines, **more):
    file = (io.BytesIO("\n".join([HEADING, *lines]).encode()), "通知书.csv")
    return browser.post(IMPORT, data={"file": file, "reason": "核查结果"} | more)


# One notice -------------------------------------------------------------------------------------


def test_a_notice_is_entered_by_one_and_approved_by_another(
    sign_in, hubei, plant, form, cea25, cea24
):
    browser = sign_in(hubei)
    assert plant.member_no in browser.get(NEW).text
    page = browser.get(f"{NEW}?account={plant.id}")
    offered = re.findall(r"<option[^>]*value=\"([^\"]*)\">", page.text)
    assert offered == ["", "power"]  # The sectors that the enterprise is or was in.

    answer = browser.post(f"{NEW}?account={plant.id}", data=form)

    assert answer.status_code == 302
    assert "的另一名人员审核" in browser.get(answer.location).text
    assert db.session.query(Notice).count() == 0
    assert table(browser.get("/reviews/").text) == []
    application = the_application()
    second = sign_in(colleague(hubei))
    shown = bare(second.get(f"/reviews/{application.id}"))
    for said in ("1,234,567", "2025年度发电"):
        assert said in shown, said
    done = second.post(f"/reviews/{application.id}/decide", data={"decision": "approve"})
    assert done.status_code == 302
    row = db.session.scalars(select(Notice)).one()
    assert (row.year, row.sector, row.obligation) == (2025, "power", 1_234_567)
    page = bare(browser.get(f"/compliance-notices/{row.id}"))
    for said in (application.number, "2026-12-31 23:59:59", cea25.code, "61,728"):
        assert said in page, said
    assert cea24.code not in page

    again = browser.post(f"{NEW}?account={plant.id}", data=form | {"request_key": "x" * 12})
    assert again.status_code == 400
    assert f"已有2025年度发电的履约通知书{row.number}" in again.text


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("year", "20x5", "四位年度"),
        ("year", "2018", "2018年度"),
        ("sector", "", "选择"),
        ("sector", "steel", "钢铁"),
        ("sector", "gold", "选择"),
        ("obligation", "1.5", "1.5"),
        ("obligation", "", "请"),
        ("reason", " ", "申请原因"),
    ],
)
def test_what_makes_no_sense_is_shown_again(sign_in, maker, plant, form, field, typed, said):
    page = sign_in(maker).post(f"{NEW}?account={plant.id}", data=form | {field: typed})
    assert page.status_code == 400
    assert said in page.text
    assert typed in page.text if isinstance(typed, str) else True
    told = re.findall(r'<div class="field-error"[^>]*>.*?</div>', page.text, re.S)
    assert told
    assert english("".join(told), WORD.findall(str(typed))) == []
    assert db.session.query(Application).count() == 0


@pytest.mark.parametrize("asked", ["x", "0", "99999999999", "１"])
def test_an_enterprise_that_is_none_or_another_province_s(sign_in, hubei, asked):
    other = factories.account("乙", "31")
    browser = sign_in(hubei)
    assert browser.get(f"{NEW}?account={asked}").status_code == 404
    assert browser.get(f"{NEW}?account={other.id}").status_code == 404
    assert other.name not in browser.get(f"{NEW}?q=乙").text.split("<tbody>")[1]


def test_a_notice_of_another_enterprise_or_province_is_not_found(
    sign_in, hubei, plant, notice, cea25, maker
):
    other = factories.account("乙", "31")
    theirs = factories.notice(other, 5, [cea25], by=maker)
    browser = sign_in(hubei)
    for wrong in (theirs, "x", 999_999):
        assert browser.get(f"{NEW}?account={plant.id}&notice={wrong}").status_code == 404
    registry = sign_in(maker)
    assert registry.get(f"{NEW}?account={plant.id}&notice={theirs}").status_code == 404


def test_an_obligation_is_changed_and_its_history_shown(
    sign_in, hubei, maker, operator, plant, notice, cea25
):
    case = submitted("surrender", operator, {cea25: 500}, notice_id=notice)
    confirmed(case.id, hubei)
    browser, address = sign_in(hubei), f"{NEW}?account={plant.id}&notice={notice}"
    page = browser.get(address)
    form = {
        "before": seen(page),
        "obligation": "499",
        "document_no": "鄂环函8号",
        "reason": "核查结果变更",
        "submit": "1",
    }
    refused = browser.post(address, data=form)
    assert refused.status_code == 400
    assert "请先办理清缴退还1吨" in refused.text

    form["obligation"] = "550"
    assert browser.post(address, data=form).status_code == 302
    assert db.session.get_one(Notice, notice).obligation == 600
    confirmed(the_application().id, colleague(hubei))

    words = bare(browser.get(f"/compliance-notices/{notice}"))
    for text_ in ("变更记录", "600", "550", "鄂环函8号", "核查结果变更"):
        assert text_ in words
    late = browser.post(address, data=form | {"obligation": "560", "request_key": "y" * 12})
    assert late.status_code == 400
    assert "当时为600吨，现为550吨" in late.text


@pytest.mark.parametrize(
    "before",
    [
        "",
        "[1]",
        "x",
        '{"deadline": "600"}',
        '{"obligation": "x"}',
        '{"obligation": Infinity}',
    ],
)
def test_what_the_page_did_not_write_is_refused(sign_in, maker, plant, notice, form, before):
    address = f"{NEW}?account={plant.id}&notice={notice}"
    page = sign_in(maker).post(address, data=form | {"before": before, "document_no": "1号"})
    assert page.status_code == 400
    assert db.session.get_one(Notice, notice).obligation == 600


def test_a_notice_is_revoked_before_its_first_surrender(sign_in, maker, plant, notice, operator):
    browser = sign_in(maker)
    address = f"{NEW}?account={plant.id}&notice={notice}&act=withdraw"
    assert f"notice={notice}&amp;act=withdraw" in browser.get("/compliance-notices/").text
    form = {"before": seen(browser.get(address)), "document_no": "1号", "reason": "主体有误"}
    assert browser.post(address, data=form | {"submit": "1"}).status_code == 302
    confirmed(the_application().id, colleague(maker))

    (row,) = table(browser.get("/compliance-notices/").text)
    assert "已撤销" in row
    assert f"notice={notice}" not in browser.get("/compliance-notices/").text
    assert "已撤销" in sign_in(operator).get("/compliance/").text
    assert browser.get(address).status_code == 404


def test_a_change_whose_notice_was_revoked_becomes_no_notice(sign_in, maker, plant, notice, form):
    browser = sign_in(maker)
    page = browser.get(f"{NEW}?account={plant.id}&notice={notice}")
    change = form | {"before": seen(page), "document_no": "1号", "obligation": "5", "save": "1"}
    change.pop("submit", None)
    browser.post(f"{NEW}?account={plant.id}&notice={notice}", data=change)
    draft = the_application()
    confirmed(factories.withdrawn(notice, by=colleague(maker)), maker)

    edit = f"/notice-decisions/{draft.id}/edit"
    answer = browser.post(edit, data=change | {"submit": "1", "before": seen(browser.get(edit))})

    assert answer.status_code == 400
    assert "已被撤销或调整，请重新录入" in answer.text
    assert db.session.query(Notice).filter_by(withdrawn_at=None).count() == 0


def test_a_draft_is_opened_again_as_it_was(sign_in, maker, plant, form):
    browser = sign_in(maker)
    form.pop("submit")
    assert browser.post(f"{NEW}?account={plant.id}", data=form | {"save": "1"}).status_code == 302
    page = browser.get(f"/notice-decisions/{the_application().id}/edit").text
    for said in ("1234567", 'selected value="power"', "核查结果"):
        assert said in page


# A table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_template_is_filled_in_shown_submitted_and_approved(sign_in, maker, plant, cea25, form):
    browser = sign_in(maker)
    template = browser.get(f"{IMPORT}/template.{form}")
    line = [plant.member_no, "2025", "发电", "1000"]
    if form == "csv":
        heading = template.data.decode("utf-8-sig").splitlines()[0]
        content = "\n".join([heading, ",".join(line)]).encode()
    else:
        import openpyxl

        book = openpyxl.load_workbook(io.BytesIO(template.data))
        for place, cell in enumerate(line, start=1):
            book.worksheets[0].cell(2, place, cell)
        buffer = io.BytesIO()
        book.save(buffer)
        content = buffer.getvalue()
    file = (io.BytesIO(content), f"通知书.{form}")
    batch = browser.post(IMPORT, data={"file": file, "reason": "核查结果"}).location

    assert the_application().status == "draft"
    assert browser.post(f"{batch}/submit").status_code == 302
    assert the_application().status == "in_review"
    assert "另一名" in browser.get(batch).text
    second = sign_in(colleague(maker))
    assert "1,000" in second.get(batch).text
    assert "/submit" not in second.get(batch).text
    confirmed(the_application().id, colleague(maker))
    assert db.session.scalars(select(Notice)).one().obligation == 1000


def test_the_preview_tells_new_from_changed_and_the_same(sign_in, maker, hubei, cea25, plant):
    power, steel = (
        factories.account(name, "42", sector=sector)
        for name, sector in (("乙发电", "power"), ("丙钢铁", "steel"))
    )
    factories.notice(plant, 600, [cea25], by=maker)
    factories.notice(power, 50, [cea25], by=maker)
    lines = [
        f"{each.member_no},2025,,{tonnes}"
        for each, tonnes in ((plant, 700), (power, 50), (steel, 33))
    ]
    browser = sign_in(hubei)
    refused = upload(browser, *lines)
    assert refused.status_code == 400
    assert "文号" in refused.text
    batch = upload(browser, *lines, document_no="鄂环函8号").location

    page = browser.get(batch)

    words = bare(page)
    assert "无变化的行 1" in words
    assert "2025 发电 0 1 0 600 700" in words
    assert "2025 钢铁 1 0 0 0 33" in words
    assert f"{plant.member_no} {plant.name} 2025 发电 600 700" in words
    assert f"{steel.member_no} {steel.name} 2025 钢铁" in words
    assert power.name not in words
    people = db.session.scalars(select(Member.first_name + " " + Member.username))
    assert english(page.text, WORD.findall(" ".join(people))) == []
    other = sign_in(factories.member("province", province="31"))
    assert other.get(batch).status_code == 404
    assert other.post(f"{batch}/submit").status_code == 404


def test_a_bad_table_is_reported_by_row_and_column(sign_in, hubei, plant, cea25):
    page = upload(sign_in(hubei), f"{plant.member_no},2025,发电,-1")
    assert page.status_code == 400
    for said in ("第 2 行", "应履约量（吨）", "核查结果"):
        assert said in page.text
    assert db.session.query(Application).count() == 0


def test_nothing_chosen_and_no_reason_are_said(sign_in, maker, plant, cea25):
    browser = sign_in(maker)
    assert "请选择" in browser.post(IMPORT, data={}).text
    line = f"{plant.member_no},2025,发电,1"
    page = upload(browser, line, reason="")
    assert page.status_code == 400
    assert "申请原因" in page.text
    assert browser.get(f"{IMPORT}/template.exe").status_code == 404


def test_a_batch_is_taken_back_on_screen(sign_in, maker, operator, plant, cea25):
    browser = sign_in(maker)
    batch = upload(browser, f"{plant.member_no},2025,发电,9").location
    browser.post(f"{batch}/submit")
    assert "take-back" not in browser.get(batch).text
    confirmed(the_application().id, colleague(maker))
    assert f"{batch}/take-back" in browser.get(batch).text
    assert "文号" in browser.get(f"{batch}/take-back").text

    form = {"document_no": "1号", "reason": "批次有误"}
    made = browser.post(f"{batch}/take-back", data=form).location
    assert "2025 发电 0 0 1 9 0" in bare(browser.get(made))
    assert "撤销的通知书" in browser.get(made).text
    assert "已提交1条申请" in browser.post(f"{made}/submit", follow_redirects=True).text
    row = db.session.scalars(select(Notice)).one()
    assert (row.obligation, row.withdrawn_at) == (9, None)
    confirmed(the_application().id, colleague(maker))
    db.session.expire_all()
    assert row.withdrawn_at is not None


def test_a_batch_with_a_surrender_is_not_taken_back(sign_in, maker, operator, plant, cea25):
    browser = sign_in(maker)
    batch = upload(browser, f"{plant.member_no},2025,发电,9").location
    browser.post(f"{batch}/submit")
    confirmed(the_application().id, colleague(maker))
    row = db.session.scalars(select(Notice)).one()
    submitted("surrender", operator, {cea25: 1}, notice_id=row.id)

    page = browser.post(f"{batch}/take-back", data={"document_no": "1号", "reason": "批次有误"})

    assert "失败 1 条" in bare(page)
    assert row.number in page.text
    assert db.session.query(Application).filter_by(kind="notice").count() == 1
