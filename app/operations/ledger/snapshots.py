"""Holdings as of one instant, over several requests: what has moved since is taken back from today's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CTE, BigInteger, Integer, column, text

from app.domain.moves import HELD_BUCKETS
from app.extensions import db


@dataclass(frozen=True, slots=True)
class Instant:
    """The moment that holdings are of: business time, and which transactions count."""

    at: datetime
    snapshot: str  # PostgreSQL's pg_snapshot


def begin_snapshot() -> None:
    """Let all statements of this transaction, which has none yet, see the same rows."""
    db.session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def current_instant(at: datetime) -> Instant:
    """Return the instant of this transaction."""
    return Instant(at, db.session.scalar(text("SELECT pg_current_snapshot()::text")) or "")


# What transactions outside :snapshot moved, by account and instrument, a column a bucket.  Such movements
# are few, and found by the index on their transaction.
CHANGES_SINCE = f"""
    WITH since AS MATERIALIZED (
      SELECT m.* FROM movement m
       WHERE m.recorded_xid >= pg_snapshot_xmin(CAST(:snapshot AS pg_snapshot))
         AND NOT pg_visible_in_snapshot(m.recorded_xid, CAST(:snapshot AS pg_snapshot)))
    SELECT account_id, instrument_id,
           {
    ", ".join(
        f"coalesce(sum(quantity) FILTER (WHERE bucket = {int(bucket)}), 0)::bigint AS {bucket.column}"
        for bucket in HELD_BUCKETS
    )
}
      FROM (SELECT to_account AS account_id, instrument_id, to_bucket AS bucket, quantity
              FROM since
             UNION ALL
            SELECT from_account, instrument_id, from_bucket, -quantity FROM since) AS moved
     GROUP BY account_id, instrument_id
"""  # noqa: S608 - numbers and names of our own buckets


def changes_since(instant: Instant) -> CTE:
    """Return `CHANGES_SINCE` an instant, to be joined."""
    buckets = (column(bucket.column, BigInteger) for bucket in HELD_BUCKETS)
    return (
        text(CHANGES_SINCE)
        .bindparams(snapshot=instant.snapshot)
        .columns(column("account_id", Integer), column("instrument_id", Integer), *buckets)
        .cte("change")
        .prefix_with("MATERIALIZED")
    )
