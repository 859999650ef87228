"""发放链 (rules-2026 N10-N16): where issues go by the plan, and what waits at provinces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, Integer, String, select
from sqlalchemy.exc import IntegrityError

from app.domain.compliance.commission import Due, Waiting, spread
from app.domain.errors import RuleError
from app.domain.kinds.compliance.commission import Commission
from app.domain.kinds.compliance.differentiation import Differentiation, DifferentiationRemoval
from app.domain.kinds.issuance import Issuance, ProvinceIssue
from app.domain.kinds.rules import Chain, Stop
from app.domain.workflow import Case, Line, Status
from app.extensions import db, violated
from app.models import Application, ApplicationLine
from app.models import Differentiation as Differentiated
from app.models.figures import waiting_line
from app.operations.records.actor import Actor
from app.operations.records.columns import typed

_LIST = (Differentiation.code, DifferentiationRemoval.code)


def gather(cases: Sequence[Case], today: date) -> dict[str, Any]:
    """Return what the rules of the chain read."""
    of: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        of[case.kind].append(case)
    listed = [case for code in (*_LIST, Commission.code) for case in of[code]]
    if not (of[Issuance.code] or of[ProvinceIssue.code] or listed):
        return {}
    issued = (
        (case.account_id, line.instrument_id, case.category)
        for case in of[Issuance.code]
        for line in case.lines
    )
    waits = (
        (case.account_id, line.instrument_id)
        for case in of[ProvinceIssue.code]
        for line in case.lines
    )
    accounts = {case.account_id for case in listed}
    leaving = {case.account_id for case in of[DifferentiationRemoval.code]}
    surrendered = commissioned({case.account_id for case in of[Commission.code]}, today)
    return {
        "chain": Chain(
            stops=stops(issued, today),
            withheld=withheld(waits),
            listed=_listed(accounts) if accounts else frozenset(),
            under_review=_under_review(accounts) if accounts else {},
            waiting=_waiting(leaving) if leaving else {},
            years=surrendered.years,
            commissioned=surrendered.lines,
        )
    }


@dataclass(slots=True)
class Commissioned:
    """What would be surrendered for accounts: years and gaps of notices, and lines by notice, in tonnes."""

    years: dict[int, int] = field(default_factory=dict)
    gaps: dict[int, int] = field(default_factory=dict)
    lines: dict[int, dict[int, int]] = field(default_factory=dict)


def commissioned(accounts: Iterable[int], today: date) -> Commissioned:
    """Return what waits for listed enterprises, spread over their notices of listed years (N43)."""
    found, wanted = Commissioned(), list(accounts)
    if not wanted:
        return found
    dues: dict[int, list[Due]] = defaultdict(list)
    for row in db.session.execute(_DUES, {"accounts": wanted, "today": today}):
        found.years[row.id], found.gaps[row.id] = row.year, max(row.left, 0)
        if row.is_listed and row.left > 0:
            vintages = frozenset(row.vintages or ())
            due = Due(row.id, row.year, row.left, vintages, row.commission_order or "")
            dues[row.account_id].append(due)
    waits: dict[int, list[Waiting]] = defaultdict(list)
    for row in db.session.execute(_WAITING, {"accounts": wanted}):
        waits[row.account_id].append(Waiting(row.line_id, row.vintage, row.remaining))
    for account in wanted:
        found.lines |= spread(dues[account], waits[account])
    return found


def lines_of(quantities: Mapping[int, int]) -> list[Line]:
    """Return lines that take these tonnes from lines that wait, by the line's id."""
    rows = db.session.execute(
        select(ApplicationLine.id, ApplicationLine.instrument_id)
        .where(ApplicationLine.id.in_(quantities))
        .order_by(ApplicationLine.id)
    )
    return [Line(row.instrument_id, quantities[row.id], source_line_id=row.id) for row in rows]


def released(account_id: int, year: int) -> list[Line]:
    """Return the lines of a removal from the list: all that waits of the year's vintage (N41)."""
    return lines_of(_waiting([account_id]).get((account_id, year), {}))


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Write the list as approved applications have it; the database reads them (sql/0027/chain.sql).

    Raises RuleError where another came before.
    """
    try:
        db.session.execute(_CARRY_OUT, {"ids": [case.id for case in cases], "now": now})
    except IntegrityError as error:
        if violated(error) not in ("differentiated_once", "differentiation_as_approved"):
            raise
        raise RuleError(
            _("The list is another one by now; send the application back"), code="list_changed"
        ) from error


def _listed(accounts: Iterable[int]) -> frozenset[tuple[int, int]]:
    rows = select(Differentiated.account_id, Differentiated.year).where(
        Differentiated.account_id.in_(list(accounts)), Differentiated.removal_id.is_(None)
    )
    return frozenset((row.account_id, row.year) for row in db.session.execute(rows))


def _under_review(accounts: Iterable[int]) -> dict[tuple[int, int], str]:
    year = Application.proposal["year"].astext
    rows = select(Application.account_id, year.label("year"), Application.number).where(
        Application.kind.in_(_LIST),
        Application.status == Status.IN_REVIEW,
        Application.account_id.in_(list(accounts)),
    )
    return {(row.account_id, int(row.year)): row.number for row in db.session.execute(rows)}


def _waiting(accounts: Iterable[int]) -> dict[tuple[int, int], dict[int, int]]:
    """Return what waits for each (account, vintage), by line."""
    found: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    rows = select(waiting_line).where(
        waiting_line.c.account_id.in_(list(accounts)), waiting_line.c.remaining > 0
    )
    for row in db.session.execute(rows):
        found[row.account_id, row.vintage][row.line_id] = row.remaining
    return dict(found)


def stops(issues: Iterable[tuple[int, int, str]], today: date) -> dict[tuple[int, int, str], Stop]:
    """Return where issues of (account, instrument, type) go by the plans of today."""
    wanted = sorted(set(issues))
    if not wanted:
        return {}
    accounts, instruments, categories = zip(*wanted, strict=True)
    asked = {"accounts": accounts, "instruments": instruments, "categories": categories}
    rows = db.session.execute(_STOPS, asked | {"today": today})
    return {
        (row.account_id, row.instrument_id, row.category): Stop(row.place, row.province_account)
        for row in rows
    }


def routed(account_id: int, category: str, lines: Iterable[Line], today: date) -> list[Line]:
    """Return the lines of an issue with the account that today's plans send each to."""
    given = list(lines)
    found = stops(((account_id, line.instrument_id, category) for line in given), today)
    return sent(account_id, category, given, found)


def sent(
    account_id: int,
    category: str,
    lines: Sequence[Line],
    found: Mapping[tuple[int, int, str], Stop],
) -> list[Line]:
    """Return the lines of an issue with the account that each goes to, by its stop.

    One that is not to be made names none, and is refused when it is judged.
    """
    stops_of = [found.get((account_id, line.instrument_id, category)) for line in lines]
    return [
        line._replace(account_id=stop.account_id if stop and stop.place == "province" else None)
        for line, stop in zip(lines, stops_of, strict=True)
    ]


def withheld(pairs: Iterable[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """Return those (account, instrument) whose units the list of the differentiated keeps."""
    wanted = sorted(set(pairs))
    if not wanted:
        return frozenset()
    accounts, instruments = zip(*wanted, strict=True)
    rows = db.session.execute(_WITHHELD, {"accounts": accounts, "instruments": instruments})
    return frozenset((row.account_id, row.instrument_id) for row in rows)


_STOPS = typed(
    """
    SELECT w.account_id, w.instrument_id, w.category, p.id AS province_account,
           issue_stop(w.account_id, w.instrument_id, w.category, :today) AS place
      FROM unnest(:accounts, :instruments, :categories) AS w (account_id, instrument_id, category)
      JOIN account e ON e.id = w.account_id
      JOIN account p ON p.kind = 'province' AND p.province = e.province
    """,
    accounts=Integer,
    instruments=Integer,
    categories=String,
)
_WITHHELD = typed(
    """
    SELECT w.account_id, w.instrument_id
      FROM unnest(:accounts, :instruments) AS w (account_id, instrument_id)
      JOIN instrument i ON i.id = w.instrument_id
     WHERE is_withheld(w.account_id, i.vintage)
    """,
    accounts=Integer,
    instruments=Integer,
)
# Notices of accounts, what is due for each and not under way, and what its plan says.
_DUES = typed(
    """
    SELECT n.id, n.account_id, n.year, p.vintages, p.commission_order,
           n.obligation - coalesce((
             SELECT sum(l.surrendered + l.pending) FROM notice_surrender_line l
              WHERE l.notice_id = n.id), 0)::bigint AS left,
           EXISTS (SELECT FROM differentiation d
                    WHERE d.account_id = n.account_id AND d.year = n.year AND d.removal_id IS NULL)
             AS is_listed
      FROM notice n LEFT JOIN LATERAL plan_on(n.year, n.sector, :today) p ON true
     WHERE n.account_id = ANY(:accounts) AND n.withdrawn_at IS NULL
    """,
    accounts=Integer,
)
# What waits of listed years.
_WAITING = typed(
    """
    SELECT w.account_id, w.line_id, w.vintage, w.remaining
      FROM waiting_line w
      JOIN differentiation d ON d.account_id = w.account_id AND d.year = w.vintage AND d.removal_id IS NULL
     WHERE w.account_id = ANY(:accounts) AND w.remaining > 0
    """,
    accounts=Integer,
)
_CARRY_OUT = typed("SELECT carry_out_differentiations(:ids, :now)", ids=BigInteger)
