"""核定数据 of enterprises and their units, and what issues were netted by (docs/adr/0088)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

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
    Numeric,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column


class AllocationFigure(Model):
    """A pushed row of a unit, or of an enterprise where ``unit`` is empty; append-only.

    Tonnes, MWh, GJ and tonnes for each of them; shares and load in per cent.  ``expected`` is our own
    computing of ``quantity``; a change of the verification has neither, but a day of the re-approval.
    """

    __tablename__ = "allocation_figure"
    __table_args__ = (
        UniqueConstraint(
            "import_id", "account_id", "year", "sector", "stage", "unit",
            name="allocation_figure_once",
        ),
        CheckConstraint(
            "stage IN ('pre_allocation', 'approved', 'verification')", name="allocation_figure_stage"
        ),
        CheckConstraint(
            "verified >= 0 AND coalesce(quantity, 0) >= 0 AND coalesce(expected, 0) >= 0"
            " AND (quantity IS NULL) = (stage = 'verification')"
            " AND (expected IS NULL) = (stage = 'verification')"
            " AND (due_on IS NULL) = (stage <> 'verification')",
            name="allocation_figure_quantity",
        ),
        Index("allocation_figure_of", "account_id", "year", "sector", "stage", "import_id"),
        Index(
            "allocation_figure_differing", "account_id", "year",
            postgresql_where=text("is_differing"),
        ),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    import_id: Mapped[int] = mapped_column(ForeignKey("import_file.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    year: Mapped[int] = mapped_column(SmallInteger)
    sector: Mapped[str] = mapped_column(String(20))
    stage: Mapped[str] = mapped_column(String(20))
    unit: Mapped[str] = mapped_column(String(50), server_default="")
    basis: Mapped[str] = mapped_column(String(20), server_default="")
    verified: Mapped[Decimal] = mapped_column(Numeric(20, 6))
    share: Mapped[Decimal | None] = mapped_column(Numeric(9, 6))
    power: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    heat: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    power_benchmark: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    heat_benchmark: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    load: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    intensity: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    balance: Mapped[Decimal | None] = mapped_column(Numeric(20, 6))
    quantity: Mapped[int | None] = mapped_column(BigInteger)  # as pushed
    expected: Mapped[int | None] = mapped_column(BigInteger)  # as computed here
    is_differing: Mapped[bool] = mapped_column(
        Boolean, Computed("quantity IS DISTINCT FROM expected", persisted=True)
    )
    remark: Mapped[str] = mapped_column(String(300), server_default="")
    due_on: Mapped[date | None] = mapped_column(Date)  # of the re-approval (N32)
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ClaimNetting(Model):
    """What of an issue was recalled for an open claim; written by `recall_claims`, append-only."""

    __tablename__ = "claim_netting"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="claim_netting_positive"),
        Index("claim_netting_of", "claim_line_id"),
        Index("claim_netting_issue", "issue_posting_id"),
    )

    posting_id: Mapped[int] = mapped_column(
        ForeignKey("posting.id"), primary_key=True, autoincrement=False
    )
    issue_posting_id: Mapped[int] = mapped_column(ForeignKey("posting.id"))
    claim_line_id: Mapped[int] = mapped_column(ForeignKey("application_line.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    quantity: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ClaimSuccession(Model):
    """What of a claim's line a successor took over; written by `carry_out_successions`, append-only."""

    __tablename__ = "claim_succession"
    __table_args__ = (
        UniqueConstraint(
            "application_id", "claim_line_id", "to_account_id", name="claim_succession_once"
        ),
        CheckConstraint(
            "from_account_id <> to_account_id AND quantity > 0", name="claim_succession_moves"
        ),
        Index("claim_succession_of", "claim_line_id"),
        Index("claim_succession_to", "to_account_id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"))
    claim_line_id: Mapped[int] = mapped_column(ForeignKey("application_line.id"))
    from_account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    to_account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    quantity: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
