"""交收: trades are delivered against payment, some in each transaction, resumed wherever it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, DateTime, Integer, bindparam, func, select, text

from app.domain.errors import InsufficientQuantity, NotFound, RuleError
from app.domain.kinds.settlement import TradeSettlement
from app.domain.trades import Clearing, Deal
from app.domain.workflow import Status
from app.extensions import db
from app.models import Application, DayPackage, Trade, TradeDelivery
from app.operations.ledger import posting
from app.operations.records import calendar, log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed
from app.operations.settlement import clearing, defaults, quotes, reconciliation, stages

AT_ONCE = 5_000  # trades a transaction
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a delivery stands: the last trade looked at, and how many were delivered and not."""

    after: int
    delivered: int
    short: int
    is_over: bool


_LOCK = text("SELECT pg_advisory_xact_lock(7260013, :package)")
_DELIVER = typed(
    "SELECT deliver_trades(:trades, :proceeds, :at, :member)",
    trades=BigInteger,
    proceeds=BigInteger,
).bindparams(bindparam("at", type_=DateTime(timezone=True)), bindparam("member", type_=Integer))


def deliver_some(package_id: int, actor: Actor, *, now: datetime, after: int = 0) -> Progress:
    """Deliver the next trades of an approved settlement, each whole or not at all.

    Called again with the ``after`` that it returned, until it is over; from 0 it takes up whatever
    was not delivered, those in default included.  Raises NotFound and RuleError where nothing is
    approved; the database refuses the same.
    """
    package = db.session.get(DayPackage, package_id)
    if package is None:
        raise NotFound(_("There is no such package"))
    _require_approved(package)
    calendar.share_transfers()
    db.session.execute(_LOCK, {"package": package_id})
    deals = clearing.undelivered(package_id, after=after, most=AT_ONCE)
    cleared = _deliver(deals, package, actor, now)
    if cleared.short:
        defaults.note(cleared.short, package, now=now)
    is_over = len(deals) < AT_ONCE
    if is_over:
        _finish(package, actor, now)
    last = deals[-1].id if deals else after
    return Progress(last, len(cleared.covered), len(cleared.short), is_over)


def _deliver(deals: Sequence[Deal], package: DayPackage, actor: Actor, now: datetime) -> Clearing:
    """Clear and deliver; once more where somebody spent what was counted on in between."""
    for attempt in range(ATTEMPTS):
        cleared = clearing.clear_now(deals, package)
        if not cleared.covered:
            break
        try:
            with db.session.begin_nested(), posting.ledger_errors():
                db.session.execute(
                    _DELIVER,
                    {
                        "trades": list(cleared.covered),
                        "proceeds": list(cleared.covered.values()),
                        "at": now,
                        "member": actor.member_id,
                    },
                )
            break
        except InsufficientQuantity:
            if attempt == ATTEMPTS - 1:
                raise
    return cleared


_WAITING = text("""
    SELECT p.id FROM day_package p
      JOIN application a ON a.proposal ->> 'package' = p.id::text AND a.kind = 'trade_settlement'
       AND a.status = 'approved'
     WHERE coalesce((SELECT s.stage FROM settlement_stage s
                      WHERE s.package_id = p.id AND s.stage IN ('delivered', 'rerun')
                      ORDER BY s.id DESC LIMIT 1), 'rerun') = 'rerun'
     ORDER BY p.day, p.id
""")


def waiting() -> Sequence[int]:
    """Return the packages whose trades are to be delivered now: approved, or asked for once more."""
    return db.session.scalars(_WAITING).all()


_COUNTS = text("""
    SELECT s.detail FROM settlement_stage s WHERE s.package_id = :package AND s.stage = 'delivered'
     ORDER BY s.id DESC LIMIT 1
""")
_OUTCOMES = text("""
    SELECT t.id, t.deal_no, d.at AS delivered_at,
           CASE WHEN d.trade_id IS NOT NULL THEN 'delivered'
                WHEN f.trade_id IS NOT NULL THEN 'default' ELSE 'pending' END AS state,
           CASE WHEN d.trade_id IS NULL THEN coalesce(f.missing_tonnes, 0) ELSE 0 END AS missing_tonnes,
           CASE WHEN d.trade_id IS NULL THEN coalesce(f.missing_fen, 0) ELSE 0 END AS missing_fen
      FROM trade t
      LEFT JOIN trade_delivery d ON d.trade_id = t.id
      LEFT JOIN trade_default f ON f.trade_id = t.id
     WHERE t.package_id = :package AND t.id > :after
     ORDER BY t.id LIMIT :most
""")


def counts(package_id: int) -> dict[str, int] | None:
    """Return how many trades of a package were delivered and are short; None before its delivery ended."""
    return db.session.scalar(_COUNTS, {"package": package_id})


def outcomes(package_id: int, *, after: int, most: int) -> Sequence[Any]:
    """Return what became of a package's trades, in the order of the deals."""
    asked = {"package": package_id, "after": after, "most": most}
    return db.session.execute(_OUTCOMES, asked).all()


def ask_again(package_id: int, actor: Actor, *, now: datetime) -> None:
    """重跑: deliver what was not delivered, defaults included, once more.

    Raises NotFound, and RuleError where nothing is approved or nothing is left.
    """
    package = db.session.get(DayPackage, package_id)
    if package is None:
        raise NotFound(_("There is no such package"))
    _require_approved(package)
    if not clearing.undelivered(package_id, most=1):
        raise RuleError(_("All trades of the day are delivered"), code="all_delivered")
    stages.note(package_id, "rerun", actor, started_at=now)
    log.record(actor, "settlement.rerun", subject=f"{package.day}")


def _require_approved(package: DayPackage) -> None:
    approved = select(Application.id).where(
        Application.kind == TradeSettlement.code,
        Application.status == Status.APPROVED,
        Application.proposal["package"].astext == str(package.id),
    )
    if db.session.scalar(approved) is None:
        raise RuleError(
            _("The settlement of %(day)s is not approved by two officers yet", day=package.day),
            code="settlement_not_approved",
        )


def _finish(package: DayPackage, actor: Actor, now: datetime) -> None:
    delivered = db.session.scalar(
        select(func.count())
        .select_from(TradeDelivery)
        .join(Trade, Trade.id == TradeDelivery.trade_id)
        .where(Trade.package_id == package.id)
    )
    found = {"delivered": delivered, "short": package.trades - (delivered or 0)}
    quotes.write(package)
    is_first = counts(package.id) is None
    began = db.session.scalar(
        select(func.min(TradeDelivery.at))
        .join(Trade, Trade.id == TradeDelivery.trade_id)
        .where(Trade.package_id == package.id)
    )
    stages.note(package.id, "delivered", actor, started_at=began or now, **found)
    if is_first and reconciliation.is_comparable(package):
        reconciliation.reconcile(package, actor, now=now)
    log.record(actor, "settlement.deliver", subject=f"{package.day}", **found)
