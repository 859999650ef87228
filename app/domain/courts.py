"""Courts' orders as the rules read them (rules-2026 N95-N106)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date


@dataclass(slots=True)
class Order:
    """A court's order to freeze as the rules read it; quantities in tonnes, or fen."""

    account_id: int
    is_confirmed: bool
    left: int  # neither released nor assigned nor lapsed
    queued: int
    ends_on: date
    held: dict[int, int] = field(default_factory=dict)  # instrument -> effective


@dataclass(frozen=True, slots=True)
class Courts:
    """What the rules of courts' measures read."""

    orders: Mapping[int, Order] = field(default_factory=dict)
    longest_years: int = 3
    without_paper: frozenset[int] = frozenset()  # cases without the court's paper
    admitted: frozenset[int] = frozenset()  # accounts that may receive what a court assigns
    known: frozenset[int] = frozenset()  # instruments
    waited_for: frozenset[int] = frozenset()  # transfers of tonnes that a court's order waits for
