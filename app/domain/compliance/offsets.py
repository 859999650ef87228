"""CCER抵销: states of a mirrored unit and of messages, and what the rules read (rules-2026 N80-N91)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from flask_babel import lazy_gettext as _

MARKET_START = date(2024, 1, 22)  # N85: of the renewed CCER market
OLD_STOCK_BEFORE = date(2017, 3, 14)  # N85: recorded before; for the last time until
OLD_STOCK_UNTIL = date(2024, 12, 31)
OLD_STOCK_LAST_YEAR = 2023


class UnitState(StrEnum):
    """The state of a mirrored unit; the value is stored (N81, N82)."""

    FROZEN = "frozen"  # 待抵销: frozen there
    IN_APPLICATION = "in_application"
    APPROVED = "approved"
    CANCEL_ORDERED = "cancel_ordered"
    CANCELLED = "cancelled"  # confirmed by the CCER registry
    REGISTERED = "registered"  # 抵销登记: it counts
    RELEASE_ORDERED = "release_ordered"  # blocked until the release is confirmed
    RELEASED = "released"


UNIT_TITLES = {
    UnitState.FROZEN: (_("Waits for offset"), "blue"),
    UnitState.IN_APPLICATION: (_("In an application"), "amber"),
    UnitState.APPROVED: (_("Offset approved"), "amber"),
    UnitState.CANCEL_ORDERED: (_("Cancellation ordered"), "amber"),
    UnitState.CANCELLED: (_("Cancellation confirmed"), "green"),
    UnitState.REGISTERED: (_("Offset registered"), "green"),
    UnitState.RELEASE_ORDERED: (_("Release ordered"), "amber"),
    UnitState.RELEASED: (_("Released"), "grey"),
}


class MessageState(StrEnum):
    """The state of a message; the value is stored.  Of theirs: done or refused."""

    PENDING = "pending"
    SENT = "sent"
    UNKNOWN = "unknown"  # 待查: the answer is missing; it is queried by its number (N88)
    DONE = "done"
    REFUSED = "refused"


CONTRADICTION = "contradiction"  # an event of a message, which changes nothing
MESSAGE_TITLES = {
    MessageState.PENDING: (_("Waits to be sent"), "grey"),
    MessageState.SENT: (_("Message sent"), "blue"),
    MessageState.UNKNOWN: (_("Outcome unknown"), "amber"),
    MessageState.DONE: (_("Carried out"), "green"),
    MessageState.REFUSED: (_("Refused by the receiver"), "red"),
}
EVENT_TITLES: dict[str, tuple[Any, str]] = {
    **{str(state): shown for state, shown in MESSAGE_TITLES.items()},
    CONTRADICTION: (_("Contradiction"), "red"),
}
IN, OUT = "in", "out"
DIRECTIONS = {IN: _("From the CCER registry"), OUT: _("To the CCER registry")}
BINDING, FREEZE, REPORT, UNFREEZE = "binding", "freeze", "report", "unfreeze"
ANSWER, CANCEL, RELEASE = "answer", "cancel", "release"
KIND_TITLES = {
    BINDING: _("Binding asked for"),
    FREEZE: _("Frozen for offset"),
    REPORT: _("Old stock cancelled"),
    UNFREEZE: _("Holder asks for release"),
    ANSWER: _("Answer to a binding"),
    CANCEL: _("Order to cancel"),
    RELEASE: _("Order to release"),
}
SOURCES = {
    "registry": _("The registry"),
    "notice": _("Notice of the CCER registry"),
    "answer": _("Answer to the message"),
    "query": _("Answer to a query"),
}
CONFIRMED, DECLINED, ENDED = "confirmed", "declined", "ended"
BINDING_STATES = {
    "asked": (_("Waits for the enterprise"), "amber"),
    CONFIRMED: (_("Confirmed"), "green"),
    DECLINED: (_("Declined"), "red"),
    ENDED: (_("Binding ended"), "grey"),
}
ANSWERS = {CONFIRMED: _("Confirm the binding"), DECLINED: _("Decline the binding")}


@dataclass(frozen=True, slots=True)
class Unit:
    """A mirrored unit as the rules read it; ``quantity`` in tonnes."""

    id: int
    account_id: int
    state: str
    quantity: int
    serial: str
    project_no: str
    registered_on: date
    in_ets: bool
    is_cancelled_before: bool = False

    def is_registered_in_time(self, start: date | None, year: int, today: date) -> bool:
        """Tell whether it is registered late enough for a year's notice, or old stock's last use (N85)."""
        if self.registered_on >= (start or MARKET_START):
            return True
        is_old_stock = self.is_cancelled_before and self.registered_on < OLD_STOCK_BEFORE
        return is_old_stock and year <= OLD_STOCK_LAST_YEAR and today <= OLD_STOCK_UNTIL


@dataclass(slots=True)
class Offsets:
    """The facts of applications for CCER and of bindings.

    ``taken`` are units of cases of the batch that passed.
    """

    units: Mapping[int, Unit] = field(default_factory=dict)
    differing: frozenset[int] = frozenset()  # accounts of the last comparison's differences
    asked: Mapping[int, tuple[int, str]] = field(default_factory=dict)  # binding -> account, CCER's
    bound: Mapping[int, tuple[int, str]] = field(default_factory=dict)  # the same, confirmed
    busy: Mapping[int, Sequence[str]] = field(default_factory=dict)  # account -> serials, messages
    taken: set[int] = field(default_factory=set)
