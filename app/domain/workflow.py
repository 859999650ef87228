"""The one life of an application: its states, who may do what in each, and what a case carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

from flask_babel import lazy_gettext as _

from app.domain.errors import NotAllowed


class Status(StrEnum):
    """Where an application stands; the value is stored."""

    DRAFT = "draft"  # 草稿
    IN_REVIEW = "in_review"  # 待审核
    PENDING_SETTLEMENT = "pending_settlement"  # 待结算, until the day-end of `settles_on`
    APPROVED = "approved"  # 已通过
    RETURNED = "returned"  # 已退回
    WITHDRAWN = "withdrawn"  # 已撤回
    REFUSED = "refused"  # 已拒绝: a machine's request that a rule refused
    DISCARDED = "discarded"  # 已删除: a draft whose applicant deleted it; only its number stays


class Action(StrEnum):
    """What somebody did to an application; the value is stored."""

    SAVE = "save"
    SUBMIT = "submit"
    APPROVE = "approve"
    SEND_BACK = "send_back"
    WITHDRAW = "withdraw"
    REFUSE = "refuse"
    DISCARD = "discard"


class Party(StrEnum):
    """Who acts on an application."""

    APPLICANT = "applicant"  # 重点排放单位
    AUTHORITY = "authority"  # the applicant's provincial authority, 省级主管部门
    REGISTRY = "registry"  # 注册登记管理机构
    RECEIVER = "receiver"  # every receiving enterprise
    COLLEAGUE = "colleague"  # another operator of the applicant, 操作复核
    EXCHANGE = "exchange"  # the exchange's machine


STATUS_TITLES = {
    Status.DRAFT: _("Draft"),
    Status.IN_REVIEW: _("Pending review"),
    Status.PENDING_SETTLEMENT: _("Pending settlement"),
    Status.APPROVED: _("Approved"),
    Status.RETURNED: _("Returned"),
    Status.WITHDRAWN: _("Withdrawn"),
    Status.REFUSED: _("Refused"),
    Status.DISCARDED: _("Deleted"),
}
STATUS_TONES = {
    Status.DRAFT: "grey",
    Status.IN_REVIEW: "amber",
    Status.PENDING_SETTLEMENT: "amber",
    Status.APPROVED: "green",
    Status.RETURNED: "red",
    Status.WITHDRAWN: "grey",
    Status.REFUSED: "red",
    Status.DISCARDED: "grey",
}
ACTION_TITLES = {
    Action.SAVE: _("Saved draft"),
    Action.SUBMIT: _("Submitted"),
    Action.APPROVE: _("Approved"),
    Action.SEND_BACK: _("Sent back"),
    Action.WITHDRAW: _("Withdrew"),
    Action.REFUSE: _("Refused"),
    Action.DISCARD: _("Deleted draft"),
}

# Before the first of a kind's own reviews: where the enterprise asks for a second operator's yes.
COLLEAGUE_STEP = -1

EDITABLE = (Status.DRAFT, Status.RETURNED)

_ALLOWED = {
    Action.SAVE: EDITABLE,
    Action.SUBMIT: EDITABLE,
    Action.APPROVE: (Status.IN_REVIEW,),
    Action.SEND_BACK: (Status.IN_REVIEW,),
    Action.WITHDRAW: (Status.DRAFT, Status.IN_REVIEW, Status.PENDING_SETTLEMENT),
    Action.DISCARD: (Status.DRAFT,),
}


class Line(NamedTuple):
    """One instrument of an application, in whole tonnes.

    ``account_id`` is the enterprise that receives them where it is another one; ``source_line_id``
    the earlier application's line that they are drawn from (a deposit, a freeze, a confiscation).
    """

    instrument_id: int
    quantity: int
    id: int = 0
    venue_id: int | None = None
    account_id: int | None = None
    source_line_id: int | None = None

    @property
    def key(self) -> str:
        """What tells it from the other lines of its application, on forms and in messages."""
        return line_key(self.instrument_id, self.source_line_id, self.account_id)


def line_key(instrument_id: int, source_line_id: int | None, account_id: int | None) -> str:
    """Return the key of a line: its instrument's id, or its source's; then its receiver's."""
    first = f"s{source_line_id}" if source_line_id else str(instrument_id)
    return f"{first}-{account_id}" if account_id else first


@dataclass(slots=True)
class Case:
    """An application as the rules see it.

    ``receivers`` are the other enterprises concerned, ``agreed`` those of them who have said yes;
    ``signers`` the persons who made, submitted or approved it this time: none of them reviews it.
    """

    id: int
    kind: str
    number: str
    account_id: int
    status: Status
    step: int = 0
    version: int = 0
    submitted_by: int | None = None
    settles_on: date | None = None
    posting_id: int | None = None
    reason: str = ""
    category: str = ""
    document_no: str = ""
    authority: str = ""
    starts_on: date | None = None
    ends_on: date | None = None
    notice_id: int | None = None
    proposal: dict[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    receivers: frozenset[int] = frozenset()
    agreed: frozenset[int] = frozenset()
    signers: frozenset[int] = frozenset()

    @property
    def named_receivers(self) -> set[int]:
        """The accounts that its lines name as receivers."""
        return {line.account_id for line in self.lines if line.account_id}


def require(case: Case, action: Action) -> None:
    """Raise NotAllowed unless ``action`` may be done to the case in its status."""
    if case.status not in _ALLOWED[action]:
        raise NotAllowed(
            _(
                "Application %(number)s is %(status)s; this can no longer be done",
                number=case.number,
                status=STATUS_TITLES[case.status],
            ),
            code="wrong_status",
        )
