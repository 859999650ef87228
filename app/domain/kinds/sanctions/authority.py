"""冻结, 解冻, 收缴, 退还, 限制 (manual 七-二, 七-三): what an authority's document does, by two officers."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.rules import (
    BOTH,
    HAS_AUTHORITY,
    HAS_DOCUMENT,
    HAS_REASON,
    HAS_START,
    HAS_TERM,
    TERM_IS_BOUNDED,
    Facts,
    Rule,
    Violation,
)
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party


class _ByDocument(Kind):
    """Entered and confirmed by two officers on an authority's document; restricted accounts included."""

    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (HAS_DOCUMENT, HAS_AUTHORITY, HAS_START)


class Freeze(_ByDocument):
    """冻结: available tonnes are frozen from the first officer's submission (domain.md 11.7)."""

    code = "freeze"
    title = _("Freeze")
    prefix = "DD"
    reserves = (Bucket.AVAILABLE, Bucket.FROZEN)
    in_money = None  # Courts freeze either.
    has_category = True
    rules = (*_ByDocument.rules, HAS_TERM, TERM_IS_BOUNDED)


class Unfreeze(_ByDocument):
    """解冻: releases part or all of one freeze; freezes are independent of each other (R115)."""

    code = "unfreeze"
    title = _("Unfreeze")
    prefix = "JC"
    settles = (Bucket.FROZEN, Bucket.AVAILABLE)
    in_money = None
    draws_on = "freeze"


class Confiscation(_ByDocument):
    """收缴: available tonnes are taken without the holder's consent (domain.md 11.8)."""

    code = "confiscation"
    title = _("Confiscation")
    prefix = "SJ"
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.CONFISCATED)
    has_category = True


class ConfiscationRefund(_ByDocument):
    """收缴退还: returns confiscated tonnes to the account they were taken from."""

    code = "confiscation_refund"
    title = _("Confiscation refund")
    prefix = "TH"
    settles = (Bucket.CONFISCATED, Bucket.AVAILABLE)
    draws_on = "confiscation"


def _restrict(case: Case, facts: Facts) -> Violation | None:
    if case.account_id in facts.restricted:
        return Violation()
    facts.restricted |= {case.account_id}  # Later cases of the batch see it restricted.
    return None


def _lift(case: Case, facts: Facts) -> Violation | None:
    if case.account_id not in facts.restricted:
        return Violation()
    facts.restricted -= {case.account_id}
    return None


# Checked again on approval: another document may have been entered meanwhile.
NOT_RESTRICTED_YET = Rule(
    "restricted_already", _("The account is restricted already"), _restrict, at=BOTH
)
RESTRICTED_NOW = Rule("not_restricted", _("The account is not restricted"), _lift, at=BOTH)


class Restriction(_ByDocument):
    """限制: debits are refused, credits and surrender allowed (domain.md 11.7, 登记管理规则 13)."""

    code = "restriction"
    title = _("Account restriction")
    prefix = "XZ"
    has_lines = False
    rules = (*_ByDocument.rules, HAS_REASON, NOT_RESTRICTED_YET)


class RestrictionLifting(_ByDocument):
    """解除限制: debits are allowed again."""

    code = "restriction_lifting"
    title = _("Lifting of a restriction")
    prefix = "JX"
    has_lines = False
    rules = (*_ByDocument.rules, HAS_REASON, RESTRICTED_NOW)
