"""大户持仓 (rules-2026 N127): found after a settled day, of groups as a whole, and never a refused deal."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import (
    Account,
    CompanyGroupMember,
    HoldingLimit,
    LargeHolding,
    LargeHoldingRun,
    OutboxMessage,
)
from app.operations.accounts import sectors
from app.operations.applications import engine
from app.operations.ledger import settlement
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import large_holdings
from tests import factories
from tests.markets import DAY, EVENING, MORNING, Market

LIMIT = 1_000_000


def limit(
    quantity: int = LIMIT, *, sector: str = "all", since: date = DAY, vintage: int = 2020
) -> None:
    with transaction():
        db.session.add(
            HoldingLimit(
                sector=sector, vintage=vintage, quantity=quantity, basis="规则", valid_from=since
            )
        )


def group(head: Account, companies: list[Account], maker, checker, since: date = DAY) -> int:
    """Enter and approve a group."""
    draft = engine.Draft(
        "company_group", head.id, (), str(uuid4()), reason="控股子公司", document_no="交易函1号",
        starts_on=since, receivers=tuple(each.id for each in companies),
    )  # fmt: skip
    with transaction():
        (made,) = engine.start([draft], Actor.of(maker), now=EVENING)
        engine.submit([made], Actor.of(maker), now=EVENING).one()
    with transaction():
        engine.approve([made], Actor.of(checker), now=EVENING).one()
    return made


def close(day: date = DAY, now=EVENING) -> int | None:
    """Settle what is in transit and search the day."""
    with transaction():
        settlement.settle_day(day, SYSTEM, now=now)
    with transaction():
        return large_holdings.find(day, SYSTEM, now=now)


def found(day: date = DAY) -> list[tuple[str, int, int, int]]:
    """Return (name, own, with the group, limit)."""
    rows = db.session.execute(
        select(Account.name, LargeHolding.quantity, LargeHolding.total, LargeHolding.most)
        .join(Account, Account.id == LargeHolding.account_id)
        .where(LargeHolding.day == day)
        .order_by(Account.member_no)
    )
    return [tuple(row) for row in rows]


@pytest.fixture
def a(market: Market) -> Account:
    return market.participant("甲发电有限公司", tonnes=600_000, yuan="9000000")


@pytest.fixture
def b(market: Market) -> Account:
    return market.participant("乙热电有限公司", tonnes=300_000)


def trade(market: Market, a: Account, tonnes: int, maker, checker) -> None:
    seller = market.participant("丙能源有限公司", tonnes=200_000)
    market.deal(seller, a, tonnes, "80.00", method=20 if tonnes >= 100_000 else 10)
    market.settle(maker, checker)


def test_a_head_that_holds_nothing_is_told_of_its_group(quiet, maker, checker, a, b):
    limit(899_999)
    group(factories.account("丁控股有限公司"), [a, b], maker, checker)
    assert close() == 3
    assert ("丁控股有限公司", 0, 900_000, 899_999) in found()


@pytest.mark.parametrize(("credit", "is_flagged"), [(100_001, True), (100_000, False)])
def test_a_group_above_its_limit_by_a_trade_is_flagged_and_the_deal_stands(
    market, maker, checker, a, b, credit, is_flagged
):
    """Limit 1,000,000: A 600,000 + subsidiary B 300,000 + a credit of 100,001 by trade."""
    limit()
    group(a, [b], maker, checker)
    trade(market, a, credit, maker, checker)
    assert market.tonnes(a) == 600_000 + credit  # never refused
    assert close() == (2 if is_flagged else 0)
    total = 900_000 + credit
    assert found() == (
        [
            ("甲发电有限公司", 600_000 + credit, total, LIMIT),
            ("乙热电有限公司", 300_000, total, LIMIT),
        ]
        if is_flagged
        else []
    )
    assert db.session.get_one(LargeHoldingRun, DAY).due_on == MORNING.date()


def test_without_the_group_nobody_is_above(market, maker, checker, a, b):
    limit()
    trade(market, a, 100_001, maker, checker)
    assert close() == 0


def test_what_lies_elsewhere_counts_too(market, a):
    """In the registry, frozen and in custody: all of it is the member's."""
    limit(600_002)
    for bucket in (Bucket.AVAILABLE, Bucket.FROZEN, Bucket.CUSTODY):
        factories.give(a, market.cea, 1, bucket)
    with pytest.raises(RuleError):  # The venue's trades come first.
        close()
    market.tables.connection.execute("UPDATE venue_certificate SET disabled_from = %s", [DAY])
    assert close() == 1
    assert found() == [("甲发电有限公司", 600_003, 600_003, 600_002)]


@pytest.fixture
def quiet(market: Market) -> Market:
    """A market whose venue hands in no packages."""
    market.tables.connection.execute("UPDATE venue_certificate SET disabled_from = valid_from")
    return market


def test_the_limit_of_the_class_comes_first_and_then_the_later(quiet, a):
    with transaction():
        sectors.change(a.id, ["power"], date(2021, 7, 1))
    limit(10, since=DAY - timedelta(days=9))
    limit(20, since=DAY - timedelta(days=1))
    limit(30, sector="steel")
    limit(40, since=DAY + timedelta(days=1))
    limit(50, vintage=2021)
    assert close() == 1
    assert found()[0][3] == 20
    limit(599_999, sector="power")
    close(MORNING.date(), MORNING.replace(hour=16))
    assert found(MORNING.date())[0][3] == 599_999


def test_a_day_is_searched_once_and_what_lasts_is_told_once(quiet, a):
    limit()
    limit(500_000, since=DAY - timedelta(days=1))
    with transaction():
        db.session.query(HoldingLimit).filter_by(quantity=LIMIT).update({"disabled_from": DAY})
    factories.member(of=a, email="rep@plant.example")
    factories.member("registry_checker", email="officer@registry.example")
    assert close() == 1
    with transaction():
        assert large_holdings.find(DAY, SYSTEM, now=EVENING) is None
        assert large_holdings.find_if_due(SYSTEM, now=EVENING) is None
    told = db.session.execute(
        select(OutboxMessage.recipient, OutboxMessage.body)
        .where(OutboxMessage.purpose == "large_holding").order_by(OutboxMessage.id)
    ).all()  # fmt: skip
    assert [row.recipient for row in told] == ["rep@plant.example", "officer@registry.example"]
    assert "held 600,000 tonnes" in told[0].body
    assert "500,000 tonnes" in told[0].body
    assert "2026-11-23" in told[0].body

    assert close(MORNING.date(), MORNING.replace(hour=16)) == 1
    row = db.session.scalars(select(LargeHolding).where(LargeHolding.day == MORNING.date())).one()
    assert row.since == DAY
    count = db.session.query(OutboxMessage).filter_by(purpose="large_holding").count()
    assert count == 2


def test_the_worker_searches_the_day_that_was_settled_last(quiet, a):
    limit(500_000)
    with transaction():
        settlement.settle_day(DAY, SYSTEM, now=EVENING)
    with transaction():
        assert large_holdings.find_if_due(SYSTEM, now=EVENING) == 1


# Groups ---------------------------------------------------------------------------------------


def memberships(head: Account) -> list[tuple[int, date, date | None]]:
    rows = db.session.scalars(
        select(CompanyGroupMember)
        .where(CompanyGroupMember.head_id == head.id)
        .order_by(CompanyGroupMember.id)
    )
    return [(row.account_id, row.starts_on, row.ends_on) for row in rows]


def test_a_later_application_replaces_the_group_and_an_empty_one_dissolves_it(
    market, maker, checker, a, b
):
    c = market.participant("丙")
    group(a, [b], maker, checker)
    monday = MORNING.date()
    group(a, [c], maker, checker, since=monday)
    group(a, [], maker, checker, since=monday + timedelta(days=1))
    first, second = (a.id, DAY, monday), (b.id, DAY, monday)
    tuesday = monday + timedelta(days=1)
    assert memberships(a) == [first, second, (a.id, monday, tuesday), (c.id, monday, tuesday)]


def test_a_company_is_in_one_group_at_a_time(market, maker, checker, a, b):
    c = market.participant("丙")
    group(a, [b], maker, checker)
    with pytest.raises(RuleError) as refused:
        group(c, [b], maker, checker)
    assert refused.value.code == "grouped_elsewhere"
    assert a.member_no in str(refused.value)
    assert b.member_no in str(refused.value)
    assert memberships(c) == []
    # Nor is a head a company of another one's group; once it has left, both may.
    with pytest.raises(RuleError):
        group(c, [a], maker, checker)
    group(a, [], maker, checker, since=MORNING.date())
    group(c, [b], maker, checker, since=MORNING.date())


def test_two_groups_that_take_one_company_at_once(market, maker, checker, a, b):
    """Both were submitted while it was free; the second approval is refused by its rule."""
    c = market.participant("丙")
    made = []
    for head in (a, c):
        draft = engine.Draft(
            "company_group", head.id, (), str(uuid4()), reason="控股", document_no="1号",
            starts_on=DAY, receivers=(b.id,),
        )  # fmt: skip
        with transaction():
            made += engine.start([draft], Actor.of(maker), now=EVENING)
            engine.submit(made[-1:], Actor.of(maker), now=EVENING).one()
    with transaction():
        engine.approve(made[:1], Actor.of(checker), now=EVENING).one()
    with pytest.raises(RuleError), transaction():
        engine.approve(made[1:], Actor.of(checker), now=EVENING).one()
    assert memberships(c) == []


def test_the_database_keeps_groups_to_what_two_approved(market, maker, checker, a, b):
    made = group(a, [b], maker, checker)
    with pytest.raises(DBAPIError, match="not as two officers approved"), transaction():
        db.session.execute(text("SELECT carry_out_company_groups(:ids)"), {"ids": [made]})
    db.session.rollback()
    rows = "INSERT INTO company_group_member (head_id, account_id, application_id, starts_on)"
    with pytest.raises(Exception, match="one_group_at_a_time"):
        market.tables.connection.execute(
            rows + " VALUES (%s, %s, 0, %s)", [a.id, b.id, DAY + timedelta(days=3)]
        )
