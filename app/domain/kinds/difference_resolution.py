"""差异处理: two officers state why registry and exchange differed, and lift what the difference barred."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_REASON, Facts, Rule, Violation
from app.domain.workflow import Case, Party


def _resolved(case: Case, facts: Facts) -> Violation | None:
    found = facts.differences.get(case.proposal.get("difference", 0))
    return None if found == case.account_id else Violation("difference")


IS_OPEN = Rule(
    "difference_not_open",
    _("This account has no such difference that is open"),
    _resolved,
    at=BOTH,
)


class DifferenceResolution(Kind):
    """The figures stay as they are; what is wrong in the books is corrected by a business of its own."""

    code = "difference_resolution"
    title = _("Resolution of a difference")
    prefix = "CY"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (IS_OPEN, HAS_REASON)
