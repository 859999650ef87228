"""People let in by pages: an operator by the representative, an officer by two administrators."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.test_chapter_two_certificate import open_assistant
from tests.journeys.test_opening import BLANK, until_shown
from tests.journeys.test_signed_application import confirm, sign, sign_in
from tests.openings import Letters, read_letters

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-certificate")]

MEMBER, SYSTEM, SECURITY = "21042300007", "S0001", "S0002"
OPERATOR, OFFICER = f"{MEMBER}-03", "R0003"
PASSWORD = "Bright-Morning-7"


def letter(page: Page, recipient: str, number: int = 1) -> str:
    """Read the latest letter to a recipient, once this many were delivered."""
    page.goto(f"/demo/mailbox/?recipient={recipient}")
    links = page.get_by_role("link", name="查看", exact=True)
    until_shown(page, lambda: links.count() >= number)
    links.first.click()
    return page.locator("main .message-body").last.inner_text()


def choose_password(page: Page, token: str) -> None:
    page.goto(f"/first-sign-in/#{token}")
    page.get_by_label("新密码", exact=True).fill(PASSWORD)
    page.get_by_label("确认新密码").fill(PASSWORD)
    page.get_by_role("button", name="设置密码").click()
    page.wait_for_url("**/certificate/?member=*")


def fetch_certificate(page: Page, letters: Letters, member_no: str, name: str) -> None:
    """Put the certificate that both codes lead to into the blank key."""
    page.goto(f"/certificate/?member={member_no}")
    page.get_by_label("参考号").fill(letters.reference)
    page.get_by_label("授权码").fill(letters.code)
    with page.expect_popup() as opened:
        page.get_by_role("button", name="申领证书").click()
    window = opened.value
    expect(window.locator("#blocks")).to_contain_text(name)
    window.get_by_role("radio", name=BLANK).check()
    window.get_by_label("PIN码", exact=True).fill("1234")
    with window.expect_event("close"):
        window.get_by_role("button", name="确定").click()
    page.wait_for_url("**/login/")
    expect(page.locator(".message-success")).to_contain_text("证书已存入USBKey")


def enter(page: Page, site, member_no: str) -> None:
    """Sign in with the person's new password and certificate."""
    page.goto("/login/")
    page.get_by_label("会员编号").fill(member_no)
    page.get_by_label("密码", exact=True).fill(PASSWORD)
    page.get_by_label("验证码", exact=True).fill(site.captcha())
    page.get_by_role("button", name="登录").click()
    page.wait_for_url("**/login/certificate")
    confirm(open_assistant(page), member_no)
    expect(page.locator(".member-strip")).to_contain_text(member_no)


def row_of(page: Page, member_no: str):
    return page.locator("tbody tr").filter(has_text=member_no).first


def press(page: Page, member_no: str, label: str, signer: str) -> None:
    """Press a button of a row, confirm, and sign."""
    row_of(page, member_no).get_by_role("button", name=label, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="确定").click()
    signed(page, signer, member_no)
    expect(page.locator("main .message-success").first).to_be_visible()


def signed(page: Page, signer: str, *told: str) -> None:
    """Sign in the assistant's window, which shows what is signed."""
    confirm(sign(page, signer, *told, label="签名"), signer)


@pytest.mark.usefixtures("demo_worker")
def test_an_operator_and_an_officer_are_let_in(demo_site, visit, album):
    representative = visit(demo_site)
    sign_in(representative, demo_site, MEMBER)
    representative.goto("/operators/new")
    representative.get_by_label("姓名").fill("王小梅")
    representative.get_by_label("手机号").fill("13800138000")
    representative.get_by_label("邮箱").fill("xiaomei@plant.example")
    representative.get_by_label("经办").check()
    album.take(representative, "operator-form", everyway=True)
    representative.get_by_role("button", name="保存").click()
    expect(representative.locator("main")).to_contain_text("为操作员申请证书")
    album.take(representative, "deed", everyway=True)
    signed(representative, MEMBER, "王小梅")
    expect(representative.locator("main")).to_contain_text(f"{OPERATOR} 的参考号和授权码")
    expect(row_of(representative, OPERATOR)).to_contain_text("已发码")

    letters = read_letters(
        letter(representative, "xiaomei@plant.example"), letter(representative, "13800138000")
    )
    operator = visit(demo_site)
    choose_password(operator, letters.token)
    fetch_certificate(operator, letters, OPERATOR, "王小梅")
    enter(operator, demo_site, OPERATOR)
    representative.goto("/operators/")
    expect(row_of(representative, OPERATOR)).to_contain_text("有效")
    album.take(representative, "operators", everyway=True)

    register(demo_site, visit, album)  # With the next blank key.

    representative.goto("/operators/")
    row_of(representative, OPERATOR).get_by_role("link", name="挂起或吊销").click()
    representative.get_by_label("操作").first.select_option(label="吊销")
    representative.get_by_label("吊销原因").select_option(label="人员离职或调岗")
    representative.locator("textarea[name=remark]").fill("离职")
    album.take(representative, "operator-revocation", everyway=True)
    representative.get_by_role("button", name="确认").click()
    signed(representative, MEMBER, "吊销证书")
    expect(row_of(representative, OPERATOR)).to_contain_text("已吊销")
    operator.goto("/")
    expect(operator).to_have_url(re.compile("/login/"))  # The session ended with it.


def register(demo_site, visit, album) -> None:
    """系统管理员 registers an officer, 安全管理员 asks, 系统管理员 confirms, the officer signs in."""
    system = visit(demo_site)
    sign_in(system, demo_site, SYSTEM)
    system.goto("/members/")
    system.get_by_role("link", name="新增用户").click()
    for label, text in (
        ("会员编号", OFFICER),
        ("名称", "注册登记管理机构经办 赵晴"),
        ("邮箱", "zhao@registry.example"),
        ("手机号", "13800138009"),
    ):
        system.get_by_label(label).fill(text)
    system.get_by_label("角色").select_option("registry_maker")
    album.take(system, "member-form", keep=True, everyway=True)
    system.get_by_role("button", name="保存").click()
    expect(system.locator("main .message-success")).to_contain_text("用户已新增")
    written = letter(system, "zhao@registry.example")
    token = re.search(r"#([\w-]{43})", written)[1]
    assert f"{demo_site.url}/first-sign-in/#{token}" in written  # With the site's port.
    officer = visit(demo_site)
    choose_password(officer, token)

    security = visit(demo_site)
    sign_in(security, demo_site, SECURITY)
    security.goto(f"/members/?member_no={OFFICER}")
    press(security, OFFICER, "申请签发证书", SECURITY)
    expect(row_of(security, OFFICER)).to_contain_text("已申请，待确认")
    system.goto(f"/members/?member_no={OFFICER}")
    press(system, OFFICER, "确认签发证书", SYSTEM)
    expect(row_of(system, OFFICER)).to_contain_text("已发码")
    security.goto("/members/")
    album.take(security, "members-security", keep=True, everyway=True)
    letters = read_letters(
        letter(security, "zhao@registry.example", 2), letter(security, "13800138009")
    )
    fetch_certificate(officer, letters, OFFICER, "赵晴")
    enter(officer, demo_site, OFFICER)
