"""CCER待抵销: units that the CCER registry has frozen for offset, its messages and ours, comparisons.

Tonnes; units, bindings and messages go on by the database's functions alone (docs/adr/0091).
"""

from __future__ import annotations

from datetime import date, datetime

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
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
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.domain.compliance.offsets import Unit
from app.models.account import Account
from app.models.application import Application
from app.models.ledger import TransactionId


def _at() -> Mapped[datetime]:
    return mapped_column(DateTime(timezone=True))


def _transaction() -> Mapped[int]:
    return mapped_column(TransactionId, server_default=text("pg_current_xact_id()"))


class OffsetBinding(Model):
    """账户绑定: an account of the CCER registry and the one here, one to one (N80)."""

    __tablename__ = "offset_binding"
    __table_args__ = (
        CheckConstraint(
            "state IN ('asked', 'confirmed', 'declined', 'ended')", name="offset_binding_state"
        ),
        CheckConstraint(
            "(state = 'ended') = (ended_at IS NOT NULL)"
            " AND (ended_at IS NULL) = (ended_by_id IS NULL)",
            name="offset_binding_ended",
        ),
        CheckConstraint(
            "(state = 'asked') = (answered_at IS NULL)"
            " AND (answered_at IS NULL) = (application_id IS NULL)",
            name="offset_binding_answered",
        ),
        Index(
            "one_binding_an_account",
            "account_id",
            unique=True,
            postgresql_where=text("state NOT IN ('declined', 'ended')"),
        ),
        Index(
            "one_binding_a_ccer_account",
            "ccer_account",
            unique=True,
            postgresql_where=text("state NOT IN ('declined', 'ended')"),
        ),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    ccer_account: Mapped[str] = mapped_column(String(40))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    uscc: Mapped[str] = mapped_column(String(18))
    name: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(10), server_default="asked")
    asked_at: Mapped[datetime] = _at()
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"), unique=True)
    answered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_by_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"), unique=True)
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    account: Mapped[Account] = relationship()


class OffsetUnit(Model):
    """抵销单元: what one message of the CCER registry told of; its history is `OffsetEvent`."""

    __tablename__ = "offset_unit"
    __table_args__ = (
        CheckConstraint(
            "quantity > 0 AND last_serial - first_serial + 1 = quantity",
            name="offset_unit_quantity",
        ),
        CheckConstraint("period_from <= period_to", name="offset_unit_period"),
        CheckConstraint(
            "state IN ('frozen', 'in_application', 'approved', 'cancel_ordered', 'cancelled',"
            " 'registered', 'release_ordered', 'released')",
            name="offset_unit_state",
        ),
        CheckConstraint(
            "state IN ('frozen', 'released', 'release_ordered') OR application_id IS NOT NULL",
            name="offset_unit_application",
        ),
        Index("offset_unit_of_account", "account_id", "state"),
        Index(
            "offset_unit_of_application",
            "application_id",
            postgresql_where=text("application_id IS NOT NULL"),
        ),
        Index("offset_unit_serials", "project_no", "first_serial"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    project_no: Mapped[str] = mapped_column(String(40))
    project_name: Mapped[str] = mapped_column(String(200))
    project_type: Mapped[str] = mapped_column(String(100))
    period_from: Mapped[date] = mapped_column(Date)
    period_to: Mapped[date] = mapped_column(Date)
    registered_on: Mapped[date] = mapped_column(Date)
    first_serial: Mapped[int] = mapped_column(BigInteger)
    last_serial: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[int] = mapped_column(BigInteger)
    in_ets: Mapped[bool] = mapped_column(Boolean)  # inside the boundary of the market (N86)
    is_cancelled_before: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    state: Mapped[str] = mapped_column(String(20), server_default="frozen")
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"))
    received_at: Mapped[datetime] = _at()
    changed_at: Mapped[datetime] = _at()
    serial: Mapped[str] = mapped_column(
        String(90),
        Computed("project_no || '-' || first_serial || '~' || last_serial", persisted=True),
    )

    account: Mapped[Account] = relationship()
    application: Mapped[Application | None] = relationship()

    def as_unit(self) -> Unit:
        """Return it as the rules read it."""
        return Unit(
            self.id, self.account_id, self.state, self.quantity, self.serial, self.project_no,
            self.registered_on, self.in_ets, self.is_cancelled_before,
        )  # fmt: skip


class OffsetEvent(Model):
    """A state of a unit; written by the database alone."""

    __tablename__ = "offset_event"
    __table_args__ = (Index("offset_event_of", "unit_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey("offset_unit.id"))
    state: Mapped[str] = mapped_column(String(20))
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"))
    at: Mapped[datetime] = _at()
    recorded_xid: Mapped[int] = _transaction()


class OffsetMessage(Model):
    """往来报文: one of the CCER registry's with our reply, or of ours with its."""

    __tablename__ = "offset_message"
    __table_args__ = (
        UniqueConstraint("direction", "number", name="offset_message_once"),
        CheckConstraint(
            "CASE direction WHEN 'in' THEN kind IN ('binding', 'freeze', 'report', 'unfreeze')"
            " AND state IN ('done', 'refused')"
            " WHEN 'out' THEN kind IN ('answer', 'cancel', 'release')"
            " AND state IN ('pending', 'sent', 'unknown', 'done', 'refused')"
            " AND num_nonnulls(unit_id, binding_id) = 1 AND account_id IS NOT NULL"
            " ELSE false END",
            name="offset_message_known",
        ),
        Index(
            "offset_message_due",
            "due_at",
            postgresql_where=text("state IN ('pending', 'sent', 'unknown')"),
        ),
        Index("offset_message_of_unit", "unit_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    direction: Mapped[str] = mapped_column(String(3))
    number: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(10))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    unit_id: Mapped[int | None] = mapped_column(ForeignKey("offset_unit.id"))
    binding_id: Mapped[int | None] = mapped_column(ForeignKey("offset_binding.id"))
    quantity: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(300), server_default="")
    due_at: Mapped[datetime] = _at()
    queries: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[datetime] = _at()
    changed_at: Mapped[datetime] = _at()

    unit: Mapped[OffsetUnit | None] = relationship()
    binding: Mapped[OffsetBinding | None] = relationship()


class OffsetMessageEvent(Model):
    """What passed about a message; ``content`` is the text that the CCER registry signed."""

    __tablename__ = "offset_message_event"
    __table_args__ = (
        CheckConstraint(
            "what IN ('pending', 'sent', 'unknown', 'done', 'refused', 'contradiction')"
            " AND source IN ('registry', 'notice', 'answer', 'query')",
            name="offset_message_event_known",
        ),
        Index("offset_message_event_of", "message_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("offset_message.id"))
    what: Mapped[str] = mapped_column(String(15))
    source: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(String(300), server_default="")
    content: Mapped[str] = mapped_column(Text, server_default="")
    at: Mapped[datetime] = _at()
    recorded_xid: Mapped[int] = _transaction()


class OffsetComparison(Model):
    """夜间比对: asked for by the night or by an officer, and done once (N89)."""

    __tablename__ = "offset_comparison"
    __table_args__ = (
        CheckConstraint(
            "num_nonnulls(compared_at, enterprises, differences) IN (0, 3)",
            name="offset_comparison_done",
        ),
        Index(
            "one_comparison_a_night",
            "day",
            unique=True,
            postgresql_where=text("asked_by IS NULL"),
        ),
        Index(
            "one_comparison_waits",
            text("(true)"),
            unique=True,
            postgresql_where=text("compared_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    day: Mapped[date] = mapped_column(Date)
    asked_at: Mapped[datetime] = _at()
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    compared_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    enterprises: Mapped[int | None] = mapped_column(Integer)
    differences: Mapped[int | None] = mapped_column(Integer)


class OffsetDifference(Model):
    """What a comparison found of an enterprise; without an account it is none of ours."""

    __tablename__ = "offset_difference"
    __table_args__ = (
        CheckConstraint("ours <> theirs", name="offset_difference_differs"),
        Index("offset_difference_of", "comparison_id", "account_id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    comparison_id: Mapped[int] = mapped_column(ForeignKey("offset_comparison.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    uscc: Mapped[str] = mapped_column(String(18))
    ours: Mapped[int] = mapped_column(BigInteger)
    theirs: Mapped[int] = mapped_column(BigInteger)
