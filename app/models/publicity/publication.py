"""信息公开: the data sets as they were published, a version wherever one changed (docs/adr/0093)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    String,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column


class PublicationRun(Model):
    """One publishing of all data sets, of a business day; append-only."""

    __tablename__ = "publication_run"
    __table_args__ = (UniqueConstraint("day", name="one_publication_a_day"),)

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    day: Mapped[date] = mapped_column(Date)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Publication(Model):
    """The rows of a part of a data set ("" or a year), from a run until the next one; append-only.

    ``digest`` is the SHA-256 of the rows in hex.
    """

    __tablename__ = "publication"
    __table_args__ = (UniqueConstraint("data_set", "part", "run_id", name="publication_once"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    data_set: Mapped[str] = mapped_column(String(30))
    part: Mapped[str] = mapped_column(String(10))
    run_id: Mapped[int] = mapped_column(ForeignKey("publication_run.id"))
    digest: Mapped[str] = mapped_column(String(64))
    rows: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
