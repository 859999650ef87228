"""Day-end settlement of the tonnes in transit (domain.md 6.4, 结算规则 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from flask_babel import gettext as _
from sqlalchemy import select, text

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import SettlementRun, TradingDay
from app.operations.ledger import posting
from app.operations.records import calendar, log
from app.operations.records.actor import Actor

BUSINESS = "day_end"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The result of a day-end; quantities in tonnes."""

    day: date
    was_settled_before: bool
    to_trading_holdings: int
    to_trading_quantity: int
    to_registry_holdings: int
    to_registry_quantity: int


class DaysSkipped(RuleError):
    """Trading days before this one are not settled, and could not be settled afterwards."""

    code = "days_skipped"

    def __init__(self, day: date, skipped: Sequence[date]) -> None:
        message = _(
            "%(count)s trading days before %(day)s are not settled: %(days)s. After %(day)s they can be"
            " settled no more, and what was due on them is settled together with it. Settle them first"
            " (--date), or repeat with --yes.",
            count=len(skipped),
            day=day.isoformat(),
            days="、".join(each.isoformat() for each in skipped),
        )
        super().__init__(message, field="date")


def settle_day(day: date, actor: Actor, *, now: datetime, may_skip: bool = True) -> Settlement:
    """Settle one trading day: 登记待划转 → 交易持有, 交易待划转 → 登记可用, for every holding.

    Idempotent.  Transfers submitted for a later day stay in transit.  Runs in the caller's
    transaction.  Raises RuleError for a non-trading day, before the day's cut-off, or where a later
    day is settled; DaysSkipped, unless ``may_skip``, where trading days since the last one are not.
    """
    calendar.stop_transfers()
    before = db.session.get(SettlementRun, day)
    if before is not None:
        return _result(before, was_settled_before=True)
    _require_due(day, now)
    _require_trades_settled(day)
    if not may_skip and (skipped := _skipped(day)):
        raise DaysSkipped(day, skipped)
    rolled = posting.roll(day, business=BUSINESS, at=now, member_id=actor.member_id)
    run = SettlementRun(
        day=day,
        at=now,
        posting_id=rolled.posting_id,
        to_trading_holdings=rolled.to_trading_holdings,
        to_trading_quantity=rolled.to_trading_quantity,
        to_registry_holdings=rolled.to_registry_holdings,
        to_registry_quantity=rolled.to_registry_quantity,
        member_id=actor.member_id,
    )
    db.session.add(run)
    log.record(
        actor,
        "settlement.run",
        subject=day.isoformat(),
        to_trading=run.to_trading_quantity,
        to_registry=run.to_registry_quantity,
    )
    return _result(run, was_settled_before=False)


def last_closed_day() -> date | None:
    """Return the latest settled trading day."""
    return db.session.scalar(select(SettlementRun.day).order_by(SettlementRun.day.desc()).limit(1))


def _skipped(day: date) -> Sequence[date]:
    """Return the trading days between the last settled one and ``day``; none before the first run."""
    last = last_closed_day()
    if last is None:
        return []
    return db.session.scalars(
        select(TradingDay.day)
        .where(TradingDay.is_trading, TradingDay.day > last, TradingDay.day < day)
        .order_by(TradingDay.day)
    ).all()


def _require_due(day: date, now: datetime) -> None:
    if not calendar.is_trading_day(day):
        raise RuleError(_("%(day)s is not a trading day", day=day.isoformat()), field="date")
    closes = datetime.combine(day, calendar.cut_off(day), tzinfo=BEIJING)
    if now < closes:
        raise RuleError(
            _(
                "%(day)s can be settled from %(hour)s on",
                day=day.isoformat(),
                hour=f"{closes:%H:%M}",
            ),
            field="date",
        )
    last = last_closed_day()
    if last is not None and day < last:
        raise RuleError(
            _(
                "%(last)s has been settled; %(day)s lies before it",
                last=last.isoformat(),
                day=day.isoformat(),
            ),
            field="date",
        )


_UNSETTLED = text("""
    SELECT v.name FROM venue v
     WHERE v.valid_from <= :day AND coalesce(v.disabled_from > :day, true)
       AND EXISTS (SELECT FROM venue_certificate c
                    WHERE c.venue_id = v.id AND c.valid_from <= :day
                      AND coalesce(c.disabled_from > :day, true))
       AND NOT EXISTS (SELECT FROM day_package p JOIN settlement_stage s ON s.package_id = p.id
                        WHERE p.venue_id = v.id AND p.day = :day AND s.stage = 'delivered')
     ORDER BY v.code
""")


def _require_trades_settled(day: date) -> None:
    """Require that the trades of every venue that hands in packages are delivered (domain.md 6.4)."""
    waiting = db.session.scalars(_UNSETTLED, {"day": day}).all()
    if waiting:
        raise RuleError(
            _(
                "The trades of %(day)s are not settled yet: %(venues)s. What is in transit follows them",
                day=day.isoformat(),
                venues="、".join(waiting),
            ),
            field="date",
            code="trades_unsettled",
        )


def _result(run: SettlementRun, *, was_settled_before: bool) -> Settlement:
    return Settlement(
        day=run.day,
        was_settled_before=was_settled_before,
        to_trading_holdings=run.to_trading_holdings,
        to_trading_quantity=run.to_trading_quantity,
        to_registry_holdings=run.to_registry_holdings,
        to_registry_quantity=run.to_registry_quantity,
    )
