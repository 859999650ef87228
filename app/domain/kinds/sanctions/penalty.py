"""行政处罚公开: an authority's penalty on an enterprise, entered by two officers and published (条例 27)."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.compliance.penalties import Penalty
from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.deduction import IN_A_YEAR, IS_DATED
from app.domain.kinds.rules import HAS_AUTHORITY, HAS_DOCUMENT, HAS_REASON, Facts, Rule, Violation
from app.domain.money import LARGEST_AMOUNT, yuan
from app.domain.workflow import Case, Party


def _not_in_range(case: Case, facts: Facts) -> Violation | None:
    fen = Penalty.read(case.proposal).fen
    return (
        None if 0 <= fen <= LARGEST_AMOUNT else Violation("amount", {"most": yuan(LARGEST_AMOUNT)})
    )


HAS_AMOUNT = Rule("penalty_amount", _("A fine lies between 0.00 and %(most)s yuan"), _not_in_range)


class AdministrativePenalty(Kind):
    """Its proposal is a `Penalty`; nothing moves by it, and an approved one is published."""

    code = "penalty"
    title = _("Administrative penalty")
    prefix = "CF"
    started_by = Party.OFFICE
    reviews = (Party.OFFICE,)
    has_lines = False
    debits = False
    has_category = True
    rules = (IN_A_YEAR, HAS_DOCUMENT, HAS_AUTHORITY, IS_DATED, HAS_AMOUNT, HAS_REASON)
