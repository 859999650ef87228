"""净买卖统计: what each member bought and sold, equal to the trades that were delivered."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import func, select

from app.extensions import db
from app.models import Trade, TradeDelivery
from app.operations.settlement import sides
from tests.views.settlement.test_trades import lines
from tests.views.toys import table

DAY = date(2026, 11, 19)


def test_a_participant_sees_what_it_bought_and_sold(world, sign_in):
    """甲 sold 20 at 80.00 and bought 10 at 81.00; its sale to 丁, in default, does not count."""
    page = sign_in(world.a.member).get("/trades/net/").text
    (row,) = table(page)
    assert row[1] == "2026-01-01—2026-12-31"
    assert row[4:] == ["10", "20", "-10", "810.00", "1,600.00", "+789.20"]
    assert not [mark for mark in world.b.marks if mark in page]


def test_the_registry_sees_everybody_and_a_province_its_own(world, sign_in):
    everybody = lines(sign_in(world.officers["registry_checker"]), "/trades/net/export.csv")
    a, b = world.a.account.member_no, world.b.account.member_no
    assert {row["会员编号"].strip() for row in everybody} >= {a, b}
    mine = lines(sign_in(world.officers["province"]), "/trades/net/export.csv")
    assert b not in {row["会员编号"].strip() for row in mine}
    assert a in {row["会员编号"].strip() for row in mine}
    (row,) = lines(sign_in(world.officers["province:31"]), "/trades/net/export.csv")
    assert (row["会员编号"].strip(), row["净买入（吨）"]) == (b, "10")


def test_what_is_in_default_stands_apart(world, sign_in):
    rows = lines(sign_in(world.officers["auditor"]), "/trades/net/export.csv?member=丁投资")
    assert [(row["买入（吨）"], row["净买入（吨）"]) for row in rows] == [("0", "0")]
    found = sides.net_between(DAY, DAY, [world.a.account.id])
    (net,) = found.values()
    assert (net.undelivered_sold, net.net_sold, net.fees) == (5, 10, 80)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("day_from=2026-11-19&day_to=2026-11-19", 1),
        ("day_from=2026-11-20", 0),
        ("day_to=2026-11-18", 0),
        ("day_from=2020-01-01", 1),
        ("vintage=1999", 0),
        ("code=XX", 0),
    ],
)
def test_conditions_narrow_it(world, sign_in, query, count):
    assert len(lines(sign_in(world.a.member), f"/trades/net/export.csv?{query}")) == count


@pytest.mark.parametrize("query", ["day_from=x", "day_from=2026-12-01&day_to=2026-11-01"])
def test_a_wrong_period_is_refused(world, sign_in, query):
    assert sign_in(world.a.member).get(f"/trades/net/?{query}").status_code == 400


def test_sums_equal_the_trades_delivered(world):
    delivered = (
        select(func.count(), func.sum(Trade.quantity), func.sum(Trade.amount))
        .join(TradeDelivery, TradeDelivery.trade_id == Trade.id)
    )  # fmt: skip
    count, tonnes, fen = db.session.execute(delivered).one()
    found = sides.net_between(date(2026, 1, 1), date(2026, 12, 31)).values()
    assert count == 2
    assert sum(each.bought for each in found) == sum(each.sold for each in found) == tonnes
    assert sum(each.bought_for for each in found) == sum(each.sold_for for each in found) == fen
    assert sum(each.net_sold for each in found) == 0
