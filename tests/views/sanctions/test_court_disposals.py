"""司法变卖 and 司法冻结配额清缴 on their pages: forms, lists, details (rules-2026 N103, N105)."""

from __future__ import annotations

import io

import pytest

from app.domain.moves import Bucket
from app.extensions import db
from app.models import Application, CourtSale
from tests.factories import confirmed, give, instrument, notice, quantity
from tests.files import pdf
from tests.markets.market import Market
from tests.operations.courts import freeze, stands, surrender
from tests.views.sanctions.test_courts import paper, plain, send


@pytest.fixture
def cea(plant):
    what = instrument("2025年度配额", vintage=2025)
    give(plant, what, 1000)
    return what


def latest(kind):
    rows = db.select(Application).filter_by(kind=kind).order_by(Application.id.desc()).limit(1)
    return db.session.scalars(rows).one()


def consent():
    return io.BytesIO(pdf()), "复函.pdf"


def test_n105_a_holder_surrenders_with_the_court_s_consent(
    sign_in, operator, plant, cea, maker, checker, hubei
):
    order = freeze(plant, maker, 600, cea)
    owed = notice(plant, 500, by=maker)
    browser = sign_in(operator)
    address = f"/court-surrenders/new?notice={owed}"
    page = plain(browser.get(address).text)
    for words in ("同意文号", "武汉市中级人民法院", "（600）"):
        assert words in page
    form = {
        "submit": "1", "order": str(order), "authority": "武汉市中级人民法院", "document_no": "",
        "lines-0-choice": str(cea.id), "lines-0-quantity": "450",
    }  # fmt: skip
    for changed, message in (
        ({}, "请填写法院书面同意的文号"),
        ({"document_no": "复函1号"}, "请上传法院的书面同意"),
        ({"document_no": "复函1号", "order": ""}, "没有"),
        ({"document_no": "复函1号", "lines-0-quantity": "601", "attachments": consent()}, "601"),
    ):
        refused = send(browser, address, form | changed)
        assert (refused.status_code, message in plain(refused.text)) == (400, True), changed
    sent = form | {"document_no": "复函1号", "attachments": consent()}

    assert send(browser, address, sent).status_code == 302

    made = latest("court_surrender").id
    for each in (maker, checker, hubei):
        confirmed(made, each)
    assert (stands(order), quantity(plant, cea, Bucket.SURRENDERED)) == ((150, 0), 450)
    detail = plain(browser.get(f"/court-surrenders/{made}").text)
    number = db.session.get_one(Application, order).number
    for words in ("复函1号", "450", number):
        assert words in detail
    with browser.get("/court-surrenders/export.csv") as file:
        assert "450" in file.get_data().decode("utf-8-sig")


def test_n105_the_order_s_page_says_what_was_surrendered(
    desk, operator, plant, cea, maker, checker, hubei
):

    order = freeze(plant, maker, 600, cea)
    made = surrender(order, operator, 450, cea, notice(plant, 500, by=maker))
    for each in (maker, checker, hubei):
        confirmed(made, each)
    page = plain(desk.get(f"/court-freezes/{order}").text)
    assert "经法院同意清缴" in page
    assert db.session.get_one(Application, made).number in page


def test_n103_a_sale_is_entered_sold_ended_and_its_proceeds_released(
    desk, plant, maker, checker, tables, sign_in, operator
):
    market = Market(tables)
    market.join(plant)
    give(plant, market.cea, 1000)
    order = freeze(plant, maker, 600, market.cea)
    address = f"/court-sales/new?account={plant.id}&order={order}"
    form = paper(instrument=str(market.cea.id), quantity="601")
    del form["category"]
    refused = send(desk, address, form)
    assert (refused.status_code, "本冻结实际冻结的只有600" in plain(refused.text)) == (400, True)
    again = paper(instrument=str(market.cea.id), quantity="450")
    assert send(desk, address, again).status_code == 302
    sale = latest("court_sale")
    confirmed(sale.id, checker)
    assert stands(order) == (150, 0)

    buyer = market.participant("乙", yuan="100000")
    market.deal(plant, buyer, 300, "80.00", cells={"sell_order_no": sale.number})
    market.settle(maker, checker)
    detail = plain(desk.get(f"/court-sales/{sale.id}").text)
    for words in ("变卖情况", "24,000.00", "变卖价款", "终止变卖", "扣划", "解除"):
        assert words in detail, words
    assert "24,000.00" in plain(desk.get("/court-sales/").text)

    end = f"/court-sale-ends/new?account={plant.id}&sale={sale.id}"
    assert "150" in plain(desk.get(end).text)
    assert send(desk, end, paper()).status_code == 302
    confirmed(latest("court_sale_end").id, checker)
    assert (stands(order), db.session.get_one(CourtSale, sale.id).unsold) == ((300, 0), 0)
    lift = f"/court-releases/new?account={plant.id}&order={sale.id}"
    assert send(desk, lift, paper(category="04", quantity="24000.00")).status_code == 302
    confirmed(latest("court_release").id, checker)
    assert stands(sale.id) == (0, 0)
    enquiry = plain(sign_in(operator).get("/enquiries/court-freezes/").text)
    assert sale.document_no in enquiry


def test_n103_addresses_that_name_no_sale_or_order_are_not_found(desk, plant, cea, maker):
    assert desk.get("/court-sale-ends/new").status_code == 302
    for address in ("/court-sale-ends/new?sale=9", "/court-sales/new?order=9"):
        assert desk.get(address).status_code == 404
