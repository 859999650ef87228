"""结算风险准备金 (结算管理规则 13): filled out of the settlement fees, and what covers a buyer's default."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_REASON, Default, Facts, Rule, Violation
from app.domain.money import yuan
from app.domain.moves import FEES_ACCOUNT_ID, RESERVE_ACCOUNT_ID, Bucket
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case, Party


def _not_to_the_reserve(case: Case, facts: Facts) -> Violation | None:
    goes_there = case.named_receivers == {RESERVE_ACCOUNT_ID}
    return None if goes_there and case.account_id == FEES_ACCOUNT_ID else Violation("amount")


GOES_TO_THE_RESERVE = Rule(
    "not_to_the_reserve",
    _("Only settlement fees are set aside, and only for the settlement reserve"),
    _not_to_the_reserve,
    at=BOTH,
)


class ReserveProvision(Kind):
    """计提准备金: fees that a bank holds, in fen, become the reserve at the same bank."""

    code = "reserve_provision"
    title = _("Provision for the settlement reserve")
    prefix = "ZB"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.AVAILABLE)
    in_money = True
    rules: ClassVar[tuple[Rule, ...]] = (GOES_TO_THE_RESERVE, HAS_REASON)


def _default_of(case: Case, facts: Facts) -> Default | None:
    return facts.defaults.get(case.proposal.get("default", 0))


def _not_open(case: Case, facts: Facts) -> Violation | None:
    return None if _default_of(case, facts) else Violation("default")


def _not_due(case: Case, facts: Facts) -> Violation | None:
    default = _default_of(case, facts)
    if default is None or default.due_at <= facts.moment.now:
        return None
    due = f"{default.due_at.astimezone(BEIJING):%Y-%m-%d %H:%M}"
    return Violation("default", {"member": default.member, "due": due})


def _of_another_amount(case: Case, facts: Facts) -> Violation | None:
    default = _default_of(case, facts)
    if default is None:
        return None
    wanted = [(default.account_id, default.money_id, default.missing)]
    asked = [(line.account_id, line.instrument_id, line.quantity) for line in case.lines]
    if case.account_id == RESERVE_ACCOUNT_ID and asked == wanted:
        return None
    values = {"missing": yuan(default.missing), "asked": yuan(sum(each[2] for each in asked))}
    return Violation("default", values)


def _waited_for(case: Case, facts: Facts) -> Violation | None:
    default = _default_of(case, facts)
    if default is None or not default.is_waited_for:
        return None
    return Violation("default", {"member": default.member})


DEFAULT_IS_OPEN = Rule(
    "default_not_open",
    _("There is no such default of a buyer that is open"),
    _not_open,
    at=BOTH,
)
# domain.md R58: the reserve covers what was not paid within the notice's time.
NOTICE_IS_OVER = Rule(
    "default_not_due", _("%(member)s has until %(due)s to make its default good"), _not_due
)
COVERS_WHAT_IS_MISSING = Rule(
    "default_changed",
    _("The buyer lacks %(missing)s yuan now; this covers %(asked)s yuan"),
    _of_another_amount,
    at=BOTH,
)
NO_COURT_WAITS = Rule(
    "court_waits_for_money",
    _("A court's freeze waits for the money of %(member)s and would take the cover"),
    _waited_for,
    at=BOTH,
)


class DefaultCover(Kind):
    """违约垫付: the reserve pays what a buyer lacks, in fen; the trade is delivered, a receivable remains."""

    code = "default_cover"
    title = _("Cover of a default out of the reserve")
    prefix = "DF"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.AVAILABLE)
    in_money = True
    rules: ClassVar[tuple[Rule, ...]] = (
        DEFAULT_IS_OPEN, NOTICE_IS_OVER, COVERS_WHAT_IS_MISSING, NO_COURT_WAITS, HAS_REASON,
    )  # fmt: skip
