"""The version of the catalogue, read by each request so that no process uses a stale one."""

from __future__ import annotations

from typing import Any

from flask import g, has_request_context
from flask_appbuilder import Model
from sqlalchemy import BigInteger, Boolean, CheckConstraint, ScalarSelect, select
from sqlalchemy.orm import Mapped, mapped_column


class ReferenceVersion(Model):
    """A single row, incremented by every change of the catalogue."""

    __tablename__ = "reference_version"
    __table_args__ = (CheckConstraint("is_only", name="one_version"), {"extend_existing": True})

    is_only: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default="true")
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")


def keep_version(version: int) -> None:
    """Cache the result of `catalogue_version` for the rest of this request."""
    if has_request_context():
        g.catalogue_version = version


def catalogue_version() -> ScalarSelect[Any]:
    """Return the catalogue's version, as a column for any statement."""
    return select(ReferenceVersion.version).scalar_subquery()
