"""成交查询: each participant's own side, the registry's whole trades, and their files."""

from __future__ import annotations

import csv
import io

import pytest
from openpyxl import load_workbook

from tests.views.toys import table


def lines(browser, address: str) -> list[dict[str, str]]:
    with browser.get(address) as response:
        assert response.status_code == 200
        content = response.get_data()
    return list(csv.DictReader(io.StringIO(content.removeprefix(b"\xef\xbb\xbf").decode())))


def test_a_participant_sees_its_own_side_alone(world, sign_in):
    page = sign_in(world.a.member).get("/trades/").text
    rows = table(page)
    assert [row[1] for row in rows] == ["D000003", "D000002", "D000001"]
    assert [row[6] for row in rows] == ["卖出", "买入", "卖出"]
    assert rows[2][7:11] == ["20", "80.00", "1,600.00", "0.80"]
    assert [row[11] for row in rows] == ["违约", "已交收", "已交收"]
    assert not [mark for mark in (*world.b.marks, "丁投资") if mark in page]


def test_the_registry_sees_both_parties_of_every_trade(world, sign_in):
    browser = sign_in(world.officers["registry_checker"])
    rows = table(browser.get("/trades/all/").text)
    a, b = world.a.account.member_no, world.b.account.member_no
    assert [row[1] for row in rows] == ["D000004", "D000003", "D000002", "D000001"]
    assert [row[6:8] for row in rows[2:]] == [[a, b], [b, a]]
    found = table(browser.get(f"/trades/all/?member_no={b}").text)
    assert [row[1] for row in found] == ["D000004", "D000002", "D000001"]


@pytest.mark.parametrize("role", ["enterprise", "enterprise_checker", "province"])
@pytest.mark.parametrize("page", ["", "export.csv", "export.xlsx"])
def test_whole_trades_are_closed_to_others(world, sign_in, role, page):
    assert sign_in(world.member_of(role)).get(f"/trades/all/{page}").status_code == 403


def test_a_province_sees_the_sides_of_its_enterprises(world, sign_in):
    rows = lines(sign_in(world.officers["province:31"]), "/trades/export.csv")
    assert {row["会员编号"].strip() for row in rows} == {world.b.account.member_no}
    assert [row["买卖方向"] for row in rows] == ["卖出", "卖出", "买入"]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("side=buy", ["D000002"]),
        ("state=default", ["D000003"]),
        ("trade_code=CEA26&method=10", ["D000003", "D000002", "D000001"]),
        ("method=20", []),
        ("dealt_at_from=2026-11-20", []),
    ],
)
def test_conditions_narrow_the_list(world, sign_in, query, numbers):
    rows = lines(sign_in(world.a.member), f"/trades/export.csv?{query}")
    assert [row["成交编号"] for row in rows] == numbers


def test_files_carry_money_as_plain_numbers(world, sign_in):
    browser = sign_in(world.a.member)
    sold = lines(browser, "/trades/export.csv")[-1]
    assert sold["成交量（吨）"] == "20"
    assert (sold["成交价（元/吨）"], sold["成交金额（元）"]) == ("80.00", "1600.00")
    assert sold["手续费（元）"] == "0.80"
    with browser.get("/trades/export.xlsx") as response:
        sheet = load_workbook(io.BytesIO(response.get_data())).active
    assert sheet is not None
    headings = [cell.value for cell in sheet[1]]
    cell = sheet[4][headings.index("成交金额（元）")]
    assert (cell.value, cell.data_type, cell.number_format) == (1600, "n", "#,##0.00")
