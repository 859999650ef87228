"""承继: the open notices and claims of an enterprise go to its successors (rules-2026 N116)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger

from app.domain.workflow import Case
from app.extensions import db
from app.operations.compliance import attestations
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Move what enterprises owe, in the transaction in which their tonnes move.

    A successor's 履约证明 of such a year lapses: another notice has come.
    """
    moved = db.session.scalars(_CARRY_OUT, {"ids": [case.id for case in cases]}).all()
    attestations.lapse(moved, actor, now)
    for case in cases:
        log.record(
            actor, "carry_out.account_succession", subject=case.number, account_id=case.account_id,
            shares=case.proposal["shares"],
        )  # fmt: skip
    db.session.expire_all()


_CARRY_OUT = typed("SELECT carry_out_successions(:ids)", ids=BigInteger)
