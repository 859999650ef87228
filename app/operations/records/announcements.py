"""通知公告: one officer writes, another publishes; nothing is deleted.

Reading is recorded in `announcement_reading`, not in the operation log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import literal, select, update
from sqlalchemy.dialects.postgresql import insert

from app.domain import texts
from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.regions import PROVINCES
from app.extensions import db
from app.models import Announcement, AnnouncementReading, Member
from app.models.announcement import (
    AUTHORITIES,
    ENTERPRISES,
    EVERYBODY,
    LONGEST_TEXT,
    LONGEST_TITLE,
    PUBLIC,
    is_addressed_to,
    is_out,
)
from app.operations.records import log
from app.operations.records.actor import Actor

AUDIENCES = (EVERYBODY, ENTERPRISES, AUTHORITIES, PUBLIC)


@dataclass(frozen=True, slots=True)
class Content:
    """An announcement's text and audience; ``province`` None is the whole country."""

    title: str
    text: str
    audience: str = EVERYBODY
    province: str | None = None
    is_pinned: bool = False


def write(content: Content, actor: Actor, *, now: datetime) -> int:
    """Save a new draft and return its id.  Raises RuleError naming the wrong field."""
    content = _valid(content)
    made = insert(Announcement).values(
        **asdict(content), written_by=actor.member_id, written_at=now
    )
    id_ = db.session.scalars(made.returning(Announcement.id)).one()
    _log("write", id_, content.title, actor, audience=content.audience, province=content.province)
    return id_


def edit(id_: int, content: Content, actor: Actor, *, version: int, now: datetime) -> None:
    """Change a draft.  Raises RuleError where its version is no longer ``version``."""
    content = _valid(content)
    row = _draft(id_, version)
    before = row.title
    _set(row, **asdict(content), version=version + 1, written_by=actor.member_id, written_at=now)
    _log("edit", id_, content.title, actor, before={"title": before})


def publish(id_: int, actor: Actor, *, version: int, now: datetime) -> None:
    """Publish a draft at ``version``.  Raises NotAllowed for its last editor."""
    row = _draft(id_, version)
    if row.written_by == actor.member_id:
        raise NotAllowed(
            _("Whoever wrote an announcement does not publish it"), code="announcement_by_two"
        )
    _set(row, published_by=actor.member_id, published_at=now)
    _log("publish", id_, row.title, actor, audience=row.audience, province=row.province)


def withdraw(id_: int, actor: Actor, *, now: datetime) -> None:
    """Withdraw an announcement or draft; the row stays."""
    row = _lock_unless_withdrawn(id_)
    _set(row, withdrawn_by=actor.member_id, withdrawn_at=now)
    _log("withdraw", id_, row.title, actor)


def pin(id_: int, actor: Actor, *, is_pinned: bool) -> None:
    """Pin an announcement (置顶), or unpin it."""
    row = _lock_unless_withdrawn(id_)
    before = row.is_pinned
    _set(row, is_pinned=is_pinned)
    _log("pin", id_, row.title, actor, before=before, after=is_pinned)


def mark_read(member_id: int, *, now: datetime, ids: Sequence[int] | None = None) -> list[int]:
    """Mark these announcements, or all, as read by a member; return those that were unread.

    Skips those not addressed to the member.  Idempotent, also concurrently.
    """
    addressed = (
        select(Announcement.id, Member.id, literal(now))
        .select_from(Announcement)
        .join(Member, Member.id == member_id)
        .where(is_out(), is_addressed_to())
    )
    if ids is not None:
        addressed = addressed.where(Announcement.id.in_(ids))
    noted = (
        insert(AnnouncementReading)
        .from_select(["announcement_id", "member_id", "read_at"], addressed)
        .on_conflict_do_nothing()
        .returning(AnnouncementReading.announcement_id)
    )
    return list(db.session.scalars(noted))


def _valid(content: Content) -> Content:
    """Return the content, stripped.  Raises RuleError where it is not valid."""
    title, text = content.title.strip(), content.text.replace("\r\n", "\n").strip()
    for field, typed, most in (("title", title, LONGEST_TITLE), ("text", text, LONGEST_TEXT)):
        if not typed:
            raise RuleError(_("Please fill this in"), field=field, code="announcement_empty")
        if len(typed) > most:
            message = _(
                "At most %(limit)d characters; %(count)d were typed", limit=most, count=len(typed)
            )
            raise RuleError(message, field=field, code="announcement_too_long")
        unshowable = texts.unshowable(typed)
        if unshowable is not None:
            raise RuleError(unshowable.message, field=field, code="text_unshowable")
    if content.audience not in AUDIENCES:
        raise RuleError(
            _("Please choose who is to read it"), field="audience", code="audience_unknown"
        )
    if content.province is not None and content.province not in PROVINCES:
        raise RuleError(_("There is no such province"), field="province", code="province_unknown")
    return Content(title, text, content.audience, content.province, content.is_pinned)


def _draft(id_: int, version: int) -> Announcement:
    """Lock a draft.  Raises RuleError where it is no draft any more, or its version differs."""
    row = _lock_unless_withdrawn(id_)
    if row.published_at is not None:
        raise RuleError(
            _("What is published is changed no more: withdraw it and write another one"),
            code="announcement_published",
        )
    if row.version != version:
        raise RuleError(
            _("The announcement was changed meanwhile; please read it anew"),
            code="announcement_changed",
        )
    return row


def _lock_unless_withdrawn(id_: int) -> Announcement:
    """Lock an announcement.  Raises RuleError where it is withdrawn."""
    row = db.session.scalars(
        select(Announcement)
        .where(Announcement.id == id_)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NotFound(_("There is no such record"))
    if row.withdrawn_at is not None:
        raise RuleError(_("The announcement is withdrawn"), code="announcement_withdrawn")
    return row


def _set(row: Announcement, **values: Any) -> None:
    db.session.execute(update(Announcement).where(Announcement.id == row.id).values(**values))


def _log(verb: str, id_: int, title: str, actor: Actor, **detail: Any) -> None:
    log.record(actor, f"announcement.{verb}", subject=f"{id_} {title}", **detail)
