"""What passes between the line to the CCER registry and the operations; quantities in tonnes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from app.domain.compliance.offsets import BINDING, FREEZE, REPORT, UNFREEZE, MessageState
from app.domain.errors import RuleError


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What a message says of a unit (N80)."""

    project_no: str
    project_name: str
    project_type: str
    period_from: date
    period_to: date
    registered_on: date
    first_serial: int
    last_serial: int
    quantity: int
    in_ets: bool


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message of the CCER registry; ``content`` is the text that it signed."""

    number: str
    kind: str
    ccer_account: str
    uscc: str
    name: str
    content: str
    unit: UnitFacts | None = None  # of a freeze, and of a report of old stock
    serial: str = ""  # of the unit whose release its holder asks for


@dataclass(frozen=True, slots=True)
class Reply:
    """Our answer to a message, the same whenever it comes."""

    is_done: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message of ours as it is sent; sent again after a query, it has the same number."""

    id: int
    number: str
    kind: str
    quantity: int | None
    says: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What the CCER registry said of a message of ours, as it signed it.

    ``is_missing``: it has never received the message.
    """

    outcome: MessageState  # DONE, REFUSED or UNKNOWN
    content: str
    quantity: int | None = None
    reason: str = ""
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Frozen:
    """What is frozen for offset in an account of the CCER registry."""

    uscc: str
    quantity: int


__all__ = [
    "BINDING",
    "FREEZE",
    "REPORT",
    "UNFREEZE",
    "Frozen",
    "Incoming",
    "MessageState",
    "Outgoing",
    "Reply",
    "RuleError",
    "Said",
    "UnitFacts",
]
