"""People: members who sign in, their sessions, their failures and their settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import Role, User, assoc_user_role
from flask_babel import lazy_gettext as _
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.errors import RuleError
from app.models.account import Account
from app.models.encrypted import Encrypted
from app.models.ledger import TransactionId

NO_ADDRESS = "@members.invalid"  # stands for the address of somebody who has given none


class Member(User):
    """A person who signs in: an operator of an enterprise, an officer or an administrator.

    ``username`` is the 会员编号 (or an officer's number); ``first_name`` the name shown.
    Row scope: ``account_id`` = 本单位, ``province`` = 省, neither = 全国.
    """

    __tablename__ = "ab_user"
    __table_args__ = (Index("ab_user_account", "account_id"), {"extend_existing": True})

    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    province: Mapped[str | None] = mapped_column(String(2))
    must_change_password: Mapped[bool] = mapped_column(Boolean, server_default="false")
    password_changed_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )

    # An enterprise's operator's own; the representative's stands with the account's details.
    phone: Mapped[str | None] = mapped_column(Encrypted("ab_user.phone"), deferred=True)

    account: Mapped[Account | None] = relationship(foreign_keys=[account_id])

    # Not stored: the serial number of the certificate behind this request's session, for the log.
    certificate_serial = ""

    @property
    def address(self) -> str:
        """Return the e-mail address, or "" where nobody has given one."""
        return "" if self.email.endswith(NO_ADDRESS) else self.email


# The roles of an enterprise's people who may say yes or no to what another one has submitted.
REVIEWING_ROLES = ("enterprise", "enterprise_checker")


def reviewers_of(session: Any, account_id: int) -> list[int]:
    """Return the members of an enterprise who can sign in and may review a colleague's submission."""
    return list(
        session.scalars(
            select(Member.id)
            .join(assoc_user_role, assoc_user_role.c.user_id == Member.id)
            .join(Role, Role.id == assoc_user_role.c.role_id)
            .where(
                Member.account_id == account_id,
                Member.active.is_(True),
                Role.name.in_(REVIEWING_ROLES),
            )
            .distinct()
        )
    )


def lock_numbers(session: Any) -> None:
    """Let one transaction at a time give member numbers and addresses: each is one person's."""
    session.execute(text("SELECT pg_advisory_xact_lock(7260010)"))


def require_free_address(session: Any, email: str) -> None:
    """Raise RuleError where an address is another member's already, or is about to be."""
    lock_numbers(session)
    if session.scalar(select(Member.id).where(Member.email == email)) is not None:
        raise RuleError(
            _("Another member has this e-mail address already"), field="email", code="email_taken"
        )


class LoginSession(Model):
    """A signed-in browser; ending the row ends the session at once."""

    __tablename__ = "login_session"
    __table_args__ = (
        Index("login_session_member", "member_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)  # sha256 of the cookie's token
    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_reason: Mapped[str] = mapped_column(String(20), server_default="")
    ip: Mapped[str] = mapped_column(String(45), server_default="")
    user_agent: Mapped[str] = mapped_column(String(300), server_default="")
    method: Mapped[str] = mapped_column(
        String(20), server_default="password"
    )  # password (tests alone), certificate, or soft_certificate
    certificate_id: Mapped[int | None] = mapped_column(ForeignKey("certificate.id"))
    # What the header shows, found once at sign-in: the success before this one, and what failed since.
    previous_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    previous_ip: Mapped[str] = mapped_column(String(45), server_default="")
    failures_since: Mapped[int] = mapped_column(Integer, server_default="0")

    member: Mapped[Member] = relationship()


class LoginRecord(Model):
    """One attempt to sign in, good or bad (登录日志); append-only."""

    __tablename__ = "login_record"
    __table_args__ = (
        Index("login_record_member", "member_id", "id"),
        Index("login_record_recorded", "recorded_xid"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    member_no: Mapped[str] = mapped_column(String(128))  # as typed
    member_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    is_success: Mapped[bool] = mapped_column(Boolean)
    outcome: Mapped[str] = mapped_column(String(30))  # signed_in, wrong_password, locked, ...
    ip: Mapped[str] = mapped_column(String(45), server_default="")
    user_agent: Mapped[str] = mapped_column(String(300), server_default="")
    recorded_xid: Mapped[int] = mapped_column(
        TransactionId, server_default=text("pg_current_xact_id()")
    )


class LoginFailure(Model):
    """A failed attempt that counts towards a lock, per member number typed and per address."""

    __tablename__ = "login_failure"
    __table_args__ = (Index("login_failure_key", "key", "at"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    key: Mapped[str] = mapped_column(String(150))  # "member:..." or "ip:..."
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    @staticmethod
    def key_of(member_no: str) -> str:
        """Return the key under which the failures of a member number count."""
        return f"member:{member_no}"


class Captcha(Model):
    """A 验证码 that waits for its answer, which is not kept; one use."""

    __tablename__ = "captcha"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class PasswordRecord(Model):
    """A password hash that a member had, so that the last ones are not used again."""

    __tablename__ = "password_record"
    __table_args__ = (Index("password_record_member", "member_id", "id"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    password: Mapped[str] = mapped_column(String(256))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Preference(Model):
    """A member's own setting, such as the columns shown on a list."""

    __tablename__ = "preference"

    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)


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
