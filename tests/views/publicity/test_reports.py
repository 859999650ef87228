"""来源追溯, 年度报告 and 年度对账单 as pages and files."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime

import openpyxl
import pypdf
import pytest

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import OperationLog
from tests import factories
from tests.operations import carrying, claims
from tests.operations.ledger.test_tracing import passed
from tests.views.toys import table


def csv_of(browser, address):
    with browser.get(address) as answer:
        assert answer.status_code == 200
        text = answer.get_data().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


def block(rows, title):
    """Return the rows beneath a title, headings first, up to an empty line."""
    found = rows[rows.index([title]) + 1 :]
    return found[: found.index([])] if [] in found else found


def logged(action):
    db.session.rollback()
    return [each.subject for each in db.session.query(OperationLog).filter_by(action=action)]


# 来源追溯


@pytest.fixture
def sold(plant, cea):
    """A second enterprise of another province, which has 60 of the plant's 700 tonnes."""
    buyer = factories.account("乙钢铁公司", province="31")
    passed(plant, buyer, cea, 60)
    return buyer


def test_an_enterprise_sees_its_own_steps_alone(sold, plant, cea, sign_in):
    browser = sign_in(factories.member(of=sold))
    number = f"{sold.member_no}-{cea.code}"
    page = browser.get(f"/holding-trails/{number}").text
    assert "其他账户" in page
    assert plant.name not in page
    rows = csv_of(browser, f"/holding-trails/{number}/trail.csv")
    (step,) = block(rows, "追溯步骤")[1:]
    assert (step[4], step[7]) == ("60", "其他账户")
    assert browser.get(f"/holding-trails/{plant.member_no}-{cea.code}").status_code == 404
    assert logged("trail.download") == [cea.code]


def test_registry_and_auditor_see_everything(sold, plant, cea, sign_in):
    number = f"{sold.member_no}-{cea.code}"
    for role in ("registry_maker", "auditor"):
        browser = sign_in(factories.member(role))
        rows = csv_of(browser, f"/holding-trails/{number}/trail.csv")
        steps = block(rows, "追溯步骤")[1:]
        assert [(row[0], row[2], row[7]) for row in steps] == [
            ("1", sold.name, plant.name), ("2", plant.name, "全国碳排放权配额发放账户"),
        ]  # fmt: skip
        assert [row[-1] for row in block(rows, "来源汇总")[1:]] == ["60"]
        assert f"/holding-trails/{number}" in browser.get("/holding-trails/").text
    province = sign_in(factories.member("province", province="31"))
    assert plant.name not in province.get(f"/holding-trails/{number}").text


@pytest.mark.parametrize("number", ["x", "1-2", "{no}-PE0", "{no}"])
def test_what_is_no_holding_has_no_trail(plant, cea, officer, sign_in, number):
    address = f"/holding-trails/{number.format(no=plant.member_no)}"
    assert sign_in(officer).get(address).status_code == 404


# 年度报告


def test_the_report_is_csv_and_xlsx_of_the_layout(plant, maker, sign_in):
    what = factories.instrument("2025年度配额", trade_code=None, vintage=2025)
    claims.issued(plant, what, 1_234_567, by=maker)
    browser = sign_in(maker)
    assert "履约_分省" in browser.get("/yearly-report/").text
    rows = csv_of(browser, "/yearly-report/report.csv?year=2026")
    assert rows[1] == ["年度", "2026"]
    found = block(rows, "登记_分省")
    assert found[0][:2] == ["省份", "发放量（吨）"]
    assert [row[:2] for row in found[1:]] == [["湖北", "1234567"], ["合计", "1234567"]]
    with browser.get("/yearly-report/report.xlsx?year=2026") as answer:
        book = openpyxl.load_workbook(io.BytesIO(answer.get_data()))
    assert book.sheetnames[:3] == ["说明", "履约_分省", "履约_分行业"]
    sheet = book["登记_分省"]
    assert [cell.value for cell in sheet[2]][:2] == ["湖北", 1_234_567]
    assert logged("list.export").count("YearlyReportView") == 4  # started and done, of each


@pytest.mark.parametrize("year", ["", "x", "2018", "2027", "202", "２０２６"])
def test_a_report_is_of_a_year_that_there_was(officer, sign_in, year):
    assert sign_in(officer).get(f"/yearly-report/report.csv?year={year}").status_code == 404


def test_the_report_is_the_registry_s_and_the_auditor_s(app, plant, hubei, sign_in):
    assert sign_in(factories.member("auditor")).get("/yearly-report/").status_code == 200
    for member in (hubei, factories.member(of=plant)):
        assert sign_in(member).get("/yearly-report/").status_code == 403


# 年度对账单


@pytest.fixture
def of_2026(plant, operator, maker, checker, hubei):
    """Held 100 at the year's beginning; 1,000 issued, 300 surrendered, 30 cancelled, 40 claimed back."""
    old = factories.instrument("2021年度配额", trade_code=None, vintage=2021)
    factories.give(plant, old, 100, at=datetime(2025, 6, 2, 10, tzinfo=BEIJING))
    what = factories.instrument("2025年度配额", trade_code=None, vintage=2025)
    claims.issued(plant, what, 1_000, by=maker)
    notice = factories.notice(plant, 500, by=maker, percent=5)
    made = factories.submitted("surrender", operator, {what: 300}, notice_id=notice, reason="履约")
    factories.confirmed(made.id, hubei)
    made = factories.submitted("voluntary_cancellation", operator, {what: 30}, reason="减排")
    factories.confirmed(made.id, checker)
    claim = claims.claimed(plant, what, 40, by=maker)
    factories.confirmed(claims.returning(claim, 25, by=operator), checker)
    factories.submitted("voluntary_cancellation", operator, {what: 5}, reason="在审")
    return what, old


def test_a_year_in_figures(of_2026, plant, operator, sign_in):
    what, old = of_2026
    rows = csv_of(sign_in(operator), f"/yearly-statements/2026-{plant.member_no}/statement.csv")
    held = {row[0]: row[2:] for row in block(rows, "持仓")[1:]}
    # Opening, closing; available, frozen, in transit, trading; custody.
    assert held[old.code] == ["100", "100", "100", "0", "0", "0", "0"]
    assert held[what.code] == ["0", "645", "640", "5", "0", "0", "0"]
    moved = {(row[0], row[2]): row[4:] for row in block(rows, "变动按业务汇总")[1:]}
    assert {key[1]: value for key, value in moved.items() if key[0] == what.code} == {
        "主管部门发放": ["1000", "0"],
        "清缴履约": ["0", "300"],
        "自愿注销": ["0", "30"],
        "配额缴回": ["0", "25"],
    }
    (notice,) = block(rows, "履约通知书")[1:]
    assert notice[3:] == ["500", "300", "0", "300", "200"]
    (claim,) = block(rows, "配额调整通知书")[1:]
    assert claim[4:] == ["40", "25", "15"]


def test_opening_in_and_out_make_the_closing(of_2026, plant, operator, sign_in):
    rows = csv_of(sign_in(operator), f"/yearly-statements/2026-{plant.member_no}/statement.csv")
    for row in block(rows, "持仓")[1:]:
        mine = [each for each in block(rows, "变动按业务汇总")[1:] if each[0] == row[0]]
        change = sum(int(each[4]) - int(each[5]) for each in mine)
        assert int(row[2]) + change == int(row[3])


def test_a_year_that_is_over_stays_as_it_was(of_2026, plant, operator, maker, sign_in):
    browser, number = sign_in(operator), f"2025-{plant.member_no}"
    address = f"/yearly-statements/{number}/statement.csv"
    before = csv_of(browser, address)
    assert before[4] == ["截至时间", "2026-01-01 00:00:00"]
    assert [row[3] for row in block(before, "持仓")[1:]] == ["100"]
    carrying.on(date(2026, 11, 23))
    factories.give(plant, of_2026[1], 7, at=datetime(2026, 11, 23, 10, tzinfo=BEIJING))
    assert csv_of(browser, address) == before
    pdf = [browser.get(f"/yearly-statements/{number}/statement.pdf").data for _each in range(2)]
    assert pdf[0] == pdf[1]


def test_page_and_pdf_say_the_same_and_who_may_read(of_2026, plant, operator, officer, sign_in):
    number = f"2026-{plant.member_no}"
    browser = sign_in(operator)
    page = browser.get(f"/yearly-statements/{number}").text
    with browser.get(f"/yearly-statements/{number}/statement.pdf") as answer:
        words = "".join(
            each.extract_text() for each in pypdf.PdfReader(io.BytesIO(answer.get_data())).pages
        )
    for text in (number, plant.name, "年度对账单", "645", "主管部门发放"):
        assert text in page
        assert text in words
    assert logged("yearly_statement.download") == [number]
    listed = table(browser.get("/yearly-statements/").text)
    assert [row[1] for row in listed] == ["2026", "2025"]
    other = factories.member(of=factories.account("乙公司"))
    assert sign_in(other).get(f"/yearly-statements/{number}").status_code == 404
    for role in ("auditor", "registry_checker"):
        assert (
            sign_in(factories.member(role)).get(f"/yearly-statements/{number}").status_code == 200
        )


@pytest.mark.parametrize("number", ["x", "2020-{no}", "2027-{no}", "2026-1", "2026"])
def test_what_is_no_year_has_no_statement(plant, officer, sign_in, number):
    address = f"/yearly-statements/{number.format(no=plant.member_no)}"
    assert sign_in(officer).get(address).status_code == 404
