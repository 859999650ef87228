"""结转: rounds as dated data, the notices of each, and what applications brought; written by functions.

Quantities are in tonnes (docs/adr/0090).
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.trading_day import BEIJING
from app.models.account import Account
from app.models.instrument import Instrument


class CarryOverRound(Model):
    """A version of a round (结转安排); of a year the newest holds.  Append-only."""

    __tablename__ = "carry_over_round"
    __table_args__ = (
        CheckConstraint("year BETWEEN 2000 AND 2999", name="carry_over_round_year"),
        CheckConstraint(
            "sold_from <= sold_until AND notice_by <= apply_until"
            " AND cardinality(submitted_until) > 0"
            " AND cardinality(submitted_until) = cardinality(recalled_by)",
            name="carry_over_round_days",
        ),
        CheckConstraint(
            "cardinality(vintages) > 0 AND cardinality(years) > 0", name="carry_over_round_lists"
        ),
        CheckConstraint("base_rule IN ('largest', 'sum')", name="carry_over_round_rule"),
        UniqueConstraint("application_id", name="carry_over_round_application_once"),
        UniqueConstraint("replaces_id", name="carry_over_round_replaced_once"),
        Index(
            "carry_over_round_begins_once",
            "year",
            unique=True,
            postgresql_where=text("replaces_id IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    year: Mapped[int] = mapped_column(SmallInteger)  # 结转年度: of the vintage carried over into
    replaces_id: Mapped[int | None] = mapped_column(
        ForeignKey("carry_over_round.id", name="carry_over_round_version_fkey")
    )
    application_id: Mapped[int] = mapped_column(
        ForeignKey("application.id", name="carry_over_round_application_fkey")
    )
    document_no: Mapped[str] = mapped_column(String(100))
    documented_on: Mapped[date] = mapped_column(Date)
    vintages: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    target_id: Mapped[int] = mapped_column(
        ForeignKey("instrument.id", name="carry_over_round_target_fkey")
    )
    sold_from: Mapped[date] = mapped_column(Date)
    sold_until: Mapped[date] = mapped_column(Date)
    held_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    notice_by: Mapped[date] = mapped_column(Date)
    apply_until: Mapped[date] = mapped_column(Date)  # inclusive
    submitted_until: Mapped[list[date]] = mapped_column(ARRAY(Date))  # of each batch
    recalled_by: Mapped[list[date]] = mapped_column(ARRAY(Date))
    issue_days: Mapped[int] = mapped_column(SmallInteger)  # working days after the recall
    years: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))  # fulfilled by their deadlines
    plan_year: Mapped[int] = mapped_column(SmallInteger)  # whose plans say base and factor
    base_rule: Mapped[str] = mapped_column(String(10))  # of an enterprise in several sectors
    source: Mapped[str] = mapped_column(String(300))
    note: Mapped[str] = mapped_column(String(500), server_default="")
    approved_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    target: Mapped[Instrument] = relationship()

    def values(self) -> dict[str, str]:
        """Return what it says, as `app.domain.compliance.carry_over` writes it."""
        batches = zip(self.submitted_until, self.recalled_by, strict=True)
        said = {
            name: getattr(self, name)
            for name in ("sold_from", "sold_until", "notice_by", "apply_until", "issue_days",
                         "plan_year", "base_rule", "source", "note")
        }  # fmt: skip
        return {name: str(value) for name, value in said.items()} | {
            "vintages": ",".join(map(str, sorted(self.vintages))),
            "years": ",".join(map(str, sorted(self.years))),
            "target": self.target.code,
            "held_at": f"{self.held_at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
            "batches": ",".join(f"{until}/{by}" for until, by in batches),
        }


class CarryOverNotice(Model):
    """What an enterprise may carry over (结转通知书), and the figures that it follows from; append-only."""

    __tablename__ = "carry_over_notice"
    __table_args__ = (
        UniqueConstraint("year", "account_id", name="carry_over_notice_once"),
        CheckConstraint(
            "least(base, sold, bought, available, trading, in_transit, frozen_judicial,"
            " frozen_other, reserved, custody) >= 0"
            " AND holding = available + trading + in_transit + frozen_judicial",
            name="carry_over_holding_adds_up",
        ),
        CheckConstraint(
            "quota > 0 AND quota = least(floor(base + factor * greatest(sold - bought, 0)), holding)",
            name="carry_over_quota_follows",
        ),
        Index("carry_over_notice_of_account", "account_id", "id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    number: Mapped[str] = mapped_column(String(30), unique=True)
    year: Mapped[int] = mapped_column(SmallInteger)
    round_id: Mapped[int] = mapped_column(ForeignKey("carry_over_round.id"))
    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    sectors: Mapped[str] = mapped_column(String(200))
    base: Mapped[int] = mapped_column(BigInteger)  # B
    factor: Mapped[Decimal] = mapped_column(Numeric(6, 3))  # R
    sold: Mapped[int] = mapped_column(BigInteger)
    bought: Mapped[int] = mapped_column(BigInteger)
    available: Mapped[int] = mapped_column(BigInteger)
    trading: Mapped[int] = mapped_column(BigInteger)
    in_transit: Mapped[int] = mapped_column(BigInteger)
    frozen_judicial: Mapped[int] = mapped_column(BigInteger)
    frozen_other: Mapped[int] = mapped_column(BigInteger)  # shown, not counted
    reserved: Mapped[int] = mapped_column(BigInteger)  # shown, not counted
    custody: Mapped[int] = mapped_column(BigInteger)  # shown, not counted
    holding: Mapped[int] = mapped_column(BigInteger)
    quota: Mapped[int] = mapped_column(BigInteger)  # T
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    account: Mapped[Account] = relationship()
    round: Mapped[CarryOverRound] = relationship()


class CarryOverGrant(Model):
    """What an approved application brought: recalled, and granted equally; append-only."""

    __tablename__ = "carry_over_grant"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="carry_over_grant_positive"),
        Index("carry_over_grant_of_batch", "batch_id", "application_id"),
        Index("carry_over_grant_of_account", "account_id", "application_id"),
    )

    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"), primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("application.id"))
    notice_id: Mapped[int] = mapped_column(ForeignKey("carry_over_notice.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    quantity: Mapped[int] = mapped_column(BigInteger)
    posting_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class CarryOverRefusal(Model):
    """An application that a batch could not carry out, and why; append-only."""

    __tablename__ = "carry_over_refusal"

    batch_id: Mapped[int] = mapped_column(ForeignKey("application.id"), primary_key=True)
    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"), primary_key=True)
    reason: Mapped[str] = mapped_column(String(500))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
