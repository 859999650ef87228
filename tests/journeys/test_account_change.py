"""二（三）账户信息修改 with an attachment and both sides; the operators of an enterprise and 操作复核."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.files import pdf
from tests.journeys.support.reading import line_of, message, open_from_menu, row_with

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

MEMBER, MAKER, CHECKER, OFFICER = "21042300007", "21042300007-01", "21042300007-02", "R0001"
CODE = "PE2021000025"
NEW = "招商银行武汉分行"


def submit(page: Page) -> str:
    """提交, and return the number that 操作成功 names."""
    page.get_by_role("button", name="提交", exact=True).click()
    page.get_by_role("heading", name="操作成功!").wait_for()
    found = re.search(r"[A-Z]{2}2\d{11}", page.locator("main").inner_text())
    assert found
    return found[0]


def review(page: Page, number: str) -> None:
    open_from_menu(page, "待办")
    line_of(page, number).get_by_role("link", name="审核").click()
    page.get_by_role("heading", name="审核", exact=True).wait_for()


def test_a_change_is_sent_back_edited_and_approved(site, member, album):
    page = member(MEMBER)
    open_from_menu(page, "账户信息修改")
    page.get_by_role("link", name="修改账户信息").click()
    expect(page.get_by_label("统一社会信用代码")).to_have_value("91420100MA4K2X7R0B")
    page.get_by_label("统一社会信用代码").fill("91420100MA4K2X7R0A")
    page.get_by_role("button", name="提交", exact=True).click()
    expect(page.locator("#uscc-error")).to_contain_text("18")
    page.get_by_label("统一社会信用代码").fill("91420100MA4K2X7R0B")
    page.get_by_label("开户银行").fill(NEW)
    page.get_by_label(re.compile("账户代表手机")).fill("13900139000")
    page.locator("input[type=file]").set_input_files(
        {"name": "开户许可证.pdf", "mimeType": "application/pdf", "buffer": pdf()}
    )
    page.get_by_label("申请原因").fill("更换开户银行")
    album.take(page, "account-change-form", keep=True, whole=True, everyway=True)
    number = submit(page)

    officer = member(OFFICER)
    review(officer, number)
    expect(officer.locator("main")).to_contain_text("开户许可证.pdf")
    expect(officer.locator("main")).to_contain_text("139****9000")
    expect(officer.locator("main")).not_to_contain_text("13900139000")
    album.take(officer, "account-change-review", keep=True, whole=True, everyway=True)
    officer.get_by_label("审核意见").fill("请核对开户银行全称")
    officer.get_by_role("button", name="退回").click()
    assert number in message(officer)

    open_from_menu(page, "账户信息修改")
    assert row_with(page, number)["状态"] == "已退回"
    line_of(page, number).get_by_role("link", name="修改", exact=True).click()
    expect(page.get_by_label("开户银行")).to_have_value(NEW)
    expect(page.locator("main")).to_contain_text("139****9000")
    page.get_by_label("开户银行").fill("招商银行武汉中北路支行")
    assert submit(page) == number

    review(officer, number)
    officer.get_by_role("button", name="通过").click()
    assert number in message(officer)
    open_from_menu(page, "账户信息修改")
    assert row_with(page, number)["状态"] == "已通过"
    line_of(page, number).get_by_role("link", name="详情").click()
    page.get_by_role("button", name="查看明文").click()
    expect(page.locator("main")).to_contain_text("13900139000")
    album.take(page, "account-change-detail", whole=True, everyway=True)


def test_the_representative_appoints_an_operator(site, member, album):
    page = member(MEMBER)
    open_from_menu(page, "操作员管理")
    page.get_by_role("link", name="新增操作员").click()
    page.get_by_label("姓名").fill("赵敏")
    page.get_by_label("手机").fill("13700137000")
    page.get_by_label("邮箱").fill("zhao@plants.example.cn")
    page.get_by_label("经办", exact=True).check()
    album.take(page, "operator-form", keep=True, everyway=True)
    page.get_by_role("button", name="保存").click()
    assert "21042300007-03" in message(page)
    assert row_with(page, "21042300007-03")["职责"] == "经办"
    album.take(page, "operators", keep=True, everyway=True)


def test_what_one_enters_another_agrees_to(site, member, album):
    """操作复核: the maker's transfer waits for the checker, who sees it in 待办."""
    page = member(MEMBER)
    open_from_menu(page, "操作复核")
    page.get_by_role("button", name="开启操作复核").click()
    page.get_by_role("dialog").get_by_role("button", name="确定").click()
    assert "操作复核已开启" in message(page)
    album.take(page, "colleague-review", keep=True, everyway=True)

    maker = member(MAKER)
    open_from_menu(maker, "登记发起登记转交易")
    maker.get_by_role("link", name="新增", exact=True).click()
    maker.get_by_role("button", name="选择标的").click()
    dialog = maker.get_by_role("dialog", name="选择标的")
    dialog.get_by_label(CODE).check()
    dialog.get_by_role("button", name="确定").click()
    maker.get_by_label(f"划转数量 {CODE}").fill("100")
    maker.get_by_label(f"划转交易端 {CODE}").select_option(label="中股网")
    number = submit(maker)
    expect(maker.locator("main")).to_contain_text("等待本单位另一名操作员复核")

    checker = member(CHECKER)
    review(checker, number)
    album.take(checker, "colleague-review-decision", keep=True, everyway=True)
    checker.get_by_role("button", name="通过").click()
    assert number in message(checker)
    open_from_menu(maker, "登记发起登记转交易")
    assert row_with(maker, number)["状态"] == "待结算"
