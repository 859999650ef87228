"""Money (资金): the settlement banks, and the bank accounts that participants bound.

What a participant has at a bank is a `Holding` of the bank's instrument, in fen.
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
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.account import Account
from app.models.encrypted import Encrypted
from app.models.instrument import Instrument


class SettlementBank(Model):
    """A bank with a special settlement account (结算银行, 结算管理规则 5)."""

    __tablename__ = "settlement_bank"

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"), unique=True)

    instrument: Mapped[Instrument] = relationship()


class BankBinding(Model):
    """银行账户绑定: a participant's own bank account; one at a time (N145)."""

    __tablename__ = "bank_binding"
    __table_args__ = (
        CheckConstraint(
            "ended_at IS NULL OR ended_at >= bound_at", name="binding_ends_after_it_begins"
        ),
        Index(
            "one_bank_binding",
            "account_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    bank_id: Mapped[int] = mapped_column(ForeignKey("settlement_bank.id"))
    holder_name: Mapped[str] = mapped_column(String(200))
    bank_account: Mapped[str] = mapped_column(Encrypted("bank_binding.bank_account"))
    application_id: Mapped[int | None] = mapped_column(BigInteger)
    bound_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    withdrawals_from: Mapped[date] = mapped_column(Date)  # the first day of 出金
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    account: Mapped[Account] = relationship()
    bank: Mapped[SettlementBank] = relationship()
