"""Members, positions, the calendar and the tradable list, as the trading side reads them."""

from __future__ import annotations

import pytest

from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Account, Application, Venue, VenueInstrument
from tests.factories import account, give, instrument
from tests.markets import Market
from tests.operations import courts
from tests.operations.machines import registered


def test_a_member_with_its_permission_and_restriction(machine, permitted):
    found = machine.call("GET", f"/members/{permitted.member_no}").json
    assert (found["status"], found["allows_exchange_transfer"]) == ("normal", True)
    assert (found["restrictions"], found["name"]) == ([], "甲发电有限公司")
    restricted = account("受限单位", is_restricted=True)
    found = machine.call("GET", f"/members/{restricted.member_no}").json
    assert (found["status"], found["restrictions"]) == ("restricted", ["debits"])


@pytest.mark.parametrize("number", ["nobody", "00000000001", "%00", "%ED%A0%80", "x" * 300])
def test_an_unknown_member_is_not_found(machine, number):
    answer = machine.call("GET", f"/members/{number}")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def holding(tonnes, what, bucket=Bucket.TRADING, name="单位"):
    of = account(name)
    give(of, what, tonnes, bucket)
    return of


def pages(machine, limit=2, between=lambda: None, **more):
    """Read every page; ``between`` happens after the first one."""
    found, instants, cursor = [], set(), ""
    while cursor is not None:
        query = {"limit": limit, **more} | ({"cursor": cursor} if cursor else {})
        answer = machine.call("GET", "/positions", query_string=query)
        assert answer.status_code == 200, answer.text
        found += answer.json["positions"]
        instants.add(answer.json["as_of"])
        cursor = answer.json["next_cursor"]
        between()
        between = lambda: None  # noqa: E731
    assert len(instants) == 1
    return found


def test_positions_are_those_of_the_trading_side(machine):
    what = instrument()
    members = [holding(n, what) for n in range(1, 6)]
    holding(7, what, Bucket.AVAILABLE)  # nothing on the trading side
    holding(7, instrument("没有交易代码", trade_code=None))
    found = pages(machine)
    assert [(each["member_no"], each["trading"]) for each in found] == [
        (of.member_no, n) for n, of in enumerate(members, start=1)
    ]
    assert found[0] == {
        "member_no": members[0].member_no, "instrument_code": what.code, "trade_code": "CEA",
        "pending_to_trading": 0, "trading": 1, "pending_to_registry": 0,
    }  # fmt: skip


def test_what_moves_between_two_pages_is_not_seen(machine):
    what = instrument()
    members = [holding(10, what) for _each in range(5)]
    before = pages(machine)

    def move():
        for of in members:
            give(of, what, 5, Bucket.TRADING)
        holding(1, what)

    assert pages(machine, between=move) == before
    assert sum(each["trading"] for each in pages(machine)) == 76


def test_a_cursor_keeps_to_its_conditions(machine):
    what = instrument()
    one = holding(1, what)
    holding(2, what)
    assert [each["trading"] for each in pages(machine, member_no=one.member_no)] == [1]
    cursor = machine.call("GET", "/positions?limit=1").json["next_cursor"]
    for query in (
        f"cursor={cursor}&member_no={one.member_no}",
        f"cursor={cursor}x",
        "cursor=e30.x",
    ):
        answer = machine.call("GET", f"/positions?{query}")
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "cursor_unknown")
    answer = machine.call("GET", f"/transfers?cursor={cursor}")  # of another list
    assert answer.status_code == 422


def test_the_calendar_in_pages(machine):
    first = machine.call("GET", "/calendar?from=2026-11-20&to=2026-11-24&limit=3").json
    query = {"from": "2026-11-20", "to": "2026-11-24", "limit": 3, "cursor": first["next_cursor"]}
    second = machine.call("GET", "/calendar", query_string=query).json
    days = first["days"] + second["days"]
    assert [(each["day"], each["is_trading"]) for each in days] == [
        ("2026-11-20", True), ("2026-11-21", False), ("2026-11-22", False), ("2026-11-23", True),
        ("2026-11-24", True),
    ]  # fmt: skip
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "query", ["from=2026-13-01", "from=１", "from=2026-11-20&to=2026-11-19", "to=x"]
)
def test_days_that_are_none_are_refused(machine, query):
    assert machine.call("GET", f"/calendar?{query}").status_code == 422


def test_each_venue_has_its_own_codes(app, machine):
    what = instrument(trade_code="CEA")
    with transaction():
        other = Venue(code="SHEX", name="另一交易端")
        db.session.add(other)
        db.session.flush()
        db.session.add(VenueInstrument(venue=other, instrument=what, trade_code="SHEA"))
    found = machine.call("GET", "/tradable").json
    assert (found["day"], found["venue_code"]) == ("2026-11-23", "ZGW")
    assert [(each["instrument_code"], each["trade_code"]) for each in found["instruments"]] == [
        (what.code, "CEA")
    ]
    theirs = registered(app, "SHEX02", venue="SHEX").sign_in()
    assert theirs.call("GET", "/tradable").json["instruments"][0]["trade_code"] == "SHEA"
    assert db.session.query(Account).count() > 0


def test_the_money_of_participants_in_pages(app, machine, tables):
    market = Market(tables)
    rich = market.participant("甲", yuan="1234567.80")
    poor = market.participant("乙")
    account("未绑定")
    first = machine.call("GET", "/funds?limit=1").json
    second = machine.call("GET", f"/funds?limit=1&cursor={first['next_cursor']}").json
    assert first["funds"] == [
        {"member_no": rich.member_no, "bank_code": "ICBC", "available": "1234567.80",
         "proceeds": "0.00", "frozen": "0.00"},
    ]  # fmt: skip
    assert [(each["member_no"], each["available"]) for each in second["funds"]] == [
        (poor.member_no, "0.00")
    ]
    assert second["next_cursor"] is None


def test_money_is_read_with_its_own_scope(app):
    machine = registered(app, scopes=["positions:read"]).sign_in()
    assert machine.call("GET", "/funds").status_code == 403
    assert machine.call("GET", "/positions").status_code == 200


def test_n103_what_courts_let_sell_in_pages(app, machine, tables, maker, checker):
    market = Market(tables)
    seller = market.participant("甲")
    give(seller, market.cea, 1000)
    order = courts.freeze(seller, maker, 600, market.cea)
    one, two = (courts.sell(order, maker, tonnes, market.cea) for tonnes in (450, 50))
    first = machine.call("GET", "/court-sales?limit=1").json
    assert first["sales"] == [
        {"number": db.session.get_one(Application, one).number, "member_no": seller.member_no,
         "instrument_code": market.cea.code, "trade_code": "CEA", "unsold": 450},
    ]  # fmt: skip
    more = machine.call("GET", f"/court-sales?limit=1&cursor={first['next_cursor']}").json
    assert ([each["unsold"] for each in more["sales"]], more["next_cursor"]) == ([50], None)
    courts.end_sale(two, maker, 50)
    assert len(machine.call("GET", "/court-sales").json["sales"]) == 1
