"""六（二）自愿注销, from 自愿注销新增 to the registry's decision, sent back once on the way."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.journeys.support.officers import CHECKER, MAKER
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


# The form itself: Back after a picking, two tabs, a wrong field, a draft that is deleted.


def begin(page: Page) -> None:
    open_from_menu(page, "自愿注销")
    page.get_by_role("link", name="新增").click()
    page.get_by_label("申请原因").fill("碳中和")
    page.get_by_role("button", name="选择标的").click()
    dialog = page.get_by_role("dialog", name="选择标的")
    dialog.get_by_label(CODE).check()
    dialog.get_by_role("button", name="确定").click()
    quantity(page).wait_for()


def quantity(page: Page) -> Locator:
    return page.locator("input[data-quantity]")


def test_back_from_a_saved_draft_shows_the_form_and_what_is_changed_there_counts(
    site, member, album
):
    page = member(MEMBER)
    begin(page)
    assert "form=" in page.url  # Picked: an address that can be read again.
    expect(page.get_by_label("申请原因")).to_have_value("碳中和")
    quantity(page).fill("100")
    page.get_by_role("button", name="保存").click()
    page.wait_for_url("**/voluntary-cancellations/")

    page.go_back()
    quantity(page).wait_for()
    page.reload()  # Nothing is sent again.
    quantity(page).fill("90")
    confirm(page)
    expect(page.locator(".result-facts")).to_contain_text("90")


def test_no_confirmation_opens_over_a_field_that_is_marked_wrong(site, member):
    page = member(MEMBER)
    begin(page)
    dialog = page.locator("#confirm-dialog")
    quantity(page).fill("999999")
    page.get_by_role("button", name="提交").click()
    expect(dialog).not_to_be_visible()
    expect(quantity(page)).to_be_focused()
    quantity(page).fill("5")
    page.get_by_role("button", name="提交").click()
    expect(dialog).to_be_visible()


def test_two_tabs_and_a_draft_that_is_deleted(site, member, album):
    page = member(MEMBER)
    begin(page)
    quantity(page).fill("100")
    page.get_by_role("button", name="保存").click()
    page.get_by_role("link", name="修改", exact=True).first.click()
    other = page.context.new_page()
    other.goto(page.url)
    quantity(other).fill("200")
    other.get_by_role("button", name="保存").click()
    other.wait_for_url("**/voluntary-cancellations/")

    quantity(page).fill("300")
    page.get_by_role("button", name="保存").click()
    compared = page.locator(".card", has_text="两份内容对照")
    for text in ("200 吨", "300 吨"):
        expect(compared).to_contain_text(text)
    expect(quantity(page)).to_have_value("300")
    album.take(page, "two-contents", everyway=True)
    page.get_by_role("button", name="保存").click()
    page.wait_for_url("**/voluntary-cancellations/")

    album.take(page, "draft-in-list", everyway=True)
    page.get_by_role("link", name="详情").first.click()
    album.take(page, "draft-details", everyway=True)
    number = re.search(r"[A-Z]{2}\d{12}", page.inner_text("h1 + *"))
    page.get_by_role("button", name="删除草稿").click()
    dialog = page.locator("#confirm-dialog")
    expect(dialog).to_contain_text(number[0] if number else "确认删除草稿")
    album.take(page, "draft-deletion", everyway=True)
    dialog.get_by_role("button", name="删除草稿").click()
    expect(page.get_by_text("已删除").first).to_be_visible()
    album.take(page, "draft-deleted", everyway=True)


def test_a_bulk_question_and_a_second_reviewer(site, member, album):
    page = member(MEMBER)
    for tonnes in ("30", "40"):
        begin(page)
        quantity(page).fill(tonnes)
        confirm(page)
    first, second = member(MAKER), member(CHECKER)
    for officer in (first, second):
        open_from_menu(officer, "待办")
    second.get_by_role("link", name="审核").first.click()
    first.get_by_label("全选本页").check()
    first.get_by_role("button", name="通过").click()
    album.take(first, "bulk-question", everyway=True)
    first.get_by_role("button", name="确定").click()
    first.get_by_text("成功").first.wait_for()
    second.get_by_role("button", name="通过").click()
    expect(second.get_by_text("已不在您的待办中")).to_be_visible()
    album.take(second, "decided-meanwhile", everyway=True)
