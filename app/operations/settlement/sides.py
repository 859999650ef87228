"""The two sides of each trade, and what an account's sides come to over a period (rules-2026 N68, N150)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Subquery,
    and_,
    cast,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from app.extensions import db
from app.models import DayPackage, Trade, TradeDelivery

BUY, SELL = "buy", "sell"


def sides() -> Subquery:
    """Return two rows a trade, one of each party: its side, account, money, fee and order."""
    bought = _side(BUY, Trade.buyer_id, Trade.buyer_money_id, Trade.buy_fee, Trade.buy_order_no)
    sold = _side(SELL, Trade.seller_id, Trade.seller_money_id, Trade.sell_fee, Trade.sell_order_no)
    return union_all(bought, sold).subquery("sides")


def _side(
    name: str,
    account: InstrumentedAttribute[int],
    money: InstrumentedAttribute[int],
    fee: InstrumentedAttribute[int],
    order_no: InstrumentedAttribute[str],
) -> Select:
    return select(
        Trade.id,
        Trade.package_id,
        Trade.instrument_id,
        Trade.deal_no,
        Trade.dealt_at,
        Trade.method,
        Trade.quantity,
        Trade.price,
        Trade.amount,
        literal(name).label("side"),
        account.label("account_id"),
        money.label("money_id"),
        fee.label("fee"),
        order_no.label("order_no"),
    )


@dataclass(frozen=True, slots=True)
class Net:
    """What an account bought and sold of an instrument: tonnes, and fen without fees."""

    account_id: int
    instrument_id: int
    bought: int
    sold: int
    bought_for: int
    sold_for: int
    fees: int
    undelivered_bought: int
    undelivered_sold: int

    @property
    def net_sold(self) -> int:
        """Tonnes; below zero where more was bought."""
        return self.sold - self.bought


def net_between(
    first: date, last: date, accounts: Collection[int] | None = None
) -> dict[tuple[int, int], Net]:
    """Return what was bought and sold by (account, instrument), as `net` counts it."""
    statement = net(first, last)
    if accounts is not None:
        found = statement.subquery()
        statement = select(found).where(found.c.account_id.in_(accounts))
    rows = [Net(**row._mapping) for row in db.session.execute(statement)]
    return {(row.account_id, row.instrument_id): row for row in rows}


def net(first: date | None, last: date | None) -> Select[Any]:
    """Return a row an account and instrument: what it bought and sold on trading days, both included.

    Only deals that the exchange matched count, each on its trading day and once it is delivered: not
    those in default, and no transfer, custody, freeze or surrender (N68).  What is not delivered stands
    beside it.  A package that contradicts its own deals is refused on receipt, so that these sums are
    the exchange's, too.
    """
    side = sides()
    is_delivered = TradeDelivery.trade_id.is_not(None)
    bought, sold = side.c.side == BUY, side.c.side == SELL
    ends = [DayPackage.day >= first] if first else []
    ends += [DayPackage.day <= last] if last else []
    return (
        select(
            side.c.account_id,
            side.c.instrument_id,
            _sum(side.c.quantity, bought, is_delivered).label("bought"),
            _sum(side.c.quantity, sold, is_delivered).label("sold"),
            _sum(side.c.amount, bought, is_delivered).label("bought_for"),
            _sum(side.c.amount, sold, is_delivered).label("sold_for"),
            _sum(side.c.fee, is_delivered).label("fees"),
            _sum(side.c.quantity, bought, ~is_delivered).label("undelivered_bought"),
            _sum(side.c.quantity, sold, ~is_delivered).label("undelivered_sold"),
        )
        .join(DayPackage, DayPackage.id == side.c.package_id)
        .outerjoin(TradeDelivery, TradeDelivery.trade_id == side.c.id)
        .where(*ends)
        .group_by(side.c.account_id, side.c.instrument_id)
    )


def _sum(figure: ColumnElement[int], *counted: ColumnElement[bool]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(figure).filter(and_(*counted)), 0), BigInteger)
