"""Reading mirrored units: those that wait, those of an application, one as the rules read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from app.domain.compliance.offsets import UnitState
from app.extensions import db
from app.models import Application, OffsetEvent, OffsetUnit


def waiting(account_id: int, most: int) -> Sequence[OffsetUnit]:
    """Return the units of an account that wait for offset, the oldest first."""
    return db.session.scalars(
        select(OffsetUnit)
        .where(OffsetUnit.account_id == account_id, OffsetUnit.state == UnitState.FROZEN)
        .order_by(OffsetUnit.id)
        .limit(most)
    ).all()


def of_application(application: Application) -> Sequence[Any]:
    """Return serial, state and time of the last change of each unit that an application names."""
    ids = [each["unit"] for each in application.proposal.get("units", ())]
    return db.session.execute(
        select(OffsetUnit.serial, OffsetUnit.state, OffsetUnit.changed_at.label("at"))
        .where(OffsetUnit.id.in_(ids), OffsetUnit.account_id == application.account_id)
        .order_by(OffsetUnit.id)
    ).all()


def events_of(unit_id: int) -> Sequence[Any]:
    """Return the states that a unit went through, with the application that brought each."""
    return db.session.execute(
        select(OffsetEvent.state, OffsetEvent.at, Application.number)
        .outerjoin(Application, Application.id == OffsetEvent.application_id)
        .where(OffsetEvent.unit_id == unit_id)
        .order_by(OffsetEvent.id)
    ).all()
