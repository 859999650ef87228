"""六（一）存管返还: A goes into B, and another A' is split into B and C; 承继: what A owes goes to B, too."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from app.domain.workflow import Line
from app.extensions import db
from app.models import Application
from app.operations.applications import engine
from app.operations.records import clock
from tests.journeys.support.acting import account_of, carry_out, instrument_of
from tests.journeys.support.officers import begin, confirm, fill_document, pick, submit
from tests.journeys.support.reading import line_of, open_from_menu, row_with, rows

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-two")]

A, B, C = "21042300007", "21042300029", "21042300030"
SPLIT = "21042300031"  # Which is split into B and C.
MAKER, CHECKER = "R0001", "R0002"
CODE, OTHER = "PE2021000025", "PE2023000001"


def holdings(page: Page, code: str) -> tuple[str, str]:
    open_from_menu(page, "持仓查询")
    row = row_with(page, code)
    return row["登记可用量"], row["总持有量"]


def number_of(text: str) -> int:
    return int(text.replace(",", ""))


def deposit(page: Page, code: str, quantity: str, kind: str, reason: str) -> None:
    """新增, 选择标的, 存管量, 存管类型, 存管原因."""
    open_from_menu(page, "存管申请")
    page.get_by_role("link", name="新增").click()
    page.get_by_role("button", name="选择标的").click()
    dialog = page.get_by_role("dialog", name="选择标的")
    dialog.get_by_label(code).check()
    dialog.get_by_role("button", name="确定").click()
    page.get_by_label(f"存管量 {code}").fill(quantity)
    page.get_by_label("存管类型").select_option(kind)
    page.get_by_label("申请原因").fill(reason)


def send(page: Page) -> None:
    page.get_by_role("button", name="提交").click()
    page.get_by_role("heading", name="操作成功!").wait_for()


def review(page: Page, member_no: str, comment: str, decision: str = "通过") -> None:
    """待办, 审核, 审核意见, 通过 or 退回, of the row with the applicant."""
    open_from_menu(page, "待办")
    line_of(page, member_no).get_by_role("link", name="审核").first.click()
    page.get_by_label("审核意见").fill(comment)
    page.get_by_role("button", name=decision).click()
    page.wait_for_url("**/reviews/**")


def link(page: Page, member_no: str, others: list[str], reason: str) -> None:
    """关联对方重点排放单位: choose A, then find and tick the others."""
    open_from_menu(page, "关联对方重点排放单位")
    page.get_by_role("link", name="新增").click()
    page.get_by_label("会员编号或名称").fill(member_no)
    page.get_by_role("button", name="查询").click()
    page.locator("tbody").get_by_role("link", name="选择").first.click()
    page.get_by_label("对方单位").first.fill(" ".join(others))
    page.get_by_role("button", name="查询").click()
    for each in others:
        expect(page.get_by_label(each)).to_be_checked()
    page.get_by_label("申请原因").fill(reason)


def pick_deposit(page: Page, code: str) -> None:
    open_from_menu(page, "存管返还申请")
    page.get_by_role("link", name="新增").click()
    page.get_by_role("button", name="选择存管").click()
    dialog = page.get_by_role("dialog", name="选择存管")
    dialog.locator("tbody tr").filter(has_text=code).get_by_role("checkbox").check()
    dialog.get_by_role("button", name="确定").click()


def share(page: Page, receiver: str, quantity: str) -> None:
    row = page.locator("table[data-lines] tbody tr").filter(has_text=receiver)
    row.locator("[data-quantity]").fill(quantity)


def name_of(page: Page) -> str:
    return page.locator(".member-strip").inner_text().partition("您好, ")[2].split()[0]


def todo(page: Page, label: str) -> str:
    """Return the to-do count of a kind in the header."""
    page.locator(".top-bar summary").filter(has_text="待办").click()
    return page.locator(".top-bar").get_by_role("link", name=label).inner_text()


def test_a_goes_into_b(site, member, album):
    """The manual's example: everything of A's comes back under B's name."""
    page, maker, checker = member(A), member(MAKER), member(CHECKER)
    deposit(page, CODE, "700", "合并", "本单位并入乙单位")
    album.take(page, "custody-deposit-form", keep=True, everyway=True)
    send(page)
    assert holdings(page, CODE) == ("0", "700")
    review(maker, A, "材料齐全，同意")
    open_from_menu(page, "存管申请")
    row = row_with(page, CODE)
    assert (row["状态"], row["存管量"], row["剩余存管量"]) == ("已通过", "700", "700")
    album.take(page, "custody-deposit-list", keep=True, everyway=True)

    page.goto("/custody-returns/new")
    expect(page.get_by_text("尚未关联对方重点排放单位")).to_be_visible()
    link(maker, A, [B], "依据合并协议及省级主管部门批复")
    album.take(maker, "custody-link-form", keep=True, everyway=True)
    send(maker)
    open_from_menu(checker, "待办")
    line_of(checker, A).get_by_role("link", name="审核").first.click()
    album.take(checker, "custody-link-review", keep=True)
    review(checker, A, "同意关联")
    open_from_menu(page, "存管返还申请")
    page.get_by_role("link", name="关联重点排放单位").click()
    expect(page.locator("#list-table")).to_contain_text(B)

    receiver = member(B)
    pick_deposit(page, CODE)
    share(page, name_of(receiver), "700")
    page.get_by_label("申请原因").fill("按合并协议返还")
    album.take(page, "custody-return-form", keep=True, everyway=True)
    send(page)

    receiver.reload()
    assert "1" in todo(receiver, "存管返还")
    album.take(receiver, "custody-receiver-todo", keep=True)
    receiver.goto("/")
    open_from_menu(receiver, "待办")
    line_of(receiver, A).get_by_role("link", name="审核").first.click()
    receiver.get_by_label("审核意见").fill("同意接收")
    album.take(receiver, "custody-receiver-review", keep=True, whole=True, everyway=True)
    before = number_of(holdings(receiver, OTHER)[0])
    review(receiver, A, "同意接收")
    review(checker, A, "同意返还")

    open_from_menu(receiver, "持仓查询")
    own = number_of(row_with(receiver, CODE)["登记可用量"])
    assert number_of(holdings(receiver, OTHER)[0]) == before
    open_from_menu(page, "持仓查询")
    expect(page.locator("#list-table")).not_to_contain_text("700")
    assert own > 700
    open_from_menu(page, "存管申请")
    assert row_with(page, CODE)["剩余存管量"] == "0"
    line_of(page, CODE).get_by_role("link", name="详情").click()
    expect(page.get_by_role("heading", name="本存管的返还记录")).to_be_visible()
    album.take(page, "custody-deposit-detail", whole=True, everyway=True)


def test_a_is_split_into_b_and_c_which_refuses_once(site, member, album):
    """C sends it back; A changes the shares; B, who had agreed, has to agree again."""
    page, maker, checker = member(SPLIT), member(MAKER), member(CHECKER)
    of_b, of_c = member(B), member(C)
    b, c = name_of(of_b), name_of(of_c)
    had = {each: number_of(holdings(each, OTHER)[0]) for each in (page, of_b, of_c)}
    deposit(page, OTHER, "3000", "分立", "本单位分立为乙、丙两单位")
    send(page)
    review(checker, SPLIT, "同意")
    link(maker, SPLIT, [B, C], "依据分立协议")
    send(maker)
    review(checker, SPLIT, "同意关联")

    pick_deposit(page, OTHER)
    share(page, b, "2000")
    share(page, c, "1001")
    expect(page.locator("table[data-lines] .echo.is-wrong").first).to_be_visible()
    share(page, c, "1000")
    expect(page.locator("[data-total]")).to_have_text("3,000")
    page.get_by_label("申请原因").fill("按分立协议返还")
    album.take(page, "custody-split-form", keep=True, everyway=True)
    send(page)

    review(of_b, SPLIT, "同意接收 2,000 吨")
    open_from_menu(page, "存管返还申请")
    line_of(page, OTHER).get_by_role("link", name="详情").click()
    expect(page.locator("main")).to_contain_text("已同意")
    album.take(page, "custody-return-detail", keep=True, whole=True, everyway=True)
    review(of_c, SPLIT, "应为 1,200 吨", "退回")

    page.goto("/custody-returns/")  # The detail page has the same heading.
    assert row_with(page, OTHER)["状态"] == "已退回"
    line_of(page, OTHER).get_by_role("link", name="修改").click()
    share(page, b, "1800")
    share(page, c, "1200")
    send(page)
    review(of_c, SPLIT, "同意接收")
    open_from_menu(checker, "待办")
    expect(checker.locator("main")).not_to_contain_text(SPLIT)  # B has not agreed again.
    review(of_b, SPLIT, "同意接收 1,800 吨")
    review(checker, SPLIT, "同意返还")

    assert number_of(holdings(page, OTHER)[0]) == had[page] - 3000
    assert number_of(holdings(of_b, OTHER)[0]) == had[of_b] + 1800
    assert number_of(holdings(of_c, OTHER)[0]) == had[of_c] + 1200
    open_from_menu(of_b, "已办")
    line_of(of_b, SPLIT).get_by_role("link", name="详情").first.click()
    expect(of_b.locator("main")).not_to_contain_text("1,200")  # What C gets is C's.
    assert site.flask("verify-ledger")


# 承继 ----------------------------------------------------------------------------------------------

OWING, SUCCESSOR, PROVINCE = "21042300033", "21042300032", "P44"
CLAIMED, USED = "PE2026000002", "PE2026000001"


def claim(tonnes: int) -> str:
    """Claim some of what A was issued; return the number of the claim."""
    account, what, today = account_of(OWING), instrument_of(CLAIMED), clock.now().date()
    draft = engine.Draft(
        "allowance_claim", account.id, (Line(what.id, tonnes),), "journey:claim", "核定结果变更",
        category="true_up", document_no="粤环函〔2026〕33号", starts_on=today,
        ends_on=today + timedelta(days=14),
    )  # fmt: skip
    return db.session.get_one(Application, carry_out(draft, MAKER, CHECKER)).number


def test_what_a_owes_goes_to_b_who_fulfils_it(site, member, album):
    """What A owes goes along under its number: the open notice, and an open claim (N116)."""
    maker, checker, successor = member(MAKER), member(CHECKER), member(SUCCESSOR)
    with site.registry():
        number = claim(1_000)
    begin(maker, "承继", OWING)
    maker.get_by_label("类型").select_option(label="合并")
    maker.get_by_label("承继主体及比例").fill(SUCCESSOR)
    fill_document(maker, "粤环函〔2026〕34号", "广东省生态环境厅", f"{site.today()}")
    maker.get_by_label("申请原因").fill("吸收合并")
    album.take(maker, "succession-form", keep=True, everyway=True)
    submit(maker)
    confirm(checker, OWING, "粤环函〔2026〕34号")

    open_from_menu(successor, "履约清缴")
    album.take(successor, "inherited-notice", everyway=True)
    inherited = line_of(successor, "钢铁").filter(has_text="2025")
    owed = rows(successor)[0]
    inherited.get_by_role("link", name="履约申请", exact=True).click()
    pick(successor, USED, "添加履约标的")
    successor.get_by_label(f"申请提交量 {USED}").fill(owed["剩余应履约量"].replace(",", ""))
    submit(successor)
    review(member(PROVINCE), SUCCESSOR, "经核对，同意")
    open_from_menu(successor, "履约清缴")
    assert row_with(successor, owed["通知书编号"])["状态"] == "已足额"
    open_from_menu(successor, "配额调整通知书")
    assert row_with(successor, number)["待缴回量"] == "1,000"
    left = member(OWING)
    open_from_menu(left, "履约清缴")
    expect(left.locator("#list-table")).not_to_contain_text(owed["通知书编号"])
    assert site.flask("verify-ledger")
