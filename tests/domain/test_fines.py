"""处罚测算: N57 and N60 with their figures."""

from __future__ import annotations

from datetime import date

import pytest

from app.domain.compliance.fines import Market, frame, period
from app.domain.money import plain_yuan

END_2026 = date(2026, 12, 31)
DECEMBER = Market(date(2026, 12, 1), END_2026, 130_860_000_000, 20_000_000)


def test_n57_five_to_ten_times_the_value_of_what_is_missing():
    assert plain_yuan(DECEMBER.price) == "65.43"
    found = frame(END_2026, 10_000, DECEMBER)
    assert (plain_yuan(found.least), plain_yuan(found.most)) == ("3271500.00", "6543000.00")


def test_n57_without_a_trade_there_is_no_price():
    found = frame(END_2026, 10_000, Market(date(2026, 12, 1), END_2026, 0, 0))
    assert (found.least, found.most) == (None, None)


def test_the_price_is_rounded_half_up_to_the_fen_before_it_is_multiplied():
    assert Market(END_2026, END_2026, 5, 2).price == 3
    assert Market(END_2026, END_2026, 499, 200).price == 2


@pytest.mark.parametrize(
    ("deadline", "is_fixed"),
    [(date(2021, 12, 31), True), (date(2023, 12, 31), True), (date(2024, 4, 30), True),
     (date(2024, 5, 1), False), (date(2024, 12, 31), False)],
)  # fmt: skip
def test_n60_the_law_by_the_day_of_the_deadline(deadline, is_fixed):
    found = frame(deadline, 1, None)
    assert found.law.is_fixed is is_fixed
    assert (found.least, found.most) == ((2_000_000, 3_000_000) if is_fixed else (None, None))


@pytest.mark.parametrize(
    ("deadline", "window", "begins", "ends"),
    [
        (END_2026, 1, date(2026, 12, 1), END_2026),
        (date(2026, 12, 15), 1, date(2026, 11, 16), date(2026, 12, 15)),
        (date(2027, 2, 28), 1, date(2027, 2, 1), date(2027, 2, 28)),
        (date(2027, 3, 30), 1, date(2027, 3, 1), date(2027, 3, 30)),
        (END_2026, 2, date(2026, 11, 1), date(2026, 11, 30)),
        (END_2026, 3, date(2026, 12, 2), END_2026),
    ],
)
def test_n57_the_price_period(deadline, window, begins, ends):
    assert period(deadline, window) == (begins, ends)
