"""The figures of a settlement statement: what the ledger held before and after a day's delivery."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Row, Select, and_, case, func, literal, select, text

from app.domain.errors import NotFound
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING, OPENING
from app.extensions import db
from app.models import (
    Account,
    DayPackage,
    Instrument,
    ReportedFund,
    SettlementStage,
    TradeDelivery,
    Venue,
)
from app.operations.records import calendar
from app.operations.settlement.sides import BUY, sides
from app.views.settlement.trades import DEFAULT, DELIVERED, delivery_joined, statement_number

_NUMBER = re.compile(r"([0-9]{8})-(.{1,20})-([^-]{1,20})", re.ASCII)

# A holding's bucket at a moment: the last entry's balance.  ``at`` never runs backwards along ``seq``.
_BALANCES = text("""
    SELECT i.id, i.code, i.name, i.kind = 'money' AS is_money, b.bucket,
           coalesce((SELECT e.after FROM entry e
                      WHERE e.account_id = h.account_id AND e.instrument_id = h.instrument_id
                        AND e.bucket = b.bucket AND e.at < :begin
                      ORDER BY e.seq DESC LIMIT 1), 0) AS opening,
           coalesce((SELECT e.after FROM entry e
                      WHERE e.account_id = h.account_id AND e.instrument_id = h.instrument_id
                        AND e.bucket = b.bucket AND e.at <= :as_of
                      ORDER BY e.seq DESC LIMIT 1), 0) AS closing
      FROM holding h
      JOIN instrument i ON i.id = h.instrument_id
      JOIN (VALUES (false, :trading), (true, :available), (true, :proceeds)) AS b (is_money, bucket)
        ON b.is_money = (i.kind = 'money')
     WHERE h.account_id = :account
     ORDER BY i.code, b.bucket
""").bindparams(
    trading=int(Bucket.TRADING), available=int(Bucket.AVAILABLE), proceeds=int(Bucket.PROCEEDS)
)


@dataclass(slots=True)
class Position:
    """An instrument's tonnes in trading; ``other`` is what came or went without a trade."""

    code: str
    name: str
    opening: int
    closing: int
    bought: int = 0
    sold: int = 0

    @property
    def other(self) -> int:
        return self.closing - self.opening - self.bought + self.sold


@dataclass(slots=True)
class Money:
    """The fen at one bank; proceeds are usable at once and withdrawable from the next opening (N144)."""

    name: str
    opening_available: int = 0
    opening_proceeds: int = 0
    available: int = 0
    proceeds: int = 0
    bought: int = 0
    sold: int = 0
    fees: int = 0

    @property
    def usable(self) -> int:
        return self.available + self.proceeds

    @property
    def other(self) -> int:
        before = self.opening_available + self.opening_proceeds
        return self.usable - before + self.bought - self.sold + self.fees


@dataclass(slots=True)
class Statement:
    """A participant's statement of a settled day; amounts in fen, all as of one instant."""

    number: str
    package_id: int
    account_id: int
    member_no: str
    account: str
    venue: str
    day: date
    as_of: datetime
    deadline: datetime
    trades: int = 0
    undelivered: int = 0
    positions: list[Position] = field(default_factory=list)
    money: list[Money] = field(default_factory=list)

    @property
    def delivered(self) -> int:
        return self.trades - self.undelivered

    @property
    def bought(self) -> int:
        return sum(each.bought for each in self.money)

    @property
    def sold(self) -> int:
        return sum(each.sold for each in self.money)

    @property
    def fees(self) -> int:
        return sum(each.fees for each in self.money)


def settled() -> Any:
    """Return the packages whose delivery has ended, with the instant when it first did."""
    return (
        select(SettlementStage.package_id, func.min(SettlementStage.ended_at).label("settled_at"))
        .where(SettlementStage.stage == "delivered")
        .group_by(SettlementStage.package_id)
        .subquery("settled")
    )


def statements() -> Select[Any]:
    """Return one row a participant and settled day on which it traded."""
    ended = settled()
    return (
        select(
            ReportedFund.package_id,
            ReportedFund.account_id,
            DayPackage.day,
            Venue.code.label("venue"),
            Account.member_no,
            Account.name.label("account"),
            ReportedFund.bought,
            ReportedFund.sold,
            ReportedFund.fees,
            ended.c.settled_at,
        )
        .join(DayPackage, DayPackage.id == ReportedFund.package_id)
        .join(Venue, Venue.id == DayPackage.venue_id)
        .join(Account, Account.id == ReportedFund.account_id)
        .join(ended, ended.c.package_id == ReportedFund.package_id)
        .where((ReportedFund.bought > 0) | (ReportedFund.sold > 0))
    )


def find(number: str) -> Row[Any]:
    """Return the row of a statement by its number.  Raises NotFound."""
    parts = _NUMBER.fullmatch(number)
    try:
        day = date.fromisoformat(parts[1]) if parts else None
    except ValueError:
        day = None
    row = None
    if parts and day:
        wanted = and_(DayPackage.day == day, Venue.code == parts[2], Account.member_no == parts[3])
        row = db.session.execute(statements().where(wanted)).one_or_none()
    if row is None:
        raise NotFound(_("There is no such record"))
    return row


def statement(row: Row[Any]) -> Statement:
    """Compute a statement from the entries of the ledger and the trades delivered by its instant."""
    found = Statement(
        statement_number(row.day, row.venue, row.member_no),
        row.package_id, row.account_id, row.member_no, row.account, row.venue, row.day,
        row.settled_at, deadline(row.day, row.settled_at),
    )  # fmt: skip
    positions, money = _balances(found)
    for each in db.session.execute(_totals(found)):
        found.trades += each.trades
        if each.is_delivered:
            _count(each, positions[each.instrument_id], money[each.money_id])
        else:
            found.undelivered += each.trades
    found.positions = [
        each
        for each in positions.values()
        if each.opening or each.closing or each.bought or each.sold
    ]
    found.money = list(money.values())
    return found


def deadline(day: date, as_of: datetime) -> datetime:
    """Return until when a statement may be objected to: the next trading day's opening (R56).

    That of a day settled late is the first opening after it was settled.
    """
    since_opening = as_of.astimezone(BEIJING) - timedelta(
        hours=OPENING.hour, minutes=OPENING.minute
    )
    after = max(day, since_opening.date())
    return datetime.combine(calendar.next_trading_day(after), OPENING, tzinfo=BEIJING)


def _balances(found: Statement) -> tuple[dict[int, Position], dict[int, Money]]:
    positions: dict[int, Position] = {}
    money: dict[int, Money] = {}
    begin = datetime.combine(found.day, time(), tzinfo=BEIJING)
    at = {"account": found.account_id, "begin": begin, "as_of": found.as_of}
    for row in db.session.execute(_BALANCES, at):
        if not row.is_money:
            positions[row.id] = Position(row.code, row.name, row.opening, row.closing)
            continue
        of_bank = money.setdefault(row.id, Money(row.name))
        if row.bucket == Bucket.AVAILABLE:
            of_bank.opening_available, of_bank.available = row.opening, row.closing
        else:
            of_bank.opening_proceeds, of_bank.proceeds = row.opening, row.closing
    return positions, money


def _count(each: Row[Any], position: Position, money: Money) -> None:
    if each.side == BUY:
        position.bought += int(each.quantity)
        money.bought += int(each.amount)
    else:
        position.sold += int(each.quantity)
        money.sold += int(each.amount)
    money.fees += int(each.fee)


def _totals(found: Statement) -> Select[Any]:
    side = sides()
    is_delivered = (TradeDelivery.at <= found.as_of).is_(True)
    groups = (
        side.c.instrument_id,
        side.c.money_id,
        side.c.side,
        is_delivered.label("is_delivered"),
    )
    return (
        select(
            *groups,
            func.count().label("trades"),
            func.sum(side.c.quantity).label("quantity"),
            func.sum(side.c.amount).label("amount"),
            func.sum(side.c.fee).label("fee"),
        )
        .outerjoin(TradeDelivery, TradeDelivery.trade_id == side.c.id)
        .where(side.c.account_id == found.account_id, side.c.package_id == found.package_id)
        .group_by(*groups)
    )


def trades(found: Statement, most: int | None = None, *, after: int = 0) -> list[Row[Any]]:
    """Return a statement's trades in their order, each as it stood at the statement's instant.

    ``after`` is the id of a trade that those before it end with.
    """
    side = sides()
    is_delivered = (TradeDelivery.at <= found.as_of).is_(True)
    statement = delivery_joined(
        select(
            side.c.id,
            side.c.deal_no,
            side.c.dealt_at,
            side.c.method,
            Instrument.code,
            Instrument.name.label("instrument"),
            side.c.side,
            side.c.quantity,
            side.c.price,
            side.c.amount,
            side.c.fee,
            case((is_delivered, literal(DELIVERED)), else_=literal(DEFAULT)).label("state"),
        ),
        side,
    )
    mine = (side.c.account_id == found.account_id) & (side.c.package_id == found.package_id)
    mine &= side.c.id > after
    return list(db.session.execute(statement.where(mine).order_by(side.c.id).limit(most)))
