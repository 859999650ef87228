"""Effects of the last approval besides moving tonnes: one function a kind, over many cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from app.domain.workflow import Case
from app.operations.accounts import accounts, details, openings
from app.operations.compliance import attestations, notices
from app.operations.people import replacements
from app.operations.records.actor import Actor

Effect = Callable[[Sequence[Case], Actor, datetime], None]

EFFECTS: dict[str, Effect] = {
    "account_opening": openings.carry_out,
    "account_change": details.carry_out,
    "certificate_replacement": replacements.carry_out,
    "custody_link": accounts.link,
    "notice": notices.carry_out,
    "restriction": accounts.restrict,
    "restriction_lifting": accounts.lift,
    "surrender": attestations.certify_compliance,
    "surrender_refund": attestations.refunded,
    "voluntary_cancellation": attestations.certify_cancellations,
}


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Carry out the effects of approved cases, in the transaction of the approval."""
    for code in dict.fromkeys(case.kind for case in cases):
        if code in EFFECTS:
            EFFECTS[code]([case for case in cases if case.kind == code], actor, now)
