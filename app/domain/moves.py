"""Pockets and the movements between them: the vocabulary of the ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError

ISSUANCE_ACCOUNT_ID = (
    1  # The national issuance account: the only one whose `issued` goes below zero.
)
FEES_ACCOUNT_ID = 2  # 结算费用
RESERVE_ACCOUNT_ID = 3  # 结算风险准备金 (结算管理规则 13)
CARE_ACCOUNT_ID = 9  # 代管账户: what is left of enterprises without a successor (rules-2026 N118)
LARGEST_REQUEST = 10**12  # Tonnes in one line: above the sum of all allowances ever issued.


class Bucket(IntEnum):
    """The state of a quantity within an account and instrument; the value is stored."""

    AVAILABLE = 1  # 登记可用量
    RESERVED = 2  # held by an application under review; part of 登记冻结量
    FROZEN = 3  # frozen by an authority's document; part of 登记冻结量
    PENDING_TO_TRADING = 4  # 登记待划转量
    TRADING = 5  # 交易持有量
    PENDING_TO_REGISTRY = 6  # 交易待划转量
    CUSTODY = 7  # 存管, kept under the depositor's name
    IN_RETURN = 8  # a custody return under review
    SURRENDERED = 9  # 已清缴, final
    CANCELLED = 10  # 已注销, final
    CONFISCATED = 11  # 已收缴
    ISSUED = 12  # the source: minus what was issued, or what a settlement bank holds
    PROCEEDS = (
        13  # money alone: 今日卖出所得, usable for buying, withdrawable from the next opening
    )
    RECALLED = 14  # 已收回, final: given back (缴回) or carried over (结转)

    @property
    def column(self) -> str:
        """The column of `holding`."""
        return self.name.lower()


# 总持有量=登记可用量+登记冻结量+登记待划转量+交易持有量+交易待划转量 (manual 七-一).
REGISTRY_BUCKETS = (
    Bucket.AVAILABLE,
    Bucket.RESERVED,
    Bucket.FROZEN,
    Bucket.PENDING_TO_TRADING,
)
TRADING_BUCKETS = (Bucket.TRADING, Bucket.PENDING_TO_REGISTRY)
HELD_BUCKETS = REGISTRY_BUCKETS + TRADING_BUCKETS

BUCKET_TITLES = {
    Bucket.AVAILABLE: _("Available in registry"),
    Bucket.RESERVED: _("Frozen: held by applications"),
    Bucket.FROZEN: _("Frozen: by authority"),
    Bucket.PENDING_TO_TRADING: _("In transit from registry"),
    Bucket.TRADING: _("Held in trading"),
    Bucket.PENDING_TO_REGISTRY: _("In transit from trading"),
    Bucket.CUSTODY: _("In custody"),
    Bucket.IN_RETURN: _("Being returned"),
    Bucket.SURRENDERED: _("Surrendered"),
    Bucket.CANCELLED: _("Cancelled"),
    Bucket.CONFISCATED: _("Confiscated"),
    Bucket.ISSUED: _("Issued"),
    Bucket.PROCEEDS: _("Sale proceeds of the day"),
    Bucket.RECALLED: _("Recalled"),
}


class Stage(StrEnum):
    """The step of a business that a posting belongs to."""

    SUBMISSION = "submission"
    WITHDRAWAL = "withdrawal"
    SENT_BACK = "sent_back"
    APPROVAL = "approval"
    SETTLEMENT = "settlement"


STAGE_TITLES = {
    Stage.SUBMISSION: _("Submission"),
    Stage.WITHDRAWAL: _("Withdrawal"),
    Stage.SENT_BACK: _("Send back"),
    Stage.APPROVAL: _("Approval"),
    Stage.SETTLEMENT: _("Settlement"),
}


class Pocket(NamedTuple):
    """An account, instrument and bucket: one cell of the holdings."""

    account_id: int
    instrument_id: int
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Move:
    """A quantity (tonnes, > 0) from one pocket to another of the same instrument."""

    source: Pocket
    target: Pocket
    quantity: int

    def __post_init__(self) -> None:
        assert self.quantity > 0
        assert self.source.instrument_id == self.target.instrument_id
        assert self.source != self.target


def within(
    account_id: int, instrument_id: int, source: Bucket, target: Bucket, quantity: int
) -> Move:
    """Move ``quantity`` tonnes between two buckets of one account."""
    return Move(
        Pocket(account_id, instrument_id, source),
        Pocket(account_id, instrument_id, target),
        quantity,
    )


@dataclass(frozen=True, slots=True)
class PostingRequest:
    """Moves that are posted together or not at all, and the business they belong to.

    ``request_key`` is unique for ever, so that repeating a request posts nothing.
    """

    business: str
    stage: Stage
    request_key: str
    moves: tuple[Move, ...]
    application_id: int | None = None
    document: str = ""
    member_id: int | None = None


_WHOLE = re.compile(r"[0-9]+", re.ASCII)


def whole_tonnes(text: str | None, *, field: str = "quantity") -> int:
    """Read a quantity typed by a person: a positive whole number of tonnes, ASCII digits only.

    Raises RuleError for anything else (0, -5, 1.5, 1e3, １００, 2^63): domain.md R13.
    """
    typed = (text or "").strip()
    if not typed:
        raise RuleError(_("Enter a quantity in whole tonnes"), field=field, code="quantity_missing")
    if not _WHOLE.fullmatch(typed):
        raise RuleError(
            _(
                "Quantity must be a positive whole number of tonnes in plain digits 0-9"
                " (no sign, decimals, separators or full-width digits): %(typed)s",
                typed=typed[:30],
            ),
            field=field,
            code="quantity_not_whole",
        )
    digits = typed.lstrip("0")
    if not digits:
        raise RuleError(_("Quantity must be at least 1 tonne"), field=field, code="quantity_zero")
    if len(digits) > 13 or int(digits) > LARGEST_REQUEST:
        raise RuleError(
            _("Quantity is above the limit of %(limit)s tonnes", limit=f"{LARGEST_REQUEST:,}"),
            field=field,
            code="quantity_too_large",
        )
    return int(digits)
