"""The applicant's desk: saving and submitting forms, and storing the files of unsaved ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.errors import NotAllowed, NotFound, OutsideTradingHours, RuleError
from app.domain.workflow import EDITABLE, Action, Case, Status
from app.extensions import db, undone
from app.models import Application, ApplicationEvent
from app.operations.accounts import bindings, details
from app.operations.applications import attachments, engine, history, rows, unsubmitted
from app.operations.records.actor import Actor


class FormOutcome(Enum):
    """The result of a submitted form."""

    SAVED = auto()
    SUBMITTED = auto()
    TO_SIGN = auto()  # submission tried and rolled back; the draft awaits the signature
    KEPT = auto()  # outside trading hours, saved as a draft (domain.md 11.1)
    REPEATED = auto()  # the same form was submitted before
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class SentForm:
    """A form from a request.

    ``version`` is the application's when the form was loaded, or None; ``uploads`` is None on pages
    without attachments.
    """

    draft: engine.Draft
    application_id: int | None = None
    version: int | None = None
    uploads: Sequence[attachments.Upload] | None = None
    removed: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class FormResult:
    """The outcome of a form, its application, the error, and why its files were not stored."""

    ending: FormOutcome
    application_id: int = 0
    error: RuleError | None = None
    files_error: RuleError | None = None


class Changed(NotAllowed):
    """The application was changed since the form was loaded; nothing was saved.

    ``version`` is the one to compare with before sending again, None where it cannot be edited any
    more; ``is_there`` is False for a deleted draft.
    """

    code = "changed_meanwhile"

    def __init__(self, case: Case, event: ApplicationEvent) -> None:
        said = {"number": case.number, "event": history.described(event)}
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
    """Save a form with its files and, with ``submits``, submit it.

    With ``is_signed`` the submission is checked and rolled back, to be repeated with the signature.
    The files of a refused form are stored with it, so that they need not be chosen again.
    """
    try:
        with db.session.begin_nested():
            return _take(sent, actor, now, submits=submits, is_signed=is_signed)
    except RuleError as error:
        draft = sent.draft
        files_error = keep_files(
            sent.uploads or (), sent.removed, draft.request_key, draft.account_id, actor, now=now
        )
        if files_error is not None and files_error.code == error.code:
            files_error = None
        return FormResult(FormOutcome.REFUSED, error=error, files_error=files_error)


def _take(
    sent: SentForm, actor: Actor, now: datetime, *, submits: bool, is_signed: bool
) -> FormResult:
    id_ = sent.application_id
    if id_ is None:
        unsubmitted.require_room_for_draft(sent.draft.request_key, actor)
        (id_,) = engine.start([sent.draft], actor, now=now)
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
    """Write the form's content and files to the application; False for a repeated form.

    A form may overwrite its own changes.  Raises Changed where another member or form has changed
    the application to other content.
    """
    cases = engine.hold([id_], actor) if submits else rows.lock([id_], actor)
    if not cases:
        raise NotFound(_("There is no such application"))
    (case,) = cases
    files = attachments.of_application(id_)
    is_same, (form_key, event) = _has_content_of(case, sent.draft), _last_change(id_)
    if case.status not in EDITABLE:
        if case.status is Status.DISCARDED or not is_same or _brings_files(sent, files):
            raise Changed(case, event)
        return False
    goes_on = form_key == sent.draft.request_key and event.action == Action.SAVE
    knows_none = sent.version is None and sent.application_id is not None
    is_current = knows_none or sent.version == case.version
    is_unchanged_draft = is_same and case.status is Status.DRAFT
    if not (goes_on or is_current or is_unchanged_draft):
        raise Changed(case, event)
    if not (goes_on and is_same):
        engine.edit(id_, sent.draft, actor, now=now)
    if sent.uploads is not None:
        key, new = sent.draft.request_key, _new_files(sent, files)
        attachments.change(id_, actor, now=now, add=new, remove=sent.removed, request_key=key)
    return True


def _last_change(id_: int) -> tuple[str, ApplicationEvent]:
    """Return the key of the last form that changed an application, and its last event."""
    row = db.session.execute(
        select(Application.form_key, Application.request_key).where(Application.id == id_)
    ).one()
    event = history.last_event(id_)
    assert event is not None, "saving is an event"
    return row.form_key or row.request_key, event


def _has_content_of(case: Case, draft: engine.Draft) -> bool:
    """Tell whether an application has a draft's content, files aside."""
    lines = {line._replace(id=0, source_account_id=None) for line in case.lines}
    # Receivers named by lines are stored on submission.
    named = frozenset() if case.named_receivers else case.receivers
    return (
        lines == set(draft.lines)
        and named == frozenset(draft.receivers)
        and _decrypted(case.proposal) == _decrypted(draft.proposal)
        and all(getattr(case, name) == getattr(draft, name) for name in _CONTENT)
    )


_CONTENT = ("reason", "category", "document_no", "authority", "starts_on", "ends_on", "notice_id")


def _decrypted(proposal: Mapping[str, Any]) -> Any:
    """Decrypt a proposal for comparison, since ciphertexts of equal values differ."""
    clear = {**details.proposed(proposal), **bindings.proposed(proposal)}
    return json.loads(json.dumps({**proposal, **clear}))


def _new_files(sent: SentForm, files: Sequence[Any]) -> list[attachments.Upload]:
    """Return the uploads that the application does not have yet."""
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
    """Delete a draft with its files.  Raises like `engine.discard`."""
    files = [file.id for file in attachments.of_application(application_id)]
    if files:
        attachments.change(application_id, actor, now=now, remove=files)
    return engine.discard(application_id, actor, now=now)


# Files of unsaved forms ------------------------------------------------------------------------


def keep_files(
    uploads: Sequence[attachments.Upload],
    removed: Sequence[int],
    request_key: str,
    account_id: int,
    actor: Actor,
    *,
    now: datetime,
) -> RuleError | None:
    """Store the files of a form that cannot be saved yet, and delete those it removes.

    Returns the error where there are too many of them, or no room.
    """
    attachments.drop(removed, request_key, actor)
    if not uploads:
        return None
    try:
        with db.session.begin_nested():
            attachments.keep(uploads, request_key, account_id, actor, now=now)
    except RuleError as error:
        return error
    return None
