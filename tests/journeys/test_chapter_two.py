"""二、账户管理: （二）账户登录 with its 验证码, and （四）密码修改."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from app.installation.demo import DEMO_PASSWORD
from tests.journeys.conftest import choose_certificate, sign_in
from tests.journeys.support.reading import menu, message

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

MEMBER = "21042300007"
OWN_PASSWORD = "Wuhan-2026-Huhehaote"


def test_signing_in_with_the_captcha(demo_site, visit, album):
    """二（二） as a newcomer meets it: 会员编号, 密码, 验证码 (wrong, another one, right), 证书."""
    page = visit(demo_site)
    page.goto("/holdings/")
    page.wait_for_url("**/login/**")
    expect(page.get_by_role("heading", level=1)).to_have_text("用户登录")
    album.take(page, "sign-in", keep=True, everyway=True)

    right = demo_site.captcha()
    wrong = "0000" if right != "0000" else "1111"
    page.get_by_label("会员编号").fill(MEMBER)
    page.get_by_label("密码", exact=True).fill(DEMO_PASSWORD)
    page.get_by_label("验证码", exact=True).fill(wrong)
    page.get_by_role("button", name="登录").click()
    expect(page.locator(".message-danger")).to_contain_text("验证码")
    expect(page.get_by_label("会员编号")).to_have_value(MEMBER)
    expect(page.get_by_label("密码", exact=True)).to_have_value("")
    album.take(page, "sign-in-wrong-captcha")

    image = page.locator("[data-captcha-image]")
    before = image.get_attribute("src") or ""
    page.get_by_role("link", name="换一张").click()
    expect(image).not_to_have_attribute("src", before)
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    page.get_by_label("密码", exact=True).fill(DEMO_PASSWORD)
    page.get_by_label("验证码", exact=True).fill(demo_site.captcha())
    page.get_by_role("button", name="登录").click()
    choose_certificate(page, "市场通测试030207")
    page.wait_for_url("**/holdings/")
    expect(page.get_by_role("heading", level=1)).to_have_text("持仓查询")


def test_the_header_tells_who_when_and_how_safe(site, visit, album):
    """The manual's header on every page: 您好, 会员编号, 修改密码, 上次登录 + IP, 安全指数, 待办."""
    first = visit(site)
    sign_in(first, MEMBER)
    expect(first.locator(".last-login")).to_contain_text("首次登录")
    page = visit(site)
    sign_in(page, MEMBER)
    strip = page.locator(".member-strip")
    expect(strip).to_contain_text("您好, 市场通测试030207")
    expect(strip).to_contain_text(f"会员编号: {MEMBER}")
    expect(strip.get_by_role("link", name="修改密码")).to_be_visible()
    told = page.locator(".last-login").inner_text()
    assert re.search(r"上次登录:\s*\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s+IP:127\.0\.0\.1", told)
    # The site's clock began at 10:00; the suite runs for well under three hours.
    expect(page.locator("[data-clock]")).to_have_text(re.compile(r" 1[0-2]:\d\d:\d\d"))
    expect(page.get_by_text("演示时钟")).to_be_visible()
    expect(page.locator(".top-bar summary").filter(has_text="待办")).to_be_visible()
    assert menu(page) == [
        "首页",
        "通知公告",
        "账户管理",
        "账户信息修改",
        "证书管理",
        "操作员管理",
        "操作复核",
        "系统接入凭证",
        "集团查看授权",
        "集团持仓",
        "集团履约",
        "销户",
        "账户类别",
        "持仓划转管理",
        "登记发起登记转交易",
        "划转权限",
        "交易发起交易转登记",
        "交易发起登记转交易",
        "结算管理",
        "成交查询",
        "结算单",
        "结算异议",
        "净买卖统计",
        "违约处理",
        "履约管理",
        "履约清缴",
        "履约清缴记录查询",
        "年度方案",
        "履约日历",
        "协助清缴",
        "受托清缴",
        "司法冻结配额清缴",
        "结转管理",
        "结转安排",
        "结转通知书",
        "结转申请",
        "结转明细",
        "CCER抵销",
        "CCER待抵销",
        "CCER抵销申请",
        "CCER账户绑定确认",
        "CCER账户解绑",
        "存管返还管理",
        "存管申请",
        "存管返还申请",
        "自愿注销管理",
        "自愿注销",
        "质押登记管理",
        "质押登记",
        "质押冻结",
        "质押备注",
        "质押双方解除",
        "质押配额清缴",
        "资金管理",
        "资金",
        "资金流水",
        "入金",
        "出金",
        "出入金记录",
        "银行账户绑定",
        "信息查询",
        "配额发放查询",
        "持仓查询",
        "冻结查询",
        "解冻查询",
        "收缴查询",
        "收缴退还查询",
        "司法冻结查询",
        "来源追溯",
        "年度对账单",
        "审核管理",
        "待办",
        "已办",
        "发放管理",
        "核定数据",
        "多退少补",
        "配额调整通知书",
        "配额缴回",
        "我的任务",
        "演示信箱",
    ]
    album.take(page, "home", keep=True, everyway=True)
    strip.locator("summary").click()
    expect(strip.locator(".security-body li").first).to_be_visible()
    album.take(page, "security-index", keep=True)


def test_signing_in_elsewhere_ends_the_first_session(site, visit, album):
    """One member, one session: the first browser is told so, with what it asked for next."""
    first, second = visit(site), visit(site)
    sign_in(first, MEMBER)
    sign_in(second, MEMBER)
    first.goto("/holdings/")
    first.wait_for_url("**/login/**")
    assert message(first)
    album.take(first, "signed-in-elsewhere")
    second.goto("/holdings/")
    expect(second.get_by_role("heading", level=1)).to_have_text("持仓查询")


def test_changing_the_password(site, visit, album):
    """二（四）: 原始密码 first; a weak one is refused; the old one opens nothing any more."""
    page, other = visit(site), visit(site)
    sign_in(page, MEMBER)
    page.locator(".member-strip").get_by_role("link", name="修改密码").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("修改密码")
    album.take(page, "change-password", keep=True, everyway=True)

    def change(original: str, new: str, again: str) -> None:
        page.locator("#original").fill(original)
        page.locator("#new").fill(new)
        page.locator("#confirm").fill(again)
        page.get_by_role("button", name="修改", exact=True).click()

    change("Not-My-Password-1", OWN_PASSWORD, OWN_PASSWORD)
    expect(page.locator("#original-error")).to_be_visible()
    change(DEMO_PASSWORD, "12345678", "12345678")
    expect(page.locator("#new-error")).to_be_visible()
    album.take(page, "change-password-weak", keep=True, everyway=True)
    change(DEMO_PASSWORD, OWN_PASSWORD, OWN_PASSWORD + "x")
    expect(page.locator("#confirm-error")).to_be_visible()
    change(DEMO_PASSWORD, OWN_PASSWORD, OWN_PASSWORD)
    page.wait_for_url("**/")
    expect(page.locator("main .message-success")).to_contain_text("密码")
    page.goto("/holdings/")  # This session goes on.
    expect(page.get_by_role("heading", level=1)).to_have_text("持仓查询")

    other.goto("/login/")
    other.get_by_label("会员编号").fill(MEMBER)
    other.get_by_label("密码", exact=True).fill(DEMO_PASSWORD)
    other.get_by_role("button", name="登录").click()
    expect(other.locator(".message-danger")).to_be_visible()
    sign_in(other, MEMBER, OWN_PASSWORD)
    page.goto("/holdings/")
    page.wait_for_url("**/login/**")


def test_signing_out_ends_the_session(site, visit):
    page = visit(site)
    sign_in(page, MEMBER)
    page.get_by_role("button", name="退出登录").click()
    page.wait_for_url("**/login/")
    page.goto("/")
    page.wait_for_url("**/login/**")
