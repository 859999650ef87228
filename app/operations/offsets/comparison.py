"""夜间比对: what is frozen there and what is mirrored here, an enterprise at a time (rules-2026 N89)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from flask_babel import gettext as _
from sqlalchemy import BigInteger, Integer, String, bindparam, select
from sqlalchemy.dialects.postgresql import insert as upsert

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import OffsetComparison
from app.operations.offsets import letters
from app.operations.offsets.exchange import Frozen
from app.operations.records import log
from app.operations.records.actor import CCER, Actor
from app.operations.records.columns import typed


def ask(actor: Actor, *, now: datetime) -> None:
    """Let the worker compare at once; where a comparison waits already, that one is it."""
    made = db.session.execute(
        upsert(OffsetComparison)
        .values(day=day_of(now), asked_at=now, asked_by=actor.member_id)
        .on_conflict_do_nothing()
        .returning(OffsetComparison.id)
    ).scalar_one_or_none()
    if made is not None:
        log.record(actor, "offset.compare", subject=str(made))


def due(*, now: datetime) -> int | None:
    """Return the comparison that waits; the first look of a day asks for the night's."""
    db.session.execute(
        upsert(OffsetComparison).values(day=day_of(now), asked_at=now).on_conflict_do_nothing()
    )
    waiting = select(OffsetComparison.id).where(OffsetComparison.compared_at.is_(None))
    return db.session.scalar(waiting)


def compare(comparison_id: int, theirs: Sequence[Frozen], *, now: datetime) -> int:
    """Compare the CCER registry's statement with the mirror; return the number of differences.

    While the outcome of a message about a unit is unknown the unit may be frozen there or not, and
    either is no difference.
    """
    told = {
        "usccs": [each.uscc for each in theirs],
        "quantities": [each.quantity for each in theirs],
        "comparison": comparison_id,
        "at": now,
    }
    row = db.session.execute(_COMPARE, told).one()
    log.record(
        CCER, "offset.compared", subject=str(comparison_id),
        enterprises=row.enterprises, differences=row.differences,
    )  # fmt: skip
    if row.differences:
        letters.tell_officers(
            _("The CCER registry and this one differ"),
            _("Comparison of %(day)s: %(count)s enterprises differ, and cannot offset meanwhile",
              day=day_of(now), count=row.differences),
            key=f"offset:difference:{comparison_id}",
        )  # fmt: skip
    db.session.expire_all()
    return int(row.differences)


def day_of(now: datetime) -> date:
    """Return the day in Beijing."""
    return now.astimezone(BEIJING).date()


_COMPARE = typed(
    """
    WITH theirs AS MATERIALIZED (
           SELECT uscc, sum(quantity)::bigint AS quantity
             FROM unnest(:usccs, :quantities) AS s (uscc, quantity) GROUP BY uscc),
         ours AS MATERIALIZED (
           SELECT b.uscc, b.account_id, sum(u.quantity)::bigint AS quantity,
                  coalesce(sum(u.quantity) FILTER (
                    WHERE EXISTS (SELECT FROM offset_message m
                                   WHERE m.unit_id = u.id AND m.state IN ('sent', 'unknown'))), 0)::bigint
                    AS open
             FROM offset_unit u
             JOIN offset_binding b ON b.account_id = u.account_id AND b.state = 'confirmed'
            WHERE NOT u.is_cancelled_before
              AND u.state IN ('frozen', 'in_application', 'approved', 'cancel_ordered', 'release_ordered')
            GROUP BY b.uscc, b.account_id),
         both_sides AS MATERIALIZED (
           SELECT uscc, coalesce(o.quantity, 0) AS ours, coalesce(o.open, 0) AS open,
                  coalesce(t.quantity, 0) AS theirs
             FROM theirs t FULL JOIN ours o USING (uscc)),
         found AS (
           INSERT INTO offset_difference (comparison_id, account_id, uscc, ours, theirs)
           SELECT :comparison, b.account_id, s.uscc, s.ours, s.theirs
             FROM both_sides s
             LEFT JOIN offset_binding b ON b.uscc = s.uscc AND b.state = 'confirmed'
            WHERE s.theirs NOT BETWEEN s.ours - s.open AND s.ours
            ORDER BY s.uscc
           RETURNING id)
    UPDATE offset_comparison
       SET compared_at = :at, enterprises = (SELECT count(*) FROM both_sides),
           differences = (SELECT count(*) FROM found)
     WHERE id = :comparison AND compared_at IS NULL
    RETURNING enterprises, differences
    """,
    usccs=String,
    quantities=BigInteger,
).bindparams(bindparam("comparison", type_=Integer))

__all__ = ["Frozen", "ask", "compare", "due"]
