"""履约通知书: an enterprise's obligation for a year, its deadline and 履约范围 (manual 五-一)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
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
    Numeric,
    SmallInteger,
    String,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.moves import LARGEST_REQUEST
from app.models.account import Account
from app.models.instrument import Instrument


class Notice(Model):
    """One enterprise's obligation for one compliance year; 履约范围 is data (domain.md 11.10)."""

    __tablename__ = "notice"
    __table_args__ = (
        CheckConstraint(f"obligation BETWEEN 0 AND {LARGEST_REQUEST}", name="obligation_sane"),
        CheckConstraint("offset_percent BETWEEN 0 AND 100", name="offset_percent_sane"),
        Index(
            "notice_once",
            "account_id",
            "year",
            unique=True,
            postgresql_where=text("withdrawn_at IS NULL"),
        ),
        Index("notice_of_year", "year", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[str] = mapped_column(String(30), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    year: Mapped[int] = mapped_column(SmallInteger)  # 履约年度
    obligation: Mapped[int] = mapped_column(BigInteger)  # 应履约量, tonnes
    deadline: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # Maximum share of CCER in the obligation, in per cent (管理办法 29).
    offset_percent: Mapped[Decimal] = mapped_column(Numeric(5, 2), server_default="0")
    import_id: Mapped[int | None] = mapped_column(ForeignKey("import_file.id"))
    issued_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    reminded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    withdrawn_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True)
    )  # asks for nothing

    account: Mapped[Account] = relationship()
    instruments: Mapped[list[Instrument]] = relationship(
        secondary="notice_instrument", order_by="Instrument.code"
    )

    @property
    def offset_limit(self) -> int:
        """The maximum of CCER in tonnes, rounded down (domain.md 11.9)."""
        return int(self.obligation * self.offset_percent / 100)


class NoticeInstrument(Model):
    """履约范围: an instrument that may be surrendered for a notice."""

    __tablename__ = "notice_instrument"

    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id"), primary_key=True)
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"), primary_key=True)


class NoticeChange(Model):
    """One step of a notice's history, with the application that made it; append-only.

    ``terms`` is all that the notice says from then on (`app.domain.notices.Terms`), None once it is
    withdrawn.  Only notices older than that begin with a step without an application.
    """

    __tablename__ = "notice_change"
    __table_args__ = (
        Index("notice_change_of", "notice_id", "id"),
        CheckConstraint("application_id IS NOT NULL", name="change_by_application"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id"))
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"), unique=True)
    before: Mapped[int | None] = mapped_column(BigInteger)  # None: it was issued
    after: Mapped[int] = mapped_column(BigInteger)
    terms: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    document_no: Mapped[str] = mapped_column(String(100), server_default="")
    reason: Mapped[str] = mapped_column(String(500), server_default="")
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
