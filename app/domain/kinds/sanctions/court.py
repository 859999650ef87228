"""司法协助: what courts order to be frozen, renewed, released and assigned (rules-2026 N95-N106)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.errors import InsufficientQuantity
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import (
    BOTH,
    HAS_AUTHORITY,
    HAS_DOCUMENT,
    HAS_START,
    HAS_TERM,
    CourtOrder,
    Facts,
    Rule,
    Violation,
    is_beyond,
)
from app.domain.moves import LARGEST_REQUEST, Bucket
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case, Party

QUEUED_ONLY = "05"  # 解除轮候
TEXTS = {
    "request_no": (_("Number of the request"), 60),
    "case_no": (_("Case number"), 100),
    "contact": (_("Contact of the court"), 100),
}


def served_at(case: Case) -> datetime | None:
    """Return 送达时间, to the second; None where it is missing or no time."""
    try:
        found = datetime.fromisoformat(str(case.proposal.get("served_at", "")))
    except ValueError:
        return None
    return found if found.tzinfo else None


def order_of(case: Case, facts: Facts) -> CourtOrder | None:
    """Return the order that a measure names, where it is this account's."""
    found = facts.courts.orders.get(case.proposal.get("order") or 0)
    return found if found and found.account_id == case.account_id else None


def _quantity(case: Case) -> int:
    found = case.proposal.get("quantity")
    return found if isinstance(found, int) else 0


def _blank(name: str) -> Callable[[Case, Facts], Violation | None]:
    def check(case: Case, facts: Facts) -> Violation | None:
        typed = str(case.proposal.get(name, "")).strip()
        longest = TEXTS[name][1]
        return None if 0 < len(typed) <= longest else Violation(name, {"most": longest})

    return check


_TELLS = tuple(
    Rule(f"{name}_missing", message, _blank(name))
    for name, message in (
        ("request_no", _("Enter the number of the court's request, at most %(most)s characters")),
        ("case_no", _("Enter the case number, at most %(most)s characters")),
        ("contact", _("Enter the court's contact, at most %(most)s characters")),
    )
)
IS_SERVED = Rule(
    "service_missing",
    _("Enter when the court's paper was served, as 2026-11-20 10:15:00"),
    lambda case, facts: None if served_at(case) else Violation("served_at"),
)


def _not_served_yet(case: Case, facts: Facts) -> Violation | None:
    found = served_at(case)
    if found is None or found <= facts.moment.now:
        return None
    return Violation(
        "served_at", {"now": f"{facts.moment.now.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"}
    )


SERVED_BEFORE_NOW = Rule(
    "served_later", _("The time of service lies after now, %(now)s"), _not_served_yet
)
HAS_PAPER = Rule(
    "paper_missing",
    _("Attach the court's paper"),
    lambda case, facts: Violation("attachments") if case.id in facts.courts.without_paper else None,
)


def _term_above(case: Case, facts: Facts) -> Violation | None:
    years = facts.courts.longest_years
    if is_beyond(case.starts_on, case.ends_on, years):
        return Violation("ends_on", {"years": years})
    return None


COURT_TERM = Rule(
    "court_term_too_long",
    _("A court's freeze holds for at most %(years)s years; a longer one is renewed by a new order"),
    _term_above,
)
NOT_OVER = Rule(
    "court_term_over",
    _("Its last day has passed; it would freeze nothing"),
    lambda case, facts: (
        Violation("ends_on") if case.ends_on and case.ends_on < facts.moment.day else None
    ),
    at=BOTH,
)


def _asks_for_nothing(case: Case, facts: Facts) -> Violation | None:
    what = case.proposal.get("instrument")
    if not 0 < _quantity(case) <= LARGEST_REQUEST:
        return Violation("quantity")
    return None if what is None or what in facts.courts.known else Violation("instrument")


ORDERS_SOMETHING = Rule(
    "court_quantity",
    _("Choose an instrument, or the whole account, and enter a quantity of at least 1"),
    _asks_for_nothing,
)
OF_AN_ORDER = Rule(
    "court_order_unknown",
    _("This account has no such order of a court in force"),
    lambda case, facts: (
        None
        if (found := order_of(case, facts))
        and found.is_confirmed
        and found.left + found.on_sale > 0
        else Violation("order")
    ),
    at=BOTH,
)


def _served_too_late(case: Case, facts: Facts) -> Violation | None:
    found, served = order_of(case, facts), served_at(case)
    if found is None or served is None or served.astimezone(BEIJING).date() <= found.ends_on:
        return None
    return Violation("served_at", {"day": found.ends_on.isoformat()})


def _not_longer(case: Case, facts: Facts) -> Violation | None:
    found = order_of(case, facts)
    if found is None or case.ends_on is None or case.ends_on > found.ends_on:
        return None
    return Violation("ends_on", {"day": found.ends_on.isoformat()})


SERVED_IN_TIME = Rule(
    "renewal_too_late",
    _("The order ended on %(day)s, before this was served; enter a new freeze"),
    _served_too_late,
    at=BOTH,
)
IS_LONGER = Rule(
    "renewal_not_longer",
    _("A renewal ends later than the order does now, %(day)s"),
    _not_longer,
    at=BOTH,
)


def _releases_too_much(case: Case, facts: Facts) -> Violation | None:
    found, asked = order_of(case, facts), _quantity(case)
    if found is None:
        return None
    most = found.queued if case.category == QUEUED_ONLY else found.left
    if not 0 < asked <= most:
        return Violation("quantity", {"left": f"{most:,}", "asked": f"{asked:,}"})
    found.left -= asked
    found.queued = max(found.queued - asked, 0)
    return None


RELEASES_WITHIN = Rule(
    "release_above_order",
    _("%(asked)s to be released, but the order has only %(left)s left to release"),
    _releases_too_much,
    at=BOTH,
    error=InsufficientQuantity,
)


def _not_admitted(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        is_other = line.account_id not in (None, case.account_id)
        is_admitted = line.instrument_id in facts.money or line.account_id in facts.courts.admitted
        if not is_other or not is_admitted:
            return Violation("receiver")
    return None


def _not_at_bank(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        pair = (line.account_id, line.instrument_id)
        if line.instrument_id in facts.money and pair not in facts.courts.at_bank:
            return Violation("receiver", {"bank": facts.name(line.instrument_id)})
    return None


def draws_too_much(case: Case, facts: Facts) -> Violation | None:
    """Deduct the lines from what the order named has frozen, or say of which it has not as much."""
    found = order_of(case, facts)
    if found is None:
        return None
    if beyond := above_hold(case, facts, found.held):
        return beyond
    for line in case.lines:
        found.held[line.instrument_id] -= line.quantity
        found.left -= line.quantity
    return None


def above_hold(case: Case, facts: Facts, held: Mapping[int, int]) -> Violation | None:
    """Say of which instrument the lines ask for more than is held."""
    left = dict(held)
    for line in case.lines:
        most = max(left.get(line.instrument_id, 0), 0)
        left[line.instrument_id] = most - line.quantity
        if line.quantity > most:
            figures = {
                "instrument": facts.name(line.instrument_id),
                "asked": facts.amount(line.instrument_id, line.quantity),
                "held": facts.amount(line.instrument_id, most),
            }
            return Violation("quantity", figures)
    return None


# N103: without an account of an admitted class the units can only be sold.
RECEIVER_ADMITTED = Rule(
    "sale_needed",
    _("The receiver has no account that may hold allowances; they have to be sold (须变卖)"),
    _not_admitted,
    at=BOTH,
)
# What a sale brought is paid within its bank; the receiver withdraws it (N103).
RECEIVER_AT_BANK = Rule(
    "receiver_not_at_bank",
    _("The receiver has bound no bank account where this money is: %(bank)s"),
    _not_at_bank,
    at=BOTH,
)
# N104: an assignment draws on its own freeze alone.
ASSIGNS_WITHIN = Rule(
    "assignment_above_hold",
    _("%(instrument)s: %(asked)s to be assigned, but this order has frozen only %(held)s"),
    draws_too_much,
    at=BOTH,
    error=InsufficientQuantity,
)


class CourtMeasure(Kind):
    """A court's measure, entered and confirmed by two officers on its paper (N96)."""

    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    has_category = True
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (
        HAS_DOCUMENT, HAS_AUTHORITY, *_TELLS, IS_SERVED, SERVED_BEFORE_NOW, HAS_PAPER,
    )  # fmt: skip


class CourtFreeze(CourtMeasure):
    """司法冻结 (01, 03): effective as far as there is something, queued for the rest, by time of service.

    The database freezes and queues from the first officer's submission on (sql/0024); the category is
    the court's code, and what of the order is effective follows from the books alone.
    """

    code = "court_freeze"
    title = _("Judicial freeze")
    prefix = "SD"
    rules = (*CourtMeasure.rules, HAS_START, HAS_TERM, COURT_TERM, NOT_OVER, ORDERS_SOMETHING)


class CourtRenewal(CourtMeasure):
    """续行冻结 (02): served before the end it keeps the rank (N98)."""

    code = "court_renewal"
    title = _("Renewal of a judicial freeze")
    prefix = "SX"
    rules = (
        *CourtMeasure.rules, HAS_START, HAS_TERM, COURT_TERM, OF_AN_ORDER, SERVED_IN_TIME, IS_LONGER,
    )  # fmt: skip


class CourtRelease(CourtMeasure):
    """解除冻结 (04), 解除轮候 (05): an order ends in part or whole, and the next takes effect."""

    code = "court_release"
    title = _("Release of a judicial freeze")
    prefix = "SC"
    rules = (*CourtMeasure.rules, OF_AN_ORDER, RELEASES_WITHIN)


class CourtAssignment(CourtMeasure):
    """司法扣划 (06, 08): what the order has frozen goes to the receiver that the court names."""

    code = "court_assignment"
    title = _("Judicial deduction")
    prefix = "SK"
    has_lines = True
    settles = (Bucket.FROZEN, Bucket.AVAILABLE)
    in_money = None
    rules = (*CourtMeasure.rules, OF_AN_ORDER, RECEIVER_ADMITTED, RECEIVER_AT_BANK, ASSIGNS_WITHIN)
