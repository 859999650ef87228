"""Reference data that administrators keep: dated, never deleted, read through one catalogue.

What is in use is disabled from a day on and keeps its name; app.operations.records.reference writes
these tables, and app.operations.records.catalogue reads those that pages and rules know by code.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from flask import g, has_request_context
from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ColumnElement,
    Date,
    Identity,
    Integer,
    ScalarSelect,
    String,
    UniqueConstraint,
    select,
)
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


class Sector(Dated, Model):
    """行业: what an enterprise is counted under."""

    __tablename__ = "sector"
    __table_args__ = (Dated.ends_after_it_begins("sector"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    name_en: Mapped[str] = mapped_column(String(80), server_default="")


class Category(Dated, Model):
    """原因与文书类别: a type that applications of one kind may have."""

    __tablename__ = "category"
    __table_args__ = (
        UniqueConstraint("kind", "code", name="category_code"),
        UniqueConstraint("kind", "name", name="category_name"),
        Dated.ends_after_it_begins("category"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    code: Mapped[str] = mapped_column(String(30))
    name: Mapped[str] = mapped_column(String(40))
    name_en: Mapped[str] = mapped_column(String(80), server_default="")


class City(Dated, Model):
    """地市: a prefecture of a province (GB/T 2260), by six digits."""

    __tablename__ = "city"
    __table_args__ = (
        UniqueConstraint("province", "name", name="city_name"),
        CheckConstraint("code ~ '^[0-9]{6}$'", name="city_code_digits"),
        CheckConstraint("left(code, 2) = province", name="city_code_of_province"),
        Dated.ends_after_it_begins("city"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    province: Mapped[str] = mapped_column(String(2))
    code: Mapped[str] = mapped_column(String(6), unique=True)
    name: Mapped[str] = mapped_column(String(40))


class ReferenceVersion(Model):
    """One row that every change of the catalogue raises, so that no process keeps an old one."""

    __tablename__ = "reference_version"
    __table_args__ = (CheckConstraint("is_only", name="one_version"), {"extend_existing": True})

    is_only: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default="true")
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")


def keep_version(version: int) -> None:
    """Take what `catalogue_version` found for the rest of this request."""
    if has_request_context():
        g.catalogue_version = version


def catalogue_version() -> ScalarSelect[Any]:
    """Select the catalogue's version: it fits into any statement as a column."""
    return select(ReferenceVersion.version).scalar_subquery()
