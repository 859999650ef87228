"""撤销决定: an authority takes back what its two officers approved, on a document (docs/adr/0100)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.errors import NotAllowed
from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.claim import AllowanceClaim
from app.domain.kinds.compliance.deduction import IS_DATED, AllowanceDeduction
from app.domain.kinds.rules import BOTH, HAS_DOCUMENT, HAS_REASON, Facts, Rule, Violation
from app.domain.kinds.sanctions.penalty import AdministrativePenalty
from app.domain.workflow import Case, Party

# What moves nothing by itself: it stops counting once it is revoked.  The trigger's function
# `carry_out_revocations` has the same list.
REVOCABLE: tuple[type[Kind], ...] = (AllowanceDeduction, AllowanceClaim, AdministrativePenalty)


@dataclass(frozen=True, slots=True)
class Revocable:
    """What is to be revoked, as the rules read it; tonnes of a claim alone."""

    kind: str
    accounts: frozenset[int]  # that it is about: of a claim whoever owes a part of it
    is_approved: bool
    is_of_the_office: bool  # that revokes it
    revoked_by: str = ""  # the number of the revocation
    open: int = 0  # neither returned nor netted
    pending: int = 0  # of that under review
    drawn: int = 0  # returned or netted


def _found(case: Case, facts: Facts) -> Revocable | None:
    return facts.revocable.get(str(case.proposal.get("number", "")))


def _unknown(case: Case, facts: Facts) -> Violation | None:
    found = _found(case, facts)
    fits = (
        found is not None
        and found.is_approved
        and found.is_of_the_office
        and case.account_id in found.accounts
        and found.kind == case.proposal.get("kind")
        and found.kind in {each.code for each in REVOCABLE}
    )
    return None if fits else Violation("number")


def _revoked(case: Case, facts: Facts) -> Violation | None:
    found = _found(case, facts)
    return Violation("number", {"number": found.revoked_by}) if found and found.revoked_by else None


def _in_return(case: Case, facts: Facts) -> Violation | None:
    found = _found(case, facts)
    if found is None or found.kind != AllowanceClaim.code or not found.pending:
        return None
    return Violation("number", {"quantity": f"{found.pending:,}"})


def _returned(case: Case, facts: Facts) -> Violation | None:
    found = _found(case, facts)
    if found is None or found.kind != AllowanceClaim.code or found.open:
        return None
    return Violation("number", {"quantity": f"{found.drawn:,}"})


IS_REVOCABLE = Rule(
    "not_revocable",
    _(
        "Choose an approved deduction, adjustment notice or penalty of this enterprise that your own"
        " authority decided"
    ),
    _unknown,
    at=BOTH,
)
NOT_REVOKED = Rule(
    "already_revoked",
    _("It was revoked already, by %(number)s"),
    _revoked,
    at=BOTH,
    error=NotAllowed,
)
NOTHING_IN_RETURN = Rule(
    "return_under_review",
    _(
        "A return of %(quantity)s tonnes for this adjustment notice is under review: it is approved or"
        " sent back first"
    ),
    _in_return,
    at=BOTH,
)
STILL_OPEN = Rule(
    "claim_returned",
    _(
        "Nothing of this adjustment notice is open: %(quantity)s tonnes were returned or netted. What was"
        " returned wrongly is issued again as a supplementary issue, by the same document"
    ),
    _returned,
    at=BOTH,
)


class Revocation(Kind):
    """Its proposal is the number and the kind of what it revokes; two officers of who decided approve it."""

    code = "revocation"
    title = _("Revocation of a decision")
    prefix = "CX"
    started_by = Party.OFFICE
    reviews = (Party.OFFICE,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (
        IS_REVOCABLE, NOT_REVOKED, NOTHING_IN_RETURN, STILL_OPEN, HAS_DOCUMENT, IS_DATED, HAS_REASON,
    )  # fmt: skip
