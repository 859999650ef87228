"""Whom the registry has let in: the first-sign-in link of a new member, and whether it was sent."""

from __future__ import annotations

from datetime import datetime

from flask_appbuilder import Model
from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.member import Member


class Invitation(Model):
    """A member who was let in by two officers, or an operator by the account representative.

    The worker writes the officers' letters; each link can be used once.  The link's token
    is in the mail alone; what is kept can only confirm it.
    """

    __tablename__ = "invitation"
    __table_args__ = (
        CheckConstraint("opened_by <> confirmed_by", name="invited_by_two"),
        CheckConstraint("used_at IS NULL OR token_hash IS NOT NULL", name="used_after_written"),
        CheckConstraint("(token_hash IS NULL) = (expires_at IS NULL)", name="link_has_an_end"),
        Index("invitation_waiting", "created_at", postgresql_where=text("written_at IS NULL")),
        {"extend_existing": True},
    )

    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), primary_key=True)
    opened_by: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    # Nobody where the account representative has appointed an operator: the certificate takes two.
    confirmed_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    written_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failure: Mapped[str] = mapped_column(String(200), server_default="")  # why none was written

    member: Mapped[Member] = relationship(foreign_keys=[member_id])
