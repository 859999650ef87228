"""Business time: the trading calendar, the demonstration clock and the day-end runs."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    Interval,
    SmallInteger,
    String,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column


class TradingDay(Model):
    """A calendar day and whether the exchange trades on it; make-up weekends do not (domain.md 11.15)."""

    __tablename__ = "trading_day"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    is_trading: Mapped[bool] = mapped_column(Boolean)
    note: Mapped[str] = mapped_column(String(100), server_default="")
    changed_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))


class BusinessClock(Model):
    """The offset of the demonstration's clock from the wall clock; production never reads it."""

    __tablename__ = "business_clock"
    __table_args__ = (CheckConstraint("id = 1", name="one_clock"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, server_default="1")
    ahead: Mapped[timedelta] = mapped_column(Interval)


class SettlementRun(Model):
    """The day-end settlement of one trading day, run at most once (结算规则 7)."""

    __tablename__ = "settlement_run"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))  # business time
    recorded_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    posting_id: Mapped[int | None] = mapped_column(BigInteger)
    to_trading_holdings: Mapped[int] = mapped_column(Integer)
    to_trading_quantity: Mapped[int] = mapped_column(BigInteger)
    to_registry_holdings: Mapped[int] = mapped_column(Integer)
    to_registry_quantity: Mapped[int] = mapped_column(BigInteger)
    member_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
