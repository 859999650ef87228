"""差异处理: the effect of the second officer's approval."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert

from app.domain.workflow import Case
from app.extensions import db
from app.models import BankDifferenceResolution, DifferenceResolution
from app.operations.records import log
from app.operations.records.actor import Actor


def resolve(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Close differences: their accounts are restricted by them no longer."""
    db.session.execute(
        insert(DifferenceResolution),
        [
            {
                "difference_id": case.proposal["difference"],
                "application_id": case.id,
                "resolved_at": now,
            }
            for case in cases
        ],
    )
    for case in cases:
        log.record(actor, "difference.resolve", subject=case.number, account_id=case.account_id)


def resolve_with_bank(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Close differences with banks."""
    db.session.execute(
        insert(BankDifferenceResolution),
        [
            {"event_id": case.proposal["event"], "application_id": case.id, "resolved_at": now}
            for case in cases
        ],
    )
    for case in cases:
        log.record(actor, "bank_difference.resolve", subject=case.number)
