"""What a machine client may read: its transfers, members, positions, calendar and tradable instruments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Integer, Row, Select, String, func, literal, select, text

from app.domain.workflow import Status
from app.extensions import db
from app.models import (
    Account,
    Application,
    ApplicationLine,
    BankBinding,
    CourtSale,
    Holding,
    Instrument,
    MachineRequest,
    SettlementBank,
    SettlementRun,
    TradingDay,
    Venue,
    VenueInstrument,
)
from app.operations.exchange.trading import KIND_OF_DIRECTION
from app.operations.ledger.snapshots import CHANGES_SINCE, Instant
from app.operations.records.columns import typed

SETTLED = "settled"  # shown instead of pending_settlement once the day has been closed
STATES = (str(Status.PENDING_SETTLEMENT), SETTLED, str(Status.REFUSED))
DIRECTION_OF_KIND = {kind: direction for direction, kind in KIND_OF_DIRECTION.items()}


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of a page; ``has_more`` where others follow."""

    rows: Sequence[Any]
    has_more: bool


def page_of(statement: Select[Any], limit: int) -> Page:
    """Read one row more than a page has, to know whether others follow."""
    rows = db.session.execute(statement.limit(limit + 1)).all()
    return Page(rows[:limit], len(rows) > limit)


def trade_codes(venue_id: int, day: date) -> Sequence[Row[Any]]:
    """Return code, trade code, name, vintage and kind of what a venue trades on a day."""
    return db.session.execute(_tradable(venue_id, day)).all()


def tradable(venue_id: int, day: date, after: str, limit: int) -> Page:
    """Return a page of the same, by instrument code."""
    return page_of(_tradable(venue_id, day).where(Instrument.code > after), limit)


def _tradable(venue_id: int, day: date) -> Select[Any]:
    statement: Any = (
        select(
            Instrument.code.label("instrument_code"),
            VenueInstrument.trade_code,
            Instrument.name,
            Instrument.vintage,
            Instrument.kind,
        )
        .join(VenueInstrument, VenueInstrument.instrument_id == Instrument.id)
        .where(VenueInstrument.venue_id == venue_id, VenueInstrument.in_force(day))
        .order_by(Instrument.code)
    )
    return statement


def calendar_days(first: date, last: date, limit: int) -> Page:
    """Return the days of the trading calendar from one to another."""
    between = TradingDay.day.between(first, last)
    days: Any = select(TradingDay.day, TradingDay.is_trading, TradingDay.note).where(between)
    return page_of(days.order_by(TradingDay.day), limit)


def member(member_no: str) -> Row[Any] | None:
    """Return what the trading side may know of an enterprise's account."""
    return db.session.execute(
        select(
            Account.member_no,
            Account.name,
            Account.is_restricted,
            Account.allows_exchange_transfer,
            Account.opened_on,
        ).where(Account.member_no == member_no, Account.kind == "enterprise")
    ).one_or_none()


_shown_state = func.coalesce(
    select(literal(SETTLED))
    .where(
        Application.status == Status.PENDING_SETTLEMENT,
        Application.settles_on <= select(func.max(SettlementRun.day)).scalar_subquery(),
    )
    .correlate(Application)
    .scalar_subquery(),
    Application.status,
)


def transfers(client_id: int) -> Select[Any]:
    """Return the statement of a client's transfers, the newest last, as answers describe them."""
    statement: Any = (
        select(
            MachineRequest.application_id.label("id"),
            MachineRequest.request_no,
            MachineRequest.refusal_code,
            MachineRequest.refusal_field,
            Application.number,
            Application.kind,
            Application.refusal,
            Application.created_at,
            Application.settles_on,
            _shown_state.label("state"),
            Application.account_id,
            ApplicationLine.instrument_id,
            ApplicationLine.quantity,
            Account.member_no,
            Instrument.code.label("instrument_code"),
            Venue.code.label("venue_code"),
            VenueInstrument.trade_code,
        )
        .join(Application, Application.id == MachineRequest.application_id)
        .join(ApplicationLine, ApplicationLine.application_id == Application.id)
        .join(Account, Account.id == Application.account_id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .join(Venue, Venue.id == ApplicationLine.venue_id)
        .outerjoin(
            VenueInstrument,
            (VenueInstrument.venue_id == Venue.id)
            & (VenueInstrument.instrument_id == Instrument.id),
        )
        .where(MachineRequest.client_id == client_id)
        .order_by(MachineRequest.application_id)
    )
    return statement


def restricted(
    statement: Select[Any], *, after: int, state: str, kind: str, member_no: str
) -> Select[Any]:
    """Restrict transfers to those after an application, and to what is asked for; "" asks for all."""
    statement = statement.where(MachineRequest.application_id > after)
    if state:
        statement = statement.where(_shown_state == literal(state))
    if kind:
        statement = statement.where(Application.kind == kind)
    if member_no:
        statement = statement.where(Account.member_no == member_no)
    return statement


def balances(pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Row[Any]]:
    """Return the holdings of (account, instrument) pairs; those never held are missing."""
    wanted = sorted(set(pairs))
    if not wanted:
        return {}
    rows = db.session.execute(
        _BALANCES,
        {"accounts": [pair[0] for pair in wanted], "instruments": [pair[1] for pair in wanted]},
    )
    return {(row.account_id, row.instrument_id): row for row in rows}


def balances_named(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Row[Any]]:
    """Return the same by (member number, instrument code)."""
    wanted = sorted(set(pairs))
    rows = db.session.execute(
        _BALANCES_NAMED,
        {"members": [pair[0] for pair in wanted], "codes": [pair[1] for pair in wanted]},
    )
    return {(row.member_no, row.code): row for row in rows}


_BALANCES = typed(
    """
    SELECT account_id, instrument_id, available, pending_to_trading, trading, pending_to_registry
      FROM unnest(:accounts, :instruments) AS asked (account_id, instrument_id)
      JOIN holding USING (account_id, instrument_id)
    """,
    accounts=Integer,
    instruments=Integer,
)
_BALANCES_NAMED = typed(
    """
    SELECT a.member_no, i.code, available, pending_to_trading, trading, pending_to_registry
      FROM unnest(:members, :codes) AS asked (member_no, code)
      JOIN account a USING (member_no)
      JOIN instrument i USING (code)
      JOIN holding h ON h.account_id = a.id AND h.instrument_id = i.id
    """,
    members=String,
    codes=String,
)


def funds(after: str, limit: int) -> Page:
    """Return the money, in fen, of members with a bank account bound, by member number."""
    money: Any = (
        select(
            Account.member_no,
            SettlementBank.code.label("bank_code"),
            func.coalesce(Holding.available, 0).label("available"),
            func.coalesce(Holding.proceeds, 0).label("proceeds"),
            func.coalesce(Holding.reserved + Holding.frozen, 0).label("frozen"),
        )
        .join(BankBinding, BankBinding.account_id == Account.id)
        .join(SettlementBank, SettlementBank.id == BankBinding.bank_id)
        .outerjoin(
            Holding,
            (Holding.account_id == Account.id)
            & (Holding.instrument_id == SettlementBank.instrument_id),
        )
        .where(BankBinding.ended_at.is_(None), Account.member_no > after)
        .order_by(Account.member_no)
    )
    return page_of(money, limit)


def court_sales(venue_id: int, day: date, after: int, limit: int) -> Page:
    """Return what courts let sell and is unsold, of instruments that a venue trades on a day, by sale.

    Tonnes; deals that sell them carry the number as the seller's order number (rules-2026 N103).
    """
    traded = _tradable(venue_id, day).subquery("traded")
    sales: Any = (
        select(
            CourtSale.application_id.label("id"),
            Application.number,
            Account.member_no,
            Instrument.code.label("instrument_code"),
            traded.c.trade_code,
            CourtSale.unsold,
        )
        .join(Application, Application.id == CourtSale.application_id)
        .join(Account, Account.id == CourtSale.account_id)
        .join(Instrument, Instrument.id == CourtSale.instrument_id)
        .join(traded, traded.c.instrument_code == Instrument.code)
        .where(CourtSale.unsold > 0, CourtSale.application_id > after)
        .order_by(CourtSale.application_id)
    )
    return page_of(sales, limit)


# Positions -----------------------------------------------------------------------------------------


def positions(
    venue_id: int, instant: Instant, after: tuple[int, int], member_no: str, limit: int
) -> Page:
    """Return what members held at an instant on the trading side, by account and instrument.

    What transactions outside the instant have moved since is taken back, so that the pages of one
    instant fit together.
    """
    asked = {
        "venue": venue_id,
        "snapshot": instant.snapshot,
        "account": after[0],
        "instrument": after[1],
        "member": member_no,
        "limit": limit + 1,
    }
    rows = db.session.execute(_POSITIONS, asked).all()
    return Page(rows[:limit], len(rows) > limit)


_HELD_AT = f"""
    WITH change AS MATERIALIZED ({CHANGES_SINCE})
    SELECT * FROM (
      SELECT h.account_id, h.instrument_id, a.member_no, i.code AS instrument_code, v.trade_code,
             h.pending_to_trading - coalesce(c.pending_to_trading, 0) AS pending_to_trading,
             h.trading - coalesce(c.trading, 0) AS trading,
             h.pending_to_registry - coalesce(c.pending_to_registry, 0) AS pending_to_registry
        FROM holding h
        JOIN account a ON a.id = h.account_id
        JOIN instrument i ON i.id = h.instrument_id
        JOIN venue_instrument v ON v.instrument_id = i.id AND v.venue_id = :venue
        LEFT JOIN change c ON c.account_id = h.account_id AND c.instrument_id = h.instrument_id
       WHERE a.kind = 'enterprise' AND (:member = '' OR a.member_no = :member)
         AND (h.account_id, h.instrument_id) > (:account, :instrument)) AS held
     WHERE pending_to_trading <> 0 OR trading <> 0 OR pending_to_registry <> 0
     ORDER BY account_id, instrument_id
     LIMIT :limit
"""  # noqa: S608 - with a constant of ours
_POSITIONS = text(_HELD_AT)
