"""司法冻结轮候: a court freezes all, another one waits, the first ends by itself, the second takes effect."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from playwright.sync_api import Page

from app import worker
from app.extensions import transaction
from app.installation.demo_courts import PAPER, SECOND, Courts
from app.operations.records import clock
from tests.journeys.support.acting import account_of, actor, instrument_of
from tests.journeys.support.officers import CHECKER, MAKER, begin, confirm, fill_date, submit
from tests.journeys.support.reading import open_from_menu, row_with

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("journeys-one")]

MEMBER, CODE = "21042300007", "PE2021000025"
RULING, COURT = "（2026）鄂01执保300号之一", "湖北省武汉市中级人民法院"


def order(page: Page, first: date, last: date) -> None:
    """新增 an order about all 700 tonnes, with the court's paper."""
    begin(page, "司法冻结", MEMBER)
    page.get_by_label("裁定书文号").fill(RULING)
    page.get_by_label("法院", exact=True).fill(COURT)
    page.get_by_label("法院联系人及电话").fill("执行局 张法官 027-65600000")
    page.get_by_label("请求单号").fill("2026000300")
    page.get_by_label("案号", exact=True).fill("（2026）鄂01执保300号")
    page.get_by_label("送达时间").fill(f"{first} 09:30:00")
    fill_date(page, "生效日期", f"{first}")
    fill_date(page, "截止日期", f"{last}")
    page.get_by_label("措施").select_option(index=1)
    page.get_by_label("标的", exact=True).select_option(label=f"{CODE} 2021年5月17日增持的配额")
    page.get_by_label("要求冻结数量").fill("700")
    file = {"name": "协助执行通知书.pdf", "mimeType": "application/pdf", "buffer": PAPER}
    page.locator("input[type=file]").set_input_files(file)


def second_order(site) -> None:
    """Let another court freeze 400 tonnes, for two years."""
    with site.registry(), transaction():
        now = clock.now()
        courts = Courts(actor(MAKER), actor(CHECKER), now)
        what = instrument_of(CODE)
        said = {"instrument": what.id, "instrument_code": what.code, "instrument_name": what.name}
        said |= courts.paper("008300", now - timedelta(minutes=5)) | {"quantity": 400}
        more = {"starts_on": courts.day(0), "ends_on": courts.day(700), "category": "01"}
        courts.carry_out("court_freeze", account_of(MEMBER), said, **more, **SECOND)


def seen(page: Page, ruling: str) -> tuple[str, ...]:
    """Return place, effective and queued tonnes, and the mark of an order as its enterprise sees it."""
    open_from_menu(page, "司法冻结查询")
    row = row_with(page, ruling)
    return row["顺位"], row["生效数量"], row["轮候数量"], row["到期提醒"]


def held(page: Page) -> tuple[str, str]:
    open_from_menu(page, "持仓查询")
    row = row_with(page, CODE)
    return row["登记可用量"], row["登记冻结量"]


def test_the_first_court_ends_by_itself_and_the_second_takes_effect(site, member, album):
    today = site.today()
    maker, checker, page = member(MAKER), member(CHECKER), member(MEMBER)
    order(maker, today, today)
    album.take(maker, "court-freeze-form", keep=True, everyway=True)
    submit(maker)
    confirm(checker, MEMBER, RULING)
    assert seen(page, RULING) == ("1", "700", "0", "即将到期")
    assert held(page) == ("0", "700")
    second_order(site)
    assert seen(page, SECOND["document_no"]) == ("2", "0", "400", "-")
    album.take(page, "court-queue", keep=True, everyway=True)
    site.on(today + timedelta(days=1))
    with site.registry():
        worker.end_court_orders(site.settings)
    assert held(page) == ("300", "400")
    assert seen(page, RULING) == ("-", "0", "0", "已失效")
    assert seen(page, SECOND["document_no"]) == ("1", "400", "0", "-")
    album.take(page, "court-queue-moved", keep=True, everyway=True)
