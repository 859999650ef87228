"""行业, 原因与文书类别, 地市."""

from __future__ import annotations

from flask_appbuilder import Model
from sqlalchemy import CheckConstraint, Identity, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.reference.dated import Dated


class Sector(Dated, Model):
    """行业: an enterprise's sector."""

    __tablename__ = "sector"
    __table_args__ = (Dated.ends_after_it_begins("sector"), {"extend_existing": True})

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    name_en: Mapped[str] = mapped_column(String(80), server_default="")


class Category(Dated, Model):
    """原因与文书类别: a type of applications of one kind."""

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
