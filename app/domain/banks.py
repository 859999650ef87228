"""What the rules of money read about settlement banks, and the states of an order to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from flask_babel import lazy_gettext as _


class OrderState(StrEnum):
    """The state of a transfer at a bank; the value is stored."""

    PENDING = "pending"  # 待发送: accepted, not on its way
    SENT = "sent"  # 已发送
    UNKNOWN = "unknown"  # 待查: the bank's answer is missing (rules-2026 N143)
    DONE = "done"  # 成功
    REFUSED = "refused"  # 失败
    REVERSED = "reversed"  # 已冲正


ORDER_TITLES = {
    OrderState.PENDING: (_("Waits to be sent"), "grey"),
    OrderState.SENT: (_("Sent to the bank"), "blue"),
    OrderState.UNKNOWN: (_("Outcome unknown"), "amber"),
    OrderState.DONE: (_("Succeeded"), "green"),
    OrderState.REFUSED: (_("Failed"), "red"),
    OrderState.REVERSED: (_("Reversed"), "red"),
}
DIRECTIONS = {"in": _("Deposit of money"), "out": _("Withdrawal of money")}
STARTERS = {"registry": _("The registry"), "bank": _("The bank")}
# Serials of the bank line: who starts, and in which direction (rules-2026 N142).
LINE_CODES = {
    ("bank", "in"): "102001",
    ("bank", "out"): "102002",
    ("registry", "in"): "202001",
    ("registry", "out"): "202002",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a bank said of a transfer; ``message`` is the text that it signed.

    ``amount`` is in fen, None where the bank named none.
    """

    outcome: OrderState  # DONE, REFUSED, REVERSED, or UNKNOWN
    message: str
    bank_serial: str = ""
    platform_serial: str = ""
    reason: str = ""
    amount: int | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """The bank account bound to a participant's sub-ledger; ``instrument_id`` is its bank's money."""

    id: int
    bank: str
    instrument_id: int
    withdrawals_from: date
    is_confirmed: bool  # by the bank


@dataclass(frozen=True, slots=True)
class Banking:
    """The facts of deposits, withdrawals and bindings; amounts in fen.

    ``paid_out`` is what an account has asked to withdraw today, raised as cases of a batch pass.
    """

    bindings: Mapping[int, Binding] = field(default_factory=dict)  # by account
    banks: frozenset[str] = frozenset()  # their codes
    names: Mapping[int, str] = field(default_factory=dict)  # of accounts
    holding: frozenset[int] = frozenset()  # accounts with money at the bank bound so far
    moving: frozenset[int] = frozenset()  # accounts with deposits or withdrawals under way
    sent: frozenset[int] = frozenset()  # applications that a bank may have carried out
    paid_out: dict[int, int] = field(default_factory=dict)
    # Open receivables in fen, by account and code of the bank.
    owed: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    largest_deposit: int = 0
    largest_withdrawal: int = 0
    most_a_day: int = 0
