"""配额调整通知书 and 配额缴回: what was issued too much is claimed and returned (rules-2026 N26)."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.errors import InsufficientQuantity
from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.deduction import IS_DATED
from app.domain.kinds.rules import (
    BOTH,
    HAS_DOCUMENT,
    HAS_REASON,
    Facts,
    Rule,
    Violation,
)
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party


def _due_too_early(case: Case, facts: Facts) -> Violation | None:
    if case.ends_on is not None and case.ends_on >= facts.moment.day:
        return None
    return Violation("ends_on", {"today": f"{facts.moment.day}", "typed": f"{case.ends_on or '–'}"})


def _beyond_issued(case: Case, facts: Facts) -> Violation | None:
    left = dict(facts.allocation.claimable)
    for line in case.lines:
        key = (case.account_id, line.instrument_id)
        before = left.get(key, 0)
        left[key] = before - line.quantity
        if left[key] < 0:
            figures = {
                "instrument": facts.name(line.instrument_id),
                "quantity": f"{line.quantity:,}",
                "left": f"{max(before, 0):,}",
            }
            return Violation(f"lines.{line.key}.quantity", figures)
    facts.allocation.claimable |= left
    return None


def _differs(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        found = facts.allocation.differing.get((case.account_id, line.instrument_id))
        if found:
            name = facts.name(line.instrument_id)
            return Violation(
                f"lines.{line.key}.quantity", {"instrument": name, "difference": found}
            )
    return None


HAS_DEADLINE = Rule(
    "claim_deadline",
    _("Enter the day until which it is returned, not before %(today)s; this is %(typed)s"),
    _due_too_early,
    at=BOTH,
)
# The trigger allocation_keeps_within.
WITHIN_ISSUED = Rule(
    "claim_beyond_issued",
    _(
        "%(instrument)s: %(quantity)s tonnes claimed, but only %(left)s tonnes were issued to this"
        " enterprise and not claimed yet"
    ),
    _beyond_issued,
    error=InsufficientQuantity,
)
# N04; the trigger allocation_keeps_within.
FIGURES_AGREE = Rule(
    "figure_differs",
    _(
        "%(instrument)s: the figures pushed for this enterprise differ from our own: %(difference)s."
        " Nothing is issued to it before they are corrected (approved figures)"
    ),
    _differs,
    at=BOTH,
)


class AllowanceClaim(Kind):
    """A claim moves nothing: its approved lines are what returns and later issues draw on.

    ``starts_on`` is the date of the document, ``ends_on`` the day until which it is returned.
    """

    code = "allowance_claim"
    title = _("Allowance adjustment notice")
    prefix = "PT"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    debits = False
    has_category = True
    rules = (
        HAS_DOCUMENT,
        IS_DATED,
        HAS_DEADLINE,
        HAS_REASON,
        WITHIN_ISSUED,
    )


class AllowanceReturn(Kind):
    """Reserved while the registry reviews it; a restricted account may return as well."""

    code = "allowance_return"
    title = _("Allowance return")
    prefix = "JH"
    reviews = (Party.REGISTRY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.RECALLED)
    debits = False
    draws_on = "allowance_claim"
