"""Effects of the last approval besides moving tonnes: one function a kind, over many cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from app.domain.workflow import Case
from app.operations.accounts import (
    accounts,
    bindings,
    defaults,
    details,
    differences,
    insolvency,
    life,
    openings,
)
from app.operations.compliance import attestations, notices, plans, successions
from app.operations.people import machine_keys, replacements
from app.operations.records.actor import Actor

Effect = Callable[[Sequence[Case], Actor, datetime], None]

EFFECTS: dict[str, Effect] = {
    "account_opening": openings.carry_out,
    "account_change": details.carry_out,
    "account_closure": life.carry_out,
    "account_retirement": life.carry_out,
    "account_succession": successions.carry_out,
    "bank_difference": differences.resolve_with_bank,
    "bank_binding": bindings.carry_out,
    "bankruptcy": insolvency.carry_out,
    "class_rule": life.change_rights,
    "closure_by_office": life.carry_out,
    "company_group": accounts.group,
    "custody_link": accounts.link,
    "default_cover": defaults.cover,
    "difference_resolution": differences.resolve,
    "instrument_retirement": life.end,
    "machine_key": machine_keys.carry_out,
    "machine_key_revocation": machine_keys.carry_out,
    "notice": notices.carry_out,
    "plan": plans.carry_out,
    "restriction": accounts.restrict,
    "restriction_lifting": accounts.lift,
    "surrender": attestations.certify_compliance,
    "surrender_refund": attestations.refunded,
    "voluntary_cancellation": attestations.certify_cancellations,
}
# What needs the signature of the approval, which is bound to its event after the above.
ONCE_SIGNED: dict[str, Effect] = {
    "certificate_replacement": replacements.carry_out,
}


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Carry out the effects of approved cases, in the transaction of the approval."""
    _carry_out(EFFECTS, cases, actor, now)


def carry_out_once_signed(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Carry out what rests on the signatures of approved cases, in the same transaction."""
    _carry_out(ONCE_SIGNED, cases, actor, now)


def _carry_out(
    effects: Mapping[str, Effect], cases: Sequence[Case], actor: Actor, now: datetime
) -> None:
    for code in dict.fromkeys(case.kind for case in cases):
        if code in effects:
            effects[code]([case for case in cases if case.kind == code], actor, now)
