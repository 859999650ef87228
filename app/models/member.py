"""Members, their sessions, sign-in failures, passwords, invitations and settings."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

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
    LargeBinary,
    String,
    UniqueConstraint,
    Uuid,
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

NO_ADDRESS = "@members.invalid"  # domain of the placeholder where no address was given


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

    # Of operators and officers; a representative's is in the account's details.
    phone: Mapped[str | None] = mapped_column(Encrypted("ab_user.phone"), deferred=True)

    account: Mapped[Account | None] = relationship(foreign_keys=[account_id])

    # Not stored: serial number of the session's certificate, for the operation log.
    certificate_serial = ""
    role_codes = frozenset[str]()  # where the statement that found the session has read them

    @property
    def address(self) -> str:
        """Return the e-mail address, or "" where nobody has given one."""
        return "" if self.email.endswith(NO_ADDRESS) else self.email


# Enterprise roles that may review a colleague's submission.
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
    """Serialise the assignment of member numbers and addresses until the transaction ends."""
    session.execute(text("SELECT pg_advisory_xact_lock(7260010)"))


def require_free_address(session: Any, email: str) -> None:
    """Raise RuleError where an address is another member's; takes `lock_numbers`."""
    lock_numbers(session)
    if session.scalar(select(Member.id).where(Member.email == email)) is not None:
        raise RuleError(
            _("Another member has this e-mail address already"), field="email", code="email_taken"
        )


class LoginSession(Model):
    """A session; ending the row takes effect at the next request."""

    __tablename__ = "login_session"
    __table_args__ = (
        Index("login_session_member", "member_id", "id"),
        Index("login_session_device", "device_id"),
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
    device_id: Mapped[int | None] = mapped_column(
        ForeignKey("known_device.id", ondelete="SET NULL")
    )
    # For the header: the previous successful sign-in, and the failures since.
    previous_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    previous_ip: Mapped[str] = mapped_column(String(45), server_default="")
    failures_since: Mapped[int] = mapped_column(Integer, server_default="0")

    member: Mapped[Member] = relationship()


class LoginRecord(Model):
    """One sign-in attempt, successful or not (登录日志); append-only."""

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
    """A guess that counts towards a limit; written by SQL functions alone (`app.security.lockout`)."""

    __tablename__ = "login_failure"
    __table_args__ = (
        Index("login_failure_key", "key", "at"),
        Index("login_failure_member", "member_no", "at"),
        Index("login_failure_guess", "guess"),
        Index("login_failure_at", "at"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    key: Mapped[str] = mapped_column(String(150))  # the counter, its kind first: "pair:..."
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    member_no: Mapped[str | None] = mapped_column(
        String(32)
    )  # as typed; None: an address's counter
    # Of all counters of one guess; the application's role cannot read it.
    guess: Mapped[UUID] = mapped_column(Uuid, deferred=True)


class KnownDevice(Model):
    """常用设备: a browser in which a member has signed in completely."""

    __tablename__ = "known_device"
    __table_args__ = (
        UniqueConstraint("token_hash", "member_id", name="device_of_a_member"),
        Index("known_device_member", "member_id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    token_hash: Mapped[str] = mapped_column(String(64))  # sha256 of the cookie's token
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    # The last complete sign-in, from where and with what.
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ip: Mapped[str] = mapped_column(String(45), server_default="")
    user_agent: Mapped[str] = mapped_column(String(300), server_default="")

    member: Mapped[Member] = relationship()


class Captcha(Model):
    """An unanswered 验证码, usable once; its answer is not stored."""

    __tablename__ = "captcha"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    # Drawn once and encrypted with SECRET_KEY; None until somebody listens.
    sound: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class PasswordRecord(Model):
    """A former password hash of a member, to prevent reuse."""

    __tablename__ = "password_record"
    __table_args__ = (Index("password_record_member", "member_id", "id"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    password: Mapped[str] = mapped_column(String(256))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Preference(Model):
    """A member's setting, e.g. the columns shown on a list."""

    __tablename__ = "preference"

    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    value: Mapped[Any] = mapped_column(JSONB)


class Invitation(Model):
    """The first-sign-in link of a member, whom two officers or the account representative registered.

    The worker writes the letters of an opening.  A link can be used once; only a hash of its token
    is stored.
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
    # None for an operator, whom the account representative appoints alone.
    confirmed_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    written_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failure: Mapped[str] = mapped_column(
        String(200), server_default=""
    )  # why no letter was written

    member: Mapped[Member] = relationship(foreign_keys=[member_id])
