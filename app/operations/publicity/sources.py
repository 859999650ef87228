"""The data sets of 信息公开: what each reads of the books, as the rules order it (N132, N160, N161).

A row is what anybody may read: codes, names where a rule orders them, tonnes, fen, days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import text

from app.domain.accounts import PERSON
from app.domain.compliance.disclosure import Progress, published
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.trading_day import BEIJING
from app.extensions import db

Rows = list[dict[str, Any]]
Parts = Mapping[str, Rows]  # by part: "" or a year


def read(now: datetime) -> dict[str, Parts]:
    """Return all data sets as they are now."""
    at = {"now": now, "day": now.astimezone(BEIJING).date()}
    return {name: source(at) for name, source in SOURCES.items()}


def _compliance(at: Mapping[str, Any]) -> Parts:
    """Return, by year, how many enterprises of each province have fulfilled, and tonnes (N161)."""
    found: Rows = []
    rows = db.session.execute(_COMPLIANCE).all()
    for year, of_year in groupby(rows, key=lambda row: row.year):
        lines = published(Progress(*row[1:]) for row in of_year)
        found += [
            {
                "year": year,
                "province": each.province,
                "enterprises": each.enterprises,
                "fulfilled": each.fulfilled,
                "open": each.open,
                "obligation": each.obligation,
                "surrendered": each.surrendered,
                "gap": each.gap,
            }
            for each in lines
        ]
    return {"": found}


def _table(statement: str) -> Callable[[Mapping[str, Any]], Parts]:
    def source(at: Mapping[str, Any]) -> Parts:
        return {"": [_plain(row) for row in _fetch(statement, at)]}

    return source


def _emitters(at: Mapping[str, Any]) -> Parts:
    """Return the lists of key emitters by year; whether they have surrendered, once it was due."""
    found: dict[str, Rows] = defaultdict(list)
    for row in _fetch(_EMITTERS, at):
        found[str(row["year"])].append(_plain(row))
    return found


def _fetch(statement: str, at: Mapping[str, Any]) -> Any:
    asked = {name: value for name, value in at.items() if f":{name}" in statement}
    return db.session.execute(text(statement), asked).mappings()


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value.isoformat() if isinstance(value, date) else value for key, value in row.items()
    }


_COMPLIANCE = text("""
    WITH used AS (SELECT notice_id, sum(surrendered)::bigint AS surrendered
                    FROM notice_surrender_line GROUP BY notice_id),
         enterprise AS (
           SELECT n.year, a.province, n.account_id,
                  bool_and(coalesce(u.surrendered, 0) >= n.obligation) AS is_fulfilled,
                  sum(n.obligation)::bigint AS obligation,
                  sum(least(coalesce(u.surrendered, 0), n.obligation))::bigint AS surrendered
             FROM notice n JOIN account a ON a.id = n.account_id
             LEFT JOIN used u ON u.notice_id = n.id
            WHERE n.withdrawn_at IS NULL
            GROUP BY n.year, a.province, n.account_id)
    SELECT year, province, count(*) AS enterprises,
           count(*) FILTER (WHERE is_fulfilled) AS fulfilled,
           sum(obligation)::bigint AS obligation, sum(surrendered)::bigint AS surrendered
      FROM enterprise GROUP BY year, province ORDER BY year DESC, province
""")
# Issued, less what voluntary cancellation lowers the national total by for ever (N132).
_VINTAGES = f"""
    SELECT i.vintage, sum(-h.issued)::bigint AS issued, sum(c.cancelled)::bigint AS cancelled,
           sum(-h.issued - c.cancelled)::bigint AS remaining
      FROM instrument i
      JOIN holding h ON h.instrument_id = i.id AND h.account_id = {ISSUANCE_ACCOUNT_ID}
      JOIN (SELECT instrument_id, sum(cancelled)::bigint AS cancelled FROM holding GROUP BY 1) c
        ON c.instrument_id = i.id
     WHERE i.kind = 'allowance'
     GROUP BY i.vintage ORDER BY i.vintage DESC
"""  # noqa: S608 - our own number
_EMITTERS = """
    WITH listed AS (
           SELECT s.account_id, s.sector, y.year
             FROM account_sector s
             JOIN account a ON a.id = s.account_id AND a.holder_class = 'emitter'
              AND a.closed_as IS DISTINCT FROM 'retired'
            CROSS JOIN LATERAL generate_series(
                   extract(year FROM s.starts_on)::integer,
                   extract(year FROM least(coalesce(s.ends_on - 1, :day), :day, a.closed_at::date))::integer
                 ) AS y (year)
           UNION SELECT account_id, sector, year FROM notice WHERE withdrawn_at IS NULL),
         used AS (SELECT notice_id, sum(surrendered)::bigint AS surrendered
                    FROM notice_surrender_line GROUP BY notice_id),
         due AS (
           SELECT n.account_id, n.year, n.sector,
                  bool_and(coalesce(u.surrendered, 0) >= n.obligation) AS is_fulfilled
             FROM notice n LEFT JOIN used u ON u.notice_id = n.id
             CROSS JOIN LATERAL plan_on(n.year, n.sector, :day) p
            WHERE n.withdrawn_at IS NULL AND p.surrender_by < :now
            GROUP BY n.account_id, n.year, n.sector)
    SELECT DISTINCT l.year, a.province, l.sector, a.name, coalesce(a.uscc, '') AS uscc,
           CASE d.is_fulfilled WHEN true THEN 'fulfilled' WHEN false THEN 'short' ELSE '' END AS surrender
      FROM listed l JOIN account a ON a.id = l.account_id
      LEFT JOIN due d USING (account_id, year, sector)
     ORDER BY l.year, a.province, a.name, l.sector
"""
_APPROVED = """
      JOIN LATERAL (SELECT (max(v.at) AT TIME ZONE 'Asia/Shanghai')::date AS day
                      FROM application_event v
                     WHERE v.application_id = a.id AND v.action = 'approve') e ON true
"""
_NAME = f"CASE c.holder_class WHEN '{PERSON}' THEN '' ELSE c.name END"
_LINES = f"""
      FROM application a {_APPROVED}
      JOIN account c ON c.id = a.account_id
      JOIN application_line l ON l.application_id = a.id
      JOIN instrument i ON i.id = l.instrument_id
"""
# M19-19; a natural person is not named (domain R135).
_CANCELLATIONS = f"""
    SELECT e.day, {_NAME} AS name, i.code, i.name AS instrument, i.vintage, l.quantity {_LINES}
     WHERE a.kind = 'voluntary_cancellation' AND a.status = 'approved'
     ORDER BY a.id DESC, l.id
"""
# REG21-22: nothing of the case (N106).
_DEDUCTIONS = f"""
    SELECT e.day, {_NAME} AS name, i.code, i.name AS instrument,
           CASE i.kind WHEN 'money' THEN NULL ELSE l.quantity END AS quantity,
           CASE i.kind WHEN 'money' THEN l.quantity END AS amount, a.document_no {_LINES}
     WHERE a.kind = 'court_assignment' AND a.status = 'approved'
     ORDER BY a.id DESC, l.id
"""
# M19-18.
_SUCCESSIONS = f"""
    SELECT e.day, c.name, a.category AS form,
           coalesce((SELECT string_agg(s.name, '、' ORDER BY x.n)
                       FROM jsonb_array_elements(a.proposal -> 'shares') WITH ORDINALITY AS x (share, n)
                       JOIN account s ON s.id = (x.share ->> 'account')::integer), '') AS successors,
           a.document_no
      FROM application a {_APPROVED}
      JOIN account c ON c.id = a.account_id
     WHERE a.kind = 'account_succession' AND a.status = 'approved'
     ORDER BY a.id DESC
"""  # noqa: S608 - our own words
# 条例 27; a withdrawn one stays, as withdrawn.
_PENALTIES = """
    SELECT a.starts_on AS day, c.name, (a.proposal ->> 'year')::integer AS year, a.category AS type,
           (a.proposal ->> 'fen')::bigint AS amount, a.authority, a.document_no,
           CASE WHEN r.id IS NULL THEN 'in_force' ELSE 'withdrawn' END AS state,
           coalesce(r.document_no, '') AS withdrawn_by
      FROM application a JOIN account c ON c.id = a.account_id
      LEFT JOIN application r ON r.id = a.revoked_by_id
     WHERE a.kind = 'penalty' AND a.status = 'approved'
     ORDER BY a.starts_on DESC, a.id DESC
"""
# 条例 5.
_FEES = """
    SELECT name, payer, rate, basis, valid_from FROM fee_rate
     WHERE valid_from <= :day AND (disabled_from IS NULL OR disabled_from > :day)
     ORDER BY code
"""
_ANNOUNCEMENTS = """
    SELECT (published_at AT TIME ZONE 'Asia/Shanghai')::date AS day, title, text FROM announcement
     WHERE audience = 'public' AND published_at IS NOT NULL AND withdrawn_at IS NULL
     ORDER BY published_at DESC, id DESC
"""
SOURCES: Mapping[str, Callable[[Mapping[str, Any]], Parts]] = {
    "compliance": _compliance,
    "vintages": _table(_VINTAGES),
    "emitters": _emitters,
    "penalties": _table(_PENALTIES),
    "successions": _table(_SUCCESSIONS),
    "cancellations": _table(_CANCELLATIONS),
    "deductions": _table(_DEDUCTIONS),
    "fees": _table(_FEES),
    "announcements": _table(_ANNOUNCEMENTS),
}
