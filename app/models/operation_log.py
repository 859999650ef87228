"""操作日志: who did what, when, from where, with which result; append-only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column


class OperationLog(Model):
    """One act, written in the same transaction as what it did."""

    __tablename__ = "operation_log"
    __table_args__ = (
        Index("operation_log_member", "member_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    member_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    member_no: Mapped[str] = mapped_column(String(128), server_default="")
    ip: Mapped[str] = mapped_column(String(45), server_default="")
    action: Mapped[str] = mapped_column(
        String(60)
    )  # transfer.submit, list.export, calendar.change ...
    subject: Mapped[str] = mapped_column(String(120), server_default="")  # what it was done to
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    result: Mapped[str] = mapped_column(String(20), server_default="done")
    detail: Mapped[Any] = mapped_column(JSONB, server_default="{}")
