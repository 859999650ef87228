"""Bounds of what is stored before it is submitted: quotas for files and drafts, and the sweep."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, delete, func, select

from app.domain.errors import RuleError
from app.domain.workflow import EDITABLE, Status
from app.extensions import db
from app.models import Application, Member, UnfinishedForm
from app.models.files import Attachment
from app.operations.people import unfinished
from app.operations.records.actor import SYSTEM, Actor
from app.operations.records.log import record

_LOCK = 7_214_003  # class; the second key is the account or, negative, the officer
MEGABYTE = 1024 * 1024
SWEPT_AT_ONCE = 500  # files of one transaction


def require_room_for_files(actor: Actor, files: int, size: int) -> None:
    """Require room for more files, ``size`` in bytes together, until the transaction ends.

    What counts are the files of forms, drafts and returned applications of the actor's enterprise,
    of an officer those of the officer's own.  Raises RuleError.
    """
    if not files or actor.member_id is None:
        return
    _lock(actor)
    most_files, most_bytes = _limit("UNSUBMITTED_FILES"), _limit("UNSUBMITTED_MB") * MEGABYTE
    count, used = _used(actor)
    if count + files > most_files:
        message = _(
            "At most %(most)s files are stored for applications that are not submitted; there are"
            " %(count)s and this would be %(files)s more. Please submit or delete drafts first",
            most=most_files,
            count=count,
            files=files,
        )
        raise RuleError(message, field="attachments", code="files_quota")
    if used + size > most_bytes:
        message = _(
            "The files for applications that are not submitted have at most %(most)s MB; there are"
            " %(used)s MB and this would be %(size)s MB more. Please submit or delete drafts first",
            most=most_bytes // MEGABYTE,
            used=_megabytes(used),
            size=_megabytes(size),
        )
        raise RuleError(message, field="attachments", code="bytes_quota")


def require_room_for_draft(request_key: str, actor: Actor) -> None:
    """Require room for one more draft; an existing one's request key needs none.  Raises RuleError."""
    if actor.member_id is None:
        return
    _lock(actor)
    known = select(Application.id).where(Application.request_key == request_key)
    if db.session.scalar(known) is not None:
        return
    most = _limit("UNSUBMITTED_DRAFTS")
    drafts = select(func.count(Application.id)).where(
        _is_own_application(actor),
        Application.status == Status.DRAFT,
        Application.import_id.is_(None),
    )
    count = db.session.scalar(drafts) or 0
    if count >= most:
        message = _(
            "At most %(most)s drafts are stored, and there are %(count)s. Please submit or delete"
            " some first",
            most=most,
            count=count,
        )
        raise RuleError(message, code="drafts_quota")


def sweep(*, now: datetime) -> int:
    """Delete some files of forms that were not saved within ORPHANS_KEPT, and old unsaved input.

    Returns the number of files.  A file of an application is never deleted, nor one whose form is
    being saved or still stored.
    """
    unfinished.delete_expired()
    is_stored = (
        select(UnfinishedForm.member_id)
        .where(
            UnfinishedForm.request_key == Attachment.request_key,
            UnfinishedForm.member_id == Attachment.uploaded_by,
        )
        .exists()
    )
    # Locked, so that a form that is being saved meanwhile keeps its files: a locked row is skipped.
    found = db.session.execute(
        select(Attachment.id, Attachment.size)
        .where(
            Attachment.application_id.is_(None),
            Attachment.uploaded_at < now - current_app.config["ORPHANS_KEPT"],
            ~is_stored,
        )
        .order_by(Attachment.id)
        .limit(SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    if found:
        ids, sizes = zip(*found, strict=True)
        db.session.execute(delete(Attachment).where(Attachment.id.in_(ids)))
        record(SYSTEM, "attachment.sweep", rows=len(ids), bytes=sum(sizes))
    return len(found)


def _lock(actor: Actor) -> None:
    """Let one request of the enterprise, or of the officer, at a time count and add."""
    key = actor.account_id if actor.account_id is not None else -(actor.member_id or 0)
    db.session.execute(select(func.pg_advisory_xact_lock(_LOCK, key)))


def _used(actor: Actor) -> tuple[int, int]:
    """Return the number and bytes of files that are not attached to a submitted application."""
    counted = [func.count(Attachment.id), func.coalesce(func.sum(Attachment.size), 0)]
    of_forms = select(*counted).where(
        Attachment.application_id.is_(None), _is_own(Attachment.uploaded_by, actor)
    )
    of_applications = (
        select(*counted)
        .join(Application, Application.id == Attachment.application_id)
        .where(_is_own_application(actor), Application.status.in_(EDITABLE))
    )
    found = [db.session.execute(each).one() for each in (of_forms, of_applications)]
    return sum(count for count, _size in found), sum(int(size) for _count, size in found)


def _is_own_application(actor: Actor) -> ColumnElement[bool]:
    return _is_own(Application.created_by, actor)


def _is_own(member: Any, actor: Actor) -> ColumnElement[bool]:
    """Return the condition that a member belongs to the actor's enterprise, or is the officer."""
    if actor.account_id is None:
        return member == actor.member_id
    return member.in_(select(Member.id).where(Member.account_id == actor.account_id))


def _limit(name: str) -> int:
    return int(current_app.config[name])


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f}"
