"""核定数据, 核减, 配额调整通知书 and 配额缴回 on screen (rules-2026 N04, N22-N26, N32, N58)."""

from __future__ import annotations

import io
import re
from datetime import date, datetime

import pytest

from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.domain.workflow import line_key
from app.extensions import db, transaction
from app.models import Application
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from tests.factories import account, confirmed, instrument, member, quantity
from tests.operations.claims import claimed, deducted, issued, line_of, returning
from tests.operations.imports.test_figure_import import HEADINGS, approved, changed, pre
from tests.views.toys import table

DOCUMENT = {
    "document_no": "鄂环函〔2026〕31号",
    "starts_on": "2026-11-18",
    "reason": "核定",
    "submit": "1",
}


def bare(page) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def upload(browser, *lines):
    content = io.BytesIO("\n".join([HEADINGS, *lines]).encode())
    file = (content, f"{len(lines)}-{hash(lines)}.csv")
    return browser.post("/allocation-figures/import", data={"file": file})


@pytest.fixture
def cea():
    return instrument("2025年度碳排放配额", vintage=2025)


def test_n04_a_table_shows_what_differs(plant, desk, sign_in, hubei):
    other = account("乙发电有限公司")
    answer = upload(desk, pre(plant, "", "3579.4", 1790), pre(other, "", "3579.4", 1789))
    page = desk.get(answer.location)
    assert "已导入2行，其中1行与注登系统计算结果不一致" in bare(page)
    rows = {row[1]: row for row in table(desk.get("/allocation-figures/").text)}
    assert any("1,789" in cell for cell in rows[plant.name])
    assert any("不一致" in cell for cell in rows[plant.name])
    assert any("一致" in cell for cell in rows[other.name])
    assert plant.name in sign_in(hubei).get("/allocation-figures/?state=differs").text
    own = sign_in(member(of=other)).get("/allocation-figures/").text
    assert plant.name not in own
    assert "3,579" in own


def test_a_bad_table_says_which_cell(plant, desk):
    answer = upload(desk, pre(plant, "", "1000", 510, share="51"))
    assert answer.status_code == 400
    assert "51%高于上限50%" in bare(answer)
    assert desk.get("/allocation-figures/import/template.xlsx").status_code == 200
    assert desk.post("/allocation-figures/import", data={}).status_code == 400


def test_n32_an_approval_that_does_not_follow_is_overdue(plant, desk):
    upload(desk, approved(plant, "", "1000000", 1000000, "核定等于核查"))
    upload(desk, changed(plant, "900000"))
    found = "/allocation-figures/?stage=verification"
    assert "待重新核定" in desk.get(found).text
    with transaction():
        clock.set_to(datetime(2026, 12, 7, 9, tzinfo=BEIJING), SYSTEM)
    assert "逾期未重新核定" in desk.get(found).text
    upload(desk, approved(plant, "", "900000", 900000, "核定等于核查"))
    assert "已重新核定" in desk.get(found).text


def test_n24_a_years_true_up_names_each_deduction(plant, desk, maker, checker):
    upload(
        desk, pre(plant, "", "100000", 50000), approved(plant, "", "30000", 30000, "核定等于核查")
    )
    older = deducted(plant, 40_000, by=maker, documented_on=date(2026, 3, 1))
    deducted(plant, 30_000, by=maker)
    (row,) = table(desk.get("/true-ups/").text)
    assert any("40,000" in cell for cell in row)
    (link,) = re.findall(r'href="(/true-ups/\d+)', desk.get("/true-ups/").text)
    page = bare(desk.get(link))
    number = db.session.get_one(Application, older).number
    assert f"{number} 2026-03-01 40,000 40,000 10,000 0 10,000" in page


def test_a_deduction_is_entered_by_a_province_and_refused_after_the_code(plant, hubei, sign_in):
    browser = sign_in(hubei)
    address = f"/allowance-deductions/new?account={plant.id}"
    sent = DOCUMENT | {"year": "2025", "sector": "power", "tonnes": "100", "category": "shortfall"}
    refused = browser.post(address, data=sent)
    assert refused.status_code == 400
    assert "生态环境法典施行：自2026-08-15起" in bare(refused)
    for wrong, says in (
        ({"tonnes": "1.5"}, "1.5"), ({"year": "25"}, "25"), ({"sector": ""}, "从未属于该行业"),
        ({"category": "fraud", "allowance": "201"}, "101至201吨"), ({"allowance": "x"}, "x"),
    ):  # fmt: skip
        answer = browser.post(address, data=sent | {"category": "other"} | wrong)
        assert (answer.status_code, says in bare(answer)) == (400, True), wrong
    assert db.session.query(Application).count() == 0

    done = browser.post(address, data=sent | {"starts_on": "2026-08-14"})
    assert "另一名" in bare(browser.get(done.location))
    made = db.session.query(Application).one()
    other = sign_in(member("province", province="42"))
    assert "核减量（吨）" in bare(other.get(f"/reviews/{made.id}"))
    assert other.post(f"/reviews/{made.id}/decide", data={"decision": "approve"}).status_code == 302
    (row,) = table(browser.get("/allowance-deductions/").text)
    assert any("已通过" in cell for cell in row)


def test_n26_a_claim_is_entered_shown_and_returned(
    plant, desk, maker, checker, operator, sign_in, cea
):
    issued(plant, cea, 50_000, by=maker)
    address = f"/adjustment-notice-decisions/new?account={plant.id}"
    assert 'value="2026-12-04"' in desk.get(address).text  # Ten working days.
    sent = DOCUMENT | {"ends_on": "2026-12-04", "category": "true_up",
                       "lines-0-choice": str(cea.id), "lines-0-quantity": "50001"}  # fmt: skip
    refused = desk.post(address, data=sent)
    assert "只有50,000吨" in bare(refused)
    assert desk.post(address, data=sent | {"lines-0-quantity": "17000"}).status_code == 302
    claim = db.session.query(Application).filter_by(kind="allowance_claim").one().id
    own = sign_in(operator)
    assert "配额调整通知书PT" not in own.get("/").text  # Not before it is approved.
    confirmed(claim, checker)

    home = bare(own.get("/"))
    assert "待缴回2025年度碳排放配额 17,000吨" in home
    line = line_of(claim)
    form = own.get(f"/allowance-returns/new?source={claim}").text
    key = line_key(cea.id, line.id, None)
    assert f'value="{key}"' in form
    sent = {"submit": "1", "reason": "缴回", "lines-0-choice": key, "lines-0-quantity": "17001"}
    assert "17,000" in bare(own.post(f"/allowance-returns/new?source={claim}", data=sent))
    answer = own.post("/allowance-returns/new", data=sent | {"lines-0-quantity": "10000"})
    assert "由注册登记管理机构审核" in own.get(answer.location).text
    made = db.session.query(Application).filter_by(kind="allowance_return").one().id
    confirmed(made, maker)

    assert quantity(plant, cea, Bucket.RECALLED) == 10_000
    assert "待缴回2025年度碳排放配额 7,000吨" in bare(own.get("/"))
    for page in ("/adjustment-notices/", "/adjustment-notice-decisions/"):
        (row,) = table(desk.get(page).text)
        for figure in ("17,000", "10,000", "7,000", "2026-12-04", "待缴回"):
            assert any(figure in cell for cell in row), (page, figure)


def test_n26_what_is_overdue_is_marked_for_all_who_see_it(
    plant, maker, checker, hubei, sign_in, cea
):
    issued(plant, cea, 500, by=maker)
    claimed(plant, cea, 100, by=maker)
    with transaction():
        clock.set_to(datetime(2026, 12, 5, 9, tzinfo=BEIJING), SYSTEM)
    own = sign_in(member(of=plant))
    assert "逾期 1 天" in bare(own.get("/")) or "1" in bare(own.get("/"))
    for browser in (own, sign_in(hubei), sign_in(maker)):
        (row,) = table(browser.get("/adjustment-notices/?state=overdue").text)
        assert any("逾期" in cell for cell in row)
    assert "缴回" not in table(sign_in(hubei).get("/adjustment-notices/").text)[0][-1]
    shanghai = sign_in(member("province", province="31"))
    assert table(shanghai.get("/adjustment-notices/").text) == []


def test_a_netted_issue_is_told_in_the_entries(plant, maker, checker, operator, sign_in, cea):
    issued(plant, cea, 100, by=maker)
    claimed(plant, cea, 30, by=maker)
    issued(plant, cea, 50, by=maker)
    own = sign_in(operator)
    assert "发放时扣回待缴回配额" in own.get("/holdings/registry-entries/").text
    (row,) = table(own.get("/adjustment-notices/").text)
    assert any("已办结" in cell for cell in row)


def test_a_return_may_be_withdrawn_and_waits_no_longer(
    plant, maker, checker, operator, sign_in, cea
):
    issued(plant, cea, 100, by=maker)
    claim = claimed(plant, cea, 30, by=maker)
    made = returning(claim, 30, by=operator)
    own = sign_in(operator)
    assert "allowance-returns/new?source" not in own.get("/adjustment-notices/").text
    assert own.post(f"/allowance-returns/{made}/withdraw").status_code == 302
    assert f"/allowance-returns/new?source={claim}" in own.get("/adjustment-notices/").text
