"""The stages of a day's settlement, as they end: what was done, by whom, and how long it took."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import insert

from app.extensions import db
from app.models import SettlementStage
from app.operations.records import clock
from app.operations.records.actor import Actor

STAGES = {
    "received": _("Package received"),
    "cleared": _("Cleared, first review"),
    "confirmed": _("Confirmed by the exchange"),
    "approved": _("Second review"),
    "delivered": _("Delivered against payment"),
    "rolled": _("Transfers in transit settled"),
    "reconciled": _("Reconciled"),
    "released": _("Proceeds released"),
}


def note(package_id: int, stage: str, actor: Actor, *, started_at: datetime, **detail: Any) -> None:
    """Note that a stage, or a part of it, ended now."""
    assert stage in STAGES
    db.session.execute(
        insert(SettlementStage).values(
            package_id=package_id,
            stage=stage,
            started_at=started_at,
            ended_at=max(started_at, clock.now()),
            detail=detail,
            member_id=actor.member_id,
        )
    )
