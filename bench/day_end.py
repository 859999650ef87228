"""The day-end over many transfers in transit, and the night's comparison with the CCER registry."""

from __future__ import annotations

import time
from datetime import datetime

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.operations.ledger import settlement
from app.operations.offsets import comparison
from app.operations.offsets.exchange import Frozen
from app.operations.records.actor import SYSTEM
from bench.measure import Report, interleaved
from bench.world import FIRST_ACCOUNT, MORNING, TODAY, World

ENTERPRISES = 3_400
EVENING = datetime(2026, 11, 20, 15, 30, tzinfo=BEIJING)


def roll(world: World, report: Report) -> None:
    """Compare the day-end with updating the state of each transfer.

    The yardstick is the bare UPDATE, without movements.  All rounds but our last are rolled back, so
    that each does the same work.
    """
    rows = 60_000 if world.is_quick else 1_000_000
    _put_in_transit(world, rows)
    found = interleaved(
        2 if world.is_quick else world.rounds,
        {"ours": lambda: _settle(world, keep=False), "states": lambda: _update_states(world)},
    )
    holdings = world.accounts * world.instruments
    report.add(f"a state update of each of {rows:,} transfers", found["states"], "s")
    report.add(
        f"day-end, {rows:,} in transit, {holdings:,} holdings", found["ours"], "s",
        to=("state updates alone", found["states"]), note="aim <= 3 s at 1,000,000",
    )  # fmt: skip
    _settle(world, keep=True)


def compare(world: World, report: Report) -> None:
    """Compare what is mirrored of 3,400 enterprises with what the CCER registry says (N89, N90)."""
    enterprises = min(ENTERPRISES, world.accounts)
    with world.superuser() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for statement in _MIRRORED.split(";"):
            connection.execute(statement.format(first=FIRST_ACCOUNT, enterprises=enterprises))
    # Every hundredth differs.
    theirs = [Frozen(f"{n:018d}", 5000 + (n % 100 == 0)) for n in range(enterprises)]
    found = [_compare(world, theirs) for _round in range(world.rounds)]
    units = enterprises * 5
    report.add(f"comparison, {enterprises:,} enterprises, {units:,} units", found, "s")


def _compare(world: World, theirs: list[Frozen]) -> float:
    with world.app.app_context():
        comparison.ask(SYSTEM, now=EVENING)
        asked = comparison.due(now=EVENING)
        assert asked is not None
        began = time.perf_counter()
        comparison.compare(asked, theirs, now=EVENING)
        took = time.perf_counter() - began
        db.session.rollback()
        db.session.remove()
    return took


def _settle(world: World, *, keep: bool) -> float:
    with world.app.app_context():
        began = time.perf_counter()
        settlement.settle_day(TODAY, SYSTEM, now=EVENING)
        db.session.flush()
        took = time.perf_counter() - began
        if keep:
            db.session.commit()
        else:
            db.session.rollback()
        db.session.remove()
    return took


def _update_states(world: World) -> float:
    with world.superuser() as connection, connection.transaction(force_rollback=True):
        began = time.perf_counter()
        connection.execute(
            "UPDATE application SET status = 'approved'"
            " WHERE status = 'pending_settlement' AND settles_on <= %s",
            [TODAY],
        )
        return time.perf_counter() - began


def _put_in_transit(world: World, rows: int) -> None:
    """Insert submitted transfers of today with their postings, like the operation."""
    with world.superuser() as connection:
        with (
            connection.transaction()
        ):  # Each posting is tied to its event, of the same transaction.
            for statement in _TRANSIT.split(";"):
                connection.execute(
                    statement.format(
                        rows=rows,
                        first=FIRST_ACCOUNT,
                        accounts=world.accounts,
                        instruments=world.instruments,
                        today=TODAY,
                        now=MORNING.isoformat(),
                    )
                )
        for table in ("application", "holding"):
            connection.execute(f"VACUUM ANALYZE {table}")


_TRANSIT = """
CREATE TEMP TABLE transit AS
SELECT n, nextval(pg_get_serial_sequence('application', 'id')) AS id,
       nextval(pg_get_serial_sequence('posting', 'id')) AS posting_id,
       {first} + n % {accounts} AS account, 1 + n / {accounts} % {instruments} AS instrument,
       1 + n % 100 AS quantity
  FROM generate_series(1, {rows}) AS n;
INSERT INTO application (id, number, kind, account_id, status, version, request_key, created_at,
                         submitted_at, settles_on, posting_id) OVERRIDING SYSTEM VALUE
SELECT id, 'DJT' || id, 'registry_to_trading', account, 'draft', 0, 'transit:' || id, '{now}',
       '{now}', '{today}', posting_id FROM transit;
INSERT INTO application_line (application_id, instrument_id, quantity, venue_id)
SELECT id, instrument, quantity, 1 FROM transit;
INSERT INTO posting (id, business, stage, request_key, document, application_id, leads)
OVERRIDING SYSTEM VALUE
SELECT posting_id, 'registry_to_trading', 'submission', 'transit:' || id, 'DJT' || id, id,
       posting_id = min(posting_id) OVER () FROM transit;
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,
                      to_account, to_bucket)
SELECT posting_id, '{now}', instrument, quantity, account, 1, account, 4 FROM transit;
UPDATE application SET status = 'pending_settlement', version = 1
 WHERE id IN (SELECT id FROM transit);
INSERT INTO application_event (application_id, action, status, at)
SELECT id, 'submit', 'pending_settlement', '{now}' FROM transit;
DROP TABLE transit
"""

_MIRRORED = """
INSERT INTO offset_binding (ccer_account, account_id, uscc, name, state, asked_at, application_id,
                            answered_at)
SELECT 'CC' || n, {first} + n, lpad(n::text, 18, '0'), 'n', 'confirmed', now(), -1 - n, now()
  FROM generate_series(0, {enterprises} - 1) AS n;
INSERT INTO offset_unit (account_id, project_no, project_name, project_type, period_from, period_to,
                         registered_on, first_serial, last_serial, quantity, in_ets, received_at, changed_at)
SELECT {first} + n, 'P', 'p', 't', '2022-01-01', '2023-12-31', '2025-03-06',
       (n * 5 + k) * 1000 + 1, (n * 5 + k) * 1000 + 1000, 1000, false, now(), now()
  FROM generate_series(0, {enterprises} - 1) AS n, generate_series(0, 4) AS k;
INSERT INTO offset_event (unit_id, state, at) SELECT id, state, received_at FROM offset_unit;
ANALYZE offset_unit
"""
