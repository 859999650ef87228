"""履约规划: from the home page by one click to the application, and to that for CCER."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.journeys.support.reading import line_of, open_from_menu, row_with

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

MEMBER, PROVINCE = "21042300007", "P42"


def test_from_the_home_page_by_the_plan_to_both_applications(site, member, album):
    page = member(MEMBER)
    page.get_by_role("link", name="履约规划").click()
    page.get_by_role("heading", level=1, name="履约规划").wait_for()
    expect(page.get_by_role("heading", name="2024年度")).to_be_visible()
    album.take(page, "surrender-plan", keep=True, everyway=True)
    arrear = page.locator("section", has=page.get_by_role("heading", name="2024年度"))
    number = arrear.get_by_role("link", name="填写履约申请").inner_text().split()[-1]
    arrear.get_by_role("link", name="填写履约申请").click()
    expect(page.get_by_text(number, exact=True)).to_be_visible()
    page.get_by_role("button", name="提交").click()
    page.get_by_role("dialog").get_by_role("button", name="提交").click()
    page.get_by_role("heading", name="操作成功!").wait_for()

    officer = member(PROVINCE)
    open_from_menu(officer, "待办")
    line_of(officer, "市场通测试030207").locator("[data-check]").check()
    officer.get_by_role("button", name="通过").click()
    officer.get_by_role("button", name="确定").click()
    expect(officer.get_by_text("成功 1 条")).to_be_visible()

    open_from_menu(page, "履约清缴")
    row = row_with(page, number)
    assert row["状态"] == "逾期未足额"  # What CCER covers is applied for apart.
    page.get_by_role("link", name="履约规划").click()
    page.get_by_role("link", name="填写 CCER 抵销申请").first.click()
    expect(page.locator("input[name=units]:checked")).to_have_count(1)
