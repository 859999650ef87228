"""三、配额发放: instruments, one issue, an allocation table, and the enterprise's 配额发放查询."""

from __future__ import annotations

import openpyxl
import pytest
from playwright.sync_api import expect

from tests.journeys.support.officers import CHECKER, MAKER, begin, confirm, pick, submit
from tests.journeys.support.reading import download, message, open_from_menu, row_with, rows

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

MEMBER, NAME, CODE = "21042300007", "市场通测试030207", "PE2021000025"
HEADINGS = ["会员编号", "统一社会信用代码", "企业名称", "标的编码", "发放类型", "发放量"]


def test_an_instrument_is_created_and_issued_by_two_officers(site, member, album, tmp_path):
    maker = member(MAKER)
    open_from_menu(maker, "标的管理")
    album.take(maker, "instruments", keep=True, everyway=True)
    row = row_with(maker, CODE)
    amounts = [
        int(row[heading].replace(",", ""))
        for heading in ("已发放", "持有量", "存管中", "已清缴", "已注销", "已收缴")
    ]
    assert amounts[0] == sum(amounts[1:])
    maker.get_by_role("link", name="新增标的").click()
    maker.get_by_label("标的名称").fill("2027年度碳排放配额（核定）")
    maker.get_by_label("年度").fill("2027")
    maker.get_by_label("交易代码").fill("CEA26")
    maker.get_by_label("划转交易端").select_option(label="中股网")
    album.take(maker, "instrument-form", everyway=True)
    maker.get_by_role("button", name="新增").click()
    expect(maker.locator("main .message-success")).to_contain_text("已新增标的PE2026")
    code = row_with(maker, "2027年度碳排放配额（核定）")["标的编码"]

    begin(maker, "配额发放", MEMBER)
    pick(maker, code)
    maker.get_by_label("发放类型").select_option(label="核定")
    maker.get_by_label("文号").fill("鄂环函〔2026〕7号")
    maker.get_by_label("文件日期").fill("2026-11-18")
    maker.get_by_label(f"发放量 {code}").fill("1200")
    album.take(maker, "issuance-form", keep=True, everyway=True)
    submit(maker)
    open_from_menu(maker, "配额发放")
    assert row_with(maker, code)["状态"] == "待审核"
    open_from_menu(maker, "待办")
    expect(maker.locator("#list-table").get_by_text(code)).to_have_count(0)  # Not for who entered.

    enterprise = member(MEMBER)
    open_from_menu(enterprise, "配额发放查询")
    expect(enterprise.locator("#list-table").get_by_text(code)).to_have_count(0)
    confirm(member(CHECKER), MEMBER, code)

    enterprise.reload()
    row = row_with(enterprise, code)
    assert (row["发放类型"], row["发放量"], row["状态"]) == ("核定", "1,200", "已发放")
    album.take(enterprise, "issuance-enquiry", keep=True, everyway=True)
    assert {row["标的编码"] for row in download(enterprise, tmp_path)} >= {code, CODE}
    open_from_menu(enterprise, "持仓查询")
    assert row_with(enterprise, code)["登记可用量"] == "1,200"


def allocation_table(path, *lines):
    book = openpyxl.Workbook()
    for line in (HEADINGS, *lines):
        book.active.append(line)
    book.save(path)
    return path


def test_an_allocation_table_is_refused_row_by_row_then_imported_and_approved(
    site, member, album, tmp_path
):
    maker = member(MAKER)
    open_from_menu(maker, "持仓查询")
    maker.get_by_label("会员", exact=True).fill("湖北")
    maker.get_by_role("button", name="查询").click()
    others = sorted({(row["会员编号"], row["会员名称"]) for row in rows(maker)})[:3]
    assert len(others) == 3
    good = [[number, None, name, CODE, "补发", 500 + n] for n, (number, name) in enumerate(others)]
    bad = [["21049999999", None, "无此单位", CODE, "补发", 1], [*good[0][:4], "赠送", "一百"]]

    open_from_menu(maker, "配额发放")
    maker.get_by_role("link", name="导入配额分配表").click()
    with maker.expect_download() as waiting:
        maker.get_by_role("link", name="XLSX").click()
    assert waiting.value.suggested_filename == "配额分配表.xlsx"
    wrong = allocation_table(tmp_path / "配额分配表有误.xlsx", *good, *bad)
    maker.get_by_label("配额分配表").set_input_files(wrong)
    maker.get_by_role("button", name="导入").click()
    report = maker.locator("main")
    for text in ("第 5 行", "第 6 行"):
        expect(report.get_by_text(text).first).to_be_visible()
    expect(report).to_contain_text("未导入任何数据")
    album.take(maker, "allocation-refused", keep=True, everyway=True)

    right = allocation_table(tmp_path / "配额分配表.xlsx", *good)
    maker.get_by_label("配额分配表").set_input_files(right)
    maker.get_by_label("发放量合计").fill(str(sum(line[-1] for line in good)))
    maker.get_by_label("文号").fill("鄂环函〔2026〕8号")
    maker.get_by_label("文件日期").fill("2026-11-18")
    maker.get_by_role("button", name="导入").click()
    expect(maker.locator(".detail-head")).to_contain_text("草稿")
    batch = maker.locator(".detail-head .soft").inner_text().strip()
    album.take(maker, "allocation-imported", keep=True, everyway=True)
    maker.get_by_role("button", name="提交").click()
    assert "已提交3条申请" in message(maker)

    checker = member(CHECKER)
    open_from_menu(checker, "待办")
    checker.locator("#query-more summary").click()
    checker.get_by_label("导入批次").fill(batch)
    checker.get_by_role("button", name="查询").click()
    assert len(rows(checker)) == 3
    album.take(checker, "allocation-review", keep=True)
    checker.locator("[data-check-all]").first.check()
    checker.get_by_role("button", name="通过").click()
    expect(checker.get_by_role("heading", level=1)).to_contain_text("3 条申请")
    checker.get_by_role("button", name="确定").click()
    expect(checker.get_by_text("成功 3 条")).to_be_visible()

    province = member("P42")
    open_from_menu(province, "配额发放查询")
    found = [row for row in rows(province) if (row["发放类型"], row["标的编码"]) == ("补发", CODE)]
    assert sorted(row["发放量"] for row in found) == ["500", "501", "502"]
