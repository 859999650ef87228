"""The simulated exchange: what it matches is covered, within limits, and the same every time."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pytest

from app.domain.trades import Method, is_of_its_size, price_band
from app.pki import cms
from simulators.exchange import Keys, Matching

DAY = date(2026, 11, 20)
CLOSES = {"CEA": 98_50, "CEA21": 61_20}


def books(**more):
    members = {f"2104230000{n}": {"status": "normal"} for n in range(1, 7)}
    return {
        "tradable": ["CEA", "CEA21"],
        "positions": {
            "21042300001/CEA": 450_000, "21042300002/CEA21": 9_000, "21042300003/CEA": 50,
            "21042300004/CEA": 20_000, "21042300004/OLD": 20_000, "21042300099/CEA": 5_000,
        },
        "payable": dict.fromkeys(members, 30_000_000_00),
        "members": members,
    } | more  # fmt: skip


def matched(day=DAY, found=None):
    return list(Matching(2021, day, found or books(), CLOSES).deals())


def test_many_days_are_covered_and_within_the_limits():
    methods = set()
    for n in range(60):
        found, spent, sold = books(), {}, {}
        for row in matched(DAY + timedelta(days=n), found):
            _no, _at, method, code, buyer, seller, price, quantity, amount, *_rest = row
            methods.add(method)
            fen = round(float(price) * 100)
            lowest, highest = price_band(CLOSES[code], Method(method))
            assert lowest <= fen <= highest
            assert is_of_its_size(Method(method), quantity)
            assert amount == f"{fen * quantity // 100}.{fen * quantity % 100:02d}"
            assert buyer != seller
            spent[buyer] = spent.get(buyer, 0) + fen * quantity
            sold[seller, code] = sold.get((seller, code), 0) + quantity
        assert all(fen <= found["payable"][buyer] for buyer, fen in spent.items())
        for (seller, code), tonnes in sold.items():
            assert tonnes <= found["positions"][f"{seller}/{code}"], "nothing bought today is sold"
        assert ("21042300003", "CEA") not in sold
    assert methods == {10, 20}


def test_n103_what_courts_let_sell_is_sold_under_its_number_alone():
    """450 for a court of the 20,000 that a member has: at most the rest is sold otherwise."""
    sales = {
        "SM202600000390": ["21042300004", "CEA", 450],
        "SM202600000391": ["21042300099", "CEA", 9],
    }
    for n in range(20):
        rows = matched(DAY + timedelta(days=n), books(sales=sales))
        marked = [(row[3], row[5], row[7]) for row in rows if row[12] == "SM202600000390"]
        assert marked == [("CEA", "21042300004", 450)]
        own = sum(row[7] for row in rows if row[5] == "21042300004" and row[3] == "CEA") - 450
        assert own <= 20_000 - 450
        assert "SM202600000391" not in {row[12] for row in rows}  # It has no money account.


def test_a_day_is_the_same_every_time_and_another_day_is_not():
    assert matched() == matched()
    assert matched() != matched(DAY + timedelta(days=1))


def test_everybody_with_money_and_everybody_with_tonnes_deals():
    rows = matched()
    assert {row[4] for row in rows} == set(books()["members"])
    assert {row[5] for row in rows} >= {"21042300002", "21042300004"}
    times = [row[1] for row in rows]
    assert all(one < other for one, other in itertools.pairwise(times))


@pytest.mark.parametrize("side", [4, 5])
def test_a_restricted_member_does_not_deal(side):
    found = books()
    found["members"]["21042300004"]["status"] = "restricted"
    assert "21042300004" not in {row[side] for row in matched(found=found)}


def test_without_money_or_tonnes_nothing_is_dealt():
    assert matched(found=books(payable={})) == []
    assert matched(found=books(positions={})) == []


def test_its_keys_are_kept_and_its_signatures_hold(tmp_path):
    one, again = Keys(tmp_path / "keys"), Keys(tmp_path / "keys")
    assert one.public() == again.public()
    assert "d" not in one.public()
    assert one.certificate(DAY) == again.certificate(DAY)

    class Kept:
        der = one.certificate(DAY)

    cms.verify("结果".encode(), again.sign("结果".encode(), DAY), lambda _issuer, _serial: Kept())
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
    assert (tmp_path / "keys" / "client.json").stat().st_mode & 0o077 == 0
