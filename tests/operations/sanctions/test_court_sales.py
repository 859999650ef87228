"""司法变卖: units of a court's freeze sold at the exchange, and what they bring (rules-2026 N103)."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import InsufficientQuantity, RuleError
from app.domain.moves import Bucket, within
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Application, CourtEffect, CourtSale, SettlementDifference, TradeDefault
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import EXCHANGE, SYSTEM
from app.operations.sanctions import lapses
from tests.factories import account, at, confirmed, give, instrument, nothing_moves, quantity
from tests.markets.market import Market
from tests.operations.courts import assign, end_sale, freeze, midnight, release, renew, sell, stands

UNTIL = date(2026, 12, 1)
SERVED = {"served_at": "2026-11-19T09:00:00+08:00"}


@pytest.fixture
def market(app, tables):
    return Market(tables)


@pytest.fixture
def debtor(market, plant):
    """A plant with a bank and 1,000 tonnes available."""
    market.join(plant)
    give(plant, market.cea, 1000)
    return plant


@pytest.fixture
def order(debtor, market, maker):
    return freeze(debtor, maker, 600, market.cea, served="2026-11-18T09:00:00+08:00")


@pytest.fixture
def sale(order, market, maker):
    clock.set_to(at("10:00", day=19), SYSTEM)
    made = sell(order, maker, 450, market.cea, proposal=SERVED)
    clock.set_to(at("10:00"), SYSTEM)
    return made


@pytest.fixture
def buyer(market):
    return market.participant("乙", yuan="100000")


@pytest.fixture
def places(market, debtor):
    """Return a function that tells what is available, frozen and in trading."""
    buckets = (Bucket.AVAILABLE, Bucket.FROZEN, Bucket.TRADING)
    return lambda: tuple(quantity(debtor, market.cea, bucket) for bucket in buckets)


@pytest.fixture
def purse(market, debtor):
    """Return a function that tells the fen available, of the day's sales, and frozen."""
    buckets = (Bucket.AVAILABLE, Bucket.PROCEEDS, Bucket.FROZEN)
    money = market.bank("ICBC").instrument
    return lambda: tuple(quantity(debtor, money, bucket) for bucket in buckets)


def money_of(market):
    return market.bank("ICBC").instrument


def deal(market, seller, buyer, tonnes, price, sale, **more):
    number = db.session.get_one(Application, sale).number
    market.deal(seller, buyer, tonnes, price, cells={"sell_order_no": number}, **more)


def left(sale):
    db.session.expire_all()
    found = db.session.get_one(CourtSale, sale)
    return found.sold, found.unsold, found.returned, found.freed


def effects(order):
    rows = db.select(CourtEffect.cause, CourtEffect.quantity).filter_by(order_id=order)
    return [tuple(row) for row in db.session.execute(rows.order_by(CourtEffect.id))]


def lapse(day):
    with transaction():
        return lapses.lapse_next(SYSTEM, now=midnight(day))


def test_n103_sold_frozen_in_money_and_paid_out(
    market, debtor, order, sale, buyer, maker, checker, places, purse
):
    """600 frozen, 450 sold at 80.00 with a fee of 36.00: 150 and 35,964.00 yuan stay frozen."""
    assert (stands(order), places(), left(sale)) == ((150, 0), (400, 150, 450), (0, 450, 0, 0))
    deal(market, debtor, buyer, 450, "80.00", sale, fees=("36.00", "36.00"))
    market.settle(maker, checker)

    assert (stands(order), places(), left(sale)) == ((150, 0), (400, 150, 0), (450, 0, 0, 0))
    assert (stands(sale), purse()) == ((35_964_00, 0), (0, 0, 35_964_00))
    assert effects(order) == [("order", 600), ("sale", -450)]
    assert effects(sale) == [("proceeds", 35_964_00)]
    assert db.session.scalars(db.select(SettlementDifference)).all() == []
    assert verify_ledger().is_sound

    creditor = market.participant("申请执行人有限公司")
    assign(sale, maker, 30_000_00, money_of(market), creditor)
    assert (stands(sale), purse()) == ((5_964_00, 0), (0, 0, 5_964_00))
    assert market.money(creditor) == (30_000_00, 0)
    release(sale, maker, 5_964_00)
    assert (stands(sale), purse()) == ((0, 0), (5_964_00, 0, 0))


def test_n103_what_is_unsold_returns_to_the_freeze(
    market, debtor, order, sale, buyer, maker, checker, places
):
    deal(market, debtor, buyer, 300, "80.00", sale)
    market.settle(maker, checker)
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        end_sale(sale, maker, 149)
    assert refusal.value.code == "sale_left_changed"
    end_sale(sale, maker, 150)
    assert (stands(order), places(), left(sale)) == ((300, 0), (400, 300, 0), (300, 0, 150, 0))
    assert effects(order) == [("order", 600), ("sale", -450), ("sale_return", 150)]
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        end_sale(sale, maker, 150)
    assert refusal.value.code == "court_sale_unknown"


def test_n103_sells_no_more_than_its_own_order_has_frozen(market, debtor, order, maker):
    freeze(debtor, maker, 400, market.cea)
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        sell(order, maker, 601, market.cea)
    assert refusal.value.code == "sale_above_hold"


def test_n103_what_no_exchange_trades_is_not_sold_there(debtor, maker):
    other = instrument(trade_code=None)
    give(debtor, other, 10)
    order = freeze(debtor, maker, 10, other)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        sell(order, maker, 10, other)
    assert refusal.value.code == "not_traded"


def test_n103_no_other_deal_takes_what_is_sold_for_the_court(
    market, debtor, sale, buyer, maker, checker, places
):
    """450 for the court and 50 of its own: a deal of 51 without the sale's number is short by 1."""
    give(debtor, market.cea, 50, Bucket.TRADING)
    market.deal(debtor, buyer, 51, "80.00")
    market.settle(maker, checker)
    assert db.session.scalars(db.select(TradeDefault.missing_tonnes)).all() == [1]
    assert (places(), left(sale)) == ((400, 150, 500), (0, 450, 0, 0))


def test_n103_no_deal_of_the_sale_takes_what_is_the_seller_s_own(
    market, debtor, sale, buyer, maker, checker, purse
):
    give(debtor, market.cea, 60, Bucket.TRADING)
    deal(market, debtor, buyer, 451, "80.00", sale)
    market.deal(debtor, buyer, 50, "80.00")
    market.settle(maker, checker)
    assert db.session.scalars(db.select(TradeDefault.missing_tonnes)).all() == [1]
    assert (left(sale), purse()) == ((0, 450, 0, 0), (0, 4_000_00, 0))


def test_n103_what_the_sale_brings_pays_for_nothing_of_the_day(
    market, debtor, sale, buyer, maker, checker, purse
):
    seller = market.participant("丙", tonnes=100)
    deal(market, debtor, buyer, 450, "80.00", sale)
    market.deal(seller, debtor, 100, "80.00")
    market.settle(maker, checker)
    assert db.session.scalars(db.select(TradeDefault.missing_fen)).all() == [8_000_00]
    assert purse() == (0, 0, 36_000_00)


def test_n103_the_database_keeps_bound_what_is_sold(
    market, debtor, sale, buyer, maker, checker, places
):
    """Whatever clears the day: a deal that takes bound units is not delivered."""
    market.deal(debtor, buyer, 10, "80.00")
    package = market.settle(maker, checker)
    trade = text("SELECT id FROM trade WHERE package_id = :id")
    asked = text("SELECT deliver_trades(ARRAY[:id]::bigint[], ARRAY[0]::bigint[], now(), NULL)")
    with pytest.raises(DBAPIError, match="taken by something else"), transaction():
        db.session.execute(asked, {"id": db.session.scalar(trade, {"id": package})})
    assert places() == (400, 150, 450)


def _ask_back(debtor, market, tonnes):
    lines = (Line(market.cea.id, tonnes, venue_id=market.venue_id),)
    with transaction():
        asked = engine.Draft("trading_to_registry", debtor.id, lines, f"back {tonnes}")
        (made,) = engine.start([asked], EXCHANGE, now=clock.now())
        engine.submit([made], EXCHANGE, now=clock.now()).one()


def test_n103_no_transfer_takes_what_is_sold_for_the_court(market, debtor, sale, places):
    """Nor by Python: what the exchange may ask back to the registry is without it."""
    give(debtor, market.cea, 50, Bucket.TRADING)
    route = Bucket.TRADING, Bucket.PENDING_TO_REGISTRY
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        market.post("51 back", within(debtor.id, market.cea.id, *route, 51))
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="50"):
        _ask_back(debtor, market, 51)
    _ask_back(debtor, market, 50)
    assert places() == (400, 150, 450)


def test_n103_money_frozen_for_the_sale_is_in_no_queue(
    market, debtor, sale, buyer, maker, checker, purse
):
    """A court that waits for money gets none of it, though it was served before; what is released goes on."""
    market.pay_in(debtor, "100")
    served = "2026-11-17T08:00:00+08:00"
    waits = freeze(debtor, maker, 50_000_00, money_of(market), served=served)
    deal(market, debtor, buyer, 450, "80.00", sale)
    market.settle(maker, checker)
    assert (stands(sale), stands(waits)) == ((36_000_00, 0), (100_00, 49_900_00))
    market.pay_in(debtor, "50")
    assert (stands(sale), stands(waits)) == ((36_000_00, 0), (150_00, 49_850_00))
    release(sale, maker, 6_000_00)
    assert (stands(sale), stands(waits)) == ((30_000_00, 0), (6_150_00, 43_850_00))
    assert purse() == (0, 0, 36_150_00)


def test_n103_an_earlier_service_takes_what_comes_back(market, debtor, order, sale, maker, places):
    earlier = freeze(debtor, maker, 1000, market.cea, served="2026-11-17T08:00:00+08:00")
    assert (stands(earlier), stands(order)) == ((550, 450), (0, 150))
    end_sale(sale, maker, 450)
    assert (stands(earlier), stands(order), places()) == ((1000, 0), (0, 600), (0, 1000, 0))


def test_n103_what_is_paid_goes_to_who_has_an_account_at_that_bank(
    market, debtor, sale, buyer, maker, checker
):
    deal(market, debtor, buyer, 450, "80.00", sale)
    market.settle(maker, checker)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        assign(sale, maker, 100, money_of(market), account("申请执行人有限公司"))
    assert refusal.value.code == "receiver_not_at_bank"


def test_n103_a_renewal_holds_for_the_proceeds_and_a_lapse_frees_them(
    market, debtor, buyer, maker, checker, places, purse
):
    order = freeze(debtor, maker, 600, market.cea, ends_on=UNTIL)
    sale = sell(order, maker, 600, market.cea)  # Everything: the order itself holds nothing.
    deal(market, debtor, buyer, 300, "80.00", sale)
    market.settle(maker, checker)
    renew(order, maker, date(2028, 1, 1))
    assert lapse(date(2026, 12, 2)) is None
    assert lapse(date(2028, 1, 2)).effective == 24_000_00
    assert (stands(sale), purse()) == ((0, 0), (24_000_00, 0, 0))
    end_sale(sale, maker, 300)  # The order ends with what it got back.
    assert (stands(order), places()) == ((300, 0), (400, 300, 0))
    assert lapse(date(2028, 1, 3)).effective == 300
    assert (stands(order), places()) == ((0, 0), (700, 0, 0))


def test_n103_what_comes_back_to_an_order_that_lapsed_is_free(
    market, debtor, buyer, maker, checker, places, purse
):
    order = freeze(debtor, maker, 600, market.cea, ends_on=UNTIL)
    sale = sell(order, maker, 450, market.cea)
    assert lapse(date(2026, 12, 2)).effective == 150
    deal(market, debtor, buyer, 300, "80.00", sale)
    market.settle(maker, checker)
    assert purse() == (0, 24_000_00, 0)
    end_sale(sale, maker, 150)
    assert (stands(order), places(), left(sale)) == ((0, 0), (700, 0, 0), (300, 0, 0, 150))


def test_n103_a_sale_under_review_finds_less_after_a_release(market, order, maker, checker, places):
    asked = sell(order, maker, 450, market.cea, confirms=False)
    assert places() == (400, 600, 0)
    release(order, maker, 151)
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="449"):
        confirmed(asked, checker)


def test_n103_the_application_s_role_writes_no_sale(order, sale):
    for statement in (
        "UPDATE court_sale SET sold = 0",
        "SELECT freeze_sale_proceeds(1, 1, 1, now())",
        "SELECT end_court_sale(1, 1, 1, now())",
        "SELECT draw_on_court_order(1, 1, 'sale', now())",
    ):
        with pytest.raises(Exception, match="permission denied"), transaction():
            db.session.execute(text(statement))
        db.session.rollback()
