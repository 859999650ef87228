"""六（二）自愿注销, from 自愿注销新增 to the registry's decision, sent back once on the way."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.support.reading import open_from_menu, row_with

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

MEMBER, REVIEWER, CODE = "21042300007", "R0001", "PE2021000025"


def available(page: Page) -> tuple[str, str, str]:
    open_from_menu(page, "持仓查询")
    row = row_with(page, CODE)
    return row["登记可用量"], row["登记冻结量"], row["总持有量"]


def confirm(page: Page) -> None:
    """提交 asks once more, with the instrument and the quantity."""
    page.get_by_role("button", name="提交").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("注销经审核通过后不可撤销")
    expect(dialog).to_contain_text(CODE)
    dialog.get_by_role("button", name="提交").click()
    page.get_by_role("heading", name="操作成功!").wait_for()


def test_a_cancellation_is_sent_back_changed_and_approved(site, member, album):
    page = member(MEMBER)
    open_from_menu(page, "自愿注销")
    page.get_by_role("link", name="自愿注销新增").click()
    page.get_by_role("button", name="选择标的").click()
    dialog = page.get_by_role("dialog", name="选择标的")
    dialog.get_by_label(CODE).check()
    dialog.get_by_role("button", name="确定").click()
    page.get_by_label(f"注销数量 {CODE}").fill("500")
    page.get_by_label("申请原因").fill("碳中和")
    album.take(page, "cancellation-form", keep=True, everyway=True)
    confirm(page)
    assert available(page) == ("200", "500", "700")

    officer = member(REVIEWER)
    open_from_menu(officer, "待办")
    assert row_with(officer, CODE)["业务类型"] == "自愿注销"
    album.take(officer, "review-list", keep=True, everyway=True)
    officer.locator("#list-table").get_by_role("link", name="审核").first.click()
    officer.get_by_role("button", name="退回").click()
    expect(officer.get_by_text("请填写退回原因")).to_be_visible()
    officer.get_by_label("审核意见").fill("请核对数量")
    album.take(officer, "review", keep=True, everyway=True)
    officer.get_by_role("button", name="退回").click()
    expect(officer.locator("#list-table")).not_to_contain_text(CODE)
    assert available(page) == ("700", "0", "700")

    open_from_menu(page, "自愿注销")
    assert row_with(page, CODE)["状态"] == "已退回"
    page.get_by_role("link", name="修改", exact=True).click()
    page.get_by_label(f"注销数量 {CODE}").fill("300")
    confirm(page)

    open_from_menu(officer, "待办")
    officer.locator("tbody [data-check]").first.check()
    officer.get_by_role("button", name="通过").click()
    expect(officer.get_by_role("heading", level=1)).to_contain_text("确定审核通过所选 1 条申请")
    officer.get_by_role("button", name="确定").click()
    expect(officer.get_by_text("成功 1 条")).to_be_visible()
    album.take(officer, "review-done", everyway=True)
    assert available(page) == ("400", "0", "400")
