"""交易结算: two officers approve what a day's trades come to, before anything moves (结算管理规则 7-11)."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, Facts, Rule, Violation
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
