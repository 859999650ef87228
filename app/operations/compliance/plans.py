"""年度方案: approved versions take effect; which plan holds on a day (docs/adr/0084)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ARRAY, BigInteger, Integer, SmallInteger, any_, cast, select
from sqlalchemy.exc import IntegrityError

from app.domain.errors import RuleError
from app.domain.workflow import Case
from app.extensions import db, violated
from app.models import Instrument, Notice, Plan
from app.operations.records.actor import Actor
from app.operations.records.columns import typed


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Write the versions of approved decisions, in the approval's transaction.

    The database reads them from the applications (sql/0023/plans.sql).  Raises RuleError where a
    surrender, or another version, came between.
    """
    with _plan_errors():
        db.session.execute(_CARRY_OUT, {"ids": [case.id for case in cases]})


def latest(year: int, sector: str) -> Plan | None:
    """Return the newest version of a year and sector, begun or not."""
    found = select(Plan).where(Plan.year == year, Plan.sector == sector).order_by(Plan.id.desc())
    return db.session.scalars(found.limit(1)).first()


def in_force(year: int, sector: str, day: date) -> Plan | None:
    """Return the version that holds on a day."""
    found = select(Plan).where(Plan.year == year, Plan.sector == sector, Plan.starts_on <= day)
    return db.session.scalars(found.order_by(Plan.id.desc()).limit(1)).first()


def of_notice(notice: Notice, day: date) -> Plan:
    """Return the version that a notice rests on, on a day."""
    found = in_force(notice.year, notice.sector, day)
    assert found, "a notice is issued by a plan in force"
    return found


def accepts(plan: Any) -> Any:
    """Return the condition that an Instrument may be surrendered under a plan (N50).

    ``plan`` is a plan, a row that has its values, or the columns of `plans_on`.
    """
    return (Instrument.kind == "allowance") & (
        Instrument.vintage == any_(cast(plan.vintages, ARRAY(SmallInteger)))
    )


def accepted(plan: Any) -> Sequence[Instrument]:
    """Return 履约范围: the instruments that a plan accepts, by code."""
    return db.session.scalars(
        select(Instrument).where(accepts(plan)).order_by(Instrument.code)
    ).all()


def later_years(notice_ids: Sequence[int], day: date) -> dict[int, dict[int, str]]:
    """Return for notices, by newer allowance, the later compliance years that accept it, too (N51).

    An allowance counts whatever its sector (N52): a plan of any sector will do.
    """
    if not notice_ids:
        return {}
    found: dict[int, dict[int, str]] = {}
    for row in db.session.execute(_LATER_YEARS, {"ids": list(notice_ids), "day": day}):
        found.setdefault(row.notice_id, {})[row.instrument_id] = row.years
    return found


@contextmanager
def _plan_errors() -> Iterator[None]:
    """Translate violations of the plan's constraints into RuleErrors; others propagate."""
    try:
        yield
    except IntegrityError as error:
        constraint = violated(error)
        if constraint == "plan_keeps_what_is_used":
            raise RuleError(
                _("Notices or surrenders came meanwhile that rest on what would be taken away"),
                field="vintages",
                code="plan_in_use",
            ) from error
        if constraint in ("plan_as_decided", "plan_replaced_once", "plan_begins_once"):
            raise RuleError(
                _("The plan is another one by now; send the application back and enter it anew"),
                code="plan_changed_meanwhile",
            ) from error
        raise


_CARRY_OUT = typed("SELECT carry_out_plans(:ids)", ids=BigInteger)
_LATER_YEARS = typed(
    """
    WITH in_force AS MATERIALIZED (
           SELECT DISTINCT ON (year, sector) year, vintages FROM plan WHERE starts_on <= :day
            ORDER BY year, sector, id DESC)
    SELECT n.id AS notice_id, i.id AS instrument_id,
           string_agg(DISTINCT p.year::text, '、' ORDER BY p.year::text) AS years
      FROM notice n
      JOIN instrument i ON i.kind = 'allowance' AND i.vintage > n.year
      JOIN in_force p ON p.year > n.year AND i.vintage = ANY(p.vintages)
     WHERE n.id = ANY(:ids) GROUP BY n.id, i.id
    """,
    ids=Integer,
)
