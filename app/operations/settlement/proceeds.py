"""今日卖出所得 becomes withdrawable at the opening of the next trading day (rules-2026 N144)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from flask_babel import gettext as _
from sqlalchemy import DateTime, bindparam, select, text

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING, OPENING
from app.extensions import db
from app.models import ProceedsRelease, SettlementBank
from app.operations.ledger import posting
from app.operations.records import calendar, log
from app.operations.records.actor import Actor

_LOCK = text("SELECT pg_advisory_xact_lock(7260014)")
_DEBTORS = text("SELECT DISTINCT account_id FROM open_receivable ORDER BY account_id")
_PAY = text("SELECT pay_receivables(:account, :at)").bindparams(
    bindparam("at", type_=DateTime(timezone=True))
)
_RELEASE = text("SELECT holdings, amount FROM release_proceeds(:day, :at)")


@dataclass(frozen=True, slots=True)
class Released:
    """What became withdrawable: participants' sub-ledgers, and fen."""

    holdings: int
    amount: int


def release_if_due(actor: Actor, *, now: datetime) -> Released | None:
    """Release what is due at this moment; called periodically by the worker."""
    moment = now.astimezone(BEIJING)
    if moment.time() < OPENING or not calendar.is_trading_day(moment.date()):
        return None
    if db.session.scalar(select(SettlementBank.id).limit(1)) is None:
        return None  # Nobody has money here.
    return release(moment.date(), actor, now=now)


def release(day: date, actor: Actor, *, now: datetime) -> Released | None:
    """Release the proceeds of earlier days at a day's opening; None where that was done.

    They pay the receivables of their accounts first (domain.md R58).

    Raises RuleError before the opening and on a day that does not trade.
    """
    db.session.execute(_LOCK)
    if db.session.scalar(select(ProceedsRelease.day).where(ProceedsRelease.day == day)):
        return None
    if not calendar.is_trading_day(day):
        raise RuleError(_("%(day)s is not a trading day", day=day), code="not_a_trading_day")
    if now < datetime.combine(day, OPENING, tzinfo=BEIJING):
        raise RuleError(
            _("%(day)s opens at %(hour)s", day=day, hour=f"{OPENING:%H:%M}"), code="not_open_yet"
        )
    with posting.ledger_errors():
        holdings, amount = db.session.execute(_RELEASE, {"day": day, "at": now}).one()
        for account_id in db.session.scalars(_DEBTORS).all():
            paid = db.session.scalar(_PAY, {"account": account_id, "at": now})
            if paid:
                log.record(actor, "receivable.pay", account_id=account_id, fen=paid)
    log.record(actor, "proceeds.release", subject=day.isoformat(), holdings=holdings, fen=amount)
    return Released(holdings, amount)
