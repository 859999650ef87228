"""操作日志: who did what, when, from where, with which result; append-only, sealed into a chain."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    String,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.ledger import TransactionId


class OperationLog(Model):
    """One act, logged in its own transaction.

    Without foreign keys: the log does not depend on the rows it names (docs/adr/0046).
    """

    __tablename__ = "operation_log"
    __table_args__ = (
        Index("operation_log_member", "member_id", "id"),
        Index("operation_log_recorded", "recorded_xid"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    member_id: Mapped[int | None]
    member_no: Mapped[str] = mapped_column(String(128), server_default="")
    ip: Mapped[str] = mapped_column(String(45), server_default="")
    # Serial number, in hex, of the session's certificate; "" without one.
    certificate: Mapped[str] = mapped_column(String(64), server_default="")
    action: Mapped[str] = mapped_column(
        String(60)
    )  # transfer.submit, list.export, calendar.change ...
    subject: Mapped[str] = mapped_column(String(120), server_default="")  # object of the act
    account_id: Mapped[int | None]
    result: Mapped[str] = mapped_column(String(20), server_default="done")
    detail: Mapped[Any] = mapped_column(JSONB, server_default="{}")
    recorded_xid: Mapped[int] = mapped_column(
        TransactionId, server_default=text("pg_current_xact_id()")
    )


class LogBlock(Model):
    """A sealed range of 操作日志 and 登录日志; its root includes the previous root."""

    __tablename__ = "log_block"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    from_xid: Mapped[int] = mapped_column(TransactionId)
    to_xid: Mapped[int] = mapped_column(TransactionId)  # exclusive
    rows: Mapped[int] = mapped_column(BigInteger)
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class LogSeal(Model):
    """The digest of a log row at sealing, so that verification can name an altered row."""

    __tablename__ = "log_seal"
    __table_args__ = (Index("log_seal_block", "block_id"), {"extend_existing": True})

    log: Mapped[str] = mapped_column(String(20), primary_key=True)  # operation_log, login_record
    row_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    block_id: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
