"""清缴退还: what a lowered obligation leaves goes back to where it came from (rules-2026 N54, R83)."""

from __future__ import annotations

from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.surrender import NOTICE_IS_OURS
from app.domain.kinds.rules import (
    BOTH,
    HAS_AUTHORITY,
    HAS_DOCUMENT,
    HAS_REASON,
    Facts,
    Rule,
    Violation,
)
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party


def _of_another_notice(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        source = facts.sources.get(line.source_line_id or 0)
        if source is not None and source.notice_id != case.notice_id:
            return Violation(f"lines.{line.key}.quantity")
    return None


REFUNDS_THIS_NOTICE = Rule(
    "other_notice",
    _("What is refunded must have been surrendered for the same notice"),
    _of_another_notice,
    at=BOTH,
)
_RULES = (REFUNDS_THIS_NOTICE, HAS_DOCUMENT, HAS_AUTHORITY, HAS_REASON)


class SurrenderRefund(Kind):
    """清缴退还: required before an obligation can be lowered below the surrendered quantity (R83)."""

    code = "surrender_refund"
    title = _("Surrender refund")
    prefix = "QT"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    settles: ClassVar[tuple[Bucket, Bucket] | None] = (Bucket.SURRENDERED, Bucket.AVAILABLE)
    debits = False
    draws_on = "surrender"
    rules: ClassVar[tuple[Rule, ...]] = (NOTICE_IS_OURS, *_RULES)


class CommissionRefund(SurrenderRefund):
    """受托清缴退还: to the enterprise, whose rest is released once the notice is fulfilled (N42)."""

    code = "refund_of_commission"
    title = _("Refund of a commissioned surrender")
    prefix = "TS"
    draws_on = "commission"


class HelperRefund(SurrenderRefund):
    """协助清缴退还: out of what the enterprise surrendered, to the helper, whose application it is."""

    code = "refund_to_helper"
    title = _("Refund to a helper")
    prefix = "TB"
    draws_on = "assisted_surrender"
    takes_from_source = True
    rules = _RULES


class PledgeRefund(SurrenderRefund):
    """质押清缴退还: frozen under its pledge again; the pledgee alone releases it (docs/adr/0095)."""

    code = "refund_to_pledge"
    title = _("Refund under a pledge")
    prefix = "TP"
    settles = (Bucket.SURRENDERED, Bucket.FROZEN)
    draws_on = "pledge_surrender"


REFUNDS: tuple[type[Kind], ...] = (SurrenderRefund, CommissionRefund, HelperRefund, PledgeRefund)
