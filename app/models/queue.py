"""The worker's input: jobs (任务) and their failures, messages and delivery attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.member import Member


class Job(Model):
    """A background job of a member.

    ``position`` is the number of items done, committed together with them, so that an interrupted
    job resumes exactly there.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'aborted')", name="job_state_known"
        ),
        CheckConstraint("done + failed <= total", name="job_counts_sane"),
        Index("job_member", "member_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    title: Mapped[str] = mapped_column(String(200), server_default="")
    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    ip: Mapped[str] = mapped_column(String(45), server_default="")
    arguments: Mapped[Any] = mapped_column(JSONB, server_default="{}")
    total: Mapped[int] = mapped_column(Integer)
    position: Mapped[int] = mapped_column(Integer, server_default="0")
    done: Mapped[int] = mapped_column(Integer, server_default="0")
    failed: Mapped[int] = mapped_column(Integer, server_default="0")
    state: Mapped[str] = mapped_column(String(10), server_default="queued")
    result: Mapped[Any] = mapped_column(JSONB, server_default="{}")
    error: Mapped[str] = mapped_column(String(500), server_default="")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    member: Mapped[Member] = relationship()


class JobFailure(Model):
    """An item of a job that a rule refused, and why."""

    __tablename__ = "job_failure"
    __table_args__ = (Index("job_failure_of", "job_id", "id"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    item: Mapped[int | None] = mapped_column(BigInteger)
    number: Mapped[str] = mapped_column(String(120), server_default="")
    subject: Mapped[str] = mapped_column(String(200), server_default="")
    reason: Mapped[str] = mapped_column(String(500))


class OutboxMessage(Model):
    """A mail or text message, written in the transaction of the act it reports.

    ``due_at`` is when a worker may next claim it: the time of the next retry, or the end of the
    current claim.
    """

    __tablename__ = "outbox_message"
    __table_args__ = (
        CheckConstraint("channel IN ('mail', 'sms')", name="message_channel_known"),
        CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'failed')", name="message_state_known"
        ),
        CheckConstraint(
            "NOT has_secret OR body IS NULL OR state IN ('queued', 'sending')",
            name="secrets_do_not_stay",
        ),
        Index(
            "outbox_message_due", "due_at", postgresql_where=text("state IN ('queued', 'sending')")
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    channel: Mapped[str] = mapped_column(String(10))
    recipient: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(200), server_default="")
    body: Mapped[str | None] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(String(40))  # first_sign_in, activation_code, notice ...
    has_secret: Mapped[bool] = mapped_column(Boolean, server_default="false")
    member_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    dedupe_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    state: Mapped[str] = mapped_column(String(10), server_default="queued")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class OutboxAttempt(Model):
    """The result of one attempt to deliver a message; append-only."""

    __tablename__ = "outbox_attempt"
    __table_args__ = (
        CheckConstraint(
            "result IN ('sent', 'unavailable', 'refused', 'off', 'lost')",
            name="attempt_result_known",
        ),
        Index("outbox_attempt_of", "message_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("outbox_message.id"))
    number: Mapped[int] = mapped_column(SmallInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    result: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(String(300), server_default="")


class MailboxMessage(Model):
    """A message delivered to the demonstration's mailbox."""

    __tablename__ = "mailbox_message"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("outbox_message.id"), unique=True)
    channel: Mapped[str] = mapped_column(String(10))
    recipient: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(200), server_default="")
    body: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
