"""受托清缴: an enterprise in the list, its allowances at the province, and the remainder released."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.support.officers import (
    CHECKER,
    MAKER,
    begin,
    confirm,
    fill_date,
    pick,
    submit,
)
from tests.journeys.support.reading import open_from_menu, row_with

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

MEMBER, PROVINCE, SECOND, CODE = "21042300007", "P42", "P4202", "PE2026000001"


def listed(page: Page) -> None:
    begin(page, "差异化名录", MEMBER)
    page.get_by_label("履约年度").fill("2025")
    page.get_by_label("列入原因").select_option(label="存在明显风险")
    page.get_by_label("文号").fill("鄂环函〔2026〕60号")
    page.get_by_label("申请原因").fill("上一周期未足额清缴")
    submit(page, asks=False)


def test_a_compelled_surrender_with_its_remainder_released(site, member, album):
    province, second = member(PROVINCE), member(SECOND)
    maker, checker, enterprise = member(MAKER), member(CHECKER), member(MEMBER)
    listed(province)
    confirm(second, MEMBER, "鄂环函〔2026〕60号")

    begin(maker, "配额发放", MEMBER)
    pick(maker, CODE)
    maker.get_by_label("发放类型").select_option(label="补发")
    maker.get_by_label("文号").fill("鄂环函〔2026〕61号")
    fill_date(maker, "文件日期", "2026-11-02")
    maker.get_by_label(f"发放量 {CODE}").fill("1000")
    submit(maker)
    confirm(checker, MEMBER, CODE)
    open_from_menu(enterprise, "配额发放查询")
    row = row_with(enterprise, CODE)
    assert (row["待发放量"], row["状态"]) == ("1,000", "在主管部门账户")
    album.take(enterprise, "at-the-authority", everyway=True)

    begin(province, "受托清缴", MEMBER)
    province.get_by_role("row").filter(has_text="LT2025").get_by_role("link").click()
    expect(province.locator("main")).to_contain_text("拟清缴")
    album.take(province, "commission-form", keep=True, everyway=True)
    province.get_by_label("文号").fill("鄂环函〔2026〕62号")
    submit(province)
    confirm(maker, MEMBER, "鄂环函〔2026〕62号")
    confirm(checker, MEMBER, "鄂环函〔2026〕62号")
    open_from_menu(enterprise, "履约清缴")
    row = row_with(enterprise, "2025")
    assert row["已履约量"] == row["应履约量"] == "600"

    open_from_menu(province, "待发放配额")
    province.locator("#list-table tbody tr").filter(has_text=MEMBER).get_by_role("checkbox").check()
    album.take(province, "waiting", everyway=True)
    province.get_by_role("button", name="全部发放").click()
    province.get_by_role("button", name="确定").last.click()
    expect(province.locator("main")).to_contain_text("成功")
    confirm(second, MEMBER, CODE)
    open_from_menu(enterprise, "持仓查询")
    assert row_with(enterprise, CODE)["登记可用量"] == "400"
