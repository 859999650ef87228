"""年度方案: what holds for a compliance year and sector, one row a version (docs/adr/0084)."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
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
    Numeric,
    SmallInteger,
    String,
    Subquery,
    UniqueConstraint,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.compliance.plans import FIELDS
from app.domain.trading_day import BEIJING


class Plan(Model):
    """A version of a plan; append-only, written by `carry_out_plans` from an approved application.

    Of those begun by a day the newest holds on it.  What is installed has no application.
    """

    __tablename__ = "plan"
    __table_args__ = (
        CheckConstraint("year BETWEEN 2000 AND 2999", name="plan_year"),
        CheckConstraint(
            "pre_allocation_share BETWEEN 0 AND 100 AND share_cap BETWEEN 0 AND 100"
            " AND pre_allocation_share <= share_cap",
            name="plan_shares",
        ),
        CheckConstraint("offset_percent BETWEEN 0 AND 100", name="plan_offset"),
        CheckConstraint("rounding IN ('unit', 'entity')", name="plan_rounding"),
        CheckConstraint("confidence IN ('certain', 'likely', 'unsure')", name="plan_confidence"),
        CheckConstraint(
            "pre_allocate_by <= approve_by AND approve_by <= issue_by"
            " AND greatest(pre_allocate_by, approve_by, issue_by, offset_by)"
            " <= (surrender_by AT TIME ZONE 'Asia/Shanghai')::date",
            name="plan_days",
        ),
        CheckConstraint("cardinality(vintages) > 0", name="plan_vintages"),
        CheckConstraint("carry_over_base >= 0 AND carry_over_factor >= 0", name="plan_carry_over"),
        CheckConstraint(
            "issue_route IN ('', 'differentiated', 'province')", name="plan_issue_route"
        ),
        CheckConstraint(
            "commission_order IN ('', 'own_first', 'oldest_first')", name="plan_commission_order"
        ),
        UniqueConstraint("application_id", name="plan_application_once"),
        UniqueConstraint("replaces_id", name="plan_replaced_once"),
        Index(
            "plan_begins_once",
            "year",
            "sector",
            unique=True,
            postgresql_where=text("replaces_id IS NULL"),
        ),
        Index("plan_of", "year", "sector", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    year: Mapped[int] = mapped_column(SmallInteger)  # 履约年度
    sector: Mapped[str] = mapped_column(String(20))
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("plan.id", name="plan_version_fkey"))
    application_id: Mapped[int | None] = mapped_column(
        ForeignKey("application.id", name="plan_application_fkey")
    )
    starts_on: Mapped[date] = mapped_column(Date)
    document_no: Mapped[str] = mapped_column(String(100))
    documented_on: Mapped[date] = mapped_column(Date)
    method: Mapped[str] = mapped_column(String(200))  # 分配方法
    pre_allocation_share: Mapped[Decimal | None] = mapped_column(Numeric(6, 3))  # per cent
    share_cap: Mapped[Decimal | None] = mapped_column(Numeric(6, 3))  # per cent
    rounding: Mapped[str] = mapped_column(String(10))  # per unit or per entity
    pre_allocate_by: Mapped[date | None] = mapped_column(Date)
    approve_by: Mapped[date | None] = mapped_column(Date)
    issue_by: Mapped[date | None] = mapped_column(Date)
    surrender_by: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    offset_by: Mapped[date | None] = mapped_column(Date)  # N87
    vintages: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))  # N50
    offset_percent: Mapped[Decimal] = mapped_column(Numeric(6, 3))  # N84; 0: no CCER
    offset_registered_from: Mapped[date | None] = mapped_column(Date)  # N85
    exemptions: Mapped[str] = mapped_column(String(1000), server_default="")
    carry_over_base: Mapped[int | None] = mapped_column(BigInteger)  # N65, tonnes
    carry_over_factor: Mapped[Decimal | None] = mapped_column(Numeric(6, 3))  # N65
    source: Mapped[str] = mapped_column(String(300))
    confidence: Mapped[str] = mapped_column(String(10))
    is_draft: Mapped[bool] = mapped_column(Boolean)  # a draft for consultation
    note: Mapped[str] = mapped_column(String(500), server_default="")
    approved_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    issue_route: Mapped[str] = mapped_column(String(20), server_default="")  # N11, N40
    commission_order: Mapped[str] = mapped_column(String(20), server_default="")  # N43
    commission_title: Mapped[str] = mapped_column(String(20), server_default="")  # N44

    def values(self) -> dict[str, str]:
        """Return what it says, as `app.domain.compliance.plans` writes it."""
        return {each.name: _written(getattr(self, each.name)) for each in FIELDS}


def _written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "draft" if value else "final"
    if isinstance(value, datetime):
        return f"{value.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list):
        return ",".join(map(str, sorted(value)))
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else ""
    return str(value)


def plans_on(day: date) -> Subquery:
    """Return the plans in force on a day, as a subquery."""
    newest = select(func.max(Plan.id)).where(Plan.starts_on <= day).group_by(Plan.year, Plan.sector)
    return select(*Plan.__table__.c).where(Plan.id.in_(newest)).subquery("plan_in_force")
