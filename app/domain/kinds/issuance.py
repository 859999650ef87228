"""发放 (manual 三): allowances are created in an enterprise's account."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, Facts, Rule, Violation
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket
from app.domain.workflow import Case, Party

# Issued once per enterprise and instrument; any more is a supplementary issue.
ONCE = ("pre_allocation", "approved")

TO_AN_ENTERPRISE = Rule(
    "not_an_enterprise",
    _("Allowances are issued to enterprises alone"),
    lambda case, facts: Violation() if case.account_id == ISSUANCE_ACCOUNT_ID else None,
    at=BOTH,
)


def _issued_before(case: Case, facts: Facts) -> Violation | None:
    if case.category not in ONCE:
        return None
    keys = [(case.account_id, line.instrument_id, case.category) for line in case.lines]
    for key in keys:
        if facts.issued.get(key, case.number) != case.number:
            return Violation("category", {"number": facts.issued[key]})
    facts.issued |= dict.fromkeys(keys, case.number)
    return None


ISSUED_ONCE = Rule(
    "issued_before",
    _("This was issued already, or is about to be, by application %(number)s"),
    _issued_before,
)


def _undocumented(case: Case, facts: Facts) -> Violation | None:
    if not case.document_no.strip():
        return Violation("document_no")
    return None if case.starts_on else Violation("starts_on")


# N05: the province's sealed paper is the authority for issuing.  Last, so that an import which lacks
# nothing else waits for it (待文件).
RESTS_ON_DOCUMENT = Rule(
    "awaits_document",
    _("Enter number and date of the document that the issuance rests on"),
    _undocumented,
    at=BOTH,
)


class Issuance(Kind):
    """The only kind that creates tonnes."""

    code = "issuance"
    right = "issue"
    title = _("Issuance")
    prefix = "FF"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    settles = (Bucket.ISSUED, Bucket.AVAILABLE)
    debits = False
    has_category = True
    rules = (TO_AN_ENTERPRISE, ISSUED_ONCE, RESTS_ON_DOCUMENT)
