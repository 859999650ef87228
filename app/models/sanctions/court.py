"""司法冻结: courts' orders in the order of service, what they hold, and how each came and went.

Tonnes, or fen of a bank's money; the database's functions write all but reminders (docs/adr/0085).
"""

from __future__ import annotations

from datetime import date, datetime

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
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
from app.models.application import Application
from app.models.instrument import Instrument


class CourtOrder(Model):
    """A court's order to freeze; without an instrument it is for the whole account.

    What a sale brought is an order, too: of money, with the sale's application and ``sale_of``.
    """

    __tablename__ = "court_order"
    __table_args__ = (
        CheckConstraint(
            "quantity > 0 AND ended BETWEEN 0 AND quantity"
            " AND effective BETWEEN 0 AND quantity - ended",
            name="court_order_adds_up",
        ),
        Index("court_order_of_account", "account_id", "served_at", "application_id"),
        Index("court_order_waiting", "account_id", postgresql_where=text("queued > 0")),
        Index("court_order_ending", "ends_on", postgresql_where=text("ended < quantity")),
        Index("court_order_sale_of", "sale_of", postgresql_where=text("sale_of IS NOT NULL")),
    )

    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    instrument_id: Mapped[int | None] = mapped_column(ForeignKey("instrument.id"))
    quantity: Mapped[int] = mapped_column(BigInteger)
    ended: Mapped[int] = mapped_column(BigInteger, server_default="0")
    effective: Mapped[int] = mapped_column(BigInteger, server_default="0")
    queued: Mapped[int] = mapped_column(
        BigInteger, Computed("quantity - ended - effective", persisted=True)
    )
    served_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ends_on: Mapped[date] = mapped_column(Date)
    version: Mapped[int] = mapped_column(Integer, server_default="0")
    sale_of: Mapped[int | None] = mapped_column(ForeignKey("court_order.application_id"))

    application: Mapped[Application] = relationship()
    account: Mapped[Account] = relationship()
    instrument: Mapped[Instrument | None] = relationship()

    @property
    def is_money(self) -> bool:
        """Whether it is of a bank's money."""
        return self.instrument is not None and self.instrument.kind == "money"


class CourtHold(Model):
    """What an order has frozen now, by instrument."""

    __tablename__ = "court_hold"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="court_hold_positive"),
        Index("court_hold_of_instrument", "instrument_id"),
    )

    order_id: Mapped[int] = mapped_column(
        ForeignKey("court_order.application_id"), primary_key=True
    )
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"), primary_key=True)
    quantity: Mapped[int] = mapped_column(BigInteger)


class CourtEffect(Model):
    """A change of what an order has frozen, its cause and its posting; append-only."""

    __tablename__ = "court_effect"
    __table_args__ = (
        CheckConstraint("quantity <> 0", name="court_effect_changes"),
        CheckConstraint(
            "cause IN ('order', 'taken_back', 'release', 'assignment', 'lapse', 'credit',"
            " 'surrender', 'sale', 'sale_return', 'proceeds')",
            name="court_effect_cause",
        ),
        Index("court_effect_of", "order_id", "id"),
        Index("court_effect_posting", "posting_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("court_order.application_id"))
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    quantity: Mapped[int] = mapped_column(BigInteger)
    cause: Mapped[str] = mapped_column(String(20))
    posting_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class CourtSale(Model):
    """司法变卖: units of an order that are in trading for deals with the sale's number alone."""

    __tablename__ = "court_sale"
    __table_args__ = (
        CheckConstraint(
            "quantity > 0 AND sold >= 0 AND returned >= 0 AND freed >= 0"
            " AND sold + returned + freed <= quantity",
            name="court_sale_adds_up",
        ),
        Index("court_sale_of_holding", "account_id", "instrument_id"),
        Index("court_sale_of_order", "order_id"),
    )

    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("court_order.application_id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    instrument_id: Mapped[int] = mapped_column(ForeignKey("instrument.id"))
    quantity: Mapped[int] = mapped_column(BigInteger)
    sold: Mapped[int] = mapped_column(BigInteger, server_default="0")
    returned: Mapped[int] = mapped_column(BigInteger, server_default="0")
    freed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    unsold: Mapped[int] = mapped_column(
        BigInteger, Computed("quantity - sold - returned - freed", persisted=True)
    )

    application: Mapped[Application] = relationship()
    instrument: Mapped[Instrument] = relationship()


class CourtLapse(Model):
    """期满解除: the entry of an order that ended by itself, with a number of its own."""

    __tablename__ = "court_lapse"
    __table_args__ = (Index("court_lapse_at", "at"),)

    order_id: Mapped[int] = mapped_column(
        ForeignKey("court_order.application_id"), primary_key=True
    )
    number: Mapped[str] = mapped_column(String(30), unique=True)
    ends_on: Mapped[date] = mapped_column(Date)
    effective: Mapped[int] = mapped_column(BigInteger)
    queued: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class CourtReminder(Model):
    """An end of an order that its holder and the officers were told of beforehand."""

    __tablename__ = "court_reminder"

    order_id: Mapped[int] = mapped_column(
        ForeignKey("court_order.application_id"), primary_key=True
    )
    ends_on: Mapped[date] = mapped_column(Date, primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
