"""清缴履约 (manual 五, 管理办法 28) for a 履约通知书, what is refunded of it, and 自愿注销 (manual 六-二)."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.errors import InsufficientQuantity
from app.domain.kinds.base import Kind
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
from app.domain.workflow import Case, Party, Status


def _not_ours(case: Case, facts: Facts) -> Violation | None:
    notice = facts.notices.get(case.notice_id or 0)
    return None if notice and notice.account_id == case.account_id else Violation("notice_id")


def _ineligible(case: Case, facts: Facts) -> Violation | None:
    eligible = facts.notices[case.notice_id or 0].eligible
    for line in case.lines:
        if line.instrument_id not in eligible:
            name = facts.name(line.instrument_id)
            return Violation(f"lines.{line.key}.quantity", {"instrument": name})
    return None


def _offset_late(case: Case, facts: Facts) -> Violation | None:
    offset_by = facts.notices[case.notice_id or 0].offset_by
    if offset_by is None or facts.moment.day <= offset_by:
        return None
    late = [line for line in case.lines if line.instrument_id in facts.offsets]
    values = {"offset_by": f"{offset_by}"}
    return Violation(f"lines.{late[0].key}.quantity", values) if late else None


def _above_offset_limit(case: Case, facts: Facts) -> Violation | None:
    notice = facts.notices[case.notice_id or 0]
    asked = [line for line in case.lines if line.instrument_id in facts.offsets]
    total = sum(line.quantity for line in asked)
    pending = notice.offset_pending if case.status is not Status.IN_REVIEW else 0
    left = notice.offset_limit - notice.offset_surrendered - pending
    if total <= max(left, 0):
        return None
    return Violation(
        f"lines.{asked[0].key}.quantity",
        {
            "quantity": f"{total:,}",
            "left": f"{max(left, 0):,}",
            "limit": f"{notice.offset_limit:,}",
        },
    )


def _above_due(case: Case, facts: Facts) -> Violation | None:
    """On submission deduct surrendered and pending tonnes, on approval surrendered ones only."""
    notice = facts.notices[case.notice_id or 0]
    is_approval = case.status is Status.IN_REVIEW
    total = sum(line.quantity for line in case.lines)
    left = notice.obligation - notice.surrendered - (0 if is_approval else notice.pending)
    if total > left:
        return Violation(
            "lines",
            {"quantity": f"{total:,}", "left": f"{max(left, 0):,}", "number": notice.number},
        )
    offset = sum(line.quantity for line in case.lines if line.instrument_id in facts.offsets)
    if is_approval:
        notice.surrendered += total
        notice.offset_surrendered += offset
    else:
        notice.pending += total
        notice.offset_pending += offset
    return None


def _of_another_notice(case: Case, facts: Facts) -> Violation | None:
    for line in case.lines:
        source = facts.sources.get(line.source_line_id or 0)
        if source is not None and source.notice_id != case.notice_id:
            return Violation(f"lines.{line.key}.quantity")
    return None


NOTICE_IS_OURS = Rule(
    "notice_unknown", _("Choose one of your own compliance notices"), _not_ours, at=BOTH
)
IS_ELIGIBLE = Rule(
    "not_eligible",
    _("%(instrument)s is not among what the plan of this notice's year accepts"),
    _ineligible,
    at=BOTH,
)
# N87: the cut-off for CCER may lie before the deadline.
OFFSET_IN_TIME = Rule(
    "offset_late",
    _("Applications with CCER were taken until %(offset_by)s; surrender allowances instead"),
    _offset_late,
)
# domain.md 11.9: floor(5 % x 应履约量), approved and pending surrenders together.
WITHIN_OFFSET_LIMIT = Rule(
    "offset_limit",
    _(
        "%(quantity)s tonnes of CCER asked for, but only %(left)s of at most %(limit)s tonnes are left"
        " for this notice"
    ),
    _above_offset_limit,
    at=BOTH,
    error=InsufficientQuantity,
)
# Manual 五-二: 申请提交量不可超过"应履约量-已履约量-待审核履约量".
STILL_DUE = Rule(
    "above_due",
    _(
        "%(quantity)s tonnes asked for, but only %(left)s tonnes are still due under notice %(number)s"
    ),
    _above_due,
    at=BOTH,
    error=InsufficientQuantity,
)
REFUNDS_THIS_NOTICE = Rule(
    "other_notice",
    _("What is refunded must have been surrendered for the same notice"),
    _of_another_notice,
    at=BOTH,
)


class Surrender(Kind):
    """Reserved while the provincial authority reviews it; surrendered for the notice on approval."""

    code = "surrender"
    right = "comply"
    title = _("Surrender")
    prefix = "LQ"
    reviews = (Party.AUTHORITY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.SURRENDERED)
    debits = False  # A restricted account may always fulfil its obligation (domain.md 11.7).
    rules = (NOTICE_IS_OURS, IS_ELIGIBLE, OFFSET_IN_TIME, WITHIN_OFFSET_LIMIT, STILL_DUE)


class SurrenderRefund(Kind):
    """清缴退还: required before an obligation can be lowered below the surrendered quantity (R83)."""

    code = "surrender_refund"
    title = _("Surrender refund")
    prefix = "QT"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    settles = (Bucket.SURRENDERED, Bucket.AVAILABLE)
    debits = False
    draws_on = "surrender"
    rules = (NOTICE_IS_OURS, REFUNDS_THIS_NOTICE, HAS_DOCUMENT, HAS_AUTHORITY, HAS_REASON)


class VoluntaryCancellation(Kind):
    """自愿注销 (manual 六-二, 管理办法 19): reserved while the registry reviews it; final on approval."""

    code = "voluntary_cancellation"
    right = "cancel"
    title = _("Voluntary cancellation")
    prefix = "ZX"
    reviews = (Party.REGISTRY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.CANCELLED)
    rules = (HAS_REASON,)
