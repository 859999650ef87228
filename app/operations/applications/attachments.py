"""Attachments (附件): checking uploads by content, and adding and removing them."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import puremagic
from flask_babel import lazy_gettext as _
from PIL import Image, UnidentifiedImageError
from sqlalchemy import ColumnElement, delete, false, func, insert, select, update
from sqlalchemy.orm import undefer

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.kinds import KINDS
from app.domain.workflow import Action, Case, Party, require
from app.extensions import db
from app.models.files import LARGEST, Attachment
from app.operations.applications import engine, rows, unsubmitted
from app.operations.applications.active_content import check_office, check_pdf
from app.operations.applications.archives import BROKEN_PARTS, clean_name, ending_of, open_archive
from app.operations.applications.scanning import scan
from app.operations.records.actor import Actor
from app.operations.records.log import record

MOST = 20  # of one application
FIELD = "attachments"  # name of the form's file field
REMOVED = "removed_attachment"  # name of the checkboxes that remove files
PDF, PNG, JPEG = "application/pdf", "image/png", "image/jpeg"
OFFICE = "application/vnd.openxmlformats-officedocument."
DOCX, XLSX = OFFICE + "wordprocessingml.document", OFFICE + "spreadsheetml.sheet"
OFD = "application/ofd"  # GB/T 33190
TYPES = {
    ".pdf": PDF,
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".docx": DOCX,
    ".xlsx": XLSX,
    ".ofd": OFD,
}
# Recognition of zip-based types: a required part, and its declared content type.
_PARTS = {
    DOCX: ("word/document.xml", b"wordprocessingml.document.main+xml"),
    XLSX: ("xl/workbook.xml", b"spreadsheetml.sheet.main+xml"),
}
_DECLARED = "[Content_Types].xml"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was checked and accepted."""

    name: str
    media_type: str
    content: bytes
    category: str = ""


def sorted_out(
    files: Any, field: str = FIELD, category: str = ""
) -> tuple[list[Upload], list[RuleError]]:
    """Check the files of a form's field (``request.files``); return those accepted, and what is wrong.

    Each error names its file and is for ``field``.
    """
    chosen = [each for each in files.getlist(field) if each.filename]
    if len(chosen) > MOST:
        return [], [_too_many(field)]
    uploads, refused = [], []
    for each in chosen:
        try:
            content = each.stream.read(LARGEST + 1)
            uploads.append(look_at(each.filename, content, category, field=field))
        except RuleError as error:
            refused.append(error)
    return uploads, refused


def removed_from(form: Any) -> list[int]:
    """Return the ids of the attachments that a form (``request.form``) removes."""
    return [int(each) for each in form.getlist(REMOVED) if re.fullmatch(r"[0-9]{1,18}", each)]


def look_at(name: str, content: bytes, category: str = "", *, field: str = FIELD) -> Upload:
    """Check a file, whose type is detected from the content and must match the name's extension.

    Raises RuleError naming the file: empty, too large, of a type that is not accepted, named as
    another type, with active content, damaged, packed beyond reason, or with a virus.
    """
    name = clean_name(name)
    try:
        media_type = _type_of(name, content)
        scan(content)
    except RuleError as error:
        message = _("%(name)s: %(message)s", name=name, message=error.message)
        raise RuleError(message, field=field, code=error.code) from error
    return Upload(name, media_type, content, category)


def change(
    application_id: int,
    actor: Actor,
    *,
    now: datetime,
    add: Sequence[Upload] = (),
    remove: Sequence[int] = (),
    request_key: str = "",
) -> None:
    """Add and remove files of a draft or returned application, and adopt those of the form.

    ``request_key`` is the key of the form whose files were stored before the application existed.
    Raises NotFound outside the actor's scope, NotAllowed unless it is the actor's and editable,
    RuleError for too many files, or where they exceed the quota.
    """
    case = _lock(application_id, actor)
    if request_key:
        claim = update(Attachment).where(_is_of_form(request_key, actor))
        db.session.execute(claim.values(application_id=case.id, account_id=case.account_id))
    if remove:
        gone = delete(Attachment).where(
            Attachment.id.in_(remove), Attachment.application_id == case.id
        )
        for name in db.session.scalars(gone.returning(Attachment.name)):
            _record(actor, "attachment.remove", case.number, case.account_id, name)
    _require_room(add, actor)
    place = {"application_id": case.id, "account_id": case.account_id, "request_key": request_key}
    _insert(add, place, actor, now)
    _require_at_most(Attachment.application_id == case.id)
    for each in add:
        _record(actor, "attachment.add", case.number, case.account_id, each.name)


def keep(
    uploads: Sequence[Upload], request_key: str, account_id: int, actor: Actor, *, now: datetime
) -> None:
    """Store the files of a form that cannot be saved yet, so that they need not be chosen again.

    Raises RuleError for too many files, or where they exceed the quota.
    """
    assert request_key
    _require_room(uploads, actor)
    _insert(uploads, {"account_id": account_id, "request_key": request_key}, actor, now)
    _require_at_most((Attachment.request_key == request_key) & Attachment.application_id.is_(None))


def of_form(request_key: str, actor: Actor, application_id: int | None = None) -> list[Attachment]:
    """Return the files of the form's application, then those stored with the form."""
    kept = Attachment.application_id == application_id if application_id else false()
    unsaved = _is_of_form(request_key, actor) if request_key else false()
    found = select(Attachment).where(kept | unsaved)
    return list(
        db.session.scalars(found.order_by(Attachment.application_id.is_(None), Attachment.id))
    )


def drop(ids: Sequence[int], request_key: str, actor: Actor) -> None:
    """Delete files stored with the actor's form."""
    gone = delete(Attachment).where(Attachment.id.in_(ids), _is_of_form(request_key, actor))
    db.session.execute(gone.execution_options(synchronize_session=False))


def of_application(application_id: int) -> list[Attachment]:
    """Return an application's files, oldest first, without their content."""
    found = select(Attachment).where(Attachment.application_id == application_id)
    return list(db.session.scalars(found.order_by(Attachment.id)))


def read(attachment_id: int) -> Attachment:
    """Return a file with its content; the caller checks the scope.

    Raises NotFound, and RuleError where the content no longer matches its hash.
    """
    found = db.session.get(Attachment, attachment_id, options=[undefer(Attachment.content)])
    if found is None:
        raise NotFound(_("There is no such record"))
    if hashlib.sha256(found.content).hexdigest() != found.sha256:
        raise RuleError(_("The file was damaged in storage"), code="attachment_damaged")
    return found


# Type detection ---------------------------------------------------------------------------------


def _type_of(name: str, content: bytes) -> str:
    if not content:
        raise RuleError(_("the file is empty"), code="file_empty")
    if len(content) > LARGEST:
        most = LARGEST // 1024 // 1024
        raise RuleError(_("the file is larger than %(most)d MB", most=most), code="file_too_large")
    named = TYPES.get(ending_of(name))
    if named is None:
        raise RuleError(_("only PDF, PNG, JPG, DOCX, XLSX and OFD are accepted"), code="file_type")
    if _sniffed(content) != named:
        message = _("the content is not what the name's ending says")
        raise RuleError(message, code="file_mismatch")
    return named


def _sniffed(content: bytes) -> str:
    """Return the content's type, or "" for an unsupported one.  Raises RuleError for a damaged file."""
    if content.startswith(b"PK\x03\x04"):
        return _sniffed_archive(content)
    try:
        found = {each.mime_type for each in puremagic.magic_string(content)}
    except (puremagic.PureError, ValueError):
        return ""
    for media_type, prove in ((PDF, check_pdf), (PNG, _check_image), (JPEG, _check_image)):
        if media_type in found:
            prove(content)
            return media_type
    return ""


def _sniffed_archive(content: bytes) -> str:
    with open_archive(content) as archive:
        names = archive.namelist()
        check_office(archive)
        if "OFD.xml" in names:
            return OFD
        declared = _declared_types(archive) if _DECLARED in names else b""
    if b"macroEnabled" in declared:
        message = _("files with macros or programs are not accepted")
        raise RuleError(message, code="file_macros")
    for media_type, (part, main_type) in _PARTS.items():
        if part in names and main_type in declared:
            return media_type
    return ""


def _declared_types(archive: zipfile.ZipFile) -> bytes:
    try:
        return archive.read(_DECLARED)
    except BROKEN_PARTS as error:
        message = _("the file is damaged and cannot be opened")
        raise RuleError(message, code="file_broken") from error


def _check_image(content: bytes) -> None:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            image.verify()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        message = _("the file is damaged and cannot be opened")
        raise RuleError(message, code="file_broken") from error
    except Image.DecompressionBombError as error:
        message = _("the file unpacks to far more than its size; it is not accepted")
        raise RuleError(message, code="file_bomb") from error


# Rows -------------------------------------------------------------------------------------------


def _lock(application_id: int, actor: Actor) -> Case:
    """Lock account and application, and return the case.  Raises unless the actor may edit it."""
    cases = rows.lock([application_id], actor)
    if not cases:
        raise NotFound(_("There is no such record"))
    (case,) = cases
    is_own = actor.account_id in (None, case.account_id)
    speaks_for = Party.APPLICANT if actor.account_id is not None else engine.party(actor)
    started_by = KINDS[case.kind].started_by
    if started_by is Party.OFFICE and engine.is_of_office(case, actor):
        speaks_for = Party.OFFICE
    if not is_own or speaks_for is not started_by:
        raise NotAllowed(_("Only the applicant can change the attachments"), code="not_yours")
    require(case, Action.SAVE)
    return case


def _is_of_form(request_key: str, actor: Actor) -> ColumnElement[bool]:
    return (
        (Attachment.request_key == request_key)
        & Attachment.application_id.is_(None)
        & (Attachment.uploaded_by == actor.member_id)
    )


def _insert(
    uploads: Sequence[Upload], place: Mapping[str, Any], actor: Actor, now: datetime
) -> None:
    for each in uploads:
        values = {
            "name": each.name,
            "media_type": each.media_type,
            "category": each.category,
            "size": len(each.content),
            "sha256": hashlib.sha256(each.content).hexdigest(),
            "content": each.content,
            "uploaded_by": actor.member_id,
            "uploaded_at": now,
        }
        db.session.execute(insert(Attachment).values({**place, **values}))


def _require_room(uploads: Sequence[Upload], actor: Actor) -> None:
    size = sum(len(each.content) for each in uploads)
    unsubmitted.require_room_for_files(actor, len(uploads), size)


def _require_at_most(condition: Any) -> None:
    if db.session.scalar(select(func.count(Attachment.id)).where(condition)) > MOST:
        raise _too_many(FIELD)


def _too_many(field: str) -> RuleError:
    message = _("At most %(most)d attachments may be added", most=MOST)
    return RuleError(message, field=field, code="too_many_attachments")


def _record(actor: Actor, action: str, number: str, account_id: int, name: str) -> None:
    record(actor, action, subject=number, account_id=account_id, name=name)
