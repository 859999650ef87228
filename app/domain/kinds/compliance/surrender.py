"""清缴履约 (manual 五, 管理办法 28) for a 履约通知书, and 自愿注销 (manual 六-二)."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.errors import InsufficientQuantity
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import (
    BOTH,
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


def later_years(case: Case, facts: Facts) -> str:
    """Return the compliance years that newer allowances would count for as well, or "" (N51).

    They are used for an arrear: the notice's deadline has passed, and its year is older.
    """
    known = facts.notices[case.notice_id or 0].later_years
    years = {
        year
        for line in case.lines
        for year in known.get(line.instrument_id, "").split("、")
        if year
    }
    return "、".join(sorted(years))


def _unconfirmed(case: Case, facts: Facts) -> Violation | None:
    years = later_years(case, facts)
    if case.proposal.get("also_for", "") == years:
        return None
    return Violation("also_for", {"years": years}) if years else None


def above_due(case: Case, facts: Facts, total: int, *, field: str = "lines") -> Violation | None:
    """On submission deduct surrendered and pending tonnes; on approval what was approved only."""
    notice = facts.notices[case.notice_id or 0]
    is_approval = case.status is Status.IN_REVIEW
    waiting = notice.offset_under_way if is_approval else notice.pending
    left = notice.obligation - notice.surrendered - waiting
    if total > left:
        return Violation(
            field, {"quantity": f"{total:,}", "left": f"{max(left, 0):,}", "number": notice.number}
        )
    if is_approval:
        notice.surrendered += total
    else:
        notice.pending += total
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
# N51: signed with the submission, which names the years.
IS_CONFIRMED = Rule(
    "later_use_unconfirmed",
    _(
        "These allowances could also be surrendered for %(years)s; confirm that they are to be used for"
        " this older notice"
    ),
    _unconfirmed,
)
# Manual 五-二: 申请提交量不可超过"应履约量-已履约量-待审核履约量".
STILL_DUE = Rule(
    "above_due",
    _(
        "%(quantity)s tonnes asked for, but only %(left)s tonnes are still due under notice %(number)s"
    ),
    lambda case, facts: above_due(case, facts, sum(line.quantity for line in case.lines)),
    at=BOTH,
    error=InsufficientQuantity,
)


class Surrender(Kind):
    """Allowances: reserved while the provincial authority reviews it, surrendered on approval."""

    code = "surrender"
    right = "comply"
    title = _("Surrender")
    prefix = "LQ"
    reviews = (Party.AUTHORITY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.SURRENDERED)
    debits = False  # A restricted account may always fulfil its obligation (domain.md 11.7).
    rules = (NOTICE_IS_OURS, IS_ELIGIBLE, IS_CONFIRMED, STILL_DUE)


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
