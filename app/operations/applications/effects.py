"""Effects of the last approval besides moving tonnes: one function a kind, over many cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from app.domain.kinds.compliance.offset import BINDING_ENDS
from app.domain.kinds.compliance.refund import REFUNDS
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
from app.operations.compliance import (
    attestations,
    carry_over,
    chain,
    notices,
    plans,
    revocations,
    successions,
)
from app.operations.ledger import posting
from app.operations.offsets import bindings as offset_bindings
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
    "carry_over_notices": carry_over.carry_out_notices,
    "carry_over_round": carry_over.carry_out_rounds,
    "bankruptcy": insolvency.carry_out,
    "class_rule": life.change_rights,
    "closure_by_office": life.carry_out,
    "company_group": accounts.group,
    "commission": attestations.certify_compliance,
    "custody_link": accounts.link,
    "court_surrender": attestations.certify_compliance,
    "default_cover": defaults.cover,
    "differentiation": chain.carry_out,
    "differentiation_removal": chain.carry_out,
    "difference_resolution": differences.resolve,
    "instrument_retirement": life.end,
    "machine_key": machine_keys.carry_out,
    "machine_key_revocation": machine_keys.carry_out,
    "notice": notices.carry_out,
    **dict.fromkeys((each.code for each in BINDING_ENDS), offset_bindings.end),
    "offset": attestations.certify_compliance,  # Old stock counts at once.
    "plan": plans.carry_out,
    "pledge_surrender": attestations.certify_compliance,
    "revocation": revocations.carry_out,
    "restriction": accounts.restrict,
    "restriction_lifting": accounts.lift,
    "surrender": attestations.certify_compliance,
    **dict.fromkeys((each.code for each in REFUNDS), attestations.refunded),
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
    with posting.ledger_errors():
        for code in dict.fromkeys(case.kind for case in cases):
            if code in effects:
                effects[code]([case for case in cases if case.kind == code], actor, now)
