"""Which CCER counts for a year: rules-2026 N85, without a database."""

from __future__ import annotations

from datetime import date

import pytest

from app.domain.compliance.offsets import Unit

START = date(2024, 1, 22)


def unit(registered: str, *, is_old: bool = False) -> Unit:
    day = date.fromisoformat(registered)
    return Unit(1, 2, "frozen", 10, "P-1~10", "P", day, False, is_old)


@pytest.mark.parametrize(
    ("registered", "year", "counts"),
    [
        ("2024-01-21", 2024, False),
        ("2024-01-22", 2024, True),
        ("2024-01-21", 2023, False),
        ("2017-03-13", 2023, False),  # Frozen first, as new stock is: it is none.
    ],
)
def test_new_stock(registered, year, counts):
    found = unit(registered).is_registered_in_time(START, year, date(2024, 12, 1))
    assert found is counts


@pytest.mark.parametrize(
    ("registered", "year", "today", "counts"),
    [
        ("2017-03-13", 2023, "2024-12-31", True),
        ("2017-03-14", 2023, "2024-12-31", False),
        ("2017-03-13", 2023, "2025-01-01", False),
        ("2017-03-13", 2024, "2024-12-31", False),
    ],
)
def test_old_stock_for_the_last_time(registered, year, today, counts):
    found = unit(registered, is_old=True).is_registered_in_time(
        None, year, date.fromisoformat(today)
    )
    assert found is counts
