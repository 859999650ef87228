"""Which vintages are surrendered by commission for which notices (rules-2026 N42, N43)."""

from __future__ import annotations

import pytest

from app.domain.compliance.commission import OLDEST_FIRST, Due, Waiting, spread

BOTH = frozenset({2021, 2022})


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        # N43: CEA21 600 -> 2021, CEA22 300 -> 2022, CEA22 100 -> 2021.
        ("own_first", {2021: {21: 600, 22: 100}, 2022: {22: 300}}),
        (OLDEST_FIRST, {2021: {21: 600, 22: 100}, 2022: {22: 300}}),
    ],
)
def test_n43_own_year_first_then_the_remainder(order, expected):
    dues = [Due(2022, 2022, 300, BOTH, order), Due(2021, 2021, 700, BOTH, order)]
    assert spread(dues, [Waiting(22, 2022, 500), Waiting(21, 2021, 600)]) == expected


def test_n43_the_order_is_data():
    """Due 2022 alone: its own vintage first, or the oldest."""
    waits = [Waiting(21, 2021, 200), Waiting(22, 2022, 500)]
    assert spread([Due(2022, 2022, 300, BOTH)], waits) == {2022: {22: 300}}
    oldest = Due(2022, 2022, 300, BOTH, OLDEST_FIRST)
    assert spread([oldest], waits) == {2022: {21: 200, 22: 100}}


@pytest.mark.parametrize(("waits", "taken"), [(1_200_000, 1_000_000), (800_000, 800_000)])
def test_n42_at_most_what_is_due_and_what_waits(waits, taken):
    due = Due(7, 2025, 1_000_000, frozenset({2025, 2026}))
    assert spread([due], [Waiting(1, 2025, waits)]) == {7: {1: taken}}


def test_a_vintage_that_the_plan_does_not_accept_stays():
    assert spread([Due(7, 2025, 10, frozenset({2025}))], [Waiting(1, 2024, 10)]) == {}
