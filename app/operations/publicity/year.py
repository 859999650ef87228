"""年度对账单: what an account held, what moved it, and what it owed, in one calendar year in Beijing.

Everything is as of the year's end (of this year, as of now), from records that do not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from app.domain.moves import HELD_BUCKETS, Bucket
from app.domain.trading_day import BEIJING
from app.extensions import db


@dataclass(frozen=True, slots=True)
class YearStatement:
    """The tables of a statement, rows by name; tonnes, and fen of money."""

    year: int
    as_of: datetime
    holdings: Sequence[Any]
    movements: Sequence[Any]
    notices: Sequence[Any]
    offsets: Sequence[Any]
    claims: Sequence[Any]
    money: Sequence[Any]
    money_movements: Sequence[Any]


def read(account_id: int, year: int, *, now: datetime) -> YearStatement:
    """Return an account's statement of a year."""
    first, end = (datetime(each, 1, 1, tzinfo=BEIJING) for each in (year, year + 1))
    as_of = min(end, now)
    asked = {"account": account_id, "first": first, "end": as_of, "year": year}

    def of(statement: str, **more: Any) -> Sequence[Any]:
        used = {name: value for name, value in asked.items() if f":{name}" in statement}
        return db.session.execute(text(statement), used | more).all()

    return YearStatement(
        year, as_of,
        of(_HOLDINGS, is_money=False), of(_MOVEMENTS, is_money=False),
        of(_NOTICES), of(_OFFSETS), of(_CLAIMS),
        of(_HOLDINGS, is_money=True), of(_MOVEMENTS, is_money=True),
    )  # fmt: skip


# What is an account's own: of money, proceeds of the day besides.
_OWN = ", ".join(str(int(each)) for each in (*HELD_BUCKETS, Bucket.PROCEEDS))
_IN_TRANSIT = f"{int(Bucket.PENDING_TO_TRADING)}, {int(Bucket.PENDING_TO_REGISTRY)}"
_FROZEN = f"{int(Bucket.RESERVED)}, {int(Bucket.FROZEN)}"
_CUSTODY = f"{int(Bucket.CUSTODY)}, {int(Bucket.IN_RETURN)}"


def _closing(buckets: str) -> str:
    return f"coalesce(sum(e.delta) FILTER (WHERE e.bucket IN ({buckets})), 0)::bigint"


_HOLDINGS = f"""
    SELECT i.code, i.name,
           coalesce(sum(e.delta) FILTER (WHERE e.bucket IN ({_OWN}) AND e.at < :first), 0)::bigint
             AS opening,
           {_closing(_OWN)} AS closing, {_closing(str(int(Bucket.AVAILABLE)))} AS available,
           {_closing(_FROZEN)} AS frozen, {_closing(_IN_TRANSIT)} AS in_transit,
           {_closing(f"{int(Bucket.TRADING)}, {int(Bucket.PROCEEDS)}")} AS trading,
           {_closing(_CUSTODY)} AS custody
      FROM entry e JOIN instrument i ON i.id = e.instrument_id AND (i.kind = 'money') = :is_money
     WHERE e.account_id = :account AND e.at < :end
     GROUP BY i.id, i.code, i.name ORDER BY i.code
"""  # noqa: S608 - our own numbers
# What came in and went out by each business: moves between an account's own parts are none.
_MOVEMENTS = f"""
    WITH moved AS (
           SELECT e.instrument_id, e.movement_id, sum(e.delta) AS delta
             FROM entry e
            WHERE e.account_id = :account AND e.at >= :first AND e.at < :end AND e.bucket IN ({_OWN})
            GROUP BY 1, 2 HAVING sum(e.delta) <> 0)
    SELECT i.code, i.name, p.business, count(*) AS movements,
           sum(greatest(v.delta, 0))::bigint AS credited, sum(greatest(-v.delta, 0))::bigint AS debited
      FROM moved v
      JOIN instrument i ON i.id = v.instrument_id AND (i.kind = 'money') = :is_money
      JOIN movement m ON m.id = v.movement_id JOIN posting p ON p.id = m.posting_id
     GROUP BY i.code, i.name, p.business ORDER BY i.code, p.business
"""  # noqa: S608 - our own numbers
# Notices of this year and the one before, and older ones with something open or surrendered.
_NOTICES = f"""
    WITH mine AS (SELECT id, number, year, sector FROM notice WHERE account_id = :account),
         paid AS (
           SELECT a.notice_id, sum(v.tonnes)::bigint AS tonnes,
                  coalesce(sum(v.tonnes) FILTER (WHERE m.at >= :first), 0)::bigint AS in_year
             FROM application a JOIN posting p ON p.application_id = a.id
             JOIN movement m ON m.posting_id = p.id AND m.at < :end
            CROSS JOIN LATERAL (VALUES (CASE WHEN m.to_bucket = {int(Bucket.SURRENDERED)} THEN m.quantity
                                             ELSE -m.quantity END)) AS v (tonnes)
            WHERE a.notice_id IN (SELECT id FROM mine)
              AND {int(Bucket.SURRENDERED)} IN (m.to_bucket, m.from_bucket)
            GROUP BY a.notice_id),
         offsets AS (
           SELECT a.notice_id, sum(u.quantity)::bigint AS tonnes,
                  coalesce(sum(u.quantity) FILTER (WHERE v.at >= :first), 0)::bigint AS in_year
             FROM application a JOIN offset_unit u ON u.application_id = a.id
             JOIN offset_event v ON v.unit_id = u.id AND v.state = 'registered' AND v.at < :end
            WHERE a.notice_id IN (SELECT id FROM mine) GROUP BY a.notice_id)
    SELECT n.number, n.year, n.sector, c.after AS obligation,
           coalesce(p.in_year, 0) AS allowances, coalesce(o.in_year, 0) AS offsets,
           coalesce(p.tonnes, 0) + coalesce(o.tonnes, 0) AS surrendered,
           greatest(c.after - coalesce(p.tonnes, 0) - coalesce(o.tonnes, 0), 0) AS gap
      FROM mine n
      JOIN LATERAL (SELECT after, terms FROM notice_change c
                     WHERE c.notice_id = n.id AND c.changed_at < :end ORDER BY id DESC LIMIT 1) c
        ON c.terms IS NOT NULL
      LEFT JOIN paid p ON p.notice_id = n.id LEFT JOIN offsets o ON o.notice_id = n.id
     WHERE n.year >= :year - 1 OR coalesce(p.in_year, 0) + coalesce(o.in_year, 0) <> 0
        OR c.after > coalesce(p.tonnes, 0) + coalesce(o.tonnes, 0)
     ORDER BY n.year, n.sector, n.number
"""  # noqa: S608 - our own numbers
_OFFSETS = """
    SELECT u.project_no, u.project_name, u.serial, u.quantity, n.number AS notice, v.at
      FROM offset_unit u
      JOIN offset_event v ON v.unit_id = u.id AND v.state = 'registered' AND v.at >= :first AND v.at < :end
      LEFT JOIN application a ON a.id = u.application_id LEFT JOIN notice n ON n.id = a.notice_id
     WHERE u.account_id = :account ORDER BY v.at, u.id
"""
# 配额调整通知书, or what was taken over of them, up to the year's end, with what came back by then.
_CLAIMS = """
    SELECT a.number, a.document_no, i.code, q.tonnes AS claimed, a.ends_on,
           (coalesce(r.tonnes, 0) + coalesce(k.tonnes, 0))::bigint AS returned,
           (q.tonnes - coalesce(r.tonnes, 0) - coalesce(k.tonnes, 0))::bigint AS open
      FROM claim_owner o
      JOIN application_line l ON l.id = o.line_id
      JOIN application a ON a.id = l.application_id
      JOIN instrument i ON i.id = l.instrument_id
     CROSS JOIN LATERAL (
           SELECT (CASE WHEN a.account_id = o.account_id THEN l.quantity ELSE 0 END
                   + coalesce(sum(CASE o.account_id WHEN s.to_account_id THEN s.quantity
                                                    WHEN s.from_account_id THEN -s.quantity END), 0))::bigint
                    AS tonnes
             FROM claim_succession s WHERE s.claim_line_id = l.id AND s.at < :end) q
      LEFT JOIN LATERAL (
           SELECT sum(x.quantity) AS tonnes FROM application_line x
             JOIN application t ON t.id = x.application_id AND t.status = 'approved'
            WHERE x.source_line_id = l.id AND t.account_id = o.account_id
              AND EXISTS (SELECT FROM application_event v
                           WHERE v.application_id = t.id AND v.status = 'approved' AND v.at < :end)) r ON true
      LEFT JOIN LATERAL (SELECT sum(quantity) AS tonnes FROM claim_netting g
                          WHERE g.claim_line_id = l.id AND g.account_id = o.account_id
                            AND g.at < :end) k ON true
     WHERE o.account_id = :account AND q.tonnes > 0
       AND EXISTS (SELECT FROM application_event v
                    WHERE v.application_id = a.id AND v.status = 'approved' AND v.at < :end)
     ORDER BY a.id, l.id
"""
