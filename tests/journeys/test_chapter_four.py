"""四、配额划转, step by step, and 七、信息查询 that shows what became of it."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.support.reading import (
    download,
    line_of,
    message,
    open_from_menu,
    row_with,
    rows,
)

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-one")]

MEMBER, CODE, NAME = "21042300007", "PE2021000025", "2021年5月17日增持的配额"
TRANSFERS = "登记发起登记转交易"
BUCKETS = (
    "登记可用量",
    "登记冻结量",
    "登记待划转量",
    "交易持有量",
    "交易待划转量",
    "待转交易量",
    "总持有量",
)


def holding(page: Page, code: str = CODE) -> tuple[int, ...]:
    """Open 持仓查询 and return the seven figures of an instrument."""
    open_from_menu(page, "持仓查询")
    row = row_with(page, code)
    return tuple(int(row[name].replace(",", "")) for name in BUCKETS)


def begin(page: Page, code: str = CODE) -> None:
    """新增, 选择标的, tick one, 确定."""
    open_from_menu(page, TRANSFERS)
    page.get_by_role("link", name="新增").click()
    page.get_by_role("button", name="选择标的").click()
    dialog = page.get_by_role("dialog", name="选择标的")
    dialog.get_by_label(code).check()
    dialog.get_by_role("button", name="确定").click()
    page.get_by_label(f"划转数量 {code}").wait_for()


def fill(page: Page, quantity: str, reason: str = "交易需要", code: str = CODE) -> None:
    page.get_by_label(f"划转数量 {code}").fill(quantity)
    page.get_by_label(f"划转交易端 {code}").select_option(label="中股网")
    page.get_by_label("申请原因").fill(reason)


def submit(page: Page) -> None:
    page.get_by_role("button", name="提交").click()
    page.get_by_role("heading", name="操作成功!").wait_for()


def test_a_transfer_of_100_of_700(site, member, album, tmp_path):
    """四（一） and 七（一）: 登记转交易, from 新增 to 交易持有, and read in the books."""
    page = member(MEMBER)
    assert holding(page) == (700, 0, 0, 0, 0, 0, 700)

    open_from_menu(page, TRANSFERS)
    expect(page.get_by_text("请于每个交易日 15:00 前提交配额划转申请")).to_be_visible()
    album.take(page, "transfer-list-empty", everyway=True)
    page.get_by_role("link", name="新增").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("登记划转申请")
    album.take(page, "transfer-new")
    page.get_by_role("button", name="选择标的").click()
    dialog = page.get_by_role("dialog", name="选择标的")
    dialog.get_by_label(CODE).check()
    album.take(page, "transfer-picker", keep=True, everyway=True)
    dialog.get_by_role("button", name="确定").click()

    line = row_with(page, CODE, "table[data-lines]")
    assert (line["标的编码"], line["标的名称"], line["可用量"]) == (CODE, NAME, "700")
    expect(page.locator("main .message-danger")).to_have_count(0)
    fill(page, "100")
    expect(page.locator(".echo")).to_have_text("= 100 吨")
    album.take(page, "transfer-form", keep=True, everyway=True)
    page.get_by_role("button", name="提交").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("操作成功!")
    expect(page.get_by_text("如果您没有其他的问题, 可以点击返回")).to_be_visible()
    expect(page.get_by_text("下一交易日可以交易")).to_be_visible()
    album.take(page, "transfer-done", keep=True, everyway=True)
    page.get_by_role("link", name="返回", exact=True).click()

    row = row_with(page, CODE)
    assert (row["划转数量"], row["划转交易端"], row["状态"]) == ("100", "中股网", "待结算")
    album.take(page, "transfer-list", keep=True, everyway=True)
    assert holding(page) == (600, 0, 100, 0, 0, 100, 700)
    album.take(page, "holdings-in-transit", keep=True, everyway=True)

    _take_another_back(page, album)
    assert holding(page) == (600, 0, 100, 0, 0, 100, 700)

    before = page.locator("[data-clock]").inner_text()
    assert "100 吨" in site.flask("settle-day")
    assert "未作任何改变" in site.flask("settle-day", "--date", before[:10])
    assert holding(page) == (600, 0, 0, 100, 0, 0, 700)
    album.take(page, "holdings", keep=True, everyway=True)
    _read_the_books(page, album, tmp_path, before)
    assert "faults: 0" in site.flask("verify-ledger")


def _take_another_back(page: Page, album) -> None:
    """撤回: the tonnes are available again at once."""
    begin(page)
    fill(page, "250", "提交错误")
    submit(page)
    assert holding(page) == (350, 0, 350, 0, 0, 350, 700)
    open_from_menu(page, TRANSFERS)
    number = row_with(page, "250")["申请编号"]
    line_of(page, number).get_by_role("button", name="撤回").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text(f"确定撤回申请 {number}")
    album.take(page, "transfer-withdraw")
    question.get_by_role("button", name="确定").click()
    expect(page.locator("main .message-success")).to_have_text(re.compile(f"申请 {number} 已撤回"))
    expect(page.locator(".timeline-list")).to_contain_text("撤回")
    album.take(page, "transfer-detail", keep=True, everyway=True)
    open_from_menu(page, TRANSFERS)
    assert row_with(page, number)["状态"] == "已撤回"
    expect(line_of(page, number).get_by_role("button", name="撤回")).to_have_count(0)


def _read_the_books(page: Page, album, folder, before: str) -> None:
    expect(page.locator(".help-block")).to_contain_text(
        "总持有量 = 登记可用量 + 登记冻结量 + 登记待划转量 + 交易持有量 + 交易待划转量"
    )
    exported = next(row for row in download(page, folder) if row["标的编码"] == CODE)
    figures = ("登记可用量（吨）", "登记待划转量（吨）", "交易持有量（吨）", "总持有量（吨）")
    assert [exported[name] for name in figures] == ["600", "0", "100", "700"]

    line_of(page, CODE).get_by_role("link", name="登记持仓流水").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("登记持仓流水")
    steps = [
        (row["持仓项目"], row["变动前"], row["变动数量"], row["变动后"], row["业务类型"])
        for row in rows(page)
    ]
    # The newest first; a withdrawal turns the posting round, so its entries run the other way.
    transfer, settlement = "登记发起登记转交易", "日终结算"
    assert steps == [
        ("登记待划转量", "100", "-100", "0", settlement),
        ("登记可用量", "350", "+250", "600", transfer),
        ("登记待划转量", "350", "-250", "100", transfer),
        ("登记待划转量", "100", "+250", "350", transfer),
        ("登记可用量", "600", "-250", "350", transfer),
        ("登记待划转量", "0", "+100", "100", transfer),
        ("登记可用量", "700", "-100", "600", transfer),
        ("登记可用量", "0", "+700", "700", "配额发放"),
    ]
    album.take(page, "registry-entries", keep=True, everyway=True)
    assert len(download(page, folder)) == len(steps)

    page.get_by_role("link", name="返回", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("持仓查询")
    line_of(page, CODE).get_by_role("link", name="交易持仓流水").click()
    (entry,) = rows(page)
    assert (entry["变动前"], entry["变动数量"], entry["变动后"]) == ("0", "+100", "100")
    assert entry["业务类型"] == "日终结算"
    album.take(page, "trading-entries", keep=True)
    (exported,) = download(page, folder)
    assert (exported["变动前（吨）"], exported["变动数量（吨）"]) == ("0", "100")

    open_from_menu(page, "持仓查询")
    page.get_by_label("截至时间").fill(before)
    page.get_by_role("button", name="查询").click()
    row = row_with(page, CODE)
    assert [row[name] for name in BUCKETS] == ["600", "0", "100", "0", "0", "100", "700"]
    album.take(page, "holdings-as-of", keep=True)


def test_bad_quantities_are_told_at_the_field(site, member, album):
    """Each is refused with its reason, the input is kept, and nothing moves."""
    page = member(MEMBER)
    begin(page)
    for typed, said in {
        "0": "数量至少为 1 吨",
        "-5": "数量须为大于 0 的整数",
        "1.5": "数量须为大于 0 的整数",
        "1e3": "数量须为大于 0 的整数",
        "１００": "数量须为大于 0 的整数",
        "9223372036854775808": "数量",
        "701": "超过可用量 700 吨",
        "": "请输入数量",
    }.items():
        fill(page, typed, f"试填 {typed}")
        page.get_by_role("button", name="提交").click()
        field = page.get_by_label(f"划转数量 {CODE}")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_value(typed)
        expect(page.locator(f"#{field.get_attribute('id')}-error")).to_contain_text(said)
        expect(page.get_by_label("申请原因")).to_have_value(f"试填 {typed}")
        expect(page.get_by_label(f"划转交易端 {CODE}").locator(":checked")).to_have_text("中股网")
        if typed == "701":
            album.take(page, "transfer-refused", keep=True, everyway=True)
    assert holding(page) == (700, 0, 0, 0, 0, 0, 700)


def test_after_15_00_it_is_refused_and_kept_as_a_draft(site, member, album):
    """说明: 请于每日 15:00 前提交; 保存 as a draft, submitted the next morning."""
    page = member(MEMBER)
    begin(page)
    fill(page, "100")
    site.flask("clock", "--set", "15:00")
    page.get_by_role("button", name="提交").click()
    expect(page.locator("main .message-danger")).to_contain_text("划转申请须于交易日 15:00 前提交")
    assert "您填写的内容已保存为草稿" in message(page)
    expect(page.locator(".detail-head .tag")).to_have_text("草稿")
    album.take(page, "transfer-too-late", keep=True, everyway=True)
    assert holding(page) == (700, 0, 0, 0, 0, 0, 700)

    site.flask("settle-day")
    open_from_menu(page, TRANSFERS)
    line_of(page, CODE).get_by_role("link", name="修改").click()
    expect(page.get_by_label(f"划转数量 {CODE}")).to_have_value("100")
    expect(page.get_by_label("申请原因")).to_have_value("交易需要")
    submit(page)
    assert holding(page) == (600, 0, 100, 0, 0, 100, 700)


def test_the_permission_and_what_the_trading_side_starts(site, member, album, tmp_path):
    """四（二） to （四）: the switch with its history, and the two query screens it decides about."""
    page = member(MEMBER)
    begin(page)
    fill(page, "300")
    submit(page)
    site.flask("settle-day")

    open_from_menu(page, "划转权限")
    ask = ("--direction", "in", "--member", MEMBER, "--instrument", CODE, "--quantity", "40")
    assert "已拒绝" in site.flask("exchange-transfer", "--request-no", "EX1", *ask)
    page.get_by_role("button", name="开通划转权限").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("确定开通")
    album.take(page, "permission-question")
    question.get_by_role("button", name="确定").click()
    expect(page.locator("main .message-success")).to_contain_text("划转权限已开通")
    batch = tmp_path / "batch.json"
    common = {"member_no": MEMBER, "instrument_code": CODE, "venue_code": "ZGW"}
    batch.write_text(
        json.dumps(
            [
                {"request_no": "EX2", "direction": "in", "quantity": 40, **common},
                {"request_no": "EX3", "direction": "out", "quantity": 60, **common},
            ]
        )
    )
    answers = site.flask("exchange-transfer", str(batch)).splitlines()
    assert [answer.split("\t")[2] for answer in answers] == ["待结算"] * 2
    page.get_by_role("button", name="关闭划转权限").click()
    page.get_by_role("dialog").get_by_role("button", name="确定").click()
    expect(page.locator("main .message-success")).to_contain_text("划转权限已关闭")
    assert [row["变更为"] for row in rows(page)] == ["关闭", "开通"]
    album.take(page, "permission", keep=True, everyway=True)
    assert "已拒绝" in site.flask("exchange-transfer", "--request-no", "EX4", *ask)

    open_from_menu(page, "交易发起交易转登记")
    (back,) = rows(page)
    assert (back["标的编码"], back["划转数量"], back["状态"]) == (CODE, "60", "待结算")
    album.take(page, "trading-to-registry", keep=True, everyway=True)

    open_from_menu(page, "交易发起登记转交易")
    found = [(row["状态"], row["拒绝原因"]) for row in rows(page)]
    assert found == [
        ("已拒绝", "该单位已关闭划转权限"),
        ("待结算", "-"),
        ("已拒绝", "该单位已关闭划转权限"),
    ]
    album.take(page, "exchange-registry-to-trading", keep=True, everyway=True)
    page.get_by_role("search").get_by_label("状态").select_option(label="已拒绝")
    page.get_by_role("button", name="查询").click()
    page.wait_for_url("**status=refused**")
    assert len(rows(page)) == 2
    assert [row["拒绝原因"] for row in download(page, tmp_path)] == ["该单位已关闭划转权限"] * 2
    line_of(page, "已拒绝").first.get_by_role("link", name="详情").click()
    expect(page.locator(".descriptions")).to_contain_text("该单位已关闭划转权限")
    page.get_by_role("link", name="返回", exact=True).click()
    page.wait_for_url("**status=refused**")

    assert holding(page) == (360, 0, 40, 240, 60, 40, 700)
    site.flask("settle-day")
    assert holding(page) == (420, 0, 0, 280, 0, 0, 700)
    open_from_menu(page, "交易发起交易转登记")
    assert row_with(page, "60")["状态"] == "已划转"
