"""操作复核 under concurrency: two colleagues, withdrawal, day-end."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import select

from app.domain.errors import NotAllowed, RuleError
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Account, Application, Member
from app.operations.accounts import accounts, operators
from app.operations.applications import engine
from app.operations.ledger import settlement
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import account, at, member, quantity, submitted


@pytest.fixture
def colleagues(plant, operator):
    """Three reviewers besides the representative, with 操作复核 on."""
    found = [member("enterprise_checker", of=plant) for _each in range(3)]
    with transaction():
        accounts.ask_colleagues(plant.id, Actor.of(operator), asks=True, now=clock.now())
    return found


@pytest.fixture
def case(operator, colleagues, cea):
    return submitted("registry_to_trading", operator, {cea: 10}).id


def decide(verb, application_id: int, by: Actor, **more) -> None:
    with transaction():
        verb([application_id], by, now=clock.now(), **more).one()


def test_two_colleagues_at_once_and_one_counts(together, plant, cea, case, colleagues):
    actors = [Actor.of(each) for each in colleagues]

    results = together(*(partial(decide, engine.approve, case, by) for by in actors))

    assert [error.code for error in results.failed] == ["wrong_status"] * 2
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 10
    assert quantity(plant, cea, Bucket.RESERVED) == 0
    events = [event.action for event in db.session.get_one(Application, case).events]
    assert events.count("approve") == 1
    assert verify_ledger().is_sound


def test_without_the_locks_more_than_one_counts(
    together, plant, operator, cea, colleagues, without_any_lock_on_applications
):
    actors = [Actor.of(each) for each in colleagues]
    for _ in range(8):
        made = submitted("registry_to_trading", operator, {cea: 1}).id
        results = together(*(partial(decide, engine.approve, made, by) for by in actors))
        if any(not isinstance(error, NotAllowed) for error in results.failed):
            # They all saw it waiting; only the ledger's own keys kept the tonnes from moving twice.
            assert all(isinstance(error, RuleError) for error in results.failed)
            return
    pytest.fail("the locks make no difference")


@pytest.mark.parametrize("other", ["withdraw", "send_back"])
def test_agreeing_and_its_opposite_at_once_end_in_one_of_them(
    together, plant, operator, cea, case, colleagues, other
):
    by = Actor.of(operator) if other == "withdraw" else Actor.of(colleagues[1])
    together(
        partial(decide, engine.approve, case, Actor.of(colleagues[0])),
        partial(decide, getattr(engine, other), case, by, comment="不同意"),
    )
    status = db.session.get_one(Application, case).status
    moved = quantity(plant, cea, Bucket.PENDING_TO_TRADING)
    assert (status, moved) in {
        ("pending_settlement", 10),
        ("withdrawn", 0),
        ("returned", 0),
    }
    assert quantity(plant, cea, Bucket.AVAILABLE) == 100 - moved
    assert verify_ledger().is_sound


def test_agreement_and_day_end_at_once_lose_nothing(together, plant, cea, case, colleagues):
    day = at("15:30").astimezone(BEIJING)

    def settle() -> None:
        with transaction():
            settlement.settle_day(day.date(), SYSTEM, now=day)

    results = together(partial(decide, engine.approve, case, Actor.of(colleagues[0])), settle)

    row = db.session.get_one(Application, case)
    waits = quantity(plant, cea, Bucket.RESERVED)
    if results.failed:  # The day was closed first: the yes came too late for it.
        assert (row.status, waits) == ("in_review", 10)
    else:
        # In time for this day, or set out for the next one; never in between.
        assert waits == 0
        total = sum(
            quantity(plant, cea, bucket) for bucket in (Bucket.PENDING_TO_TRADING, Bucket.TRADING)
        )
        assert total == 10
    assert verify_ledger().is_sound


def test_operators_added_at_once_have_different_numbers(together, plant, operator):
    actor = Actor.of(operator)

    def add(n: int) -> str:
        with transaction():
            return operators.add(
                actor,
                name=f"操作员{n}",
                phone="13800138000",
                email=f"operator{n}@plant.example.cn",
                roles=[operators.MAKER],
                now=clock.now(),
            ).username

    results = together(*(partial(add, n) for n in range(4)))

    assert results.failed == []
    assert sorted(results.returned) == [f"{plant.member_no}-{n:02}" for n in range(1, 5)]


def test_one_address_is_one_persons_at_once_too(together, plant, operator):
    actors = [Actor.of(operator), Actor.of(member(of=account("乙水泥有限公司")))]

    def add(actor: Actor) -> str:
        with transaction():
            return operators.add(
                actor,
                name="操作员",
                phone="13800138000",
                email="same@plant.example.cn",
                roles=[operators.MAKER],
                now=clock.now(),
            ).username

    results = together(*(partial(add, actor) for actor in actors))

    assert [error.code for error in results.failed] == ["email_taken"]


def test_the_last_two_who_may_review_are_not_disabled_at_once(
    together, plant, operator, colleagues
):
    """Of four reviewers two remain while 操作复核 is on."""
    actor = Actor.of(operator)

    def disable(id_: int) -> None:
        with transaction():
            operators.disable(id_, actor)

    results = together(*(partial(disable, each.id) for each in colleagues))

    assert [error.code for error in results.failed] == ["no_colleague"]
    active = select(Member.id).where(Member.account_id == plant.id, Member.active)
    assert len(db.session.scalars(active).all()) == 2
    assert db.session.get_one(Account, plant.id).needs_colleague
