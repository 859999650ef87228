"""The engine: a transfer from draft to settlement, and what refuses it."""

from __future__ import annotations

import pytest

from app.domain.errors import InsufficientQuantity
from app.domain.moves import Bucket
from tests.factories import account, give, instrument, member, quantity, submitted


@pytest.fixture
def plant(app):
    return account()


@pytest.fixture
def operator(plant):
    return member(of=plant)


@pytest.fixture
def cea(plant):
    row = instrument()
    give(plant, row, 700)
    return row


def test_a_transfer_leaves_available_at_once(plant, operator, cea):
    submitted("registry_to_trading", operator, {cea: 100})

    assert quantity(plant, cea) == 600
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 100


def test_more_than_available_is_refused_and_nothing_moves(plant, operator, cea):
    with pytest.raises(InsufficientQuantity, match="701"):
        submitted("registry_to_trading", operator, {cea: 701})

    assert quantity(plant, cea) == 700
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 0
