"""来源追溯: from a holding back through the movements to the issues that it came from (docs/adr/0093).

Units of an instrument are alike; which of them left first is said by a rule, first in, first out.  A
holding is a queue: credits stand in it one behind the other, and what leaves takes from its head.  So a
credit's part is an interval of tonnes, and one statement a level finds what lies behind all intervals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, text

from app.domain.moves import HELD_BUCKETS, Bucket
from app.extensions import db
from app.operations.records.columns import typed

DEEPEST = 60  # levels
MOST = 5_000  # steps
GRANT = "carry_over_grant"  # the business by which newer allowances follow recalled ones
ISSUED, BEYOND, LIMIT = "issued", "beyond", "limit"
_KEPT = (Bucket.CUSTODY, Bucket.IN_RETURN)


@dataclass(frozen=True, slots=True)
class Step:
    """Tonnes of a holding that one movement brought, and where from.

    ``end`` is why the trail is not followed behind it: it was issued, it came from an account that the
    reader may not look into, or the trail is longer than is read; "" where it is followed.
    """

    level: int
    tonnes: int
    skip: int  # tonnes of the movement before these
    movement_id: int
    posting_id: int
    at: datetime
    business: str
    document: str
    instrument_id: int
    code: str
    vintage: int
    to_account: int
    member_no: str
    account: str
    from_account: int
    from_bucket: int
    from_member_no: str
    from_name: str
    from_kind: str
    from_province: str | None
    end: str = ""


@dataclass(frozen=True, slots=True)
class Trail:
    """What a holding's tonnes came from; the steps that have an end, and ``rest``, add up to them."""

    tonnes: int
    steps: Sequence[Step]

    @property
    def ends(self) -> list[Step]:
        """Return the steps behind which nothing is followed."""
        return [each for each in self.steps if each.end]

    @property
    def rest(self) -> int:
        """Tonnes of which nothing is said: of a holding with more credits than are read."""
        return self.tonnes - sum(each.tonnes for each in self.ends)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Tonnes to explain: those that a movement took from a node, or what is there now (movement 0)."""

    account: int
    instrument: int
    pool: int
    owner: int  # of what waits at a province: the enterprise; else 0
    movement: int
    skip: int
    tonnes: int


def trace(
    account_id: int, instrument_id: int, may_follow: Callable[[Step], bool], *, most: int = MOST
) -> Trail:
    """Return the trail of what an account holds of an instrument of tonnes.

    ``may_follow`` tells whether the reader may look into the account that a step came from.
    """
    held = db.session.execute(_HELD, {"account": account_id, "instrument": instrument_id}).scalar()
    tonnes = int(held or 0)
    wanted = [_Wanted(account_id, instrument_id, Bucket.AVAILABLE, 0, 0, 0, tonnes)]
    steps: list[Step] = []
    last: list[Step] = []
    for level in range(1, DEEPEST + 1):
        if not wanted or not tonnes:
            break
        room = most - len(steps) - len(last)
        found = _behind(wanted, level, room)
        is_cut = len(found) > room
        if is_cut and level > 1:  # The level before is as far as it goes.
            break
        steps += last
        last = [_with_end(each, may_follow) for each in found[:room]]
        if is_cut:
            break
        wanted = _next(last)
    return Trail(tonnes, [*steps, *(_unfollowed(each) if wanted else each for each in last)])


def _with_end(step: Step, may_follow: Callable[[Step], bool]) -> Step:
    if step.from_bucket == Bucket.ISSUED:
        return step if step.business == GRANT else replace(step, end=ISSUED)
    return step if may_follow(step) else replace(step, end=BEYOND)


def _unfollowed(step: Step) -> Step:
    return step if step.end else replace(step, end=LIMIT)


def _behind(wanted: Sequence[_Wanted], level: int, room: int) -> list[Step]:
    """Return the credits that the wanted tonnes came from, one more than ``room`` at most."""
    values = {
        "accounts": [each.account for each in wanted],
        "instruments": [each.instrument for each in wanted],
        "pools": [each.pool for each in wanted],
        "owners": [each.owner for each in wanted],
        "movements": [each.movement for each in wanted],
        "skips": [each.skip for each in wanted],
        "tonnes": [each.tonnes for each in wanted],
        "most": max(room, 0) + 1,
    }
    rows = db.session.execute(_BEHIND, values).mappings().all()
    return [Step(level=level, **row) for row in rows]


def _next(steps: Sequence[Step]) -> list[_Wanted]:
    """Return what to explain next: the tonnes that each step took from where it came."""
    open_ = [each for each in steps if not each.end]
    granted = [each for each in open_ if each.business == GRANT]
    return [_source(each) for each in open_ if each.business != GRANT] + _recalled(granted)


def _source(step: Step) -> _Wanted:
    # What waits at a province is kept for each enterprise (rules-2026 N13).
    owner = step.to_account if step.from_kind == "province" else 0
    return _Wanted(
        step.from_account, step.instrument_id, _pool(step.from_bucket), owner, step.movement_id,
        step.skip, step.tonnes,
    )  # fmt: skip


def _recalled(grants: Sequence[Step]) -> list[_Wanted]:
    """Return the older allowances that carried-over ones came from, in the order of their recall."""
    if not grants:
        return []
    values = {"postings": sorted({each.posting_id for each in grants})}
    taken: dict[int, list[Any]] = defaultdict(list)
    for row in db.session.execute(_RECALLED, values):
        taken[row.posting_id].append(row)
    return [
        _part(row, step)
        for step in grants
        for row in taken[step.posting_id]
        if _overlap(row, step) > 0
    ]


def _overlap(row: Any, step: Step) -> int:
    """Return how many of a step's tonnes are of one recalled instrument; none where it is not above 0."""
    last = min(step.skip + step.tonnes, row.begins + row.quantity)
    return int(last - max(step.skip, row.begins))


def _part(row: Any, step: Step) -> _Wanted:
    skip = max(step.skip - row.begins, 0)
    pool = Bucket.AVAILABLE
    return _Wanted(row.from_account, row.instrument_id, pool, 0, row.id, skip, _overlap(row, step))


def _pool(bucket: int) -> int:
    if bucket in HELD_BUCKETS:
        return Bucket.AVAILABLE
    return Bucket.CUSTODY if bucket in _KEPT else bucket


_IN_POOL = (
    f"CASE WHEN e.bucket IN ({', '.join(str(int(each)) for each in HELD_BUCKETS)})"
    f" THEN {int(Bucket.AVAILABLE)}"
    f" WHEN e.bucket IN ({', '.join(str(int(each)) for each in _KEPT)})"
    f" THEN {int(Bucket.CUSTODY)} ELSE e.bucket END"
)
_HELD = text(
    f"SELECT {' + '.join(each.column for each in HELD_BUCKETS)} FROM holding"  # noqa: S608 - our names
    " WHERE account_id = :account AND instrument_id = :instrument"
)
# Of each node its queue: what came in and went out, in order, with what had come in and gone out before.
# An issue that was reversed, and its reversal, are left out: both are of the whole (rules-2026 N16).
_BEHIND = typed(
    f"""
    WITH want AS MATERIALIZED (
           SELECT * FROM unnest(:accounts, :instruments, :pools, :owners, :movements, :skips, :tonnes)
             WITH ORDINALITY AS w (account_id, instrument_id, pool, owner_id, movement_id, skip, tonnes, n)),
         node AS MATERIALIZED (SELECT DISTINCT account_id, instrument_id, pool, owner_id FROM want),
         reversed AS (
           SELECT DISTINCT a.id AS reversal, s.application_id AS issue
             FROM application a JOIN application_line l ON l.application_id = a.id
             JOIN application_line s ON s.id = l.source_line_id
            WHERE a.kind = 'issuance_reversal' AND a.status = 'approved'
              AND a.account_id IN (SELECT account_id FROM node UNION SELECT owner_id FROM node)),
         void AS MATERIALIZED (
           SELECT m.id FROM (SELECT reversal AS id FROM reversed UNION SELECT issue FROM reversed) r
             JOIN posting p ON p.application_id = r.id JOIN movement m ON m.posting_id = p.id),
         flow AS MATERIALIZED (
           SELECT d.account_id, d.instrument_id, d.pool, d.owner_id, e.movement_id,
                  min(e.seq) AS seq, sum(e.delta)::bigint AS delta
             FROM node d
             JOIN entry e ON e.account_id = d.account_id AND e.instrument_id = d.instrument_id
                         AND {_IN_POOL} = d.pool
             LEFT JOIN movement m ON d.owner_id <> 0 AND m.id = e.movement_id
             LEFT JOIN posting p ON p.id = m.posting_id
             LEFT JOIN application a ON a.id = p.application_id
            WHERE (d.owner_id = 0 OR a.account_id = d.owner_id)
              AND e.movement_id NOT IN (SELECT id FROM void)
            GROUP BY 1, 2, 3, 4, 5 HAVING sum(e.delta) <> 0),
         queue AS MATERIALIZED (
           SELECT f.*,
                  (coalesce(sum(greatest(delta, 0)) OVER earlier, 0))::bigint AS come,
                  (coalesce(sum(greatest(-delta, 0)) OVER earlier, 0))::bigint AS gone
             FROM flow f
           WINDOW earlier AS (PARTITION BY account_id, instrument_id, pool, owner_id ORDER BY seq
                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
         total AS (
           SELECT account_id, instrument_id, pool, owner_id, sum(greatest(-delta, 0))::bigint AS gone
             FROM flow GROUP BY 1, 2, 3, 4),
         part AS MATERIALIZED (
           SELECT w.*, w.skip + coalesce(q.gone, t.gone) AS first
             FROM want w JOIN total t USING (account_id, instrument_id, pool, owner_id)
             LEFT JOIN queue q ON q.movement_id = w.movement_id AND q.account_id = w.account_id
              AND q.instrument_id = w.instrument_id AND q.pool = w.pool AND q.owner_id = w.owner_id),
         found AS (
           SELECT w.n, c.movement_id, greatest(w.first, c.come) - c.come AS skip,
                  least(w.first + w.tonnes, c.come + c.delta) - greatest(w.first, c.come) AS tonnes
             FROM part w
             JOIN queue c USING (account_id, instrument_id, pool, owner_id)
            WHERE c.delta > 0 AND c.come < w.first + w.tonnes AND c.come + c.delta > w.first
            ORDER BY w.n, c.come LIMIT :most)
    SELECT f.tonnes, f.skip, f.movement_id, p.id AS posting_id, m.at, p.business, p.document,
           m.instrument_id, i.code, i.vintage, m.to_account, h.member_no, h.name AS account,
           m.from_account, m.from_bucket, s.member_no AS from_member_no, s.name AS from_name,
           s.kind AS from_kind, s.province AS from_province
      FROM found f
      JOIN movement m ON m.id = f.movement_id
      JOIN posting p ON p.id = m.posting_id
      JOIN instrument i ON i.id = m.instrument_id
      JOIN account h ON h.id = m.to_account
      JOIN account s ON s.id = m.from_account
     ORDER BY f.n, m.id, f.skip
    """,  # noqa: S608 - our own numbers
    **dict.fromkeys(("accounts", "instruments", "pools", "owners"), Integer),
    **dict.fromkeys(("movements", "skips", "tonnes"), BigInteger),
)
# What a carry-over recalled, in order, with the tonnes recalled before each.
_RECALLED = typed(
    f"""
    SELECT g.posting_id, m.id, m.from_account, m.instrument_id, m.quantity,
           (sum(m.quantity) OVER (PARTITION BY g.posting_id ORDER BY m.id) - m.quantity)::bigint AS begins
      FROM carry_over_grant g
      JOIN posting p ON p.application_id = g.application_id
      JOIN movement m ON m.posting_id = p.id AND m.to_bucket = {int(Bucket.RECALLED)}
     WHERE g.posting_id = ANY(:postings)
     ORDER BY g.posting_id, m.id
    """,  # noqa: S608 - our own numbers
    postings=BigInteger,
)
