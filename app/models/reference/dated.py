"""The columns common to all tables of reference data."""

from __future__ import annotations

from datetime import date

from sqlalchemy import CheckConstraint, ColumnElement, Date, Integer
from sqlalchemy.orm import Mapped, mapped_column

# 碳排放权交易管理办法（试行） came into force: the start of values installed without one.
BEGINNING = "2021-02-01"


class Dated:
    """A value in force from a day until it is disabled; ``version`` 0 is as installed.

    Every change increments the version, so that concurrent edits are detected.
    """

    valid_from: Mapped[date] = mapped_column(Date, server_default=BEGINNING, sort_order=90)
    disabled_from: Mapped[date | None] = mapped_column(Date, sort_order=91)
    version: Mapped[int] = mapped_column(Integer, server_default="1", sort_order=92)

    @classmethod
    def in_force(cls, day: date) -> ColumnElement[bool]:
        """Return the condition that a value is in force on a day."""
        disabled = cls.disabled_from  # type: ignore[attr-defined]
        return (cls.valid_from <= day) & (disabled.is_(None) | (disabled > day))  # type: ignore[operator]

    @staticmethod
    def ends_after_it_begins(table: str) -> CheckConstraint:
        """Return the CHECK that every dated table has."""
        return CheckConstraint("disabled_from >= valid_from", name=f"{table}_dates")
