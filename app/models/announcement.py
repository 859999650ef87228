"""通知公告: announcements of the registry to its members, and their readers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    ScalarSelect,
    String,
    Text,
    and_,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.account import Account
from app.models.member import Member

LONGEST_TITLE = 100
LONGEST_TEXT = 5000
EVERYBODY, ENTERPRISES, AUTHORITIES = "everybody", "enterprises", "authorities"
PUBLIC = "public"  # members, and whoever reads the public pages


class Announcement(Model):
    """A draft, published by a second officer, possibly withdrawn, never deleted.

    Once published only 置顶 can change (trigger announcement_stays).
    """

    __tablename__ = "announcement"
    __table_args__ = (
        CheckConstraint("btrim(title) <> '' AND btrim(text) <> ''", name="announcement_says_it"),
        CheckConstraint(f"char_length(text) <= {LONGEST_TEXT}", name="announcement_length"),
        CheckConstraint(
            "audience IN ('everybody', 'enterprises', 'authorities', 'public')",
            name="audience_known",
        ),
        CheckConstraint(
            "(published_at IS NULL) = (published_by IS NULL)", name="announcement_published"
        ),
        CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawn_by IS NULL)", name="announcement_withdrawn"
        ),
        CheckConstraint("published_by <> written_by", name="announcement_by_two"),
        # For the members' list: published ones, pinned first.
        Index(
            "announcement_out",
            "is_pinned",
            "published_at",
            "id",
            postgresql_where=text("published_at IS NOT NULL AND withdrawn_at IS NULL"),
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    title: Mapped[str] = mapped_column(String(LONGEST_TITLE))
    text: Mapped[str] = mapped_column(Text)  # plain text, one paragraph per line
    audience: Mapped[str] = mapped_column(String(20))
    province: Mapped[str | None] = mapped_column(String(2))  # None: the whole country
    is_pinned: Mapped[bool] = mapped_column(Boolean, server_default="false")  # 置顶
    version: Mapped[int] = mapped_column(Integer, server_default="1")  # counts the edits
    written_by: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))  # the last editor
    written_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    published_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    published_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    withdrawn_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    withdrawn_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class AnnouncementReading(Model):
    """A member's first opening of an announcement; append-only."""

    __tablename__ = "announcement_reading"

    announcement_id: Mapped[int] = mapped_column(ForeignKey("announcement.id"), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), primary_key=True)
    read_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


def is_out() -> ColumnElement[bool]:
    """Return the condition that an Announcement is published and not withdrawn."""
    return Announcement.published_at.is_not(None) & Announcement.withdrawn_at.is_(None)


def is_addressed_to(person: Any = Member) -> ColumnElement[bool]:
    """Return the condition that an Announcement is addressed to ``person``, a Member."""
    home = select(Account.province).where(Account.id == person.account_id).correlate(person)
    return and_(
        or_(
            Announcement.audience.in_((EVERYBODY, PUBLIC)),
            and_(Announcement.audience == ENTERPRISES, person.account_id.is_not(None)),
            and_(Announcement.audience == AUTHORITIES, person.province.is_not(None)),
        ),
        or_(
            Announcement.province.is_(None),
            Announcement.province == func.coalesce(person.province, home.scalar_subquery()),
        ),
    )


def is_read_by(person: Any = Member) -> ColumnElement[bool]:
    """Return the condition that ``person``, a Member, has read an Announcement."""
    return (
        select(AnnouncementReading.read_at)
        .where(
            AnnouncementReading.announcement_id == Announcement.id,
            AnnouncementReading.member_id == person.id,
        )
        .correlate(Announcement, person)
        .exists()
    )


def unread(person: Any = Member) -> ScalarSelect[int]:
    """Return the number of ``person``'s unread announcements, as a column for any statement."""
    return (
        select(func.count())
        .select_from(Announcement)
        .where(is_out(), is_addressed_to(person), ~is_read_by(person))
        .correlate(person)
        .scalar_subquery()
    )
