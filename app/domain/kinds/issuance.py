"""发放 (manual 三; rules-2026 N10-N16): from the registry, through the province where the plan says so."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.errors import InsufficientQuantity, NotAllowed
from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.claim import FIGURES_AGREE
from app.domain.kinds.rules import BOTH, HAS_REASON, Facts, Rule, Violation
from app.domain.moves import ISSUANCE_ACCOUNT_ID, Bucket
from app.domain.trading_day import BEIJING
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


def _off_the_way(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        stop = facts.chain.stops.get((case.account_id, line.instrument_id, case.category))
        wanted = stop.account_id if stop and stop.place == "province" else None
        if (stop is not None and stop.place == "nothing") or line.account_id != wanted:
            return Violation("lines", {"instrument": facts.name(line.instrument_id)})
    return None


# N11, N40; the trigger issues_keep_to_the_chain.
GOES_BY_THE_PLAN = Rule(
    "off_the_way",
    _(
        "%(instrument)s: the plan of its year and sector has another way for this issue by now, or, of an"
        " enterprise issued to differently, none at the pre-allocation; enter it anew"
    ),
    _off_the_way,
    at=BOTH,
)


class Issuance(Kind):
    """The only kind that creates tonnes; its lines name the province's account where they wait there."""

    code = "issuance"
    right = "issue"
    title = _("Issuance")
    prefix = "FF"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    settles = (Bucket.ISSUED, Bucket.AVAILABLE)
    debits = False
    has_category = True
    rules = (TO_AN_ENTERPRISE, GOES_BY_THE_PLAN, ISSUED_ONCE, FIGURES_AGREE, RESTS_ON_DOCUMENT)


# What waits at the province --------------------------------------------------------------------

WAITS_AT_PROVINCE = Rule(
    "not_waiting",
    _("This does not wait at the province: it was issued to the enterprise itself"),
    lambda case, facts: (
        Violation("lines") if any(not line.source_account_id for line in case.lines) else None
    ),
    at=BOTH,
)


def _withheld(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        if (case.account_id, line.instrument_id) in facts.chain.withheld:
            return Violation("lines", {"instrument": facts.name(line.instrument_id)})
    return None


# N42: the remainder is released only after the notice is fulfilled.
NOT_WITHHELD = Rule(
    "withheld",
    _(
        "%(instrument)s: the enterprise is in the list of those issued to differently, and what it owes is"
        " not surrendered yet"
    ),
    _withheld,
    at=BOTH,
    error=NotAllowed,
)


class ProvinceIssue(Kind):
    """What waits at the province goes to its enterprise, by two officers of the province (N11, N12)."""

    code = "province_issue"
    title = _("Issue by the authority")
    prefix = "SF"
    started_by = Party.AUTHORITY
    reviews = (Party.OFFICE,)
    settles = (Bucket.AVAILABLE, Bucket.AVAILABLE)
    debits = False
    draws_on = "issuance"
    takes_from_source = True
    rules = (WAITS_AT_PROVINCE, NOT_WITHHELD)


# 冲正 ------------------------------------------------------------------------------------------


def _not_today(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        source = facts.sources.get(line.source_line_id or 0)
        at = source.approved_at if source else None
        if at and at.astimezone(BEIJING).date() != facts.moment.now.astimezone(BEIJING).date():
            return Violation("lines", {"day": f"{at.astimezone(BEIJING):%Y-%m-%d}"})
    return None


def _in_part(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        source = facts.sources.get(line.source_line_id or 0)
        if source and line.quantity != source.quantity:
            figures = {"quantity": f"{line.quantity:,}", "issued": f"{source.quantity:,}"}
            return Violation(f"lines.{line.key}.quantity", figures)
    return None


def _used_already(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        source = facts.sources.get(line.source_line_id or 0)
        holder = line.source_account_id or case.account_id
        held = facts.holdings.get((holder, line.instrument_id, Bucket.AVAILABLE), 0)
        left = min(held, source.left) if source else 0
        if left < line.quantity:
            figures = {"instrument": facts.name(line.instrument_id), "left": f"{left:,}"}
            return Violation("lines", figures | {"quantity": f"{line.quantity:,}"})
    return None


SAME_DAY = Rule(
    "reversal_too_late",
    _(
        "It was issued on %(day)s; an issue is reversed on its own day alone. What was issued too much is"
        " claimed back by a notice of adjustment (配额调整通知书)"
    ),
    _not_today,
    at=BOTH,
)
IN_FULL = Rule(
    "reversal_in_part",
    _("%(issued)s tonnes were issued; a reversal is of all of them, not of %(quantity)s"),
    _in_part,
    at=BOTH,
)
STILL_AVAILABLE = Rule(
    "reversal_of_used",
    _(
        "%(instrument)s: of the %(quantity)s tonnes issued only %(left)s are still available, so that the"
        " issue cannot be reversed. What was issued too much is claimed back by a notice of adjustment"
        " (配额调整通知书)"
    ),
    _used_already,
    error=InsufficientQuantity,
)


class IssuanceReversal(Kind):
    """发放冲正: a wrong issue is undone on its day, in full, while all of it is available (N16)."""

    code = "issuance_reversal"
    title = _("Reversal of an issue")
    prefix = "CZ"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.ISSUED)
    debits = False
    draws_on = "issuance"
    takes_from_source = True
    rules = (HAS_REASON, SAME_DAY, IN_FULL, STILL_AVAILABLE)
