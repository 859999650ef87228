"""撤销决定: what the rules read of what is to be revoked, and its end (docs/adr/0100)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger

from app.domain.kinds.revocation import Revocable, Revocation
from app.domain.workflow import Case, Status
from app.extensions import db
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed


def gather(cases: Sequence[Case]) -> dict[str, Any]:
    """Return what the rules of revocations read; nothing for other kinds."""
    ids = [case.id for case in cases if case.kind == Revocation.code]
    if not ids:
        return {}
    return {
        "revocable": {
            row.number: Revocable(
                row.kind,
                frozenset(row.accounts),
                row.status == Status.APPROVED,
                row.is_of_the_office,
                row.revoked_by or "",
                row.open,
                row.pending,
                row.drawn,
            )
            for row in db.session.execute(_REVOCABLE, {"ids": ids})
        }
    }


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Have what is revoked count no longer, in the approval's transaction."""
    db.session.execute(_CARRY_OUT, {"ids": [case.id for case in cases]})
    for case in cases:
        log.record(
            actor, "carry_out.revocation", subject=case.number, account_id=case.account_id,
            revoked=case.proposal["number"],
        )  # fmt: skip
    db.session.expire_all()


_REVOCABLE = typed(
    """
    SELECT a.number, a.kind, a.status, b.number AS revoked_by,
           asking.province IS NOT DISTINCT FROM deciding.province AS is_of_the_office,
           CASE a.kind WHEN 'allowance_claim' THEN
                (SELECT array_agg(o.account_id) FROM claim_owner o
                  JOIN application_line l ON l.id = o.line_id
                  WHERE l.application_id = a.id) END || a.account_id AS accounts,
           d.open, d.pending, d.drawn
      FROM application r
      JOIN application a ON a.number = r.proposal ->> 'number'
      LEFT JOIN application b ON b.id = a.revoked_by_id
      JOIN ab_user asking ON asking.id = r.created_by
      JOIN ab_user deciding ON deciding.id = a.created_by
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(l.remaining), 0)::bigint AS open,
                  coalesce(sum(l.pending), 0)::bigint AS pending, coalesce(sum(l.drawn), 0)::bigint AS drawn
             FROM line_draw l WHERE l.application_id = a.id) AS d
     WHERE r.id = ANY(:ids)
    """,
    ids=BigInteger,
)
_CARRY_OUT = typed("SELECT carry_out_revocations(:ids)", ids=BigInteger)
