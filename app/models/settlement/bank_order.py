"""Transfers at settlement banks, what the banks said of them, and what followed.  Amounts in fen."""

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
    Identity,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.application import Application
from app.models.ledger import TransactionId
from app.models.settlement.money import BankBinding, SettlementBank


def _at() -> Mapped[datetime]:
    return mapped_column(DateTime(timezone=True))


def _transaction() -> Mapped[int]:
    return mapped_column(TransactionId, server_default=text("pg_current_xact_id()"))


class BankBindingAnswer(Model):
    """银行签约: what the bank said of a binding."""

    __tablename__ = "bank_binding_answer"

    binding_id: Mapped[int] = mapped_column(ForeignKey("bank_binding.id"), primary_key=True)
    is_confirmed: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str] = mapped_column(String(200), server_default="")
    message: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = _at()

    binding: Mapped[BankBinding] = relationship()


class BankOrder(Model):
    """A transfer at a bank and its three serials; its history is `BankOrderChange`."""

    __tablename__ = "bank_order"
    __table_args__ = (
        UniqueConstraint("application_id", "version", name="one_order_a_submission"),
        CheckConstraint("direction IN ('in', 'out')", name="order_direction_known"),
        CheckConstraint("started_by IN ('registry', 'bank')", name="order_starter_known"),
        CheckConstraint(
            "state IN ('pending', 'sent', 'unknown', 'done', 'refused', 'reversed')",
            name="order_state_known",
        ),
        CheckConstraint("amount > 0", name="order_moves_something"),
        Index(
            "one_order_on_its_way",
            "application_id",
            unique=True,
            postgresql_where=text("state IN ('pending', 'sent', 'unknown')"),
        ),
        Index(
            "bank_serial_once",
            "bank_id",
            "bank_serial",
            unique=True,
            postgresql_where=text("bank_serial IS NOT NULL"),
        ),
        Index(
            "bank_order_due",
            "bank_id",
            "due_at",
            postgresql_where=text("state IN ('pending', 'sent', 'unknown')"),
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    serial: Mapped[str] = mapped_column(String(40), unique=True)
    bank_serial: Mapped[str | None] = mapped_column(String(60))
    platform_serial: Mapped[str | None] = mapped_column(String(60))
    bank_id: Mapped[int] = mapped_column(ForeignKey("settlement_bank.id"))
    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"))
    version: Mapped[int] = mapped_column(Integer)  # of the application that waits for the bank
    direction: Mapped[str] = mapped_column(String(3))
    started_by: Mapped[str] = mapped_column(String(8))
    amount: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10))
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime] = _at()  # of the next thing to do about it
    queries: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[datetime] = _at()
    changed_at: Mapped[datetime] = _at()

    bank: Mapped[SettlementBank] = relationship()
    application: Mapped[Application] = relationship()


class BankFile(Model):
    """日终文件 of a bank's day: what it carried out, as it signed it."""

    __tablename__ = "bank_file"
    __table_args__ = (
        UniqueConstraint("bank_id", "day", name="one_file_a_day"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    bank_id: Mapped[int] = mapped_column(ForeignKey("settlement_bank.id"))
    day: Mapped[date] = mapped_column(Date)
    rows: Mapped[int] = mapped_column(Integer)
    content: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = _at()


class BankAnswer(Model):
    """What a bank said of an order, as it came."""

    __tablename__ = "bank_answer"
    __table_args__ = (
        CheckConstraint(
            "source IN ('answer', 'query', 'notice', 'file')", name="answer_source_known"
        ),
        CheckConstraint(
            "outcome IN ('done', 'refused', 'unknown', 'reversed')", name="answer_outcome_known"
        ),
        Index("bank_answer_of", "order_id", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("bank_order.id"))
    source: Mapped[str] = mapped_column(String(8))
    outcome: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(200), server_default="")
    message: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = _at()
    recorded_xid: Mapped[int] = _transaction()


class BankOrderChange(Model):
    """A state of an order; written by the database alone."""

    __tablename__ = "bank_order_change"
    __table_args__ = (Index("bank_order_change_of", "order_id", "id"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("bank_order.id"))
    state: Mapped[str] = mapped_column(String(10))
    at: Mapped[datetime] = _at()
    recorded_xid: Mapped[int] = _transaction()


class BankBooking(Model):
    """A late success or a reversal; ``amount`` is what moved of the order's."""

    __tablename__ = "bank_booking"
    __table_args__ = (
        UniqueConstraint("order_id", "occasion", name="booked_once"),
        CheckConstraint("occasion IN ('late', 'reversal')", name="occasion_known"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("bank_order.id"))
    occasion: Mapped[str] = mapped_column(String(8))
    posting_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = _at()
    recorded_xid: Mapped[int] = _transaction()


class Receivable(Model):
    """应收款: what a bank paid of money spent meanwhile, or the reserve paid for a buyer (R58)."""

    __tablename__ = "receivable"
    __table_args__ = (
        CheckConstraint("amount > 0", name="receivable_of_something"),
        CheckConstraint(
            "num_nonnulls(booking_id, application_id) = 1"
            " AND (application_id IS NULL) = (trade_id IS NULL)",
            name="receivable_has_a_cause",
        ),
        Index("receivable_of_trade", "trade_id", postgresql_where=text("trade_id IS NOT NULL")),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    booking_id: Mapped[int | None] = mapped_column(ForeignKey("bank_booking.id"), unique=True)
    application_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)  # 违约垫付
    trade_id: Mapped[int | None] = mapped_column(ForeignKey("trade.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = _at()


class ReceivablePayment(Model):
    """What came in for a receivable."""

    __tablename__ = "receivable_payment"
    __table_args__ = (
        CheckConstraint("amount > 0", name="payment_of_something"),
        {"extend_existing": True},
    )

    posting_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    receivable_id: Mapped[int] = mapped_column(ForeignKey("receivable.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = _at()


class BankLineEvent(Model):
    """签到, 签退, 日终文件, 对账: what passed on a bank's line besides transfers."""

    __tablename__ = "bank_line_event"
    __table_args__ = (
        CheckConstraint(
            "event IN ('sign_in', 'sign_out', 'day_file', 'balance', 'unmatched')",
            name="line_event_known",
        ),
        Index("bank_line_event_of", "bank_id", "day", "event"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    bank_id: Mapped[int] = mapped_column(ForeignKey("settlement_bank.id"))
    day: Mapped[date] = mapped_column(Date)
    event: Mapped[str] = mapped_column(String(10))
    detail: Mapped[Any] = mapped_column(JSONB, server_default="{}")
    at: Mapped[datetime] = _at()


class BankDifferenceResolution(Model):
    """An unmatched row or an unequal balance that two officers resolved."""

    __tablename__ = "bank_difference_resolution"

    event_id: Mapped[int] = mapped_column(ForeignKey("bank_line_event.id"), primary_key=True)
    application_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    resolved_at: Mapped[datetime] = _at()
