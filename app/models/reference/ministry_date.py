"""主管部门日程: the dates of the ministry's yearly notices (rules-2026 N06)."""

from __future__ import annotations

from datetime import date, datetime

from flask_appbuilder import Model
from sqlalchemy import (
    CheckConstraint,
    Date,
    DateTime,
    Identity,
    Integer,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.reference.dated import Dated


class MinistryDate(Dated, Model):
    """A date by which a party does something for a compliance year, besides those of the plans."""

    __tablename__ = "ministry_date"
    __table_args__ = (
        UniqueConstraint("year", "sector", "title", name="ministry_date_once"),
        CheckConstraint("year BETWEEN 2000 AND 2999", name="ministry_date_year"),
        CheckConstraint(
            "party IN ('enterprise', 'province', 'registry')", name="ministry_date_party"
        ),
        Dated.ends_after_it_begins("ministry_date"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    year: Mapped[int] = mapped_column(SmallInteger)  # 履约年度
    sector: Mapped[str] = mapped_column(String(20))  # a code, or "all"
    title: Mapped[str] = mapped_column(String(100))
    due_on: Mapped[date] = mapped_column(Date)
    party: Mapped[str] = mapped_column(String(20))  # who must act
    source: Mapped[str] = mapped_column(String(200))


class CalendarRun(Model):
    """A day on which reminders of the calendar were looked for, and how many messages were written."""

    __tablename__ = "calendar_run"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    sent: Mapped[int] = mapped_column(Integer)
    ran_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
