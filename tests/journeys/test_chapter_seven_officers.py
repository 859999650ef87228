"""七（二）（三）: freezes and confiscations by two officers, and the enterprise's query screens."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.support.officers import (
    CHECKER,
    MAKER,
    begin,
    confirm,
    fill_document,
    pick,
    submit,
)
from tests.journeys.support.reading import download, line_of, open_from_menu, row_with, rows

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

MEMBER, CODE = "21042300007", "PE2021000025"
COURT, BUREAU = "武汉市中级人民法院", "湖北省生态环境厅"


def held(page: Page) -> tuple[str, str, str]:
    open_from_menu(page, "持仓查询")
    row = row_with(page, CODE)
    return row["登记可用量"], row["登记冻结量"], row["总持有量"]


def today(page: Page) -> str:
    """Return the day of the registry's clock."""
    return (page.locator("[data-clock]").first.inner_text()).strip()[:10]


def test_frozen_and_lifted_in_part(site, member, album, tmp_path):
    maker, checker, enterprise = member(MAKER), member(CHECKER), member(MEMBER)
    day = today(maker)
    begin(maker, "冻结", MEMBER)
    pick(maker, CODE)
    fill_document(maker, "（2026）鄂01执保200号", COURT, day, f"{int(day[:4]) + 1}{day[4:]}")
    maker.get_by_label("原因", exact=True).select_option(label="监管措施")
    maker.get_by_label(f"冻结量 {CODE}").fill("1200")
    maker.get_by_role("button", name="提交").click()
    expect(maker.get_by_role("dialog")).to_have_count(0)  # Nobody confirms what is marked as wrong.
    expect(maker.locator("main")).to_contain_text(
        "超过可用量 700 吨"
    )  # The figure that can be frozen.
    album.take(maker, "freeze-refused")
    maker.get_by_label(f"冻结量 {CODE}").fill("400")
    album.take(maker, "freeze-form", keep=True, everyway=True)
    submit(maker)
    assert held(enterprise) == ("300", "400", "700")  # Held from the submission on.
    open_from_menu(enterprise, "冻结查询")
    expect(enterprise.locator(".empty-state")).to_contain_text("暂无数据")  # Not confirmed yet.
    confirm(checker, MEMBER, "（2026）鄂01执保200号")

    enterprise.reload()
    row = row_with(enterprise, CODE)
    assert (row["冻结量"], row["剩余冻结量"], row["决定机关"]) == ("400", "400", COURT)
    open_from_menu(enterprise, "持仓查询")
    line_of(enterprise, CODE).get_by_role("link", name="400").click()
    expect(enterprise.get_by_role("heading", level=1)).to_have_text("登记冻结明细")
    assert row_with(enterprise, "（2026）鄂01执保200号")["占用量"] == "400"
    album.take(enterprise, "what-is-frozen", keep=True, everyway=True)

    open_from_menu(maker, "冻结")
    line_of(maker, "（2026）鄂01执保200号").get_by_role("link", name="解冻").click()
    maker.get_by_label(f"解冻量 {CODE}").fill("150")
    fill_document(maker, "（2026）鄂01执保200号之一", COURT, day)
    album.take(maker, "unfreeze-form", keep=True, everyway=True)
    submit(maker, asks=False)
    confirm(checker, MEMBER, "（2026）鄂01执保200号之一")
    open_from_menu(maker, "冻结")
    row = row_with(maker, "（2026）鄂01执保200号")
    assert (row["冻结量"], row["解冻量"], row["剩余冻结量"]) == ("400", "150", "250")
    album.take(maker, "freeze-list", keep=True, everyway=True)

    assert held(enterprise) == ("450", "250", "700")
    open_from_menu(enterprise, "冻结查询")
    album.take(enterprise, "freeze-enquiry", keep=True, everyway=True)
    open_from_menu(enterprise, "解冻查询")
    row = row_with(enterprise, CODE)
    assert (row["解冻量"], row["原文号"]) == ("150", "（2026）鄂01执保200号")
    album.take(enterprise, "unfreeze-enquiry", keep=True)
    assert len(download(enterprise, tmp_path)) == 1
    for entry in ("冻结查询", "解冻查询", "收缴查询", "收缴退还查询"):
        open_from_menu(enterprise, entry)
        expect(enterprise.get_by_role("link", name="新增")).to_have_count(0)


def test_confiscated_and_refunded_in_part(site, member, album):
    maker, checker, enterprise = member(MAKER), member(CHECKER), member(MEMBER)
    day = today(maker)
    begin(maker, "收缴", MEMBER)
    pick(maker, CODE)
    fill_document(maker, "TZ2026000100", BUREAU, day)
    maker.get_by_label("原因", exact=True).select_option(index=1)
    maker.get_by_label(f"收缴量 {CODE}").fill("200")
    album.take(maker, "confiscation-form", keep=True, everyway=True)
    submit(maker)
    assert held(enterprise) == ("500", "200", "700")
    confirm(checker, MEMBER, "TZ2026000100")
    assert held(enterprise) == ("500", "0", "500")

    open_from_menu(maker, "收缴")
    line_of(maker, "TZ2026000100").get_by_role("link", name="退还").click()
    maker.get_by_label(f"退还量 {CODE}").fill("80")
    fill_document(maker, "TZ2026000101", BUREAU, day)
    submit(maker, asks=False)
    confirm(checker, MEMBER, "TZ2026000101")
    assert held(enterprise) == ("580", "0", "580")

    open_from_menu(enterprise, "收缴查询")
    row = row_with(enterprise, CODE)
    assert (row["收缴量"], row["退还量"], row["剩余收缴量"]) == ("200", "80", "120")
    album.take(enterprise, "confiscation-enquiry", keep=True, everyway=True)
    open_from_menu(enterprise, "收缴退还查询")
    row = row_with(enterprise, CODE)
    assert (row["退还量"], row["原文号"]) == ("80", "TZ2026000100")
    album.take(enterprise, "refund-enquiry", keep=True)


def test_a_restricted_enterprise_is_told_and_may_not_transfer(site, member, album):
    maker, checker, enterprise = member(MAKER), member(CHECKER), member(MEMBER)
    day = today(maker)
    begin(maker, "账户限制", MEMBER)
    fill_document(maker, "鄂环函〔2026〕50号", BUREAU, day)
    maker.get_by_label("申请原因").fill("逾期未按要求整改")
    album.take(maker, "restriction-form", keep=True, everyway=True)
    submit(maker)
    confirm(checker, MEMBER, "鄂环函〔2026〕50号")

    enterprise.goto("/")
    notice = enterprise.locator("main .message-warning")
    expect(notice).to_contain_text("鄂环函〔2026〕50号")
    album.take(enterprise, "restricted-home", keep=True, everyway=True)
    open_from_menu(enterprise, "登记发起登记转交易")
    enterprise.get_by_role("link", name="新增").click()
    pick(enterprise, CODE)
    enterprise.get_by_label(f"划转数量 {CODE}").fill("1")
    enterprise.get_by_role("button", name="提交").click()
    expect(enterprise.locator("main")).to_contain_text("账户已被限制")

    begin(maker, "解除限制", MEMBER)
    fill_document(maker, "鄂环函〔2026〕60号", BUREAU, day)
    maker.get_by_label("申请原因").fill("整改完成")
    submit(maker, asks=False)
    confirm(checker, MEMBER, "鄂环函〔2026〕60号")
    enterprise.goto("/")
    expect(enterprise.locator("main .message-warning")).to_have_count(0)


def test_the_demonstration_marks_what_ends_soon(site, member, album):
    province = member("P42")
    open_from_menu(province, "冻结查询")
    assert {row["到期提醒"] for row in rows(province)} == {"30日内到期"}
    album.take(province, "province-freezes")
