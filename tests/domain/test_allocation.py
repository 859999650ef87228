"""The formulas of allocation, the two-stage deduction and their worked figures (rules-2026 N20-N31, N59)."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.compliance import allocation
from app.domain.compliance.allocation import exact
from app.domain.compliance.figures import Figure, expected
from app.domain.compliance.true_up import Item, fraud_range, shares, true_up
from app.domain.errors import RuleError

TONNES = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("verified", "share", "tonnes"),
    [("2000001", 50, 1_000_000), ("3579.4", 50, 1789), ("1000002", 70, 700_001), ("500004", 70, 350_002)],
)  # fmt: skip
def test_n20_a_unit_is_pre_allocated_rounded_down(verified, share, tonnes):
    assert allocation.pre_allocated(exact(verified), Fraction(share)) == tonnes


def test_n20_units_are_rounded_before_they_are_summed():
    row = Figure(2024, "power", "pre_allocation", "", exact("1500006"), Fraction(70))
    units = [
        allocation.pre_allocated(Fraction(each), Fraction(70)) for each in (1_000_002, 500_004)
    ]
    assert expected(row, units) == 1_050_003
    assert expected(row) == 1_050_004  # Of the sum, as an enterprise without units has it.


@pytest.mark.parametrize(
    ("p", "a", "d", "first", "second", "total", "remaining"),
    [
        (700_000, 900_000, 0, 700_000, 200_000, 900_000, 0),
        (707_000, 690_000, 0, 707_000, -17_000, 690_000, 0),
        (50_000, 30_000, 70_000, 0, 0, 0, 40_000),
        (50_000, 80_000, 70_000, 0, 10_000, 10_000, 0),
        (50_000, 60_000, 70_000, 0, 0, 0, 10_000),
        (50_000, 45_000, 20_000, 30_000, -5_000, 25_000, 0),
        (50_000, 15_000, 20_000, 30_000, -30_000, 0, 5_000),
        (0, 80_000, 30_000, 0, 50_000, 50_000, 0),
        (50_000, 58_000, 60_000, 0, 0, 0, 2_000),  # R25: true-up 8,000 beside 10,000 to deduct
    ],
)
def test_n22_n23_two_stages_deduct(p, a, d, first, second, total, remaining):
    found = true_up(p, a, d)
    assert (found.issue_1, found.issue_2, found.total, found.remaining) == (
        first, second, total, remaining,
    )  # fmt: skip


@given(TONNES, TONNES, TONNES)
def test_n23_what_is_issued_is_what_was_approved_less_what_was_deducted(p, a, d):
    found = true_up(p, a, d)
    assert found.total == a - (d - found.remaining) >= 0
    assert 0 <= found.remaining <= d
    assert found.issue_1 >= 0


def test_n24_items_go_by_their_documents_dates_and_return_in_reverse():
    older, newer = Item("HJ1", date(2025, 3, 1), 40_000), Item("HJ2", date(2025, 9, 1), 30_000)
    found = shares([newer, older], true_up(50_000, 30_000, 70_000))
    assert [(each.item, each.deducted_1, each.returned, each.remaining) for each in found] == [
        (older, 40_000, 10_000, 10_000),
        (newer, 10_000, 10_000, 30_000),
    ]


@given(TONNES, TONNES, st.lists(st.integers(1, 10**8), max_size=6))
def test_n24_items_add_up_to_the_whole(p, a, tonnes):
    items = [Item(f"{n}", date(2025, 1 + n, 1), each) for n, each in enumerate(tonnes)]
    whole = true_up(p, a, sum(tonnes))
    found = shares(items, whole)
    assert sum(each.deducted_1 for each in found) == whole.deducted_1
    assert sum(each.returned for each in found) == whole.returned
    assert sum(each.deducted_2 for each in found) == whole.deducted_2
    assert sum(each.remaining for each in found) == whole.remaining
    assert all(0 <= each.remaining <= each.item.tonnes for each in found)


@pytest.mark.parametrize(("initial", "more"), [(480_000, 20_000), (510_000, 0)])
def test_n27_a_gas_unit_gets_up_to_what_was_verified(initial, more):
    assert allocation.gas_top_up(initial, Fraction(500_000)) == more


@pytest.mark.parametrize(
    ("verified", "initial", "more"),
    [(1_000_003, 750_000, 50_002), (1_000_003, 800_003, 0), (1_000_000, 750_000, 50_000),
     (1_000_000, 800_000, 0), (1_000_000, 799_999, 1)],
)  # fmt: skip
def test_n28_an_enterprise_gets_up_to_four_fifths(verified, initial, more):
    """C12: 800,002 leaves a gap of 20.00 % rounded, by less than a tonne above it."""
    assert allocation.entity_top_up(initial, Fraction(verified)) == more


@pytest.mark.parametrize(
    ("intensity", "tonnes"),
    [("1.5", 1_265_431), ("1.44", 1_271_604), ("1.4401", 1_271_593), ("2.2", 1_197_529), ("1.8", 1_234_567),
     ("2.16", 1_197_529)],
)  # fmt: skip
def test_n29_the_boundary_of_a_fifth_is_exact(intensity, tonnes):
    assert allocation.by_intensity(Fraction(1_234_567), exact(intensity), exact("1.8")) == tonnes


@pytest.mark.parametrize(
    ("load", "year", "factor"),
    [("45", 2025, "1.126059"), ("49.99", 2026, "1.100321"), ("50", 2025, "1"), ("50", 2026, "1"),
     ("60", 2024, "1.061364"), ("65", 2024, "1"), ("64.99", 2024, "1.045710"), ("100", 2024, "1")],
)  # fmt: skip
def test_n30_peak_load_is_corrected_below_its_boundary(load, year, factor):
    assert allocation.peak_factor(exact(load), year) == Fraction(factor)


@pytest.mark.parametrize(
    ("load", "tonnes"), [("60", 2_884_100), ("45", 3_182_935), ("50", 2_884_100)]
)
def test_r29_a_coal_unit(load, tonnes):
    unit = Figure(
        2025, "power", "approved", "1", Fraction(3_000_000), basis="coal", power=exact("3000000"),
        heat=exact("5000000"), power_benchmark=exact("0.7902"), heat_benchmark=exact("0.1027"),
        load=exact(load),
    )  # fmt: skip
    assert expected(unit) == tonnes


def test_r30_the_same_unit_in_2024():
    unit = Figure(
        2024, "power", "approved", "1", Fraction(3_000_000), basis="coal", power=exact("3000000"),
        heat=exact("5000000"), power_benchmark=exact("0.7910"), heat_benchmark=exact("0.1033"),
        load=exact("60"),
    )  # fmt: skip
    assert expected(unit) == 3_035_116


@pytest.mark.parametrize(("verified", "tonnes"), [(25_999, 25_999), (26_000, 26_780)])
def test_n31_a_small_enterprise_gets_what_was_verified(verified, tonnes):
    whole = Figure(
        2026, "steel", "approved", "", Fraction(verified), basis="intensity",
        intensity=exact("1"), balance=exact("1.8"),
    )  # fmt: skip
    assert expected(whole) == tonnes


def test_n31_a_special_unit_gets_what_was_verified():
    assert (
        expected(Figure(2026, "power", "approved", "3", exact("123456.9"), basis="verified"))
        == 123_456
    )


def test_n28_tops_up_the_sum_of_an_enterprises_units():
    whole = Figure(2025, "power", "approved", "", exact("1000003"), basis="units")
    assert expected(whole, [500_000, 250_000]) == 800_002


def test_n59_data_fraud_takes_half_to_all_of_the_next_allowance():
    least, most = fraud_range(800_001)
    assert (least, most) == (400_001, 800_001)
    assert [least <= each <= most for each in (400_000, 400_001, 800_001, 800_002)] == [
        False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("typed", ["", "-1", "1e3", "１００", "1.1234567", "nan", "9" * 14, "1/3"])
def test_a_figure_is_plain_digits(app, typed):
    with pytest.raises(RuleError) as refusal:
        exact(typed)
    assert (typed or "–")[:30] in str(refusal.value)
