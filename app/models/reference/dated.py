"""What every table of reference data has."""

from __future__ import annotations

from datetime import date

from sqlalchemy import CheckConstraint, ColumnElement, Date, Integer
from sqlalchemy.orm import Mapped, mapped_column

# 碳排放权交易管理办法（试行） came into force: what was here before anybody said since when.
BEGINNING = "2021-02-01"


class Dated:
    """A value that holds from a day on until it is disabled; ``version`` 0 is as installed.

    Every change raises the version, so that the later of two editors is told.
    """

    valid_from: Mapped[date] = mapped_column(Date, server_default=BEGINNING, sort_order=90)
    disabled_from: Mapped[date | None] = mapped_column(Date, sort_order=91)
    version: Mapped[int] = mapped_column(Integer, server_default="1", sort_order=92)

    @classmethod
    def in_force(cls, day: date) -> ColumnElement[bool]:
        """Return the condition that a value holds on a day."""
        disabled = cls.disabled_from  # type: ignore[attr-defined]
        return (cls.valid_from <= day) & (disabled.is_(None) | (disabled > day))  # type: ignore[operator]

    @staticmethod
    def ends_after_it_begins(table: str) -> CheckConstraint:
        """Return the CHECK that every dated table has."""
        return CheckConstraint("disabled_from >= valid_from", name=f"{table}_dates")
