"""The stages of a day's settlement that no other record shows: what was done, and how long it took."""

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
    "rerun": _("Delivery asked for once more"),
    "delivered": _("Delivered against payment"),
    "reconciled": _("Reconciled with the exchange"),
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
