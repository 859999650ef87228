"""多退少补 and 核减: what two stages issue, and what of a deduction remains (rules-2026 N22-N24).

All quantities in whole tonnes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class TrueUp:
    """What a year's two stages issue; a second stage below zero is due to be returned."""

    issue_1: int
    issue_2: int
    deducted_1: int  # at pre-allocation
    returned: int  # of it to the deduction again: more than was approved (退回已核减配额)
    deducted_2: int  # at approval
    remaining: int  # of the deduction, for the years to come

    @property
    def total(self) -> int:
        """What is issued for the year altogether; never below zero."""
        return self.issue_1 + self.issue_2


def true_up(pre_allocated: int, approved: int, due: int) -> TrueUp:
    """Deduct in two stages (N22, N23); ``due`` is the sum of all deductions.

    The total issued is always approved - (due - remaining).
    """
    deducted_1 = min(pre_allocated, due)
    rest = due - deducted_1
    difference = approved - pre_allocated
    returned = max(0, deducted_1 - approved)
    deducted_2 = min(max(difference, 0), rest)
    return TrueUp(
        issue_1=pre_allocated - deducted_1,
        issue_2=difference + returned - deducted_2,
        deducted_1=deducted_1,
        returned=returned,
        deducted_2=deducted_2,
        remaining=rest + returned - deducted_2,
    )


@dataclass(frozen=True, slots=True)
class Item:
    """One decision to deduct; of one day the earlier number comes first."""

    number: str
    documented_on: date
    tonnes: int


@dataclass(frozen=True, slots=True)
class Share:
    """What of one item is deducted at either stage and given back between them."""

    item: Item
    deducted_1: int
    returned: int
    deducted_2: int

    @property
    def remaining(self) -> int:
        """What of it is left to deduct."""
        return self.item.tonnes - self.deducted_1 + self.returned - self.deducted_2


def shares(items: Sequence[Item], result: TrueUp) -> list[Share]:
    """Spread a deduction over its items in order of document date; what returns, in reverse (N24)."""
    ordered = sorted(items, key=lambda each: (each.documented_on, each.number))
    first = _spread([each.tonnes for each in ordered], result.deducted_1)
    back = _spread(first[::-1], result.returned)[::-1]
    rest = [
        each.tonnes - taken + given for each, taken, given in zip(ordered, first, back, strict=True)
    ]
    second = _spread(rest, result.deducted_2)
    return [Share(*each) for each in zip(ordered, first, back, second, strict=True)]


def _spread(limits: Sequence[int], tonnes: int) -> list[int]:
    found = []
    for limit in limits:
        found.append(min(limit, tonnes))
        tonnes -= found[-1]
    return found


def fraud_range(next_allowance: int) -> tuple[int, int]:
    """Return least and most that may be deducted for data fraud: 50-100 % of next year's (N59, O775-22)."""
    return -(-next_allowance // 2), next_allowance
