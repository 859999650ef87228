"""The state machine of applications: states, actions, parties, and the case that rules check."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

from flask_babel import lazy_gettext as _

from app.domain.errors import NotAllowed


class Status(StrEnum):
    """The state of an application; the value is stored."""

    DRAFT = "draft"  # 草稿
    IN_REVIEW = "in_review"  # 待审核
    PENDING_SETTLEMENT = "pending_settlement"  # 待结算, until the day-end of `settles_on`
    APPROVED = "approved"  # 已通过
    RETURNED = "returned"  # 已退回
    WITHDRAWN = "withdrawn"  # 已撤回
    REFUSED = "refused"  # 已拒绝: a machine's request that a rule refused
    DISCARDED = "discarded"  # 已删除: a draft whose applicant deleted it; only its number stays


class Action(StrEnum):
    """An action recorded as an event; the value is stored."""

    SAVE = "save"
    SUBMIT = "submit"
    APPROVE = "approve"
    SEND_BACK = "send_back"
    WITHDRAW = "withdraw"
    REFUSE = "refuse"
    DISCARD = "discard"


class Party(StrEnum):
    """The parties of an application."""

    APPLICANT = "applicant"  # 重点排放单位
    AUTHORITY = "authority"  # the applicant's provincial authority, 省级主管部门
    REGISTRY = "registry"  # 注册登记管理机构
    RECEIVER = "receiver"  # every receiving enterprise
    RECEIVER_AUTHORITY = "receiver_authority"  # the receiving enterprise's provincial authority
    COLLEAGUE = "colleague"  # another operator of the applicant, 操作复核
    EXCHANGE = "exchange"  # the exchange's machine
    PLATFORM = "platform"  # 全国碳市场管理平台, a machine
    BANK = "bank"  # the settlement bank's machine
    BATCH = "batch"  # a batch that two officers signed, carried out by the worker
    OFFICE = "office"  # the authority that enters it: a province's, or the registry


# Who starts by machine alone: no person enters, submits or withdraws its applications.
MACHINES = (Party.EXCHANGE, Party.PLATFORM)

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

# The step of 操作复核, before the kind's own reviews.
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

    ``account_id`` is the receiving account where it is not the applicant's; ``source_line_id``
    the earlier line it draws on (of a deposit, a freeze, an issue), ``source_account_id`` the account
    that this one brought its tonnes to, where it was another than its applicant's.
    """

    instrument_id: int
    quantity: int
    id: int = 0
    venue_id: int | None = None
    account_id: int | None = None
    source_line_id: int | None = None
    source_account_id: int | None = None

    @property
    def key(self) -> str:
        """The line's key within its application, in form fields and messages."""
        return line_key(self.instrument_id, self.source_line_id, self.account_id)


def line_key(instrument_id: int, source_line_id: int | None, account_id: int | None) -> str:
    """Return a line's key: the id of its source line or else its instrument, then its receiver's."""
    first = f"s{source_line_id}" if source_line_id else str(instrument_id)
    return f"{first}-{account_id}" if account_id else first


@dataclass(slots=True)
class Case:
    """An application as the rules read it.

    ``receivers`` are the receiving enterprises, ``agreed`` those that have approved; ``signers``
    the members who made, submitted or approved it this time, none of whom may review it.
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
    office: str | None = None  # province of who made it; None: the registry, or an enterprise
    provinces: frozenset[str] = frozenset()  # of the receiving enterprises

    @property
    def named_receivers(self) -> set[int]:
        """The receiving accounts of its lines."""
        return {line.account_id for line in self.lines if line.account_id}


def require(case: Case, action: Action) -> None:
    """Raise NotAllowed unless the case's status permits ``action``."""
    if case.status not in _ALLOWED[action]:
        raise NotAllowed(
            _(
                "Application %(number)s is %(status)s; this can no longer be done",
                number=case.number,
                status=STATUS_TITLES[case.status],
            ),
            code="wrong_status",
        )
