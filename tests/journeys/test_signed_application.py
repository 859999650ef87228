"""A submission and a review, each signed with the person's own key in the assistant's window."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.test_chapter_two_certificate import enter_password, open_assistant

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-certificate")]

MEMBER, OFFICER = "21042300007", "R0002"
CODE = "PE2021000025"


def confirm(window: Page, member_no: str) -> None:
    """Tick the member's certificate and enter its PIN."""
    choice = window.locator(".choice").filter(has_text=f"会员编号 {member_no} ·")
    choice.get_by_role("radio").check()
    window.get_by_label("PIN码", exact=True).fill("1234")
    with window.expect_event("close"):
        window.get_by_role("button", name="确定").click()


def sign_in(page: Page, site, member_no: str) -> None:
    enter_password(page, site, member_no)
    confirm(open_assistant(page), member_no)
    page.wait_for_url("**/")


def sign(page: Page, member_no: str, *seen: str, label: str = "签名并提交") -> Page:
    """Open the assistant from the signing page, look at what it shows, and sign."""
    with page.expect_popup() as opened:
        page.get_by_role("button", name=label).click()
    window = opened.value
    window.get_by_role("radio").first.wait_for()
    for words in seen:
        expect(window.locator("#blocks")).to_contain_text(words)
    return window


def test_a_cancellation_is_signed_submitted_and_signed_off(demo_site, visit, album):
    applicant = visit(demo_site)
    sign_in(applicant, demo_site, MEMBER)
    applicant.goto("/voluntary-cancellations/new")
    applicant.get_by_role("button", name="选择标的").click()
    dialog = applicant.get_by_role("dialog")
    dialog.get_by_label(CODE).check()
    dialog.get_by_role("button", name="确定").click()
    applicant.get_by_label("数量").last.fill("150")
    applicant.get_by_label("申请原因").fill("抵消2025年会议碳排放")
    applicant.get_by_role("button", name="提交", exact=True).click()
    applicant.get_by_role("dialog").get_by_role("button", name="提交").click()

    expect(applicant.get_by_role("heading", level=1)).to_have_text("提交签名")
    expect(applicant.locator("main")).to_contain_text("150")
    album.take(applicant, "signing", keep=True, everyway=True)
    window = sign(applicant, MEMBER, CODE, "150", "抵消2025年会议碳排放")
    album.take(window, "assistant-submission", keep=True, whole=True)
    confirm(window, MEMBER)
    expect(applicant.locator("main")).to_contain_text("操作成功")
    number = applicant.locator("main .code").first.inner_text()

    officer = visit(demo_site)
    sign_in(officer, demo_site, OFFICER)
    officer.goto(f"/reviews/?number={number}")
    officer.get_by_role("link", name="审核").last.click()
    officer.get_by_label("审核意见").fill("同意")
    officer.get_by_role("button", name="通过").click()
    expect(officer.get_by_role("heading", level=1)).to_have_text("审核签名")
    album.take(officer, "signing-review", keep=True, everyway=True)
    confirm(sign(officer, OFFICER, number, "同意"), OFFICER)
    expect(officer.locator("main")).to_contain_text("成功")

    applicant.goto(f"/voluntary-cancellations/?number={number}")
    expect(applicant.locator("tbody")).to_contain_text("已通过")


def test_a_parameter_is_signed_before_it_is_set(demo_site, visit, album):
    administrator = visit(demo_site)
    sign_in(administrator, demo_site, "S0001")
    administrator.goto("/parameters/transfer_cut_off/edit")
    administrator.get_by_label("新值").fill("14:30")
    administrator.get_by_label("原因").fill("交易时间调整")
    administrator.get_by_role("button", name="保存").click()
    administrator.get_by_role("dialog").get_by_role("button", name="保存").click()

    expect(administrator.get_by_role("heading", level=1)).to_have_text("签署变更")
    expect(administrator.locator("main")).to_contain_text("14:30")
    expect(administrator.locator("main")).to_contain_text("未签名则不作变更")
    album.take(administrator, "signing-setting", everyway=True)
    with administrator.expect_popup() as opened:
        administrator.get_by_role("button", name="签名", exact=True).click()
    window = opened.value
    window.get_by_role("radio").first.wait_for()
    expect(window.locator("#blocks")).to_contain_text("设置系统参数")
    expect(window.locator("#blocks")).to_contain_text("14:30")
    album.take(window, "assistant-setting", whole=True)
    confirm(window, "S0001")
    expect(administrator.locator("main")).to_contain_text("14:30")
