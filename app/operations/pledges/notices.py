"""What holders and pledgees are told about what is pledged, once each (rules-2026 N113, N114)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BindParameter, Date, DateTime, TextClause, bindparam, text

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import parameter
from app.operations.pledges.facts import accounts_of
from app.operations.records import addresses, log, outbox
from app.operations.records.actor import Actor

AT_ONCE = 200  # pledges a transaction
PURPOSE = "pledge"


def tell(actor: Actor, *, now: datetime) -> int:
    """Tell holders and pledgees of deadlines and of lost use; returns of how many, at most 200 each.

    A deadline within the parameter's days that asks for more than is free, and allowances that no plan
    and no carry-over accepts any more.  Each once a pledge; a deadline that is moved is another one.
    Called by the worker until there are none.
    """
    today = now.astimezone(BEIJING).date()
    days = parameter.settings(db.session)["pledge_warning_days"]
    asked = {"today": today, "now": now, "most": AT_ONCE}
    until = datetime.combine(today + timedelta(days=days + 1), time.min, BEIJING)
    endangered = db.session.execute(_ENDANGERED, asked | {"until": until}).all()
    useless = db.session.execute(_USELESS, asked).all()
    for row in endangered:
        _tell(actor, row, "deadline", *_deadline_text(row))
    for row in useless:
        _tell(actor, row, "use", *_use_text(row))
    return max(len(endangered), len(useless))


def _deadline_text(row: Any) -> tuple[str, str]:
    day = row.surrender_by.astimezone(BEIJING).date()
    body = _(
        "%(name)s has to surrender %(rest)s tonnes by %(day)s (notice %(notice)s) and has only %(free)s"
        " tonnes free; the others are pledged to %(pledgee)s (pledge %(number)s) or held otherwise. What"
        " is pledged is surrendered only with the pledgee's consent.",
        **_names(row), rest=f"{row.rest:,}", free=f"{row.free:,}", day=day, notice=row.notice,
    )  # fmt: skip
    return _("A deadline for surrender that a pledge endangers"), body


def _use_text(row: Any) -> tuple[str, str]:
    body = _(
        "The allowances %(code)s of %(name)s, of which %(tonnes)s tonnes are pledged to %(pledgee)s"
        " (pledge %(number)s), are accepted for no compliance year to come since %(day)s: by the plans"
        " in force they serve arrears of earlier years alone.",
        **_names(row), code=row.code, tonnes=f"{row.remaining:,}", day=row.until + timedelta(days=1),
    )  # fmt: skip
    return _("Pledged allowances have lost their use"), body


def _names(row: Any) -> dict[str, str]:
    return {
        "name": f"{row.name}（{row.member_no}）",
        "pledgee": row.proposal["pledgee"],
        "number": row.number,
    }


def _tell(actor: Actor, row: Any, what: str, subject: str, body: str) -> None:
    """Write to the holder, and to the pledgee where it is known to be reached."""
    here = accounts_of({row.proposal["uscc"]}).values()
    reached = addresses.of_accounts({row.account_id, *here})
    key = f"pledge:{what}:{row.application_id}:{row.about}"
    found = [
        each
        for id_, several in reached.items()
        for each in addresses.letters(
            several, subject, body, purpose=PURPOSE, key=f"{key}:a{id_}", account_id=id_
        )
    ]
    pledgee: Sequence[tuple[str, str]] = [("mail", row.proposal["email"])]
    found += addresses.letters(pledgee, subject, body, purpose=PURPOSE, key=f"{key}:p")
    outbox.send(*found)
    log.record(
        actor,
        "pledge.tell",
        subject=row.number,
        account_id=row.account_id,
        what=what,
        about=row.about,
    )


# What is written down is told; of two runs at once one writes the row, and only it goes on.
_NOTED = """noted AS (
    INSERT INTO pledge_reminder (application_id, what, about, at)
    SELECT f.application_id, CAST(:what AS text), f.about, :now FROM found f
     WHERE NOT EXISTS (SELECT FROM pledge_reminder r
                        WHERE (r.application_id, r.about) = (f.application_id, f.about)
                          AND r.what = CAST(:what AS text))
     ORDER BY f.application_id, f.about LIMIT :most
    ON CONFLICT DO NOTHING RETURNING application_id, about)
    SELECT f.*, a.number, a.proposal, c.name, c.member_no
      FROM noted JOIN found f USING (application_id, about)
      JOIN application a ON a.id = f.application_id JOIN account c ON c.id = f.account_id
     ORDER BY f.application_id, f.about"""


def _telling_once(found: str, what: str, *more: BindParameter[Any]) -> TextClause:
    """Complete one of the two statements below by writing down what it finds."""
    return text(found + _NOTED).bindparams(*_BOUND, bindparam("what", what), *more)


_BOUND = (
    bindparam("today", type_=Date),
    bindparam("now", type_=DateTime(timezone=True)),
)
# Notices of one enterprise are due together: the earlier ones use what is free first.
_ENDANGERED_FOUND = """
    WITH pledged AS MATERIALIZED (
           SELECT DISTINCT application_id, account_id FROM pledge_line
            WHERE kind = 'pledge' AND remaining > 0),
         due AS (
           SELECT n.account_id, n.number, p.surrender_by, p.vintages,
                  sum(n.obligation - u.used) OVER (PARTITION BY n.account_id
                                                   ORDER BY p.surrender_by, n.id)::bigint AS rest
             FROM notice n
            CROSS JOIN LATERAL plan_on(n.year, n.sector, :today) p
            CROSS JOIN LATERAL (
                  SELECT coalesce(sum(s.surrendered + s.pending), 0)::bigint AS used
                    FROM notice_surrender s WHERE s.notice_id = n.id) u
            WHERE n.account_id IN (SELECT account_id FROM pledged) AND n.withdrawn_at IS NULL
              AND n.obligation > u.used),
         found AS (
           SELECT g.application_id, g.account_id, d.number AS notice, d.surrender_by, d.rest, f.free,
                  d.number || ' ' || (d.surrender_by AT TIME ZONE 'Asia/Shanghai')::date AS about
             FROM pledged g
             JOIN due d ON d.account_id = g.account_id AND d.surrender_by >= :now AND d.surrender_by < :until
            CROSS JOIN LATERAL (
                  SELECT coalesce(sum(h.available + h.pending_to_trading + h.trading
                                      + h.pending_to_registry), 0)::bigint AS free
                    FROM holding h JOIN instrument i ON i.id = h.instrument_id
                   WHERE h.account_id = g.account_id AND i.kind = 'allowance'
                     AND i.vintage = ANY(d.vintages)) f
            WHERE d.rest > f.free),
"""
_ENDANGERED = _telling_once(
    _ENDANGERED_FOUND, "deadline", bindparam("until", type_=DateTime(timezone=True))
)
# A vintage serves until the last deadline of a plan in force that accepts it, or the last day on which
# it can be carried over (N73).
_USELESS_FOUND = """
    WITH pledged AS MATERIALIZED (
           SELECT application_id, account_id, instrument_id, sum(remaining)::bigint AS remaining
             FROM pledge_line WHERE remaining > 0 GROUP BY 1, 2, 3),
         serving AS (
           SELECT v.vintage, max((p.surrender_by AT TIME ZONE 'Asia/Shanghai')::date) AS until
             FROM (SELECT DISTINCT ON (year, sector) vintages, surrender_by FROM plan
                    WHERE starts_on <= :today ORDER BY year, sector, id DESC) p
            CROSS JOIN unnest(p.vintages) AS v (vintage) GROUP BY 1),
         carried AS (
           SELECT v.vintage, max(r.apply_until) AS until
             FROM (SELECT DISTINCT ON (year) vintages, apply_until FROM carry_over_round
                    ORDER BY year, id DESC) r
            CROSS JOIN unnest(r.vintages) AS v (vintage) GROUP BY 1),
         found AS (
           SELECT g.application_id, g.account_id, i.code AS about, i.code, g.remaining,
                  greatest(s.until, c.until) AS until
             FROM pledged g JOIN instrument i ON i.id = g.instrument_id
             JOIN serving s ON s.vintage = i.vintage
             LEFT JOIN carried c ON c.vintage = i.vintage
            WHERE i.kind = 'allowance' AND greatest(s.until, c.until) < :today),
"""
_USELESS = _telling_once(_USELESS_FOUND, "use")
