"""协助清缴 (rules-2026 N53): an enterprise supplies allowances for the notice of another that cannot buy."""

from __future__ import annotations

from dataclasses import replace

from flask_babel import lazy_gettext as _

from app.domain.kinds.base import Kind
from app.domain.kinds.compliance.surrender import IS_CONFIRMED, IS_ELIGIBLE, STILL_DUE
from app.domain.kinds.rules import BOTH, Facts, Rule, Violation
from app.domain.moves import Bucket
from app.domain.workflow import Case, Party


def _not_theirs(case: Case, facts: Facts) -> Violation | None:
    notice = facts.notices.get(case.notice_id or 0)
    if notice is None or notice.account_id == case.account_id:
        return Violation("notice_id")
    others = {line.account_id for line in case.lines} - {notice.account_id}
    return Violation("notice_id") if others else None


NOTICE_IS_ANOTHERS = Rule(
    "notice_not_anothers",
    _("Choose a notice of another enterprise; your own you fulfil by a surrender"),
    _not_theirs,
    at=BOTH,
)
# What is due is the other enterprise's affair: the message does not say it.
STILL_DUE_THERE = replace(
    STILL_DUE,
    message=_(
        "%(quantity)s tonnes are more than is still due under notice %(number)s; ask the enterprise how"
        " much it needs"
    ),
)


class AssistedSurrender(Kind):
    """Reserved while the enterprise agrees and its province reviews; counted for its notice on approval.

    Its lines name that enterprise, in whose account they are surrendered.
    """

    code = "assisted_surrender"
    title = _("Assisted surrender")
    prefix = "XQ"
    reviews = (Party.RECEIVER, Party.RECEIVER_AUTHORITY)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.SURRENDERED)
    rules = (NOTICE_IS_ANOTHERS, IS_ELIGIBLE, IS_CONFIRMED, STILL_DUE_THERE)
