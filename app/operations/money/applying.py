"""入金 and 出金 as applications: their content follows from amount and binding."""

from __future__ import annotations

from flask_babel import gettext as _

from app.domain.errors import RuleError
from app.domain.kinds.money.bank_transfers import Withdrawal
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.workflow import Line
from app.operations.accounts import bindings
from app.operations.applications import engine


def draft(
    kind: str, account_id: int, amount: int, request_key: str, *, reason: str = ""
) -> engine.Draft:
    """Return the draft of a deposit or withdrawal of ``amount`` fen, at the bound bank.

    Raises RuleError where no bank account is bound.
    """
    binding = bindings.current(account_id)
    if binding is None:
        raise RuleError(
            _("Bind a bank account first; money moves between it and the registry alone"),
            code="not_bound",
        )
    receiver = ISSUANCE_ACCOUNT_ID if kind == Withdrawal.code else None
    return engine.Draft(
        kind=kind,
        account_id=account_id,
        lines=(Line(binding.instrument_id, amount, account_id=receiver),),
        request_key=request_key,
        reason=reason,
        proposal=binding.proposal,
    )
