"""年度报告版式 and 收费标准: what the ministry's report looks like, and what the registry charges."""

from __future__ import annotations

from flask_appbuilder import Model
from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Integer,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.reference.dated import Dated


class ReportSheet(Dated, Model):
    """A sheet of the yearly report: what its rows are, and its place among the sheets."""

    __tablename__ = "report_sheet"
    __table_args__ = (
        CheckConstraint("rows_by IN ('province', 'sector', 'year')", name="report_sheet_rows"),
        Dated.ends_after_it_begins("report_sheet"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(31), unique=True)  # a spreadsheet's limit
    rows_by: Mapped[str] = mapped_column(String(10))
    place: Mapped[int] = mapped_column(SmallInteger)

    def __str__(self) -> str:
        """Return the label of a select's option."""
        return self.name


class ReportColumn(Dated, Model):
    """A column of a sheet: its title, the figure it shows (operations/publicity/figures.py), its unit."""

    __tablename__ = "report_column"
    __table_args__ = (
        UniqueConstraint("sheet_id", "name", name="report_column_name"),
        CheckConstraint("unit IN ('one', 'ten_thousand')", name="report_column_unit"),
        Dated.ends_after_it_begins("report_column"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    sheet_id: Mapped[int] = mapped_column(ForeignKey("report_sheet.id"))
    place: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str] = mapped_column(String(40))
    figure: Mapped[str] = mapped_column(String(30))
    unit: Mapped[str] = mapped_column(String(15), server_default="one")

    sheet: Mapped[ReportSheet] = relationship()


class FeeRate(Dated, Model):
    """收费标准: a charge, who pays it, and the document that sets it (条例 5); published."""

    __tablename__ = "fee_rate"
    __table_args__ = (Dated.ends_after_it_begins("fee_rate"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(60))
    payer: Mapped[str] = mapped_column(String(60))
    rate: Mapped[str] = mapped_column(String(100))
    basis: Mapped[str] = mapped_column(String(200))
