"""大户持仓: groups of linked companies, and who held more than its limit on a settled day.

Quantities in tonnes; the database's functions write all of it (docs/adr/0082).
"""

from __future__ import annotations

from datetime import date, datetime

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
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.account import Account
from app.models.reference.dated import Dated


class HoldingLimit(Dated, Model):
    """持仓限额 of a class of accounts (a sector, or "all") and a vintage."""

    __tablename__ = "holding_limit"
    __table_args__ = (
        UniqueConstraint("sector", "vintage", "valid_from", name="holding_limit_from"),
        CheckConstraint("vintage BETWEEN 2000 AND 2999", name="holding_limit_vintage"),
        CheckConstraint("quantity > 0", name="holding_limit_quantity"),
        Dated.ends_after_it_begins("holding_limit"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    sector: Mapped[str] = mapped_column(String(20))
    vintage: Mapped[int] = mapped_column(Integer)
    quantity: Mapped[int] = mapped_column(BigInteger)
    basis: Mapped[str] = mapped_column(String(100))  # 依据: the document that sets it


class CompanyGroupMember(Model):
    """A member of a group of linked companies, from a day on; ``ends_on`` is the first day without."""

    __tablename__ = "company_group_member"
    __table_args__ = (
        CheckConstraint("ends_on >= starts_on", name="membership_ends_after_it_begins"),
        Index("company_group_of_head", "head_id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    head_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    application_id: Mapped[int] = mapped_column(BigInteger)
    starts_on: Mapped[date] = mapped_column(Date)
    ends_on: Mapped[date | None] = mapped_column(Date)

    head: Mapped[Account] = relationship(foreign_keys=[head_id])
    account: Mapped[Account] = relationship(foreign_keys=[account_id])


class LargeHoldingRun(Model):
    """The search of a settled day; reports are due on ``due_on``, the next trading day."""

    __tablename__ = "large_holding_run"

    day: Mapped[date] = mapped_column(ForeignKey("settlement_run.day"), primary_key=True)
    due_on: Mapped[date | None] = mapped_column(Date)
    found: Mapped[int] = mapped_column(Integer)
    found_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LargeHolding(Model):
    """A member above its limit, alone or with its group (``total``); ``most`` is the limit."""

    __tablename__ = "large_holding"
    __table_args__ = (
        CheckConstraint("total > most AND quantity BETWEEN 0 AND total", name="above_the_limit"),
        Index("large_holding_of_account", "account_id", "day"),
        {"extend_existing": True},
    )

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    vintage: Mapped[int] = mapped_column(Integer, primary_key=True)
    head_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    quantity: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int] = mapped_column(BigInteger)
    most: Mapped[int] = mapped_column(BigInteger)
    since: Mapped[date] = mapped_column(Date)

    account: Mapped[Account] = relationship(foreign_keys=[account_id])
    head: Mapped[Account] = relationship(foreign_keys=[head_id])
