"""账户类别: what accounts of a class may do from a day on, by two officers (rules-2026 N125)."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.accounts import CLASSES, RIGHTS
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_DOCUMENT, HAS_REASON, HAS_START, Facts, Rule, Violation
from app.domain.workflow import Case, Party


def _unknown(case: Case, facts: Facts) -> Violation | None:
    rights = case.proposal.get("rights")
    is_known = case.proposal.get("class") in CLASSES and isinstance(rights, list)
    return None if is_known and set(rights or ()) <= set(RIGHTS) else Violation("holder_class")


def _backdated(case: Case, facts: Facts) -> Violation | None:
    day = facts.moment.day
    if case.starts_on is None or case.starts_on >= day:
        return None
    return Violation("starts_on", {"typed": case.starts_on.isoformat(), "today": day.isoformat()})


IS_OF_A_CLASS = Rule(
    "class_unknown", _("Choose a class and its rights among those offered"), _unknown, at=BOTH
)
NOT_BACKDATED = Rule(
    "class_backdated",
    _("Rights change from today, %(today)s, on at the earliest, not from %(typed)s"),
    _backdated,
    at=BOTH,
)


class ClassRuleChange(Kind):
    """账户类别权限: the whole set of a class's rights each time, on a document."""

    code = "class_rule"
    title = _("Rights of a class of accounts")
    prefix = "LB"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (
        HAS_DOCUMENT, HAS_START, HAS_REASON, IS_OF_A_CLASS, NOT_BACKDATED,
    )  # fmt: skip
