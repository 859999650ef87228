"""Two venues trade one instrument: what they report of a member is compared together."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import SettlementDifference
from tests.markets import Market


@pytest.fixture
def second(market, tables) -> Market:
    """A second venue, which trades the first one's instrument."""
    return Market(tables, beside=market)


def differences() -> list[tuple[int, int | None, int, int]]:
    found = db.session.scalars(select(SettlementDifference).order_by(SettlementDifference.id))
    return [(each.account_id, each.instrument_id, each.ours, each.theirs) for each in found]


def settled_at_both(market, second, maker, checker, *, at_second: int) -> tuple[list, int, int]:
    """甲 sells 10 of its 60 tonnes at the first venue, and is said to hold some at the second."""
    seller = market.participant("甲", tonnes=100)
    buyer = market.participant("乙", yuan="800")
    market.deal(seller, buyer, 10, "80.00")
    rows = [
        (seller.member_no, "CEA", 60, 0, 0, 0, 10, 50),
        (buyer.member_no, "CEA", 0, 0, 0, 10, 0, 10),
    ]
    market.settle(maker, checker, content=market.package(POS=rows))
    alone = differences()
    held = [(seller.member_no, "CEA", at_second, 0, 0, 0, 0, at_second)]
    second.settle(maker, checker, content=second.package(POS=held))
    return alone, seller.id, market.cea.id


def test_a_shared_instrument_waits_for_the_last_venue(market, second, maker, checker):
    alone, *_rest = settled_at_both(market, second, maker, checker, at_second=40)
    assert alone == []  # 90 tonnes of our books against 50 of one venue would bar everyone.
    assert differences() == []


def test_what_the_venues_report_together_is_compared(market, second, maker, checker):
    alone, seller, cea = settled_at_both(market, second, maker, checker, at_second=39)
    assert alone == []
    assert differences() == [(seller, cea, 90, 89)]
