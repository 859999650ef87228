"""差异化名录 (rules-2026 N40, N41): enterprises of a year whose allowances stay with the province."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_DOCUMENT, HAS_REASON, Facts, Rule, Violation
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party

FIRST_YEAR, LAST_YEAR = 2019, 2999


def year_of(case: Case) -> int:
    """Return the compliance year of a decision about the list; 0 where it is none."""
    typed = str(case.proposal.get("year", ""))
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) == 4 else 0


def _key(case: Case) -> tuple[int, int]:
    return (case.account_id, year_of(case))


def _under_review(case: Case, facts: Facts) -> Violation | None:
    number = facts.chain.under_review.get(_key(case), case.number)
    if number != case.number:
        return Violation("year", {"number": number})
    facts.chain.under_review[_key(case)] = case.number
    return None


def _not_all(case: Case, facts: Facts) -> Violation | None:
    asked = {line.source_line_id: line.quantity for line in case.lines}
    return None if asked == facts.chain.waiting.get(_key(case), {}) else Violation()


NAMES_A_YEAR = Rule(
    "year_wrong",
    _("Enter the compliance year as four digits, from 2019 on"),
    lambda case, facts: (
        None if FIRST_YEAR <= year_of(case) <= LAST_YEAR else Violation("year")
    ),
)  # fmt: skip
NOT_LISTED = Rule(
    "listed_already",
    _("The enterprise is in the list of the differentiated for %(year)s already"),
    lambda case, facts: (
        Violation("year", {"year": year_of(case)}) if _key(case) in facts.chain.listed else None
    ),
    at=BOTH,
)
IS_LISTED = Rule(
    "not_listed",
    _("The enterprise is not in the list of the differentiated for %(year)s"),
    lambda case, facts: (
        None if _key(case) in facts.chain.listed else Violation("year", {"year": year_of(case)})
    ),
    at=BOTH,
)
# The index one_differentiation.
ONE_AT_A_TIME = Rule(
    "list_under_review",
    _("Application %(number)s about this enterprise and year in the list is under review"),
    _under_review,
)
RELEASES_ALL = Rule(
    "waiting_changed",
    _("What waits for the enterprise has changed meanwhile; enter it anew"),
    _not_all,
)


class _OfTheList(Kind):
    """Entered on the province's document and approved by another officer of the same authority."""

    started_by = Party.OFFICE
    reviews = (Party.OFFICE,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (HAS_DOCUMENT, HAS_REASON, NAMES_A_YEAR)


class Differentiation(_OfTheList):
    """列入: from then on the enterprise's issues of the year go as its plan has it for these."""

    code = "differentiation"
    title = _("Entry in the list of the differentiated")
    prefix = "ML"
    has_category = True
    rules = (*_OfTheList.rules, NOT_LISTED, ONE_AT_A_TIME)


class DifferentiationRemoval(_OfTheList):
    """移出: what waits of the year, if anything, goes to the enterprise with it (N41)."""

    code = "differentiation_removal"
    title = _("Removal from the list of the differentiated")
    prefix = "MC"
    settles = (Bucket.AVAILABLE, Bucket.AVAILABLE)
    draws_on = "issuance"
    takes_from_source = True
    rules = (*_OfTheList.rules, IS_LISTED, RELEASES_ALL, ONE_AT_A_TIME)
