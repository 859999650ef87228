"""结算异议: a participant objects to its statement before the next opening (结算管理规则 10)."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import HAS_REASON, Facts, Rule, Violation
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case, Party


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
