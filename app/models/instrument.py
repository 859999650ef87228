"""Instruments (标的): the allowances of a vintage as the registry names them."""

from __future__ import annotations

from datetime import datetime

from flask_appbuilder import Model
from sqlalchemy import CheckConstraint, ColumnElement, DateTime, Integer, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column


class Instrument(Model):
    """A kind of unit, one tonne of CO2e each (条例 30); of kind money, the fen at one settlement bank."""

    __tablename__ = "instrument"
    __table_args__ = (
        CheckConstraint("kind IN ('allowance', 'money')", name="instrument_kind_known"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)  # 标的编码, PE2021000025
    name: Mapped[str] = mapped_column(String(100))  # 标的名称
    vintage: Mapped[int] = mapped_column(SmallInteger)  # 配额年度; 2020 = the merged 2019-2020
    kind: Mapped[str] = mapped_column(String(20), server_default="allowance")
    # 停用: created by mistake and never used; written by `carry_out_closures` alone.
    retired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @classmethod
    def is_of_tonnes(cls) -> ColumnElement[bool]:
        """Return the condition that excludes money."""
        return cls.kind != "money"

    @classmethod
    def is_of_money(cls) -> ColumnElement[bool]:
        """Return the condition for money."""
        return cls.kind == "money"

    def __str__(self) -> str:
        """Return the label of a select's option."""
        return f"{self.code} {self.name}"
