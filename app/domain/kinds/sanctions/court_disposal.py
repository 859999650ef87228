"""What becomes of units that a court froze besides its assignments: 变卖 and 清缴 (rules-2026 N103, N105)."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.errors import InsufficientQuantity
from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.surrender import (
    IS_CONFIRMED,
    IS_ELIGIBLE,
    NOTICE_IS_OURS,
    STILL_DUE,
)
from app.domain.kinds.rules import BOTH, Facts, OnSale, Rule, Violation
from app.domain.kinds.sanctions.court import (
    OF_AN_ORDER,
    CourtAssignment,
    CourtFreeze,
    CourtMeasure,
    CourtRelease,
    CourtRenewal,
    above_hold,
    draws_too_much,
    order_of,
)
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party, Status

HAS_NUMBER = Rule(
    "consent_number_missing",
    _("Enter the reference number of the court's written consent"),
    lambda case, facts: None if case.document_no.strip() else Violation("document_no"),
)
HAS_COURT = Rule(
    "consent_court_missing",
    _("Enter the court that consented"),
    lambda case, facts: None if case.authority.strip() else Violation("authority"),
)
HAS_CONSENT = Rule(
    "consent_paper_missing",
    _("Attach the court's written consent"),
    lambda case, facts: Violation("attachments") if case.id in facts.courts.without_paper else None,
)


def _surrenders_too_much(case: Case, facts: Facts) -> Violation | None:
    found = order_of(case, facts)
    if found is not None and case.status is not Status.IN_REVIEW:
        # What is under review already is not asked for again; a court's own measures come first.
        held = {key: each - found.promised.get(key, 0) for key, each in found.held.items()}
        if beyond := above_hold(case, facts, held):
            return beyond
    return draws_too_much(case, facts)


# N105: out of the freeze named, and of no other one.
SURRENDERS_WITHIN = Rule(
    "court_surrender_above_hold",
    _("%(instrument)s: %(asked)s to be surrendered, but this order has frozen only %(held)s"),
    _surrenders_too_much,
    at=BOTH,
    error=InsufficientQuantity,
)


class CourtSurrender(Kind):
    """司法冻结配额清缴 (N105): with the court's written consent, out of what its order has frozen.

    The tonnes are free at no time in between: no queue and nobody else gets any of them.
    """

    code = "court_surrender"
    right = "comply"
    title = _("Surrender of what a court froze")
    prefix = "SQ"
    reviews = (Party.REGISTRY, Party.REGISTRY, Party.AUTHORITY)
    settles = (Bucket.FROZEN, Bucket.SURRENDERED)
    debits = False
    rules = (
        HAS_NUMBER, HAS_COURT, HAS_CONSENT, OF_AN_ORDER,
        NOTICE_IS_OURS, IS_ELIGIBLE, IS_CONFIRMED, STILL_DUE, SURRENDERS_WITHIN,
    )  # fmt: skip


def _sale_of(case: Case, facts: Facts) -> OnSale | None:
    found = facts.courts.sales.get(case.proposal.get("sale") or 0)
    is_its_own = found is not None and (
        found.account_id == case.account_id and found.order == case.proposal.get("order")
    )
    return found if is_its_own else None


def _has_other_unsold(case: Case, facts: Facts) -> Violation | None:
    found = _sale_of(case, facts)
    if found is None:
        return None
    asked = [(line.instrument_id, line.quantity) for line in case.lines]
    if asked == [(found.instrument_id, found.unsold)]:
        return None
    return Violation("quantity", {"unsold": f"{found.unsold:,}"})


def _untraded(case: Case, facts: Facts) -> Violation | None:
    traded = {instrument for _venue, instrument in facts.tradable}
    for line in case.lines:
        if line.instrument_id not in traded:
            return Violation("instrument", {"instrument": facts.name(line.instrument_id)})
    return None


ONE_INSTRUMENT = Rule(
    "one_instrument_a_sale",
    _("One sale is of one instrument; make another one for the other"),
    lambda case, facts: None if len(case.lines) == 1 else Violation("instrument"),
)
IS_TRADED = Rule(
    "not_traded",
    _("%(instrument)s is traded at no exchange at present; it cannot be sold there"),
    _untraded,
)
SELLS_WITHIN = Rule(
    "sale_above_hold",
    _("%(instrument)s: %(asked)s to be sold, but this order has frozen only %(held)s"),
    draws_too_much,
    at=BOTH,
    error=InsufficientQuantity,
)
OF_A_SALE = Rule(
    "court_sale_unknown",
    _("This account has no such sale with something left unsold"),
    lambda case, facts: (
        None if (found := _sale_of(case, facts)) and found.unsold > 0 else Violation("order")
    ),
    at=BOTH,
)
# Deals may have been delivered since the first officer entered it.
ENDS_WHOLE = Rule(
    "sale_left_changed",
    _(
        "%(unsold)s tonnes of the sale are unsold now; all of them come back, send it back and enter it anew"
    ),
    _has_other_unsold,
    at=BOTH,
    error=InsufficientQuantity,
)


class CourtSale(CourtMeasure):
    """司法变卖 (N103): what an order has frozen goes to trading, for deals with the sale's number alone.

    What they bring is frozen for the order (sql/0039/sales.sql), and released or assigned as it is.
    """

    code = "court_sale"
    title = _("Judicial sale")
    prefix = "SM"
    has_category = False
    has_lines = True
    settles = (Bucket.FROZEN, Bucket.TRADING)
    rules = (*CourtMeasure.rules, OF_AN_ORDER, ONE_INSTRUMENT, IS_TRADED, SELLS_WITHIN)


class CourtSaleEnd(CourtMeasure):
    """变卖终止: what is unsold is frozen under its order again."""

    code = "court_sale_end"
    title = _("End of a judicial sale")
    prefix = "SZ"
    has_category = False
    has_lines = True
    settles = (Bucket.TRADING, Bucket.FROZEN)
    rules = (*CourtMeasure.rules, OF_A_SALE, ENDS_WHOLE)


# What officers enter by a court's paper.
MEASURES: tuple[type[Kind], ...] = (
    CourtFreeze, CourtRenewal, CourtRelease, CourtAssignment, CourtSale, CourtSaleEnd,
)  # fmt: skip
