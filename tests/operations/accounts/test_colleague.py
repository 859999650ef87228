"""操作复核: with the switch on, a second operator has to agree before the application proceeds."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.domain.errors import NotAllowed, OutsideTradingHours, RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import COLLEAGUE_STEP
from app.extensions import db, transaction
from app.models import Account, Application, ColleagueReviewChange, OperationLog
from app.operations.accounts import accounts
from app.operations.applications import engine
from app.operations.ledger import settlement
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import account, at, draft, give, instrument, member, nothing_moves, submitted

TRANSFER, CANCELLATION = "registry_to_trading", "voluntary_cancellation"


@pytest.fixture
def colleague(plant, operator):
    """A second reviewer of the plant besides the representative."""
    return member("enterprise_checker", of=plant)


@pytest.fixture
def asked(plant, operator, colleague):
    """操作复核 is on."""
    switch(plant, operator, on=True)
    return plant


@pytest.fixture
def registry(app):
    return member("registry_checker")


def switch(of: Account, by, *, on: bool) -> None:
    with transaction():
        accounts.ask_colleagues(of.id, Actor.of(by), asks=on, now=clock.now())


def approve(*ids, by, now=None):
    with transaction():
        return engine.approve(ids, Actor.of(by), now=now or clock.now())


def send_back(*ids, by):
    with transaction():
        return engine.send_back(ids, Actor.of(by), now=clock.now(), comment="数量有误")


def submit(*ids, by, now=None):
    with transaction():
        return engine.submit(ids, Actor.of(by), now=now or clock.now())


def read(application_id):
    db.session.expire_all()
    return db.session.get_one(Application, application_id)


def settle(now="15:30"):
    with transaction():
        day = at(now).astimezone(BEIJING)
        settlement.settle_day(day.date(), SYSTEM, now=day)


def test_a_transfer_is_reserved_until_a_colleague_agrees(operator, colleague, asked, cea, holds):
    case = submitted(TRANSFER, operator, {cea: 100})

    row = read(case.id)
    assert (row.status, row.step, row.settles_on) == ("in_review", COLLEAGUE_STEP, None)
    assert holds() == {"available": 600, "reserved": 100}
    assert verify_ledger().is_sound

    approve(case.id, by=colleague).one()

    row = read(case.id)
    assert (row.status, row.step, str(row.settles_on)) == ("pending_settlement", 0, "2026-11-20")
    assert holds() == {"available": 600, "pending_to_trading": 100}
    assert verify_ledger().is_sound
    settle()
    assert holds() == {"available": 600, "trading": 100}
    assert verify_ledger().is_sound


def test_the_day_end_leaves_what_waits_for_a_colleague_alone(
    operator, colleague, asked, cea, holds
):
    case = submitted(TRANSFER, operator, {cea: 100})
    settle()
    assert holds() == {"available": 600, "reserved": 100}
    assert verify_ledger().is_sound

    approve(case.id, by=colleague, now=at("09:40", day=23)).one()

    assert str(read(case.id).settles_on) == "2026-11-23"


def test_the_cut_off_applies_to_the_second_approval(operator, colleague, asked, cea, holds):
    """Entered in the evening, agreed to in the morning; after 15:00 it is too late to agree."""
    made = draft(TRANSFER, operator, {cea: 100})
    submit(made, by=operator, now=at("20:00", day=19)).one()

    with pytest.raises(OutsideTradingHours):
        approve(made, by=colleague, now=at("15:00")).one()
    assert (read(made).status, holds()) == ("in_review", {"available": 600, "reserved": 100})

    approve(made, by=colleague, now=at("14:59:59")).one()
    assert holds() == {"available": 600, "pending_to_trading": 100}


def test_the_registry_reviews_after_the_colleague(operator, colleague, asked, registry, cea, holds):
    case = submitted(CANCELLATION, operator, {cea: 100}, reason="碳中和")

    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        approve(case.id, by=registry).one()
    assert refusal.value.code == "not_your_turn"

    approve(case.id, by=colleague).one()
    row = read(case.id)
    assert (row.status, row.step) == ("in_review", 0)
    with pytest.raises(NotAllowed):
        approve(case.id, by=colleague).one()
    assert holds() == {"available": 600, "reserved": 100}

    approve(case.id, by=registry).one()
    assert holds() == {"available": 600, "cancelled": 100}
    assert verify_ledger().is_sound


def test_who_submitted_does_not_agree(operator, colleague, asked, cea):
    case = submitted(TRANSFER, operator, {cea: 100})
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        approve(case.id, by=operator).one()
    assert refusal.value.code == "own_application"
    with pytest.raises(NotAllowed):
        send_back(case.id, by=operator).one()


def test_who_entered_what_another_submitted_is_the_second_of_the_two(
    operator, colleague, asked, cea
):
    maker = member("enterprise_maker", of=asked)
    made = draft(TRANSFER, colleague, {cea: 100})
    submit(made, by=maker).one()
    approve(made, by=colleague).one()
    assert read(made).status == "pending_settlement"


@pytest.mark.parametrize("stranger", ["province", "registry_maker", "other", "system"])
def test_nobody_else_agrees_for_the_enterprise(operator, colleague, asked, cea, stranger):
    case = submitted(CANCELLATION, operator, {cea: 100}, reason="碳中和")
    by = {
        "province": lambda: member("province", province="42"),
        "registry_maker": lambda: member("registry_maker"),
        "other": lambda: member(of=account("乙")),
    }
    actor = SYSTEM if stranger == "system" else Actor.of(by[stranger]())
    with nothing_moves(), transaction():
        outcome = engine.approve([case.id], actor, now=clock.now())
    assert outcome.done == []
    assert read(case.id).step == COLLEAGUE_STEP


def test_a_colleague_sends_back_and_the_tonnes_are_released(operator, colleague, asked, cea, holds):
    case = submitted(TRANSFER, operator, {cea: 100})
    send_back(case.id, by=colleague).one()
    assert (read(case.id).status, holds()) == ("returned", {"available": 700})

    submit(case.id, by=operator).one()
    approve(case.id, by=colleague).one()
    assert holds() == {"available": 600, "pending_to_trading": 100}
    assert verify_ledger().is_sound


@pytest.mark.parametrize("agrees_first", [False, True])
def test_it_can_be_withdrawn_before_and_after_the_colleague_agrees(
    operator, colleague, asked, cea, holds, agrees_first
):
    case = submitted(TRANSFER, operator, {cea: 100})
    if agrees_first:
        approve(case.id, by=colleague).one()
    with transaction():
        engine.withdraw([case.id], Actor.of(operator), now=clock.now()).one()
    assert (read(case.id).status, holds()) == ("withdrawn", {"available": 700})
    assert verify_ledger().is_sound


def test_sent_back_by_the_registry_it_needs_the_colleague_again(
    operator, colleague, asked, registry, cea
):
    case = submitted(CANCELLATION, operator, {cea: 100}, reason="碳中和")
    approve(case.id, by=colleague).one()
    send_back(case.id, by=registry).one()
    submit(case.id, by=operator).one()
    assert read(case.id).step == COLLEAGUE_STEP


def test_what_is_restricted_meanwhile_is_not_agreed_to(operator, colleague, asked, cea, holds):
    case = submitted(TRANSFER, operator, {cea: 100})
    with transaction():
        db.session.get_one(Account, asked.id).is_restricted = True
    with pytest.raises(NotAllowed) as refusal:
        approve(case.id, by=colleague).one()
    assert refusal.value.code == "account_restricted"
    assert holds() == {"available": 600, "reserved": 100}


def test_many_at_once_and_one_bad_item_stops_nobody(operator, colleague, asked, cea, holds):
    ids = [submitted(TRANSFER, operator, {cea: 10}).id for _ in range(3)]
    own = submitted(TRANSFER, colleague, {cea: 10}).id
    outcome = approve(*ids, own, by=colleague)
    assert [case.id for case in outcome.done] == ids
    assert [(case.id, error.code) for case, error in outcome.refused] == [(own, "own_application")]
    assert holds() == {"available": 660, "reserved": 10, "pending_to_trading": 30}
    assert verify_ledger().is_sound


def test_no_colleague_is_asked_while_the_switch_is_off(operator, colleague, cea, holds):
    submitted(TRANSFER, operator, {cea: 100})
    assert holds() == {"available": 600, "pending_to_trading": 100}


def test_what_the_exchange_starts_asks_nobody(operator, colleague, asked):
    assert all(
        kind.started_by.value != "applicant"
        for code, kind in engine.KINDS.items()
        if code.startswith("exchange") or code == "trading_to_registry"
    )


def test_another_enterprises_receiver_is_not_asked_before_the_colleague(
    operator, colleague, asked, cea, cluster
):
    """Until then the application is invisible to others."""
    other = member(of=account("乙"))
    case = submitted(CANCELLATION, operator, {cea: 100}, reason="碳中和")
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO application_party VALUES (%s, %s)", [case.id, other.account_id]
        )
    ((_case, error),) = approve(case.id, by=other).refused
    assert error.code == "not_found"


# The switch ---------------------------------------------------------------------------------


def test_the_switch_needs_two_reviewers(plant, operator):
    member("enterprise_maker", of=plant)
    with pytest.raises(RuleError) as refusal:
        switch(plant, operator, on=True)
    assert refusal.value.code == "no_colleague"
    assert db.session.scalar(select(ColleagueReviewChange.id)) is None


def test_each_switch_is_kept_and_on_record(plant, operator, colleague):
    switch(plant, operator, on=True)
    with pytest.raises(RuleError):
        switch(plant, operator, on=True)
    switch(plant, operator, on=False)
    rows = db.session.scalars(select(ColleagueReviewChange).order_by(ColleagueReviewChange.id))
    assert [(row.is_on, row.changed_by) for row in rows] == [
        (True, operator.id),
        (False, operator.id),
    ]
    logged = db.session.scalars(
        select(OperationLog)
        .where(OperationLog.action == "colleague_review.change")
        .order_by(OperationLog.id)
    ).all()
    assert [row.detail for row in logged] == [{"is_on": True}, {"is_on": False}]


def test_waiting_applications_still_need_a_colleague_after_switching_off(
    operator, colleague, asked, cea
):
    case = submitted(TRANSFER, operator, {cea: 100})
    switch(asked, operator, on=False)
    with pytest.raises(NotAllowed):
        approve(case.id, by=operator).one()
    approve(case.id, by=colleague).one()
    assert read(case.id).status == "pending_settlement"


def test_every_kind_that_an_enterprise_starts_asks(operator, colleague, asked, cea):
    give(asked, instrument(), 5)
    case = submitted(CANCELLATION, operator, {cea: 1}, reason="碳中和")
    change = draft("account_change", operator, {}, proposal={"name": ["甲", "乙"]})
    submit(change, by=operator).one()
    assert {read(case.id).step, read(change).step} == {COLLEAGUE_STEP}
