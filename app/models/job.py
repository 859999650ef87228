"""任务: work that takes longer than a request should, how far it is, and what failed in it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.member import Member


class Job(Model):
    """One piece of work that a member started.

    ``position`` is how many items have been dealt with; it is committed together with them, so a
    job that is taken up again goes on exactly there.
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
    """An item of a job that a rule stood against, and why."""

    __tablename__ = "job_failure"
    __table_args__ = (Index("job_failure_of", "job_id", "id"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    item: Mapped[int | None] = mapped_column(BigInteger)
    number: Mapped[str] = mapped_column(String(120), server_default="")
    subject: Mapped[str] = mapped_column(String(200), server_default="")
    reason: Mapped[str] = mapped_column(String(500))
