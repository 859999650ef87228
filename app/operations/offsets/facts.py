"""Reading what the rules of CCER read: units named, bindings asked for, differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer

from app.domain.compliance.offsets import Offsets, Unit
from app.domain.kinds.compliance.offset import (
    BINDING_ENDS,
    OffsetApplication,
    OffsetBindingAnswer,
)
from app.domain.workflow import Case
from app.extensions import db
from app.operations.records.columns import typed


def gather(cases: Sequence[Case]) -> dict[str, Any]:
    """Return what the rules of CCER read, after locking; nothing where no case is of CCER."""
    offsets = [case for case in cases if case.kind == OffsetApplication.code]
    bindings = [case for case in cases if case.kind == OffsetBindingAnswer.code]
    ends = [case for case in cases if case.kind in {each.code for each in BINDING_ENDS}]
    if not offsets and not bindings and not ends:
        return {}
    units = [each["unit"] for case in offsets for each in case.proposal.get("units", ())]
    asked = [case.proposal.get("binding") or 0 for case in bindings]
    accounts = [case.account_id for case in offsets]
    found = Offsets(
        units={row.id: Unit(*row) for row in db.session.execute(_UNITS, {"ids": units})},
        differing=frozenset(db.session.scalars(_DIFFERING, {"accounts": accounts})),
        asked={
            row.id: (row.account_id, row.ccer_account)
            for row in db.session.execute(_ASKED, {"ids": asked})
        },
    )
    if ends:
        of_ends = {"accounts": [case.account_id for case in ends]}
        found.bound = {
            row.id: (row.account_id, row.ccer_account)
            for row in db.session.execute(_BOUND, of_ends)
        }
        found.busy = {row.account_id: row.named for row in db.session.execute(_BUSY, of_ends)}
    return {"offset": found}


_UNITS = typed(
    """
    SELECT id, account_id, state, quantity, serial, project_no, registered_on, in_ets,
           is_cancelled_before
      FROM offset_unit WHERE id = ANY(:ids)
    """,
    ids=BigInteger,
)
_DIFFERING = typed(
    "SELECT account_id FROM open_offset_difference WHERE account_id = ANY(:accounts)",
    accounts=Integer,
)
_BOUND = typed(
    "SELECT id, account_id, ccer_account FROM offset_binding"
    " WHERE account_id = ANY(:accounts) AND state = 'confirmed'",
    accounts=Integer,
)
# The first of each account that a message names.
_BUSY = typed(
    """
    SELECT account_id, (array_agg(what ORDER BY what))[1:3] AS named FROM offset_busy
     WHERE account_id = ANY(:accounts) GROUP BY account_id
    """,
    accounts=Integer,
)
_ASKED = typed(
    "SELECT id, account_id, ccer_account FROM offset_binding"
    " WHERE id = ANY(:ids) AND state = 'asked'",
    ids=Integer,
)
