"""处罚测算 (rules-2026 N57, N60): the frame of a fine for what was not surrendered in time, in fen.

The system computes it for the province, which decides; which law applies is a matter of the deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from flask_babel import lazy_gettext as _

MONTH_TO_DEADLINE, MONTH_BEFORE, THIRTY_DAYS = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Law:
    """The frame for deadlines from a day on: amounts in fen, or multiples of the missing tonnes' value."""

    since: date
    source: Any
    least: int
    most: int
    is_fixed: bool


LAWS = (
    Law(
        date(2021, 2, 1), _("Measures for trading of 2021, article 40"), 2_000_000, 3_000_000, True
    ),
    Law(date(2024, 5, 1), _("State Council order 775, article 24"), 5, 10, False),
)


@dataclass(frozen=True, slots=True)
class Market:
    """What was traded of allowances in the price period: fen and tonnes."""

    begins: date
    ends: date
    turnover: int
    quantity: int

    @property
    def price(self) -> int | None:
        """Turnover by quantity, in fen a tonne, rounded half up; None where nothing was traded."""
        if not self.quantity:
            return None
        return (2 * self.turnover + self.quantity) // (2 * self.quantity)


@dataclass(frozen=True, slots=True)
class Frame:
    """The least and the most, in fen; None where there is no price yet."""

    law: Law
    gap: int
    market: Market | None
    least: int | None
    most: int | None


def law_on(deadline: date) -> Law:
    """Return the law that holds for a deadline."""
    return [each for each in LAWS if each.since <= max(deadline, LAWS[0].since)][-1]


def period(deadline: date, window: int) -> tuple[date, date]:
    """Return the first and last day of the price period.

    The month that ends on the deadline (ends with its month where it is the last of one), the calendar
    month before the deadline's, or the 30 days that end on it.
    """
    first = deadline.replace(day=1)
    if window == MONTH_BEFORE:
        last = first - timedelta(days=1)
        return last.replace(day=1), last
    if window == THIRTY_DAYS:
        return deadline - timedelta(days=29), deadline
    if (deadline + timedelta(days=1)).day == 1:
        return first, deadline
    before = first - timedelta(days=1)
    return before.replace(day=min(deadline.day, before.day)) + timedelta(days=1), deadline


def frame(deadline: date, gap: int, market: Market | None) -> Frame:
    """Return the frame for tonnes that were missing at the deadline."""
    law = law_on(deadline)
    if law.is_fixed:
        return Frame(law, gap, None, law.least, law.most)
    price = market.price if market else None
    if price is None:
        return Frame(law, gap, market, None, None)
    return Frame(law, gap, market, law.least * price * gap, law.most * price * gap)
