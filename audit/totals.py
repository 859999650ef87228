"""The second book's totals: summed from movements, carried from day to day, compared with holdings.

A total is of a pocket (account, instrument, bucket), in tonnes or fen.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from psycopg import Connection, sql

from audit.findings import Findings
from audit.names import BUCKETS, Names

Pocket = tuple[int, int, int]
Totals = dict[Pocket, int]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed day: the transactions that it covers, from the first to below the last, and its digest."""

    day: date
    is_opening: bool
    from_xid: int
    to_xid: int
    movements: int
    packages: dict[str, str]
    previous: bytes
    digest: bytes


@dataclass(slots=True)
class Sums:
    """What movements add up to: before the day, up to the horizon that can be sealed, and now."""

    opening: Totals = field(default_factory=dict)
    sealable: Totals = field(default_factory=dict)
    current: Totals = field(default_factory=dict)
    movements: int = 0  # of the day, below the horizon


_DAYS = """
    SELECT day, is_opening, from_xid::text::bigint, to_xid::text::bigint, movements, packages,
           previous, digest FROM audit_day ORDER BY day
"""


def sealed_days(connection: Connection) -> list[Sealed]:
    """Return the sealed days in their order."""
    return [
        Sealed(day, is_opening, first, beyond, count, packages, bytes(previous), bytes(digest))
        for day, is_opening, first, beyond, count, packages, previous, digest in (
            connection.execute(_DAYS)
        )
    ]


def horizon(connection: Connection) -> int:
    """Return the transaction id below which all have ended and are seen, so that no late one is missed."""
    row = connection.execute(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    ).fetchone()
    assert row
    return int(row[0])


_SUMS = """
    SELECT v.account_id, m.instrument_id, v.bucket,
           coalesce(sum(v.delta) FILTER (WHERE m.recorded_xid < %(first)s::xid8), 0)::bigint,
           coalesce(sum(v.delta) FILTER (WHERE m.recorded_xid < %(beyond)s::xid8), 0)::bigint,
           sum(v.delta)::bigint
      FROM movement m CROSS JOIN LATERAL (
           VALUES (m.from_account, m.from_bucket, -m.quantity),
                  (m.to_account, m.to_bucket, m.quantity)) AS v (account_id, bucket, delta)
     GROUP BY 1, 2, 3
"""
_COUNT = """
    SELECT count(*) FROM movement
     WHERE recorded_xid >= %(first)s::xid8 AND recorded_xid < %(beyond)s::xid8
"""


def add_up(connection: Connection, first: int, beyond: int) -> Sums:
    """Add up all movements: before transaction ``first``, below ``beyond``, and all that are there."""
    found = Sums()
    bounds = {"first": str(first), "beyond": str(beyond)}
    for account, instrument, bucket, opening, sealable, current in connection.execute(
        _SUMS, bounds
    ):
        pocket = account, instrument, bucket
        for totals, balance in (
            (found.opening, opening),
            (found.sealable, sealable),
            (found.current, current),
        ):
            if balance:
                totals[pocket] = balance
    row = connection.execute(_COUNT, bounds).fetchone()
    assert row
    found.movements = row[0]
    return found


def as_sealed(connection: Connection, day: date) -> Totals:
    """Return the totals that stood at the end of a sealed day."""
    rows = connection.execute(
        "SELECT DISTINCT ON (account_id, instrument_id, bucket) account_id, instrument_id, bucket,"
        " balance FROM audit_total WHERE day <= %s"
        " ORDER BY account_id, instrument_id, bucket, day DESC",
        [day],
    )
    return {(account, what, bucket): balance for account, what, bucket, balance in rows if balance}


def compare(code: str, expected: Totals, found: Totals, names: Names, findings: Findings) -> None:
    """Note every pocket whose totals differ."""
    if expected == found:
        return
    for pocket in sorted(expected.keys() | found.keys()):
        findings.compare(code, names.pocket(*pocket), expected.get(pocket, 0), found.get(pocket, 0))


def holdings(connection: Connection) -> Totals:
    """Return what the ledger says that accounts hold."""
    columns = sql.SQL(", ").join(map(sql.Identifier, BUCKETS))
    rows = connection.execute(
        sql.SQL("SELECT account_id, instrument_id, {} FROM holding").format(columns)
    )
    return {
        (account, instrument, bucket): balance
        for account, instrument, *balances in rows
        for bucket, balance in enumerate(balances, 1)
        if balance
    }


def check_conservation(held: Totals, names: Names, findings: Findings) -> None:
    """Note every instrument whose holdings do not sum to zero with what was issued."""
    sums: dict[int, int] = defaultdict(int)
    for (_account, instrument, _bucket), balance in held.items():
        sums[instrument] += balance
    for instrument, total in sorted(sums.items()):
        findings.compare("not_conserved", names.instrument(instrument), 0, total)


def changes(before: Totals, after: Totals) -> list[tuple[Any, ...]]:
    """Return the pockets whose totals changed, with the new ones."""
    return [
        (*pocket, after.get(pocket, 0))
        for pocket in sorted(before.keys() | after.keys())
        if before.get(pocket, 0) != after.get(pocket, 0)
    ]
