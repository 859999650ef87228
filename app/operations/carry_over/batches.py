"""结转批次: recall what was applied for, and grant the newer vintage, some in each transaction (N71).

Where a batch stands follows from its applications: those that it has carried out are approved, with a
grant that names it.  Killed at any point it goes on there, and once done it is a no-op.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, bindparam, insert, text

from app.domain.errors import RuleError
from app.domain.workflow import Case
from app.extensions import db
from app.models import CarryOverRefusal
from app.operations.applications import engine
from app.operations.ledger import posting
from app.operations.records import log
from app.operations.records.actor import BATCH, Actor
from app.operations.records.columns import typed

AT_ONCE = 1_000

_WAITING = text("""
    SELECT b.id, b.number, (b.proposal ->> 'year')::integer AS year, (b.proposal ->> 'until')::date AS until
      FROM application b
     WHERE b.kind = 'carry_over_batch' AND b.status = 'approved'
       AND EXISTS (SELECT FROM carry_overs_of_batch((b.proposal ->> 'year')::integer,
                                                    (b.proposal ->> 'until')::date, b.id))
     ORDER BY b.id LIMIT 1
""")
_NEXT = text("""
    SELECT application_id FROM carry_overs_of_batch(:year, :until, :batch)
     ORDER BY application_id LIMIT :most
""")
_GRANT = typed("SELECT grant_carry_overs(:batch, :ids, :at)", ids=BigInteger).bindparams(
    bindparam("batch", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True))
)


def carry_out_next(actor: Actor, *, now: datetime) -> int:
    """Carry out some applications of the first approved batch that has any left; return their number.

    Called again until it returns 0, a transaction each.  An application that a rule refuses stays under
    review, with the reason; another batch may take it.
    """
    batch = db.session.execute(_WAITING).first()
    if batch is None:
        return 0
    asked = {"year": batch.year, "until": batch.until, "batch": batch.id, "most": AT_ONCE}
    ids = list(db.session.scalars(_NEXT, asked))
    outcome = engine.approve(ids, BATCH, now=now, comment=batch.number)
    done = [case.id for case in outcome.done]
    if done:
        with posting.ledger_errors():
            db.session.execute(_GRANT, {"batch": batch.id, "ids": done, "at": now})
    if outcome.refused:
        _note_refusals(batch.id, outcome.refused, now)
    log.record(
        actor,
        "carry_over.batch",
        subject=batch.number,
        done=len(done),
        refused=len(outcome.refused),
    )
    return len(ids)


def _note_refusals(batch: int, refused: list[tuple[Case, RuleError]], now: datetime) -> None:
    rows = [
        {"batch_id": batch, "application_id": case.id, "reason": str(error)[:500], "at": now}
        for case, error in refused
    ]
    db.session.execute(insert(CarryOverRefusal), rows)
