"""What an imported file brought: drafts until they are submitted together, or withdrawn together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select

from app.domain.errors import NotFound
from app.domain.workflow import Status
from app.extensions import db, undone
from app.models import Application, ApplicationLine, ImportFile
from app.operations import applications
from app.operations.actor import Actor


@dataclass(frozen=True, slots=True)
class Batch:
    """An imported file, what became of its applications, and their tonnes."""

    file: ImportFile
    statuses: Counter[str]
    tonnes: int


def find(import_id: int, kind: str) -> Batch:
    """Return a file that was imported.  Raises NotFound where there is none of this kind."""
    file = db.session.get(ImportFile, import_id)
    if file is None or file.kind != kind:
        raise NotFound("no such import")
    mine = Application.import_id == import_id
    statuses = select(Application.status, func.count()).where(mine).group_by(Application.status)
    tonnes = (
        select(func.sum(ApplicationLine.quantity)).join(ApplicationLine.application).where(mine)
    )
    return Batch(
        file, Counter(dict(db.session.execute(statuses).all())), db.session.scalar(tonnes) or 0
    )


def awaits_submission() -> ColumnElement[bool]:
    """Return the condition that an application came with a file and was not submitted yet."""
    return and_(Application.import_id.is_not(None), Application.status == Status.DRAFT)


def drafts(import_id: int) -> list[int]:
    """Return the applications of a file that were not submitted yet."""
    return list(
        db.session.scalars(
            select(Application.id)
            .where(Application.import_id == import_id, Application.status == Status.DRAFT)
            .order_by(Application.id)
        )
    )


def submit(ids: Sequence[int], actor: Actor, *, now: datetime, only_tries: bool) -> None:
    """Submit what a file brought, all or none; or try it and undo it: nobody signs in vain.

    Raises what stood against the first that was refused.
    """
    try:
        with undone() if only_tries else nullcontext():
            applications.submit_all(ids, actor, now=now)
    except applications.NoneSubmitted as error:
        raise error.refused[0][1] from error


def withdraw(import_id: int, actor: Actor, *, now: datetime) -> int:
    """Withdraw the drafts that a file brought, so that it may be imported again; returns how many.

    What was submitted meanwhile stays.  Raises RuleError.
    """
    applications.hold(drafts(import_id), actor)
    outcome = applications.withdraw(drafts(import_id), actor, now=now)
    for _case, error in outcome.refused:
        raise error
    return len(outcome.done)
