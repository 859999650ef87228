"""What applications for CCER and answers to bindings say, for their signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.compliance.offsets import CONFIRMED
from app.domain.errors import RuleError
from app.extensions import db
from app.models import OffsetUnit
from app.operations.offsets import bindings


def proposal(account_id: int, units: Sequence[int]) -> dict[str, Any]:
    """Return what an application says of its units, for its signature; others' units are left out."""
    found = select(OffsetUnit).where(OffsetUnit.account_id == account_id, OffsetUnit.id.in_(units))
    rows = db.session.scalars(found.order_by(OffsetUnit.id)).all()
    return {
        "units": [
            {
                "unit": row.id,
                "serial": row.serial,
                "project_no": row.project_no,
                "project_name": row.project_name,
                "registered_on": row.registered_on.isoformat(),
                "quantity": row.quantity,
            }
            for row in rows
        ],
        "total": sum(row.quantity for row in rows),
    }


def end_proposal(account_id: int) -> dict[str, Any]:
    """Return what the end of an account's binding says.  Raises RuleError where none is confirmed."""
    binding = bindings.of_account(account_id)
    if binding is None or binding.state != CONFIRMED:
        raise RuleError(
            _("No CCER account is bound to this account, or another one than was named"),
            code="ccer_not_bound",
        )
    return {
        "binding": binding.id,
        "ccer_account": binding.ccer_account,
        "uscc": binding.uscc,
        "holder": binding.name,
    }


def binding_proposal(account_id: int, answer: str) -> dict[str, Any]:
    """Return what the answer to the binding that waits says.  Raises RuleError where none waits."""
    binding = bindings.of_account(account_id)
    if binding is None:
        raise RuleError(
            _("The CCER registry has asked for no binding of this account"),
            code="binding_not_asked",
        )
    return {
        "binding": binding.id,
        "ccer_account": binding.ccer_account,
        "uscc": binding.uscc,
        "holder": binding.name,
        "answer": answer,
    }
