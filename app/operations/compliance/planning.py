"""履约规划: the facts of an enterprise that a proposal rests on, in four statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import exists, select, text

from app.domain.compliance import planner
from app.domain.compliance.offsets import UnitState
from app.domain.compliance.planner import Due, Held, Offset, Proposal
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import OffsetUnit, plans_on
from app.models.figures import open_offset_difference

MOST_UNITS = 200


@dataclass(frozen=True, slots=True)
class Planned:
    """A proposal with what it rests on: rows of notices, holdings and units of CCER."""

    proposal: Proposal
    notices: Sequence[Any]
    holdings: Sequence[Any]
    units: Sequence[OffsetUnit]
    last_years: dict[int, int]  # by instrument


def for_account(account_id: int, now: datetime) -> Planned:
    """Propose how an account fulfils its open notices, old arrears among them."""
    today = now.astimezone(BEIJING).date()
    plan = plans_on(today)
    known = db.session.execute(select(plan.c.year, plan.c.vintages).order_by(plan.c.year)).all()
    open_ = db.session.execute(_OPEN, {"account": account_id, "today": today}).all()
    rows = db.session.execute(_HELD, {"account": account_id}).all()
    years = planner.last_years([(row.year, frozenset(row.vintages)) for row in known])
    held = [Held(row.id, row.vintage, row.available, years.get(row.vintage, 0)) for row in rows]
    units = _units(account_id)
    found = planner.propose(
        [_due(row, units, today) for row in open_],
        held,
        [Offset(each.id, each.quantity) for each in units],
    )
    return Planned(found, open_, rows, units, {each.instrument_id: each.last_year for each in held})


def _due(row: Any, units: Sequence[OffsetUnit], today: date) -> Due:
    """Return a notice with its rest; CCER does not count after its own last day."""
    is_late = row.offset_by is not None and row.offset_by < today
    left = 0 if is_late else max(row.offset_limit - row.offset_used, 0)
    accepted = frozenset(
        each.id
        for each in units
        if not each.in_ets
        and each.as_unit().is_registered_in_time(row.offset_registered_from, row.year, today)
    )
    return Due(row.id, row.deadline, row.rest, frozenset(row.vintages), left, accepted)


def _units(account_id: int) -> Sequence[OffsetUnit]:
    """Return the CCER that waits for offset; none while the two registries differ about the account."""
    differing = exists().where(open_offset_difference.c.account_id == OffsetUnit.account_id)
    waiting = select(OffsetUnit).where(
        OffsetUnit.account_id == account_id, OffsetUnit.state == UnitState.FROZEN, ~differing
    )
    return db.session.scalars(waiting.order_by(OffsetUnit.id).limit(MOST_UNITS)).all()


_OPEN = text("""
    SELECT n.id, n.number, n.year, n.sector, n.obligation, p.surrender_by AS deadline, p.vintages,
           p.offset_by, p.offset_registered_from,
           floor(n.obligation * p.offset_percent / 100)::bigint AS offset_limit,
           u.offset_used, n.obligation - u.used AS rest
      FROM notice n
     CROSS JOIN LATERAL plan_on(n.year, n.sector, :today) p
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(s.surrendered + s.pending), 0)::bigint AS used,
                  coalesce(sum(s.offset_surrendered + s.offset_pending), 0)::bigint AS offset_used
             FROM notice_surrender s WHERE s.notice_id = n.id) AS u
     WHERE n.account_id = :account AND n.withdrawn_at IS NULL AND n.obligation > u.used
     ORDER BY p.surrender_by, n.id
""")
_HELD = text("""
    SELECT i.id, i.code, i.name, i.kind, i.vintage, h.available, h.trading
      FROM holding h JOIN instrument i ON i.id = h.instrument_id
     WHERE h.account_id = :account AND i.kind = 'allowance' AND h.available + h.trading > 0
     ORDER BY i.code
""")
