"""Whom holders and pledgees were told about (rules-2026 N113, N114); a pledge itself is an application."""

from __future__ import annotations

from datetime import datetime

from flask_appbuilder import Model
from sqlalchemy import CheckConstraint, DateTime, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column


class PledgeReminder(Model):
    """What the holder and the pledgee of a pledge were told, once."""

    __tablename__ = "pledge_reminder"
    __table_args__ = (CheckConstraint("what IN ('deadline', 'use')", name="pledge_reminder_what"),)

    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"), primary_key=True)
    what: Mapped[str] = mapped_column(String(10), primary_key=True)
    about: Mapped[str] = mapped_column(String(60), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
