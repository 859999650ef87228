"""The applicant's desk: what becomes of a form that was sent, and of what was typed before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from app.domain.errors import NotAllowed, NotFound, OutsideTradingHours, RuleError
from app.domain.kinds import KINDS
from app.domain.workflow import EDITABLE, Action, Case, Status
from app.extensions import db, undone
from app.models import Application, ApplicationEvent, UnfinishedForm
from app.operations.accounts import details
from app.operations.applications import attachments, engine, history, rows
from app.operations.records.actor import Actor

LONGEST_FORM = 100_000  # characters of a form that is kept unfinished
_KEPT_FOR = timedelta(days=1)


class FormOutcome(Enum):
    """What became of a form."""

    SAVED = auto()
    SUBMITTED = auto()
    TO_SIGN = auto()  # Everything was tried and undone; the draft waits for the signature.
    KEPT = auto()  # Refused outside trading hours, and kept as a draft (domain.md 11.1).
    REPEATED = auto()  # The same form was sent before, and its application is on its way.
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class SentForm:
    """A form as it was sent.

    ``version`` is the application's when the form was read, None where the form knows of none;
    ``uploads`` is None on pages that take no files.
    """

    draft: engine.Draft
    application_id: int | None = None
    version: int | None = None
    uploads: Sequence[attachments.Upload] | None = None
    removed: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class FormResult:
    """The answer to a form: what became of it, of which application, and what stood against it."""

    ending: FormOutcome
    application_id: int = 0
    error: RuleError | None = None


class Changed(NotAllowed):
    """The application is not what the form was about any more; nothing was saved.

    ``version`` is the one to read before the form is sent again, None where it is too late;
    ``is_there`` tells whether there is anything left to look at.
    """

    code = "changed_meanwhile"

    def __init__(self, case: Case, event: ApplicationEvent) -> None:
        said = {"number": case.number, "event": history.told(event)}
        if case.status not in EDITABLE:
            message = _(
                "This application can no longer be changed; %(number)s: %(event)s. What is below"
                " was not submitted",
                **said,
            )
        else:
            message = _(
                "Application %(number)s is another one than when this form was opened: %(event)s."
                " Nothing was saved. Compare both contents; sent once more, yours takes its place",
                **said,
            )
        super().__init__(message)
        self.application_id = case.id
        self.is_there = case.status is not Status.DISCARDED
        self.version = case.version if case.status in EDITABLE else None


def take(
    sent: SentForm, actor: Actor, *, now: datetime, submits: bool, is_signed: bool
) -> FormResult:
    """Save a form with its files and submit it, or say what stands against that.

    Where the submission ``is_signed``, every check runs and is undone: nobody signs in vain.  What
    is refused leaves its files with the form, so that nobody has to choose them again.
    """
    try:
        with db.session.begin_nested():
            return _take(sent, actor, now, submits=submits, is_signed=is_signed)
    except RuleError as error:
        draft = sent.draft
        keep_files(
            sent.uploads or (), sent.removed, draft.request_key, draft.account_id, actor, now=now
        )
        return FormResult(FormOutcome.REFUSED, error=error)


def _take(
    sent: SentForm, actor: Actor, now: datetime, *, submits: bool, is_signed: bool
) -> FormResult:
    id_ = sent.application_id or engine.start([sent.draft], actor, now=now)[0]
    if not _save(id_, sent, actor, now, submits=submits):
        return FormResult(FormOutcome.REPEATED, id_)
    if not submits:
        return FormResult(FormOutcome.SAVED, id_)
    try:
        with undone() if is_signed else db.session.begin_nested():
            engine.submit([id_], actor, now=now).one()
    except OutsideTradingHours as error:
        return FormResult(FormOutcome.KEPT, id_, error)
    return FormResult(FormOutcome.TO_SIGN if is_signed else FormOutcome.SUBMITTED, id_)


def _save(id_: int, sent: SentForm, actor: Actor, now: datetime, *, submits: bool) -> bool:
    """Give an application the form's content and files; tells whether it still can have them.

    A form goes on with what it made or changed itself.  Raises Changed where somebody else, or
    another form, came between; the same content does no harm.
    """
    cases = engine.hold([id_], actor) if submits else rows.lock([id_], actor)
    if not cases:
        raise NotFound(_("There is no such application"))
    (case,) = cases
    files = attachments.of_application(id_)
    is_same, (form_key, event) = _says(case, sent.draft), _last(id_)
    if case.status not in EDITABLE:
        if case.status is Status.DISCARDED or not is_same or _brings_files(sent, files):
            raise Changed(case, event)
        return False
    goes_on = form_key == sent.draft.request_key and event.action == Action.SAVE
    knows_none = sent.version is None and sent.application_id is not None
    is_current = knows_none or sent.version == case.version
    does_no_harm = is_same and case.status is Status.DRAFT
    if not (goes_on or is_current or does_no_harm):
        raise Changed(case, event)
    if not (goes_on and is_same):
        engine.edit(id_, sent.draft, actor, now=now)
    if sent.uploads is not None:
        key, new = sent.draft.request_key, _new_files(sent, files)
        attachments.change(id_, actor, now=now, add=new, remove=sent.removed, request_key=key)
    return True


def _last(id_: int) -> tuple[str, ApplicationEvent]:
    """Return which form an application was changed with, and what was done to it last."""
    row = db.session.execute(
        select(Application.form_key, Application.request_key).where(Application.id == id_)
    ).one()
    event = history.last_event(id_)
    assert event is not None, "saving is an event"
    return row.form_key or row.request_key, event


def _says(case: Case, draft: engine.Draft) -> bool:
    """Tell whether an application says what a draft says, its files aside."""
    lines = {line._replace(id=0) for line in case.lines}
    # Receivers with lines of their own are written down on submission.
    named = frozenset() if KINDS[case.kind].has_lines else case.receivers
    return (
        lines == set(draft.lines)
        and named == frozenset(draft.receivers)
        and _in_clear(case.proposal) == _in_clear(draft.proposal)
        and all(getattr(case, name) == getattr(draft, name) for name in _CONTENT)
    )


_CONTENT = ("reason", "category", "document_no", "authority", "starts_on", "ends_on", "notice_id")


def _in_clear(proposal: Mapping[str, Any]) -> Any:
    """Return a proposal as it can be compared: what is encrypted differs each time."""
    return json.loads(json.dumps({**proposal, **details.proposed(proposal)}))


def _new_files(sent: SentForm, files: Sequence[Any]) -> list[attachments.Upload]:
    """Return the uploads that are not with the application yet."""
    known = {(file.name, file.sha256) for file in files}
    return [
        each
        for each in sent.uploads or ()
        if (each.name, hashlib.sha256(each.content).hexdigest()) not in known
    ]


def _brings_files(sent: SentForm, files: Sequence[Any]) -> bool:
    lets_go = {file.id for file in files} & set(sent.removed)
    return bool(lets_go or _new_files(sent, files))


def discard(application_id: int, actor: Actor, *, now: datetime) -> Case:
    """Delete a draft with its files.  Raises what `engine.discard` raises."""
    files = [file.id for file in attachments.of_application(application_id)]
    if files:
        attachments.change(application_id, actor, now=now, remove=files)
    return engine.discard(application_id, actor, now=now)


# What was typed, before it is saved ---------------------------------------------------------


def keep_files(
    uploads: Sequence[attachments.Upload],
    removed: Sequence[int],
    request_key: str,
    account_id: int,
    actor: Actor,
    *,
    now: datetime,
) -> None:
    """Keep files with a form that cannot be saved yet, and let go those that it lets go."""
    attachments.drop(removed, request_key, actor)
    if uploads:
        attachments.keep(uploads, request_key, account_id, actor, now=now)


def keep_typed(content: Sequence[tuple[str, str]], request_key: str, actor: Actor) -> bool:
    """Keep what a form sent for a day; tells whether it could be kept."""
    size = sum(len(name) + len(value) for name, value in content)
    if size > LONGEST_FORM or not _is_text(content):
        return False
    old = UnfinishedForm.kept_at < func.now() - _KEPT_FOR
    db.session.execute(delete(UnfinishedForm).where(old))
    statement = insert(UnfinishedForm).values(
        member_id=actor.member_id, request_key=request_key, content=content, kept_at=func.now()
    )
    new = {"content": statement.excluded.content, "kept_at": statement.excluded.kept_at}
    db.session.execute(
        statement.on_conflict_do_update(index_elements=["member_id", "request_key"], set_=new)
    )
    return True


def typed(request_key: str, member_id: int) -> list[tuple[str, str]]:
    """Return what a form of this member sent, or nothing."""
    kept = db.session.get(UnfinishedForm, (member_id, request_key))
    return [(name, value) for name, value in kept.content] if kept else []


def _is_text(content: Sequence[tuple[str, str]]) -> bool:
    """Tell whether PostgreSQL can keep it: neither NUL nor half a character."""
    whole = "".join(name + value for name, value in content)
    return "\x00" not in whole and not any("\ud800" <= letter <= "\udfff" for letter in whole)
