"""Attestations (证明) of the registry, which anybody can verify by their check code."""

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
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column


class Attestation(Model):
    """One 自愿注销证明 or 履约证明, with its facts as of the day of issue.

    A 履约证明 is of an enterprise's year, and lapses when a notice of that year is no longer fulfilled;
    no other column ever changes.
    """

    __tablename__ = "attestation"
    __table_args__ = (
        CheckConstraint("kind IN ('cancellation', 'compliance')", name="attestation_kind_known"),
        CheckConstraint(
            "kind <> 'cancellation' OR application_id IS NOT NULL", name="cancellation_has_a_source"
        ),
        CheckConstraint("kind <> 'compliance' OR year IS NOT NULL", name="compliance_has_a_source"),
        UniqueConstraint("application_id", name="attestation_once_an_application"),
        CheckConstraint(
            "lapsed_at IS NULL OR kind = 'compliance'", name="cancellation_never_lapses"
        ),
        Index(
            "attestation_once_a_year",
            "account_id",
            "year",
            unique=True,
            postgresql_where=text("lapsed_at IS NULL"),
        ),
        Index("attestation_account", "account_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    number: Mapped[str] = mapped_column(String(30), unique=True)
    code: Mapped[str] = mapped_column(String(32), unique=True)  # 校验码, random
    kind: Mapped[str] = mapped_column(String(20))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"))
    year: Mapped[int | None] = mapped_column(SmallInteger)  # 履约年度
    content: Mapped[Any] = mapped_column(JSONB)
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    issued_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    lapsed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # 失效
    seal: Mapped[bytes | None] = mapped_column(LargeBinary)  # the signing process's
