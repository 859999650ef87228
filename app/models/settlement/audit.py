"""The second book: a day's totals as an independent checker computed them; written by it alone.

The checker itself (the package ``audit``) knows nothing of these classes.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    SmallInteger,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.ledger import TransactionId


class AuditDay(Model):
    """A day whose books agreed; ``digest`` covers all totals, the packages and the day before."""

    __tablename__ = "audit_day"
    __table_args__ = (
        CheckConstraint(
            "octet_length(digest) = 32 AND octet_length(previous) IN (0, 32)",
            name="digest_is_sha256",
        ),
        {"extend_existing": True},
    )

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    is_opening: Mapped[bool] = mapped_column(Boolean)
    from_xid: Mapped[int] = mapped_column(TransactionId)
    to_xid: Mapped[int] = mapped_column(TransactionId)
    movements: Mapped[int] = mapped_column(BigInteger)
    changes: Mapped[int] = mapped_column(Integer)
    packages: Mapped[Any] = mapped_column(JSONB)
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    sealed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    recorded_xid: Mapped[int] = mapped_column(
        TransactionId, server_default=text("pg_current_xact_id()")
    )


class AuditTotal(Model):
    """A pocket's balance (tonnes or fen) at the end of a day on which it changed."""

    __tablename__ = "audit_total"

    account_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    instrument_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    bucket: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(ForeignKey("audit_day.day"), primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)
