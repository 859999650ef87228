"""Trading days of the demonstration: money comes in, the exchange trades, days are settled and read."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.support.reading import open_from_menu, row_with, rows
from tests.journeys.test_signed_application import confirm, sign, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-market")]

NEWCOMER, MANUALS = "21042300011", "21042300007"
MAKER, CHECKER = "R0001", "R0002"
DAY = 150  # seconds within which a trading day is over, tasks of a stopped worker taken up included
BUTTON = "下一交易日"


def test_money_comes_in_and_days_are_settled(demonstration, visit, album, tmp_path):
    """Binding, 入金 with a lost answer, two days with a restart, a difference, the public's quotes."""
    site = demonstration.site
    pages = {number: visit(site) for number in (NEWCOMER, MANUALS, MAKER, CHECKER)}
    for number, page in pages.items():
        sign_in(page, site, number)
    newcomer, manuals = pages[NEWCOMER], pages[MANUALS]

    _bind(newcomer, pages[MAKER], pages[CHECKER])
    _pay_in(newcomer, demonstration)

    first = _let_a_day_pass(newcomer, album, demonstration.restart)
    for number in (NEWCOMER, MANUALS):
        _read_the_day(pages[number], number, first, album, tmp_path)
    second = _let_a_day_pass(manuals, album)
    assert second > first
    for command in ("verify-ledger", "verify-log"):
        assert "faults: 0" in site.flask(command)
    audited = json.loads(site.flask("audit-day", "--json"))
    assert audited["agrees"] is True
    assert audited["counts"] == {}
    assert (audited["day"], len(audited["packages"])) == (second, 3)  # and the seeded one
    assert audited["delivered"] == audited["trades"] > 12

    (demonstration.folder / "exchange" / "misreports").touch()
    third = _let_a_day_pass(manuals, album, says="差异 1 项")
    _resolve(pages[MAKER], pages[CHECKER], third, album)
    _read_as_the_public(visit(site), third, album)


def _bind(newcomer: Page, *officers: Page) -> None:
    """银行账户绑定: applied for, reviewed by two officers, confirmed by the bank."""
    open_from_menu(newcomer, "银行账户绑定")
    newcomer.get_by_role("link", name="新增").click()
    newcomer.get_by_label("结算银行").select_option(index=1)
    newcomer.get_by_label("银行账号").fill("6222020200009911")
    newcomer.get_by_label("申请原因").fill("参与交易")
    newcomer.get_by_role("button", name="提交").click()
    confirm(sign(newcomer, NEWCOMER, "9911"), NEWCOMER)
    expect(newcomer.locator("main")).to_contain_text("操作成功")
    number = newcomer.locator("main .code").first.inner_text()
    for officer, who in zip(officers, (MAKER, CHECKER), strict=True):
        _review(officer, who, number)
    _awaits(newcomer, f"/money/bank-accounts/?number={number}", "已确认")


def _review(officer: Page, who: str, number: str) -> None:
    officer.goto(f"/reviews/?number={number}")
    officer.get_by_role("link", name="审核").last.click()
    officer.get_by_label("审核意见").fill("同意")
    officer.get_by_role("button", name="通过").click()
    confirm(sign(officer, who, number, "同意"), who)
    expect(officer.locator("main")).to_contain_text("成功")


def _pay_in(newcomer: Page, demonstration) -> None:
    """入金 of 2,000,000 yuan: the bank carries it out and its answer is lost, so it is asked again."""
    fault = json.dumps({"fault": ["transfer", "lost_after"]}).encode()
    address = f"{demonstration.bank}/control"
    urllib.request.urlopen(address, fault, timeout=10).close()  # noqa: S310 - our own bank
    open_from_menu(newcomer, "入金")
    newcomer.get_by_role("link", name="新增").click()
    newcomer.get_by_label("金额").fill("2000000")
    newcomer.get_by_label("申请原因").fill("交易备付")
    newcomer.get_by_role("button", name="提交").click()
    confirm(sign(newcomer, NEWCOMER, "2000000"), NEWCOMER)
    expect(newcomer.locator("main")).to_contain_text("操作成功")
    number = newcomer.locator("main .code").first.inner_text()
    _awaits(newcomer, f"/money/deposits/?number={number}", "已通过")
    bank = json.loads((demonstration.folder / "bank.json").read_text())
    done = [each for each in bank["transfers"].values() if each["member_no"] == NEWCOMER]
    assert [each["outcome"] for each in done] == ["done"], "it was not sent twice"
    open_from_menu(newcomer, "资金")
    expect(newcomer.locator("main")).to_contain_text("2,000,000.00")


def _awaits(page: Page, address: str, text: str) -> None:
    """Reload a page until the worker has done its part."""
    for _attempt in range(40):
        page.goto(address)
        if text in page.locator("#list-table").inner_text():
            return
        page.wait_for_timeout(500)
    pytest.fail(f"{address} does not say {text}: {page.locator('main').inner_text()}")


def _let_a_day_pass(page: Page, album, between=None, says: str = "差异 0 项") -> str:
    """Press the button, watch all stages and return the day; ``between`` happens after some of them."""
    open_from_menu(page, BUTTON)
    page.locator("main").get_by_role("button", name=BUTTON).click()
    day = page.locator(".detail-head .soft").inner_text()
    if between:
        expect(_stage(page, "交易")).to_contain_text("已完成")
        album.take(page, "trading-day-running", everyway=True)
        page.goto("about:blank")
        between()
        page.goto("/demo/trading-day/")
    _await_the_end(page)
    expect(_stage(page, "货银交收")).to_contain_text("不足0笔")
    expect(_stage(page, "对账")).to_contain_text(says)
    if between:
        album.take(page, "trading-day", everyway=True)
    return day


def _await_the_end(page: Page) -> None:
    """Reload the page until the day is over; a stage that failed is told at once."""
    until = time.monotonic() + DAY
    state = ""
    while state != "已完成":
        page.goto("/demo/trading-day/")
        state = page.locator(".detail-head .tag").inner_text()
        said = page.locator("main").inner_text()
        assert state != "失败", said
        assert time.monotonic() < until, said
        page.wait_for_timeout(500)


def _stage(page: Page, name: str):
    titled = page.get_by_role("cell", name=name, exact=True)
    return page.locator("main tbody tr").filter(has=titled)


def _read_the_day(page: Page, number: str, day: str, album, folder: Path) -> None:
    """Read one's trades, 交易持仓流水, 资金流水 and the statement of a day, and take the statement along."""
    open_from_menu(page, "资金流水")
    assert {row["业务类型"] for row in rows(page)} >= {"成交交收"}
    open_from_menu(page, "持仓查询")
    links = page.locator("#list-table").get_by_role("link", name="交易持仓流水").all()
    entries = []
    for address in [link.get_attribute("href") for link in links]:
        page.goto(address)
        entries += [row["业务类型"] for row in rows(page) if "业务类型" in row]
    assert "成交交收" in entries
    open_from_menu(page, "结算单")
    assert row_with(page, day)["交收状态"]
    page.get_by_role("link", name="详情").first.click()
    expect(page.locator("main")).to_contain_text(number)
    album.take(page, f"statement-{number}", everyway=True)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="PDF").click()
    file = folder / f"{number}.pdf"
    waiting.value.save_as(file)
    assert file.read_bytes().startswith(b"%PDF-")


def _resolve(maker: Page, checker: Page, day: str, album) -> None:
    """差异处理 by one officer, confirmed by another."""
    open_from_menu(maker, "对账差异")
    album.take(maker, "differences", everyway=True)
    row = row_with(maker, day)
    assert (row["会员编号"], row["状态"]) == (MANUALS, "未处理")
    maker.locator("#list-table").get_by_role("link", name="处理").first.click()
    maker.get_by_label("申请原因").fill("交易端持仓多报 1 吨，已更正")
    maker.get_by_role("button", name="提交").click()
    confirm(sign(maker, MAKER, "1 吨"), MAKER)
    expect(maker.locator("main")).to_contain_text("操作成功")
    number = maker.locator("main .code").first.inner_text()
    _review(checker, CHECKER, number)
    maker.goto("/settlement-differences/")
    assert row_with(maker, day)["状态"] == "已处理"


def _read_as_the_public(page: Page, day: str, album) -> None:
    """每日行情 without signing in."""
    page.goto("/market/")
    expect(page.locator("main, body").first).to_contain_text(day)
    expect(page.locator("tbody tr").first).to_contain_text(re.compile(r"CEA"))
    album.take(page, "market-public", everyway=True)
