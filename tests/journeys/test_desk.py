"""A form in the browser: Back after a picking, two tabs, a wrong field, a draft that is deleted."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.support.officers import CHECKER, MAKER
from tests.journeys.support.reading import open_from_menu

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-one")]

MEMBER, CODE = "21042300007", "PE2021000025"
LIST = "自愿注销"


def begin(page: Page) -> None:
    open_from_menu(page, LIST)
    page.get_by_role("link", name="新增").click()
    page.get_by_label("申请原因").fill("碳中和")
    page.get_by_role("button", name="选择标的").click()
    dialog = page.get_by_role("dialog", name="选择标的")
    dialog.get_by_label(CODE).check()
    dialog.get_by_role("button", name="确定").click()
    quantity(page).wait_for()


def quantity(page: Page):
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
    page.get_by_role("button", name="提交").click()
    page.get_by_role("dialog").get_by_role("button", name="提交").click()
    page.get_by_role("heading", name="操作成功!").wait_for()
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
        page.get_by_role("button", name="提交").click()
        page.get_by_role("dialog").get_by_role("button", name="提交").click()
        page.get_by_role("heading", name="操作成功!").wait_for()
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
