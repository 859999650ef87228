"""Prices, the closing price and clearing, with the figures of domain.md and rules-2026.md."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import RuleError
from app.domain.money import fen, plain_yuan, yuan
from app.domain.trades import (
    Deal,
    Method,
    Shortfall,
    clear,
    closing_price,
    is_of_its_size,
    price_band,
)

A, B, C = 1, 2, 3
CEA, CNY = 10, 20


def test_price_limits_are_rounded_inwards():
    """R59: after a close of 74.63."""
    assert price_band(7463, Method.LISTED) == (6717, 8209)
    assert price_band(7463, Method.BLOCK) == (5225, 9701)
    assert price_band(7463, Method.AUCTION) is None


@pytest.mark.parametrize(
    ("method", "quantity", "fits"),
    [
        (Method.LISTED, 99_999, True),
        (Method.LISTED, 100_000, False),
        (Method.BLOCK, 100_000, True),
        (Method.BLOCK, 99_999, False),
    ],
)
def test_listed_deals_are_smaller_than_block_deals(method, quantity, fits):
    """R59, N149."""
    assert is_of_its_size(method, quantity) is fits


def test_the_close_is_the_weighted_mean_of_the_listed_deals():
    """R60: 81.1069 becomes 81.11; without deals the previous close stays."""
    assert closing_price([(8000, 1000), (8150, 2000), (8207, 333)], 7463) == 8111
    assert closing_price([], 7463) == 7463
    assert closing_price([(1, 1), (2, 1)], 0) == 2  # half a fen goes up


def _deal(id_: int, seller: int, buyer: int, quantity: int, amount: int, **more: int) -> Deal:
    return Deal(id_, CEA, buyer, seller, quantity, amount, CNY, CNY, **more)


def test_purchases_and_sales_of_one_day_are_not_netted():
    """R51: A buys 5,000 of B and sells 5,000 to C out of what it had."""
    found = clear(
        [_deal(1, B, A, 5_000, 400_000_00), _deal(2, A, C, 5_000, 410_000_00)],
        {(B, CEA): 5_000, (A, CEA): 5_000},
        {(A, CNY): 400_000_00, (C, CNY): 410_000_00},
        {},
    )
    assert found.covered == {1: 0, 2: 0}


def test_what_was_bought_on_a_day_is_not_sold_on_it():
    """R52: nothing at first, 1,000 bought, none of it to be sold."""
    found = clear(
        [_deal(1, B, A, 1_000, 100), _deal(2, A, C, 1, 1)],
        {(B, CEA): 1_000},
        {(A, CNY): 100, (C, CNY): 1},
        {},
    )
    assert found.covered == {1: 0}
    assert found.short == [Shortfall(2, A, tonnes=1)]


def test_sales_of_a_day_pay_for_its_purchases():
    """R52, N144: 100,000.00 of proceeds and 20,000.00 pay for 120,000.00, and for no fen more."""
    sale, bought = _deal(1, A, B, 1, 100_000_00), _deal(2, C, A, 1, 120_000_00)
    held = {(A, CEA): 1, (C, CEA): 1}
    paid = {(B, CNY): 100_000_00, (A, CNY): 20_000_00}
    assert clear([sale, bought], held, paid, {}).covered == {1: 0, 2: 100_000_00}
    dearer = _deal(2, C, A, 1, 120_000_01)
    assert clear([sale, dearer], held, paid, {}).short == [Shortfall(2, A, fen=1)]
    assert clear([bought, sale], held, paid, {}).short == [Shortfall(2, A, fen=100_000_00)]


def test_fees_are_part_of_what_is_paid():
    bought = _deal(1, B, A, 1, 1_000, buy_fee=10, sell_fee=30)
    assert clear([bought], {(B, CEA): 1}, {(A, CNY): 1_010}, {}).covered == {1: 0}
    assert clear([bought], {(B, CEA): 1}, {(A, CNY): 1_009}, {}).short == [Shortfall(1, A, fen=1)]


DEALS = st.lists(
    st.builds(
        lambda parties, quantity, amount, fees: (*parties, quantity, amount, *fees),
        st.permutations([A, B, C]).map(lambda each: each[:2]),
        st.integers(1, 50),
        st.integers(10, 500),
        st.tuples(st.integers(0, 9), st.integers(0, 9)),
    ),
    max_size=30,
)


@given(DEALS, st.lists(st.integers(0, 200), min_size=6, max_size=6))
def test_nobody_gives_what_it_does_not_have_and_nothing_is_lost(rows, held):
    deals = [
        _deal(n, seller, buyer, quantity, amount, buy_fee=fee, sell_fee=other)
        for n, (seller, buyer, quantity, amount, fee, other) in enumerate(rows, 1)
    ]
    tonnes = {(each, CEA): held[n] for n, each in enumerate((A, B, C))}
    money = {(each, CNY): 3 * held[n + 3] for n, each in enumerate((A, B, C))}
    found = clear(deals, tonnes, money, {})

    assert len(found.covered) + len(found.short) == len(deals)
    # Replayed in order, no balance sinks below zero, bought tonnes aside.
    stock, purse, sales = dict(tonnes), dict(money), dict.fromkeys(money, 0)
    fees = 0
    for deal in deals:
        if deal.id in found.covered:
            paid = found.covered[deal.id]
            stock[deal.seller, CEA] -= deal.quantity
            sales[deal.buyer, CNY] -= paid
            purse[deal.buyer, CNY] -= deal.amount + deal.buy_fee - paid
            assert min(stock[deal.seller, CEA], *sales.values(), *purse.values()) >= 0
            sales[deal.seller, CNY] += deal.amount - deal.sell_fee
            fees += deal.buy_fee + deal.sell_fee
    assert sum(purse.values()) + sum(sales.values()) + fees == sum(money.values())


@pytest.mark.parametrize(
    ("typed", "read"), [("81.5", 8150), ("0.01", 1), (" 1000000 ", 100_000_000), ("7.05", 705)]
)
def test_an_amount_is_read_as_fen(typed, read):
    assert fen(typed) == read


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "amount_missing"),
        ("0.00", "amount_zero"),
        ("-1", "amount_malformed"),
        ("1.005", "amount_malformed"),
        ("1e3", "amount_malformed"),
        ("1,000", "amount_malformed"),
        ("１００", "amount_malformed"),
        ("99999999999999.99", "amount_too_large"),
    ],
)
def test_other_amounts_are_refused(typed, code):
    with pytest.raises(RuleError) as refused:
        fen(typed, field="price")
    assert (refused.value.code, refused.value.field) == (code, "price")


def test_an_amount_is_written_for_people_and_for_machines():
    assert yuan(123_456_789) == "1,234,567.89"
    assert plain_yuan(123_456_780) == "1234567.80"
    assert fen("0", may_be_zero=True) == 0
