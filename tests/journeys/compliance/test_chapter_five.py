"""五 履约管理, both sides: 履约清缴 until the certificate; notices, statistics and a refund by officers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.support.reading import (
    certificate_code,
    line_of,
    message,
    open_from_menu,
    row_with,
)

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

MEMBER, PROVINCE, MAKER, CHECKER = "21042300007", "P42", "R0001", "R0002"
SECOND = "P4202"  # the province's other officer
CODE = "PE2021000025"
OTHER, OLD = (
    "21042300028",
    "PE2022000001",
)  # has no notice of 2023 yet, and holds the vintage of 2021


def notice(page: Page, year: str = "2024") -> dict[str, str]:
    open_from_menu(page, "履约清缴")
    return row_with(page, year)


def apply(page: Page, quantity: str, code: str = CODE) -> None:
    """Choose the instrument and enter a quantity."""
    page.get_by_role("button", name="添加履约标的").click()
    dialog = page.get_by_role("dialog", name="添加履约标的")
    dialog.get_by_label(code).check()
    dialog.get_by_role("button", name="确定").click()
    page.get_by_label(f"申请提交量 {code}").fill(quantity)


def confirm(page: Page, *texts: str, code: str = CODE) -> None:
    """提交 asks once more, with the instrument and the quantity."""
    page.get_by_role("button", name="提交").click()
    dialog = page.get_by_role("dialog")
    for text in ("不可撤销", code, *texts):
        expect(dialog).to_contain_text(text)
    dialog.get_by_role("button", name="提交").click()


def test_a_surrender_from_the_notice_to_the_certificate(site, member, album):
    page = member(MEMBER)
    row = notice(page)
    assert (row["应履约量"], row["待审核履约量"], row["已履约量"]) == ("600", "0", "0")
    album.take(page, "compliance-notices-own", keep=True, everyway=True)
    line_of(page, "LT2024").get_by_role("link", name="履约范围").click()
    expect(page.get_by_text("CCER抵销规则")).to_be_visible()
    expect(page.get_by_role("cell", name=CODE)).to_be_visible()
    album.take(page, "compliance-scope", keep=True, everyway=True)
    page.get_by_role("link", name="返回").click()

    line_of(page, "LT2025").get_by_role("link", name="履约申请").click()
    page.get_by_role("button", name="添加履约标的").click()
    dialog = page.get_by_role("dialog", name="添加履约标的")
    expect(dialog).to_contain_text("不在本通知书的履约范围内")
    expect(dialog.get_by_label(CODE)).to_be_disabled()
    album.take(page, "surrender-picker", keep=True)
    dialog.get_by_role("button", name="取消").click()

    open_from_menu(page, "履约清缴")
    line_of(page, "LT2024").get_by_role("link", name="履约申请").click()
    expect(page.get_by_text("剩余应履约量")).to_be_visible()
    apply(page, "500")
    album.take(page, "surrender-form", keep=True, everyway=True)
    page.get_by_label(f"申请提交量 {CODE}").fill("601")
    confirm(page, "601")
    expect(page.locator("[data-error-summary]")).to_contain_text("600")
    page.get_by_label(f"申请提交量 {CODE}").fill("500")
    confirm(page, "500")
    page.get_by_role("heading", name="操作成功!").wait_for()
    row = notice(page)
    assert (row["待审核履约量"], row["剩余应履约量"]) == ("500", "100")

    officer = member(PROVINCE)
    open_from_menu(officer, "待办")
    line_of(officer, "市场通测试030207").get_by_role("link", name="审核").click()
    officer.get_by_label("审核意见").fill("请一次清缴应履约量")
    album.take(officer, "surrender-review", keep=True, everyway=True)
    officer.get_by_role("button", name="退回").click()
    officer.get_by_role("heading", level=1, name="待办").wait_for()

    open_from_menu(page, "履约清缴记录查询")
    assert row_with(page, CODE)["状态"] == "已退回"
    album.take(page, "surrender-records", keep=True, everyway=True)
    page.get_by_role("link", name="修改", exact=True).click()
    page.get_by_label(f"申请提交量 {CODE}").fill("600")
    confirm(page, "600")
    page.get_by_role("heading", name="操作成功!").wait_for()

    open_from_menu(officer, "待办")
    line_of(officer, "市场通测试030207").locator("[data-check]").check()
    officer.get_by_role("button", name="通过").click()
    officer.get_by_role("button", name="确定").click()
    expect(officer.get_by_text("成功 1 条")).to_be_visible()

    row = notice(page)
    # The deadline of 2024 has passed.
    assert (row["已履约量"], row["状态"]) == ("600", "逾期后足额")
    album.take(page, "compliance-fulfilled", keep=True)
    page.goto(f"/verify/{certificate_code(page, 'LT2024')}")
    expect(page.get_by_role("status")).to_contain_text("校验码有效")
    album.take(page, "certificate-holds", everyway=True)


def test_officers_issue_adjust_remind_and_refund(site, member, album):
    province = member(PROVINCE)
    open_from_menu(province, "履约通知书")
    album.take(province, "compliance-notices", keep=True, everyway=True)
    province.get_by_role("link", name="新增", exact=True).click()
    line_of(province, OTHER, ".data-table").get_by_role("link", name="选择").click()
    province.get_by_label("履约年度").fill("2023")
    province.get_by_label("应履约量（吨）").fill("100")
    province.get_by_label("行业").select_option(label="发电")
    province.get_by_label("申请原因").fill("核查结果")
    album.take(province, "compliance-notice-form", keep=True, everyway=True)
    submit(province)
    second = member(SECOND)
    approve(second, OTHER, lambda: album.take(second, "compliance-notice-review"))

    page = member(OTHER)
    open_from_menu(page, "履约清缴")
    line_of(page, "LT2023").get_by_role("link", name="履约申请").click()
    apply(page, "100", OLD)
    confirm(page, "100", code=OLD)
    page.get_by_role("heading", name="操作成功!").wait_for()
    open_from_menu(province, "待办")
    line_of(province, OTHER).get_by_role("link", name="审核").click()
    province.get_by_role("button", name="通过").click()
    province.get_by_role("heading", level=1, name="待办").wait_for()

    open_from_menu(page, "履约清缴")
    code = certificate_code(page, "LT2023")

    lower(province)
    expect(province.locator("[data-error-summary]")).to_contain_text("清缴退还40吨")
    album.take(province, "compliance-adjust", keep=True, everyway=True)

    maker = member(MAKER)
    open_from_menu(maker, "清缴退还")
    maker.get_by_role("link", name="新增", exact=True).click()
    maker.get_by_label("会员编号或名称").fill(OTHER)
    maker.get_by_role("button", name="查询").click()
    maker.get_by_role("link", name="选择").first.click()
    maker.get_by_role("button", name="选择已清缴标的").click()
    dialog = maker.get_by_role("dialog", name="选择已清缴标的")
    dialog.get_by_role("row").filter(has_text=OLD).get_by_role("checkbox").check()
    dialog.get_by_role("button", name="确定").click()
    maker.get_by_label("退还量").fill("40")
    maker.get_by_label("文号").fill("环函〔2026〕9号")
    maker.get_by_label("决定机关").fill("湖北省生态环境厅")
    maker.get_by_label("生效日期").fill("2026-11-20")
    maker.get_by_label("申请原因").fill("应履约量核减")
    album.take(maker, "surrender-refund", keep=True)
    maker.get_by_role("button", name="提交").click()
    maker.get_by_role("dialog").get_by_role("button", name="提交").click()
    maker.get_by_role("heading", name="操作成功!").wait_for()
    checker = member(CHECKER)
    open_from_menu(checker, "待办")
    line_of(checker, "清缴退还").get_by_role("link", name="审核").click()
    checker.get_by_role("button", name="通过").click()
    checker.get_by_role("heading", level=1, name="待办").wait_for()

    lower(province)
    province.get_by_role("heading", name="操作成功!").wait_for()
    approve(second, OTHER)
    open_from_menu(province, "履约通知书")
    province.get_by_role("textbox", name="履约年度").fill("2023")
    province.get_by_role("button", name="查询").click()
    line_of(province, OTHER).get_by_role("link", name="详情").click()
    expect(province.get_by_text("鄂环函〔2026〕88号")).to_be_visible()
    album.take(province, "compliance-notice-history", everyway=True, whole=True)

    page.goto(f"/verify/{code}")
    expect(page.get_by_role("alert")).to_contain_text("该证明已失效")
    album.take(page, "certificate-lapsed", keep=True, everyway=True)
    page.goto("/")
    open_from_menu(page, "履约清缴")
    page.goto(f"/verify/{certificate_code(page, 'LT2023')}")  # Another one, of 60 tonnes.
    expect(page.get_by_role("status")).to_contain_text("校验码有效")
    expect(page.get_by_role("row").filter(has_text=OLD).get_by_role("cell").last).to_have_text("60")


def lower(page) -> None:
    """Propose to lower the obligation of 2023."""
    open_from_menu(page, "履约通知书")
    page.get_by_role("textbox", name="履约年度").fill("2023")
    page.get_by_role("button", name="查询").click()
    line_of(page, OTHER).get_by_role("link", name="调整", exact=True).click()
    page.get_by_label("应履约量（吨）").fill("60")
    page.get_by_label("文号").fill("鄂环函〔2026〕88号")
    page.get_by_label("申请原因").fill("核查结果变更")
    submit(page)


def submit(page) -> None:
    page.get_by_role("button", name="提交").click()
    page.get_by_role("dialog").get_by_role("button", name="提交").click()


def approve(page, who: str, look=lambda: None) -> None:
    """Approve the one application about an enterprise that waits for this officer."""
    open_from_menu(page, "待办")
    line_of(page, who).get_by_role("link", name="审核").click()
    look()
    page.get_by_role("button", name="通过").click()
    page.get_by_role("heading", level=1, name="待办").wait_for()


def test_a_table_of_notices_is_looked_at_submitted_and_taken_back(site, member, album, tmp_path):
    province, second = member(PROVINCE), member(SECOND)
    open_from_menu(province, "履约通知书办理")
    province.get_by_role("link", name="导入履约通知书").click()
    heading = "会员编号,履约年度,行业,应履约量（吨）"
    lines = [f"{MEMBER},2026,发电,70", f"{MEMBER},2021,钢铁,{'7' * 13}"]
    for number in (2, 1):
        file = tmp_path / f"履约通知书{number}.csv"
        file.write_text("\r\n".join([heading, *lines[:number]]), encoding="utf-8-sig")
        province.get_by_label("表格文件").set_input_files(file)
        province.get_by_label("申请原因").fill("核查结果")
        if number == 2:
            album.take(province, "notice-import", keep=True, everyway=True)
        province.get_by_role("button", name="导入", exact=True).click()
        if number == 2:
            expect(province.locator("main")).to_contain_text("第 3 行")
            album.take(province, "notice-import-refused", everyway=True)
    expect(province.locator("main")).to_contain_text("新下发的通知书")
    album.take(province, "notice-preview", keep=True, everyway=True, whole=True)
    province.get_by_role("button", name="提交").click()
    assert "已提交1条申请" in message(province)
    approve(second, "市场通测试030207")

    province.reload()
    province.get_by_role("link", name="撤销本批").click()
    province.get_by_label("文号").fill("鄂环函〔2026〕89号")
    province.get_by_label("原因").fill("批次有误")
    album.take(province, "notice-take-back", everyway=True)
    province.get_by_role("button", name="预览").click()
    expect(province.locator("main")).to_contain_text("撤销的通知书")
    province.get_by_role("button", name="提交").click()
    assert "已提交1条申请" in message(province)
    approve(second, "市场通测试030207")
    open_from_menu(province, "履约通知书")
    province.get_by_role("textbox", name="履约年度").fill("2026")
    province.get_by_role("button", name="查询").click()
    expect(province.locator("#list-table")).to_contain_text("已撤销")
    album.take(province, "notice-taken-back", everyway=True)
    open_from_menu(province, "履约通知书办理")
    album.take(province, "notice-decisions", keep=True, everyway=True)


def test_statistics_and_reminders(site, member, album):
    maker = member(MAKER)
    open_from_menu(maker, "履约统计")
    maker.get_by_label("履约年度").select_option("2024")
    maker.get_by_role("button", name="查询").click()
    expect(maker.locator("[data-chart] canvas")).to_have_count(3)
    album.take(maker, "compliance-statistics", keep=True, everyway=True, whole=True)
    maker.get_by_role("link", name="湖北").click()
    maker.get_by_role("heading", level=1, name="履约缺口清单").wait_for()
    expect(maker.locator("#list-table")).to_contain_text("市场通测试030207")
    album.take(maker, "compliance-gaps", keep=True, everyway=True)

    province = member(PROVINCE)
    open_from_menu(province, "履约通知书")
    line_of(province, "市场通测试030207").first.locator("[data-check]").check()
    province.get_by_role("button", name="提醒").click()
    expect(province.get_by_role("heading", level=1)).to_contain_text("1 份履约通知书")
    province.get_by_role("button", name="确定").click()
    expect(province.get_by_text("成功 1 条")).to_be_visible()
    album.take(province, "compliance-reminded")
