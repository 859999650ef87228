"""A year of an enterprise: pre-allocation, claim, carry-over, CCER, surrender by the plan, certificate."""

from __future__ import annotations

from datetime import date, timedelta
from io import BytesIO

import pypdf
import pytest
from playwright.sync_api import Page, expect

from app import worker
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Instrument
from app.operations.applications import engine
from app.operations.compliance import chain
from tests.journeys.support.acting import account_of, carry_out, instrument_of
from tests.journeys.support.officers import CHECKER, MAKER, confirm, pick, submit
from tests.journeys.support.reading import certificate_code, line_of, open_from_menu, row_with
from tests.operations.offsets.lines import Line as CcerLine
from tests.operations.offsets.lines import line_to

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-one")]

MEMBER, PROVINCE, SECOND = "21042300032", "P44", "P4402"
CODE, OLD, NEWER = "PE2026000009", "PE2022000001", "PE2024000001"
CARRIED_INTO = "PE2026000002"


def test_from_pre_allocation_to_the_certificate(site, member, album):
    page, maker, checker = member(MEMBER), member(MAKER), member(CHECKER)
    province, second = member(PROVINCE), member(SECOND)
    today = site.today()
    with site.registry():
        _pre_allocate(today)
    province_issues(province, second, page, album)
    with site.registry():
        _claim(today)
    return_what_is_claimed(page, checker, album)
    carry_over(site, page, maker, checker, today, album)
    with line_to() as ccer:
        offset(site, ccer, page, province, maker, album)
    surrender_by_the_plan(page, province, album)


def _pre_allocate(today: date) -> None:
    """Issue to the province; of the demonstration's own vintage the enterprise has its pre-allocation."""
    what = Instrument(code=CODE, name="2026年度碳排放配额（第二批预分配）", vintage=2026)
    with transaction():
        db.session.add(what)
    account = account_of(MEMBER)
    lines = chain.routed(account.id, "pre_allocation", [Line(what.id, 51_000)], today)
    draft = engine.Draft(
        "issuance", account.id, tuple(lines), "journey:pre-allocation", reason="2026年度预分配",
        category="pre_allocation", document_no="环办气候函〔2026〕90号", starts_on=today,
    )  # fmt: skip
    carry_out(draft, MAKER, CHECKER)


def province_issues(province: Page, second: Page, page: Page, album) -> None:
    """全部发放 by two officers of the province; the enterprise sees it before and after."""
    open_from_menu(page, "配额发放查询")
    expect(line_of(page, "51,000").first).to_contain_text("在主管部门账户")
    open_from_menu(province, "待发放配额")
    line_of(province, MEMBER).filter(has_text="51,000").get_by_role("checkbox").check()
    album.take(province, "waiting-allowances")
    province.get_by_role("button", name="全部发放").click()
    province.get_by_role("button", name="确定").last.click()
    expect(province.locator("main")).to_contain_text("成功")
    confirm(second, MEMBER, CODE)
    open_from_menu(page, "配额发放查询")
    expect(line_of(page, "51,000").first).to_contain_text("已发放")


def _claim(today: date) -> None:
    account, what = account_of(MEMBER), instrument_of(CODE)
    draft = engine.Draft(
        "allowance_claim", account.id, (Line(what.id, 3_000),), "journey:claim",
        reason="核定量低于预分配量", category="true_up", document_no="粤环函〔2026〕21号",
        starts_on=today, ends_on=today + timedelta(days=14),
    )  # fmt: skip
    carry_out(draft, MAKER, CHECKER)


def return_what_is_claimed(page: Page, checker: Page, album) -> None:
    """配额调整通知书 on the home page, 缴回, and 已缴清 once the registry has approved it."""
    page.goto("/")
    album.take(page, "home-claim", everyway=True)
    page.locator("main").get_by_role("link", name="缴回").first.click()
    page.get_by_label(f"缴回量 {CODE}").fill("3000")
    album.take(page, "allowance-return-form", keep=True, everyway=True)
    submit(page)
    confirm(checker, MEMBER, "3,000")
    open_from_menu(page, "配额调整通知书")
    row = row_with(page, CODE)
    assert (row["应缴回量"], row["已缴回及扣回"], row["待缴回量"]) == ("3,000", "3,000", "0")
    album.take(page, "adjustment-notices", keep=True, everyway=True)


def carry_over(site, page: Page, maker: Page, checker: Page, today: date, album) -> None:
    """Apply within the notice; a batch of two officers recalls two vintages and grants the newer one."""
    open_from_menu(page, "结转通知书")
    album.take(page, "carry-over-notices", keep=True, everyway=True)
    line_of(page, "JT2026").get_by_role("link", name="申请结转").click()
    for code, tonnes in ((OLD, "6000"), (NEWER, "4000")):
        pick(page, code, "选择结转的标的")
        page.get_by_label(f"结转数量 {code}").fill(tonnes)
    album.take(page, "carry-over-form", keep=True, everyway=True)
    submit(page, asks=False)

    site.on(today + timedelta(days=1))
    open_from_menu(maker, "结转批次")
    maker.get_by_role("link", name="新增批次").click()
    expect(maker.locator("main")).to_contain_text("10,000")
    maker.get_by_label("申请原因").fill("按期收回")
    album.take(maker, "carry-over-batch-form", keep=True, everyway=True)
    submit(maker, asks=False)
    confirm(checker, "结转批次", "10,000")
    with site.registry():
        worker.carry_out_batches(site.settings)
    open_from_menu(maker, "结转批次")
    album.take(maker, "carry-over-batches", keep=True, everyway=True)

    open_from_menu(page, "配额发放查询")
    row = row_with(page, "结转")
    assert (row["标的编码"], row["发放量"]) == (CARRIED_INTO, "10,000")
    album.take(page, "issued-by-carry-over", keep=True, everyway=True)
    open_from_menu(page, "结转通知书")
    with page.expect_download() as waiting:
        line_of(page, "JT2026").get_by_role("link", name="PDF").click()
    said = pypdf.PdfReader(BytesIO(waiting.value.path().read_bytes())).pages[0].extract_text()
    assert waiting.value.suggested_filename.startswith("结转单_JT2026")
    assert "6,000" in said
    assert "4,000" in said


def offset(site, ccer: CcerLine, page: Page, province: Page, maker: Page, album) -> None:
    """Bind, freeze there, apply here, approve; it counts once the CCER registry has cancelled it."""

    def exchange() -> None:
        with site.registry():
            ccer.exchange()

    with site.registry():
        account = account_of(MEMBER)
        ccer.registry.bind("CC44000032", account.uscc, account.name)
    exchange()
    open_from_menu(page, "CCER账户绑定确认")
    page.get_by_role("link", name="确认绑定").click()
    expect(page.locator("main")).to_contain_text("CC44000032")
    page.get_by_label("答复").select_option(index=1)
    album.take(page, "ccer-binding", keep=True, everyway=True)
    submit(page, asks=False)
    exchange()
    ccer.registry.freeze("CC44000032", 1_000)
    exchange()
    open_from_menu(page, "CCER待抵销")
    assert row_with(page, "1,000")["状态"] == "待抵销"
    album.take(page, "ccer-units", keep=True, everyway=True)
    page.get_by_role("link", name="CCER抵销申请", exact=True).last.click()
    line_of(page, "LT2025", ".data-table").get_by_role("link", name="选择").click()
    page.locator("[name=units]").check()
    album.take(page, "ccer-form", keep=True, everyway=True)
    submit(page)
    approve_all(province)
    open_from_menu(page, "CCER待抵销")
    assert row_with(page, "1,000")["状态"] == "抵销已通过"  # Not cancelled there yet.
    exchange()
    open_from_menu(page, "CCER待抵销")
    assert row_with(page, "1,000")["状态"] == "抵销登记"
    assert [*ccer.registry.units("cancelled").values()] == [1_000]
    open_from_menu(maker, "CCER登记往来")
    for kind in ("注销指令", "抵销冻结", "绑定答复", "请求绑定"):
        expect(line_of(maker, kind).first).to_contain_text("已办理")
    album.take(maker, "ccer-messages", keep=True, everyway=True)
    open_from_menu(page, "履约清缴")
    assert row_with(page, "2025")["已履约量"] == "1,000"


def approve_all(province: Page) -> None:
    """通过 what waits of the enterprise, in bulk."""
    open_from_menu(province, "待办")
    line_of(province, MEMBER).locator("[data-check]").check()
    province.get_by_role("button", name="通过").click()
    province.get_by_role("button", name="确定").click()
    expect(province.get_by_text("成功 1 条")).to_be_visible()


def surrender_by_the_plan(page: Page, province: Page, album) -> None:
    """履约规划 fills the application for the rest; the certificate names allowances and CCER."""
    page.get_by_role("link", name="履约规划").click()
    page.get_by_role("heading", level=1, name="履约规划").wait_for()
    album.take(page, "surrender-plan-year", everyway=True)
    page.get_by_role("link", name="填写履约申请").first.click()
    submit(page)
    approve_all(province)
    open_from_menu(page, "履约清缴")
    row = row_with(page, "2025")
    assert (row["剩余应履约量"], row["状态"]) == ("0", "已足额")
    code = certificate_code(page, "LT2025")
    page.goto(f"/verify/{code}")
    expect(page.get_by_role("status")).to_contain_text("校验码有效")
    expect(page.locator("main")).to_contain_text("CCER")
    album.take(page, "certificate-of-the-year", everyway=True)
