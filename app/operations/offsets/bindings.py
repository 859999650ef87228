"""CCER账户绑定: asked for in the CCER registry, answered here by the enterprise, one to one (N80).

Answers are applications; the database carries them out (sql/0030/follow.sql).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, select

from app.domain.compliance.offsets import CONFIRMED
from app.domain.workflow import Case
from app.extensions import db
from app.models import OffsetBinding
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed


def of_account(account_id: int) -> OffsetBinding | None:
    """Return the binding of an account that is asked for or confirmed."""
    found = select(OffsetBinding).where(
        OffsetBinding.account_id == account_id, OffsetBinding.state.in_(("asked", CONFIRMED))
    )
    return db.session.scalars(found).one_or_none()


def end(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """End bindings as approved, in the approval's transaction; the CCER registry is told."""
    db.session.execute(_END, {"ids": [case.id for case in cases]})
    for case in cases:
        log.record(
            actor, "carry_out.offset_binding_end", subject=case.number, account_id=case.account_id,
            ccer_account=case.proposal["ccer_account"],
        )  # fmt: skip
    db.session.expire_all()


_END = typed("SELECT end_offset_bindings(:ids)", ids=BigInteger)
