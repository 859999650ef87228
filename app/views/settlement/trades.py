"""成交查询: the sides of trades for their participants, whole trades for those who oversee the market."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from flask import url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, case, exists, select
from sqlalchemy.orm import aliased

from app.domain.trades import METHOD_TITLES
from app.models import (
    Account,
    DayPackage,
    Instrument,
    SettlementStage,
    Trade,
    TradeDefault,
    TradeDelivery,
    Venue,
    VenueInstrument,
)
from app.operations.settlement.sides import BUY, SELL, sides
from app.security.roles import AUDITOR, ENTERPRISES, OFFICERS, PROVINCE
from app.views.chapters import SETTLEMENT, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction

METHODS = {int(method): title for method, title in METHOD_TITLES.items()}
SIDES = {BUY: _("Bought"), SELL: _("Sold")}
DELIVERED, PENDING, DEFAULT = "delivered", "pending", "default"
STATES = {
    DELIVERED: (_("Delivered"), "green"),
    PENDING: (_("To be delivered"), "amber"),
    DEFAULT: (_("In default"), "red"),
}
A_TONNE = _("yuan/tonne")

_COLUMNS = (
    Column("deal_no", _("Trade number"), kind="code"),
    Column("dealt_at", _("Time of the trade"), kind="datetime"),
    Column("method", _("Trading method"), choices=METHODS),
    Column("code", _("Instrument code"), kind="code", is_shown=False),
    Column("instrument", _("Instrument")),
    Column("trade_code", _("Trade code"), kind="code"),
)
_FIGURES = (
    Column("quantity", _("Traded quantity"), kind="quantity"),
    Column("price", _("Price"), kind="money", unit=A_TONNE),
    Column("amount", _("Traded amount"), kind="money"),
)
_DELIVERY = (
    Column("state", _("Delivery"), kind="status", choices=STATES),
    Column("delivered_at", _("Time of delivery"), kind="datetime"),
)
_FILTERS = (
    Filter("dealt_at", _("Time of the trade"), kind="datetime_range"),
    Filter("deal_no", _("Trade number"), kind="prefix"),
    Filter("state", _("Delivery"), kind="choice", choices=STATES),
    Filter("method", _("Trading method"), kind="choice", choices=METHODS),
    Filter("trade_code", _("Trade code"), kind="prefix"),
    Filter("code", _("Instrument code"), kind="prefix"),
)
_TERMS = (
    _("Each trade is delivered against payment in full: its tonnes and its money move together"),
    _("A trade in default stands; what its party lacks is due at the next trading day's opening"),
)


class TradeView(ListPage):
    """成交查询 of participants: their own side of each trade, never the other one (ADR 0079)."""

    route_base = "/trades"
    title = _("Trades")
    menu = MenuEntry(SETTLEMENT, 1)
    guide = {"enterprise": "成交查询", "province": "成交查询"}
    grants = {f"{ENTERPRISES} {PROVINCE}": "list export"}
    key = ("id", "side")
    account_column = "account_id"
    shown_filters = 4
    columns = (
        *_COLUMNS,
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("side", _("Side"), choices=SIDES),
        *_FIGURES,
        Column("fee", _("Fee"), kind="money"),
        *_DELIVERY,
        Column("order_no", _("Order number"), kind="code", is_shown=False),
    )
    filters = (
        _FILTERS[0],
        Filter("side", _("Side"), kind="choice", choices=SIDES),
        *_FILTERS[1:],
        Filter("member", _("Member name"), on=("account",), is_of_others=True),
        Filter("member_no", _("Member number"), kind="prefix", is_of_others=True),
    )
    help = (*_TERMS, _("The other party of a trade is not shown"))
    empty_hint = _("Trades appear here once the exchange has sent its package of the day")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a side."""
        side = sides()
        return delivery_joined(
            select(
                side,
                DayPackage.day,
                Venue.code.label("venue"),
                Account.member_no,
                Account.name.label("account"),
                Instrument.code,
                Instrument.name.label("instrument"),
                VenueInstrument.trade_code,
                state().label("state"),
                TradeDelivery.at.label("delivered_at"),
                _has_statement().label("has_statement"),
            ).join(Account, Account.id == side.c.account_id),
            side,
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """Each side leads to the statement of its day."""
        if row.has_statement and self.may("show", "StatementView"):
            number = statement_number(row.day, row.venue, row.member_no)
            yield RowAction(_("Statement"), url_for("StatementView.show", id=number))

    def tools(self) -> Iterable[RowAction]:
        yield market_link()


class AllTradesView(ListPage):
    """成交查询 of the registry and the auditor: whole trades, with both parties."""

    route_base = "/trades/all"
    title = _("All trades")
    menu = MenuEntry(SETTLEMENT, 2)
    guide = {"registry": "成交查询", "administration": "成交查询"}
    grants = {f"{OFFICERS} {AUDITOR}": "list export"}
    account_column = None  # Both parties': granted to national scope alone (ADR 0079).
    shown_filters = 4
    columns = (
        *_COLUMNS,
        Column("buyer_no", _("Buyer's number"), kind="code"),
        Column("buyer", _("Buyer"), is_shown=False),
        Column("seller_no", _("Seller's number"), kind="code"),
        Column("seller", _("Seller"), is_shown=False),
        *_FIGURES,
        Column("buy_fee", _("Buyer's fee"), kind="money", is_shown=False),
        Column("sell_fee", _("Seller's fee"), kind="money", is_shown=False),
        *_DELIVERY,
        Column("venue", _("Trading venue"), kind="code", is_shown=False),
    )
    filters = (
        _FILTERS[0],
        Filter("member_no", _("Member number"), kind="prefix", on=("buyer_no", "seller_no")),
        *_FILTERS[1:],
        Filter("member", _("Member name"), on=("buyer", "seller")),
    )
    help = _TERMS

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a trade."""
        buyer, seller = aliased(Account), aliased(Account)
        trade = Trade.__table__
        return delivery_joined(
            select(
                Trade.id,
                Trade.deal_no,
                Trade.dealt_at,
                Trade.method,
                Trade.quantity,
                Trade.price,
                Trade.amount,
                Trade.buy_fee,
                Trade.sell_fee,
                Venue.code.label("venue"),
                buyer.member_no.label("buyer_no"),
                buyer.name.label("buyer"),
                seller.member_no.label("seller_no"),
                seller.name.label("seller"),
                Instrument.code,
                Instrument.name.label("instrument"),
                VenueInstrument.trade_code,
                state().label("state"),
                TradeDelivery.at.label("delivered_at"),
            )
            .join(buyer, buyer.id == Trade.buyer_id)
            .join(seller, seller.id == Trade.seller_id),
            trade,
        )

    def tools(self) -> Iterable[RowAction]:
        yield market_link()


def statement_number(day: date, venue: str, member_no: str) -> str:
    """Return a statement's number, which is its address, too."""
    return f"{day:%Y%m%d}-{venue}-{member_no}"


def market_link() -> RowAction:
    """Return the link to 每日行情."""
    return RowAction(
        _("Daily quotes"), url_for("MarketView.show"), icon="chart-candle", keeps_place=False
    )


def state() -> ColumnElement[str]:
    """Return what became of a trade; one that was in default and delivered later is delivered."""
    return case(
        (TradeDelivery.trade_id.is_not(None), DELIVERED),
        (TradeDefault.id.is_not(None), DEFAULT),
        else_=PENDING,
    )


def delivery_joined(statement: Select, trades: Any) -> Select:
    """Join what trades or their sides name, and what became of them."""
    known = (VenueInstrument.venue_id == DayPackage.venue_id) & (
        VenueInstrument.instrument_id == trades.c.instrument_id
    )
    return (
        statement.join(DayPackage, DayPackage.id == trades.c.package_id)
        .join(Venue, Venue.id == DayPackage.venue_id)
        .join(Instrument, Instrument.id == trades.c.instrument_id)
        .outerjoin(VenueInstrument, known)
        .outerjoin(TradeDelivery, TradeDelivery.trade_id == trades.c.id)
        .outerjoin(TradeDefault, TradeDefault.trade_id == trades.c.id)
    )


def _has_statement() -> ColumnElement[bool]:
    """Tell whether the day's delivery has ended, and its statements stand."""
    return exists().where(
        SettlementStage.package_id == DayPackage.id, SettlementStage.stage == "delivered"
    )
