"""结转: how much may be carried over, and what a planner has to sell (rules-2026 N65, N67, N75)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.compliance.carry_over import (
    FIELDS,
    Held,
    RoundDecision,
    batches_of,
    quota,
    tonnes_to_sell,
)
from app.domain.compliance.plans import read

R = Decimal("1.5")
TONNES = st.integers(0, 10**7)


@pytest.mark.parametrize(
    ("base", "sold", "bought", "holding", "found"),
    [
        (10_000, 50_000, 16_667, 80_000, 59_999),
        (10_000, 50_000, 16_667, 40_000, 40_000),
        (10_000, 1_000, 9_000, 30_000, 10_000),
        (100_000, 33_333, 0, 350_000, 149_999),
        (100_000, 0, 0, 350_000, 100_000),
    ],
)
def test_n65_the_table(base, sold, bought, holding, found):
    assert quota(base, R, sold, bought, holding) == found


def test_n65_exact_beyond_what_a_float_holds():
    assert quota(0, Decimal("0.1"), 10**17 + 10, 0, 10**18) == 10**16 + 1


def test_n67_c1_the_holding_counts_what_courts_froze_and_nothing_twice():
    held = Held(
        available=12_000, trading=15_000, frozen_judicial=5_000,
        frozen_other=700, reserved=8_000, custody=900,
    )  # fmt: skip
    assert held.counted == 32_000
    assert Held(available=1, in_transit=2).counted == 3


def test_n75_selling_36_000_leaves_64_000():
    assert tonnes_to_sell(10_000, R, 0, 0, 100_000) == 36_000
    assert quota(10_000, R, 36_000, 0, 64_000) == 64_000
    assert tonnes_to_sell(10_000, R, 0, 0, 10_000) == 0


def test_n75_what_was_bought_is_made_up_for_first():
    # 8,000 more bought than sold: the first 8,000 sold raise nothing.
    assert tonnes_to_sell(10_000, R, 1_000, 9_000, 15_000) == 5_000
    sold = tonnes_to_sell(10_000, R, 1_000, 9_000, 100_000)
    assert quota(10_000, R, 1_000 + sold, 9_000, 100_000 - sold) == 100_000 - sold


@given(base=TONNES, sold=TONNES, bought=TONNES, holding=TONNES)
def test_n75_it_is_enough_and_no_more_than_needed(base, sold, bought, holding):
    least = tonnes_to_sell(base, R, sold, bought, holding)

    def everything_is_carried_over(more):
        return quota(base, R, sold + more, bought, holding - more) == holding - more

    assert everything_is_carried_over(least)
    assert least == 0 or not everything_is_carried_over(least - 1)


TYPED = {
    "vintages": "2019、2020 2021,2022；2023、2024",
    "target": "PE2025000001",
    "sold_from": "2024-01-01",
    "sold_until": "2025年12月31日",
    "held_at": "2025-12-31 23:59",
    "years": "2023、2024",
    "plan_year": "2024",
    "base_rule": "largest",
    "notice_by": "2026-01-31",
    "apply_until": "2026-06-10",
    "batches": "2026-03-20/2026-03-27、2026-06-10/2026-06-26",
    "issue_days": "5",
    "source": "国环规气候〔2024〕1号附件5",
}


def test_a_round_is_written_in_one_way():
    values, wrong = read(TYPED, FIELDS)
    assert not wrong
    assert values["vintages"] == "2019,2020,2021,2022,2023,2024"
    assert values["held_at"] == "2025-12-31 23:59:00"
    assert values["sold_until"] == "2025-12-31"
    assert [str(day) for pair in batches_of(values) for day in pair] == [
        "2026-03-20", "2026-03-27", "2026-06-10", "2026-06-26",
    ]  # fmt: skip
    decision = RoundDecision(2025, None, None, values)
    assert RoundDecision.read(decision.stored()) == decision


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("batches", "2026-03-20", "not 2026-03-20"),
        ("batches", "2026-03-20/2026-13-27", "not 2026-03-20/2026-13-27"),
        ("plan_year", "２０２４", "not ２０２４"),
        ("issue_days", "five", "not five"),
        ("base_rule", "biggest", "The largest of its sectors, once"),
        ("vintages", "CEA21", "not CEA21"),
    ],
)
def test_what_cannot_be_read_is_named(name, typed, said):
    _values, wrong = read(TYPED | {name: typed}, FIELDS)
    assert list(wrong) == [name]
    assert said in wrong[name]
