"""Steps shared by journeys of the registry's officers: entering and confirming."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.journeys.support.reading import open_from_menu

MAKER, CHECKER = "R0001", "R0002"


def begin(page: Page, entry: str, enterprise: str) -> None:
    """Open a desk from the menu and begin a new application about an enterprise."""
    open_from_menu(page, entry)
    page.get_by_role("link", name="新增", exact=True).click()
    page.get_by_label("会员编号或名称").fill(enterprise)
    page.get_by_role("button", name="查询").click()
    page.locator("tbody").get_by_role("link", name="选择").first.click()
    page.get_by_text("会员编号").first.wait_for()


def pick(page: Page, code: str, title: str = "选择标的") -> None:
    """Choose an instrument in the picker."""
    page.get_by_role("button", name=title).click()
    dialog = page.get_by_role("dialog", name=title)
    dialog.get_by_label(code).check()
    dialog.get_by_role("button", name="确定").click()


def fill_document(page: Page, number: str, authority: str, start: str, end: str = "") -> None:
    """Fill in the authority's document."""
    page.get_by_label("文号").fill(number)
    page.get_by_label("决定机关").fill(authority)
    fill_date(page, "生效日期", start)
    if end:
        fill_date(page, "截止日期", end)


def fill_date(page: Page, label: str, day: str) -> None:
    """Type a date, and leave the field so that the calendar closes."""
    field = page.get_by_label(label).locator("visible=true").first
    field.fill(day)
    field.press("Tab")


def submit(page: Page, *, asks: bool = True) -> None:
    """提交, and 提交 again where the page asks for confirmation."""
    page.get_by_role("button", name="提交").click()
    if asks:
        page.get_by_role("dialog").get_by_role("button", name="提交").click()
    page.get_by_role("heading", name="操作成功!").wait_for()


def confirm(page: Page, enterprise: str, named: str, comment: str = "与文书一致") -> None:
    """通过 the latest application of an enterprise, after checking what it shows."""
    open_from_menu(page, "待办")
    row = page.locator("#list-table tbody tr").filter(has_text=enterprise).first
    row.get_by_role("link", name="审核").click()
    expect(page.locator("main")).to_contain_text(named)
    page.get_by_label("审核意见").fill(comment)
    page.get_by_role("button", name="通过").click()
    expect(page.locator("main .message-success")).to_contain_text("审核通过")
