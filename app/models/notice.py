"""履约通知书: an enterprise's obligation for a year in a sector (manual 五-一; rules-2026 C10)."""

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
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.moves import LARGEST_REQUEST
from app.models.account import Account


class Notice(Model):
    """An enterprise's obligation for a compliance year and sector; the plan of both says the rest."""

    __tablename__ = "notice"
    __table_args__ = (
        CheckConstraint(f"obligation BETWEEN 0 AND {LARGEST_REQUEST}", name="obligation_sane"),
        Index(
            "notice_once",
            "account_id",
            "year",
            "sector",
            unique=True,
            postgresql_where=text("withdrawn_at IS NULL AND succeeded_from IS NULL"),
        ),
        Index("notice_of_year", "year", "sector", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[str] = mapped_column(String(30), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    year: Mapped[int] = mapped_column(SmallInteger)  # 履约年度
    sector: Mapped[str] = mapped_column(String(20))
    obligation: Mapped[int] = mapped_column(BigInteger)  # 应履约量, tonnes
    import_id: Mapped[int | None] = mapped_column(ForeignKey("import_file.id"))
    issued_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    reminded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    withdrawn_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True)
    )  # asks for nothing
    # The enterprise that it was issued to, where another one has succeeded to it (rules-2026 N116).
    succeeded_from: Mapped[int | None] = mapped_column(ForeignKey("account.id"))

    account: Mapped[Account] = relationship(foreign_keys=[account_id])


class NoticeChange(Model):
    """One step of a notice's history, with the application that made it; append-only.

    ``terms`` is what the notice says from then on (`app.domain.compliance.notices.Terms`), None once it is
    withdrawn.  Only notices older than that begin with a step without an application.
    """

    __tablename__ = "notice_change"
    __table_args__ = (
        Index("notice_change_of", "notice_id", "id"),
        UniqueConstraint("application_id", "notice_id", name="notice_change_once"),
        CheckConstraint("application_id IS NOT NULL", name="change_by_application"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id"))
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"))
    before: Mapped[int | None] = mapped_column(BigInteger)  # None: it was issued
    after: Mapped[int] = mapped_column(BigInteger)
    terms: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    document_no: Mapped[str] = mapped_column(String(100), server_default="")
    reason: Mapped[str] = mapped_column(String(500), server_default="")
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Differentiation(Model):
    """An enterprise in 差异化名录 for a year, from an approved application until another takes it out.

    Written by `carry_out_differentiations` alone (rules-2026 N40, N41).
    """

    __tablename__ = "differentiation"
    __table_args__ = (
        CheckConstraint(
            "(removal_id IS NULL) = (removed_at IS NULL)", name="differentiation_removed"
        ),
        Index(
            "differentiated_once",
            "account_id",
            "year",
            unique=True,
            postgresql_where=text("removal_id IS NULL"),
        ),
        {"extend_existing": True},
    )

    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    year: Mapped[int] = mapped_column(SmallInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    removal_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"), unique=True)
    removed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
