"""Tables that were imported from files, so that the same file is not imported twice."""

from __future__ import annotations

from datetime import datetime

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column


class ImportFile(Model):
    """One file that was imported; append-only.

    ``attempt`` counts on where everything that the earlier one brought was withdrawn.
    """

    __tablename__ = "import_file"
    __table_args__ = (
        CheckConstraint("rows > 0", name="import_file_has_rows"),
        UniqueConstraint("kind", "sha256", "attempt", name="import_file_once"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))  # what was imported: allocation, notice ...
    name: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    imported_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    imported_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
