"""交易结算, 结算异议, 差异处理, 关联企业集团: what officers, exchange and participants say of trades."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import (
    BOTH,
    HAS_DOCUMENT,
    HAS_REASON,
    HAS_START,
    Facts,
    Rule,
    Violation,
)
from app.domain.trading_day import BEIJING
from app.domain.workflow import Action, Case, Party


def _not_of_a_package(case: Case, facts: Facts) -> Violation | None:
    package = facts.packages.get(case.proposal.get("package", 0))
    if package and package.digest == case.proposal.get("digest"):
        return None
    return Violation("package")


def _unconfirmed(case: Case, facts: Facts) -> Violation | None:
    package = facts.packages.get(case.proposal.get("package", 0))
    if package and (case.id, case.proposal.get("result")) in package.confirmed:
        return None
    return Violation("result")


OF_A_PACKAGE = Rule(
    "package_unknown",
    _("There is no such package of the exchange, or its content is another one"),
    _not_of_a_package,
    at=BOTH,
)
IS_CONFIRMED = Rule(
    "result_unconfirmed",
    _("The exchange has not confirmed this result yet; nothing is delivered before"),
    _unconfirmed,
    at=(Action.APPROVE,),
)


class TradeSettlement(Kind):
    """初审 by who submits it, the exchange's confirmation, 复审 by another; then trades are delivered."""

    code = "trade_settlement"
    title = _("Settlement of trades")
    prefix = "QS"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (OF_A_PACKAGE, IS_CONFIRMED)


def _not_a_party(case: Case, facts: Facts) -> Violation | None:
    key = (case.account_id, case.proposal.get("package", 0))
    return None if key in facts.objectionable else Violation("package")


def _too_late(case: Case, facts: Facts) -> Violation | None:
    until = facts.objectionable.get((case.account_id, case.proposal.get("package", 0)))
    if until is None or facts.moment.now < until:
        return None
    return Violation("package", {"until": f"{until.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"})


HAS_TRADES = Rule("no_trades_of_theirs", _("This member has no trades on that day"), _not_a_party)
IN_TIME = Rule(
    "objection_too_late",
    _("Objections were accepted until %(until)s, the opening of the next trading day; the statement"
      " counts as accepted"),
    _too_late,
)  # fmt: skip


class SettlementObjection(Kind):
    """In writing, before the next opening; silence accepts.  The registry answers."""

    code = "settlement_objection"
    title = _("Objection to a settlement")
    prefix = "YY"
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (HAS_TRADES, IN_TIME, HAS_REASON)


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


def _bank_difference_closed(case: Case, facts: Facts) -> Violation | None:
    return None if case.proposal.get("event") in facts.bank_differences else Violation("event")


BANK_DIFFERENCE_IS_OPEN = Rule(
    "bank_difference_not_open",
    _("There is no such difference with a bank that is open"),
    _bank_difference_closed,
    at=BOTH,
)


class BankDifference(Kind):
    """Money that a bank's file or balance shows and the books do not; corrected by a business of its own."""

    code = "bank_difference"
    title = _("Resolution of a difference with a bank")
    prefix = "YC"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (BANK_DIFFERENCE_IS_OPEN, HAS_REASON)


def _groups_itself(case: Case, facts: Facts) -> Violation | None:
    return Violation("receivers") if case.account_id in case.receivers else None


def _grouped_elsewhere(case: Case, facts: Facts) -> Violation | None:
    if case.starts_on is None:
        return None
    for account in sorted({case.account_id, *case.receivers}):
        for each in facts.memberships.get(account, ()):
            is_past = each.ends_on is not None and each.ends_on <= case.starts_on
            if each.head_id != case.account_id and not is_past:
                values = {"member": each.member, "head": each.head}
                return Violation("receivers", values)
    return None


HEADS_OTHERS = Rule(
    "heads_itself", _("The head is a company of its group already; tick the others"), _groups_itself
)
IN_ONE_GROUP = Rule(
    "grouped_elsewhere",
    _("%(member)s belongs to the group of %(head)s; that one is changed first"),
    _grouped_elsewhere,
    at=BOTH,
)


class CompanyGroup(Kind):
    """关联企业集团: from its day on, the applicant and the companies named; none named, no group any more.

    Their holdings are summed against the limit of the head's class (rules-2026 N127).
    """

    code = "company_group"
    title = _("Group of linked companies")
    prefix = "JT"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (
        HAS_DOCUMENT, HAS_START, HAS_REASON, HEADS_OTHERS, IN_ONE_GROUP,
    )  # fmt: skip
