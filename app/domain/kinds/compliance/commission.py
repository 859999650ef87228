"""受托清缴 (rules-2026 N42-N44): the registry surrenders what waits at the province, at its request."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.surrender import IS_ELIGIBLE, NOTICE_IS_OURS, STILL_DUE
from app.domain.kinds.issuance import WAITS_AT_PROVINCE
from app.domain.kinds.rules import BOTH, HAS_DOCUMENT, Facts, Rule, Violation
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party


def _not_listed(case: Case, facts: Facts) -> Violation | None:
    year = facts.chain.years.get(case.notice_id or 0, 0)
    if (case.account_id, year) in facts.chain.listed:
        return None
    return Violation("", {"year": year})


def _out_of_order(case: Case, facts: Facts) -> Violation | None:
    asked = {line.source_line_id: line.quantity for line in case.lines}
    wanted = facts.chain.commissioned.get(case.notice_id or 0, {})
    return None if asked == wanted else Violation("lines")


OF_A_LISTED_YEAR = Rule(
    "commission_not_listed",
    _(
        "The enterprise is not in the list of the differentiated for %(year)s: what waits is issued to it,"
        " and it surrenders itself"
    ),
    _not_listed,
    at=BOTH,
)
IN_ORDER = Rule(
    "commission_out_of_order",
    _(
        "What waits, or what is due, is another quantity by now, or of other vintages by the order of the"
        " plan; enter it anew"
    ),
    _out_of_order,
)


class Commission(Kind):
    """Asked for by the province, carried out by two officers of the registry; for one notice each."""

    code = "commission"
    right = "comply"
    title = _("Surrender by commission of the authority")
    prefix = "ST"
    started_by = Party.AUTHORITY
    reviews = (Party.REGISTRY, Party.REGISTRY)
    settles = (Bucket.AVAILABLE, Bucket.SURRENDERED)
    debits = False
    draws_on = "issuance"
    takes_from_source = True
    rules: ClassVar[tuple[Rule, ...]] = (
        HAS_DOCUMENT, NOTICE_IS_OURS, OF_A_LISTED_YEAR, WAITS_AT_PROVINCE,
        IS_ELIGIBLE, STILL_DUE, IN_ORDER,
    )  # fmt: skip
