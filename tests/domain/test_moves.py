"""Parsing of quantities, and valid moves."""

from __future__ import annotations

import pytest

from app.domain.errors import RuleError
from app.domain.moves import (
    BUCKET_TITLES,
    HELD_BUCKETS,
    LARGEST_REQUEST,
    REGISTRY_BUCKETS,
    STAGE_TITLES,
    TRADING_BUCKETS,
    Bucket,
    Move,
    Pocket,
    Stage,
    whole_tonnes,
    within,
)


@pytest.mark.parametrize(
    ("typed", "tonnes"),
    [
        ("1", 1),
        ("100", 100),
        (" 100 ", 100),
        ("\t100\n", 100),
        ("007", 7),
        ("0" * 50 + "9", 9),
        ("2147483648", 2**31),
        ("1000000000000", 10**12),
        ("0001000000000000", 10**12),
    ],
)
def test_plain_digits_are_tonnes(typed, tonnes):
    assert whole_tonnes(typed) == tonnes


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (None, "quantity_missing"),
        ("", "quantity_missing"),
        ("   ", "quantity_missing"),
        ("\u3000", "quantity_missing"),
        ("0", "quantity_zero"),
        ("000", "quantity_zero"),
        ("-5", "quantity_not_whole"),
        ("-0", "quantity_not_whole"),
        ("+5", "quantity_not_whole"),
        ("1.5", "quantity_not_whole"),
        ("1.0", "quantity_not_whole"),
        ("5.", "quantity_not_whole"),
        ("1e3", "quantity_not_whole"),
        ("0x10", "quantity_not_whole"),
        ("1_000", "quantity_not_whole"),
        ("1,000", "quantity_not_whole"),
        ("1，000", "quantity_not_whole"),
        ("1 000", "quantity_not_whole"),
        ("１００", "quantity_not_whole"),
        ("٣", "quantity_not_whole"),
        ("²", "quantity_not_whole"),
        ("一百", "quantity_not_whole"),
        ("100吨", "quantity_not_whole"),
        ("1\x00", "quantity_not_whole"),
        ("\x00", "quantity_not_whole"),
        ("NaN", "quantity_not_whole"),
        ("inf", "quantity_not_whole"),
        ("None", "quantity_not_whole"),
        ("1\n2", "quantity_not_whole"),
        ("1; DROP TABLE holding", "quantity_not_whole"),
        ("1000000000001", "quantity_too_large"),
        ("9223372036854775807", "quantity_too_large"),
        ("9223372036854775808", "quantity_too_large"),
        ("9" * 5000, "quantity_too_large"),
    ],
)
def test_anything_else_is_refused_with_its_own_message(typed, code):
    with pytest.raises(RuleError) as refusal:
        whole_tonnes(typed, field="lines.3.quantity")

    assert refusal.value.code == code
    assert refusal.value.field == "lines.3.quantity"
    assert str(refusal.value)


def test_the_message_shows_a_long_input_shortened():
    with pytest.raises(RuleError, match=r"x{30}$"):
        whole_tonnes("x" * 400)


def test_the_largest_request_fits_the_database():
    assert LARGEST_REQUEST == 10**12 < 2**63


def test_a_move_leaves_one_pocket_for_another():
    move = within(7, 3, Bucket.AVAILABLE, Bucket.PENDING_TO_TRADING, 100)

    assert move.source == Pocket(7, 3, Bucket.AVAILABLE)
    assert move.target == Pocket(7, 3, Bucket.PENDING_TO_TRADING)
    assert move.quantity == 100


@pytest.mark.parametrize(
    ("source", "target", "quantity"),
    [
        (Pocket(1, 1, Bucket.AVAILABLE), Pocket(1, 1, Bucket.FROZEN), 0),
        (Pocket(1, 1, Bucket.AVAILABLE), Pocket(1, 1, Bucket.FROZEN), -1),
        (Pocket(1, 1, Bucket.AVAILABLE), Pocket(1, 2, Bucket.AVAILABLE), 1),
        (Pocket(1, 1, Bucket.AVAILABLE), Pocket(1, 1, Bucket.AVAILABLE), 1),
    ],
)
def test_an_impossible_move_fails_an_assertion(source, target, quantity):
    with pytest.raises(AssertionError):
        Move(source, target, quantity)


def test_the_holding_is_registry_plus_trading():
    """总持有量=登记可用量+登记冻结量+登记待划转量+交易持有量+交易待划转量; frozen shows as two buckets."""
    assert set(HELD_BUCKETS) == set(REGISTRY_BUCKETS) | set(TRADING_BUCKETS)
    assert [bucket.column for bucket in HELD_BUCKETS] == [
        "available",
        "reserved",
        "frozen",
        "pending_to_trading",
        "trading",
        "pending_to_registry",
    ]


def test_stored_numbers_of_buckets_never_change():
    assert [(int(bucket), bucket.name) for bucket in Bucket] == [
        (1, "AVAILABLE"),
        (2, "RESERVED"),
        (3, "FROZEN"),
        (4, "PENDING_TO_TRADING"),
        (5, "TRADING"),
        (6, "PENDING_TO_REGISTRY"),
        (7, "CUSTODY"),
        (8, "IN_RETURN"),
        (9, "SURRENDERED"),
        (10, "CANCELLED"),
        (11, "CONFISCATED"),
        (12, "ISSUED"),
        (13, "PROCEEDS"),
        (14, "RECALLED"),
    ]


def test_every_bucket_and_stage_has_a_title():
    assert set(BUCKET_TITLES) == set(Bucket)
    assert set(STAGE_TITLES) == set(Stage)
