"""Which version of the catalogue holds: learnt by each request, so that no process keeps an old one."""

from __future__ import annotations

from typing import Any

from flask import g, has_request_context
from flask_appbuilder import Model
from sqlalchemy import BigInteger, Boolean, CheckConstraint, ScalarSelect, select
from sqlalchemy.orm import Mapped, mapped_column


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
