"""The drafts of an imported file, which are submitted or withdrawn together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, and_, func, select, update

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.workflow import Party, Status
from app.extensions import db, undone
from app.models import Application, ApplicationLine, ImportFile
from app.operations.applications import engine
from app.operations.imports import tables
from app.operations.imports.tables import Table
from app.operations.records import log
from app.operations.records.actor import Actor

# One import of a kind at a time, so that the checks for duplicates are reliable.
LOCKS = {
    "allocation": 7260008,
    "account_opening": 7260009,
    "notice": 7260011,
    "province_issue": 7260027,
    "figures": 7260088,
}


@dataclass(frozen=True, slots=True)
class Imported:
    """The import's id and its applications."""

    import_id: int
    applications: list[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """An imported file with its applications by status, and their tonnes."""

    file: ImportFile
    statuses: Counter[str]
    tonnes: int


def take(
    kind: str,
    table: Table,
    drafts_of: Callable[[int], list[engine.Draft]],
    actor: Actor,
    *,
    now: datetime,
    only_tries: bool = False,
    awaits: Collection[str] = (),
) -> Imported:
    """Create drafts from a table and submit them, all or none.

    ``drafts_of`` reads the rows, given the import's id.  With ``only_tries`` the submission is rolled
    back, and the drafts await it.  What is refused by rules of ``awaits`` alone stays drafts, too: it
    lacks what is entered later.  Raises RuleError where the file was imported before, or for bad
    rows (``table.problems``); the caller rolls back.
    """
    if engine.party(actor) is Party.RECEIVER:
        raise NotAllowed(_("Only an authority or the registry may do this"), code="no_authority")
    if not table.is_clear and table.rows:
        drafts_of(0)  # So that all that stands against its rows is named at once.
    _require_clear(table)
    db.session.execute(select(func.pg_advisory_xact_lock(LOCKS[kind])))
    import_id = tables.remember(kind, table, actor, now)
    drafts = drafts_of(import_id)
    _require_clear(table)
    made = engine.start(drafts, actor, now=now)
    _submit(made, actor, now=now, only_tries=only_tries, awaits=awaits)
    return Imported(import_id, made)


def _require_clear(table: Table) -> None:
    if not table.is_clear:
        table.problems.sort(key=lambda each: each.row)
        raise RuleError(_("One bad row, and nothing is imported"), code="rows_refused")


def _submit(
    ids: Sequence[int], actor: Actor, *, now: datetime, only_tries: bool, awaits: Collection[str]
) -> None:
    """Submit all, or try it and roll back.  Raises the first application's error that is not awaited."""
    try:
        with undone() if only_tries else nullcontext():
            engine.submit_all(ids, actor, now=now)
    except engine.NoneSubmitted as error:
        for _case, reason in error.refused:
            if reason.code not in awaits:
                raise reason from error


def enter_document(
    import_id: int, document_no: str, day: date, actor: Actor, *, now: datetime
) -> int:
    """Write number and date of the document that a file's drafts rest on; return how many there are.

    Submitted ones stay as they are.  Raises RuleError where none waits.
    """
    ids = drafts(import_id)
    engine.hold(ids, actor)
    done = db.session.execute(
        update(Application)
        .where(Application.id.in_(ids), Application.status == Status.DRAFT)
        .values(document_no=document_no, starts_on=day, version=Application.version + 1)
        .returning(Application.id)
    ).all()
    if not done:
        raise RuleError(_("There is nothing left to submit"), code="nothing_left")
    log.record(
        actor,
        "import.document",
        subject=str(import_id),
        document_no=document_no,
        documented_on=day.isoformat(),
        count=len(done),
    )
    db.session.expire_all()
    return len(done)


def find(import_id: int, kind: str) -> Batch:
    """Return an imported file.  Raises NotFound where there is none of this kind."""
    file = db.session.get(ImportFile, import_id)
    if file is None or file.kind != kind:
        raise NotFound(_("There is no such record"))
    mine = Application.import_id == import_id
    statuses = select(Application.status, func.count()).where(mine).group_by(Application.status)
    tonnes = (
        select(func.sum(ApplicationLine.quantity)).join(ApplicationLine.application).where(mine)
    )
    return Batch(
        file, Counter(dict(db.session.execute(statuses).all())), db.session.scalar(tonnes) or 0
    )


def awaits_submission() -> ColumnElement[bool]:
    """Return the condition that an Application is an imported draft."""
    return and_(Application.import_id.is_not(None), Application.status == Status.DRAFT)


def drafts(import_id: int) -> list[int]:
    """Return the ids of a file's drafts."""
    return list(
        db.session.scalars(
            select(Application.id)
            .where(Application.import_id == import_id, Application.status == Status.DRAFT)
            .order_by(Application.id)
        )
    )


def withdraw(import_id: int, actor: Actor, *, now: datetime) -> int:
    """Withdraw a file's drafts, so that it may be imported again; return their number.

    Submitted ones stay.  Raises RuleError.
    """
    engine.hold(drafts(import_id), actor)
    outcome = engine.withdraw(drafts(import_id), actor, now=now)
    for _case, error in outcome.refused:
        raise error
    return len(outcome.done)
