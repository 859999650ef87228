"""核定数据表 by the platform's interface: read as a file is, and submitted to an officer (N03, N04, N05)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Row, Select, func, select, true

from app.domain.compliance.figures import BASES, STAGES
from app.domain.errors import RuleError
from app.domain.kinds.compliance.figure_table import FigureTable
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.workflow import Action, Status
from app.extensions import db
from app.models import Account, AllocationFigure, Application, ApplicationEvent, ImportFile
from app.operations.applications import engine
from app.operations.imports import figure_import, tables
from app.operations.imports.figure_import import Imported
from app.operations.imports.tables import Problem, Table
from app.operations.records.actor import Actor
from app.operations.records.catalogue import SECTORS

MOST_NAMED = 20  # differing rows that the application itself names
# Faults of what a table says once; all others are a row's.
_OF_THE_TABLE = ("year", "sector", "stage")
_OF_A_ROW = ("sector_not_theirs", "nothing_approved")


@dataclass(frozen=True, slots=True)
class Pushed:
    """A table as it was pushed; its rows name their cells as `figure_import.COLUMNS` does, in codes."""

    year: int
    sector: str
    stage: str
    document_no: str
    documented_on: date
    rows: Sequence[Mapping[str, Any]]


class RowsRefused(RuleError):
    """Rows that cannot be taken; nothing of the table is."""

    code = "rows_refused"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(_("One bad row, and nothing is imported"), field="rows")
        self.problems = problems


def receive(pushed: Pushed, actor: Actor, client_id: int, *, now: datetime) -> str:
    """Store a table, and submit it to an officer of the registry; return its number.

    Raises RowsRefused with every fault, and RuleError where the same table is under review or counts.
    """
    table = _table(pushed)
    try:
        done = figure_import.take(table, actor, now=now, client_id=client_id)
    except RuleError as error:
        if error.code == "rows_refused":
            raise RowsRefused(table.problems) from error
        if error.code == "import_seen_before":
            raise _seen_before(table) from error
        raise
    draft = engine.Draft(
        FigureTable.code,
        ISSUANCE_ACCOUNT_ID,
        (),
        f"figures:{done.import_id}",
        document_no=pushed.document_no,
        starts_on=pushed.documented_on,
        import_id=done.import_id,
        proposal=_proposal(pushed, table, done, actor),
    )
    (made,) = engine.start([draft], actor, now=now)
    return engine.submit([made], actor, now=now).one().number


def place_of(problem: Problem) -> str:
    """Return the field of a problem as the interface names it: of the table, or of a row counted from 0."""
    if problem.key in _OF_THE_TABLE and problem.code not in _OF_A_ROW:
        return problem.key
    cell = "" if problem.key in _OF_THE_TABLE or not problem.key else f".{problem.key}"
    return f"rows[{problem.row - 1}]{cell}"


def _table(pushed: Pushed) -> Table:
    """Return the table as a file would have brought it; its first row is number 1."""
    said = json.dumps(asdict(pushed), default=str, ensure_ascii=False, sort_keys=True)
    once = {
        "year": str(pushed.year),
        "sector": str(SECTORS.get(pushed.sector, pushed.sector)),
        "stage": str(STAGES[pushed.stage]),
    }
    name = _("Platform interface: %(year)s, %(sector)s, %(stage)s", **once)
    digest = hashlib.sha256(said.encode()).hexdigest()
    table = Table(name, digest, figure_import.COLUMNS)
    for number, row in enumerate(pushed.rows, start=1):
        cells = {each.key: _cell(each.key, row) for each in figure_import.COLUMNS}
        table.rows.append(tables.Row(number, cells | once))
    return table


def _cell(key: str, row: Mapping[str, Any]) -> str:
    value = row.get(key)
    if value is None:
        return ""
    return str(BASES[value]) if key == "basis" else str(value)


def _seen_before(table: Table) -> RuleError:
    number = db.session.scalar(
        select(Application.number)
        .join(ImportFile, ImportFile.id == Application.import_id)
        .where(Application.kind == FigureTable.code, ImportFile.sha256 == table.sha256)
        .order_by(Application.id.desc())
        .limit(1)
    )
    message = _(
        "This very table was pushed before, as %(number)s; nothing was taken", number=number
    )
    return RuleError(message, field="rows", code="table_seen_before")


def _proposal(pushed: Pushed, table: Table, done: Imported, actor: Actor) -> dict[str, Any]:
    """Return what an officer is to decide about: the table by its digest, and what differs in it."""
    differing = [
        (row, stored)
        for row, stored in zip(table.rows, done.stored, strict=True)
        if stored["quantity"] != stored["expected"]
    ]
    wholes = [each for each in done.stored if not each["unit"]]
    return {
        "table": table.sha256,
        "client": actor.member_no,
        **{name: getattr(pushed, name) for name in ("year", "sector", "stage")},
        "rows": len(table.rows),
        "enterprises": len(wholes),
        "tonnes": sum(each["quantity"] or 0 for each in wholes),
        "differing": len(differing),
        "differing_enterprises": len({stored["account_id"] for _row, stored in differing}),
        "differences": [
            {
                "member_no": row["member_no"],
                "name": row["name"],
                "unit_code": row["unit"],
                "quantity": stored["quantity"],
                "expected": stored["expected"],
            }
            for row, stored in differing[:MOST_NAMED]
        ],
    }


# What became of a table ---------------------------------------------------------------------------


def pushed_tables(state: Status | None = None, *, after: int = 0) -> Select[Any]:
    """Return the platform's tables beyond an id, with the officer's decision, by id."""
    event = ApplicationEvent
    decided = (
        select(event.at, event.comment)
        .where(
            event.application_id == Application.id,
            event.action.in_((Action.APPROVE, Action.SEND_BACK)),
        )
        .order_by(event.id.desc())
        .limit(1)
        .lateral("decided")
    )
    statement = (
        select(
            Application.id,
            Application.number,
            Application.status,
            Application.document_no,
            Application.starts_on,
            Application.proposal,
            Application.submitted_at,
            Application.import_id,
            decided.c.at.label("decided_at"),
            func.coalesce(decided.c.comment, "").label("comment"),
        )
        .outerjoin(decided, true())
        .where(Application.kind == FigureTable.code, Application.id > after)
        .order_by(Application.id)
    )
    return statement if state is None else statement.where(Application.status == state)


def find(number: str) -> Row[Any] | None:
    """Return a table by its number."""
    return db.session.execute(pushed_tables().where(Application.number == number)).one_or_none()


def differences(import_id: int, *, after: int, member_no: str = "") -> Select[Any]:
    """Return the rows of an import that differ from our own computing, in the order of the table."""
    figure = AllocationFigure
    shown: tuple[Any, ...] = (
        figure.id, Account.member_no, Account.name, figure.unit, figure.quantity, figure.expected,
        (figure.quantity - figure.expected).label("difference"),
    )  # fmt: skip
    statement = (
        select(*shown)
        .join(Account, Account.id == figure.account_id)
        .where(figure.import_id == import_id, figure.is_differing, figure.id > after)
        .order_by(figure.id)
    )
    return statement.where(Account.member_no == member_no) if member_no else statement
