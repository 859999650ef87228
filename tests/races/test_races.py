"""Concurrent operations; without its lock each race fails."""

from __future__ import annotations

import threading
import time
from functools import partial
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.kinds import Kind
from app.domain.moves import (
    ISSUANCE_ACCOUNT_ID,
    Bucket,
    Move,
    Pocket,
    PostingRequest,
    Stage,
    within,
)
from app.domain.workflow import Line, Party
from app.extensions import db, transaction
from app.models import Application, SettlementRun
from app.operations.applications import engine
from app.operations.ledger import posting, settlement
from app.operations.ledger.verification import verify_ledger
from app.operations.records import calendar, clock
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import (
    TRIAL,
    account,
    at,
    draft,
    give,
    instrument,
    known,
    member,
    quantity,
    venue,
)

KIND = "registry_to_trading"
TRIES = 25  # Repetitions before a race counts as harmless without the lock.


def submit(application_id, actor, now=None):
    with transaction():
        return engine.submit([application_id], actor, now=now or clock.now()).one()


def withdraw(application_id, actor):
    with transaction():
        return engine.withdraw([application_id], actor, now=at("15:30")).one()


def settle():
    with transaction():
        return settlement.settle_day(at("15:00").date(), SYSTEM, now=at("16:00"))


def post(*moves, key=""):
    with transaction():
        posting.post(
            [PostingRequest(TRIAL, Stage.APPROVAL, key or str(uuid4()), moves)], at=at("10:00")
        )


def to_trading(plant_id, cea_id, tonnes):
    return within(plant_id, cea_id, Bucket.AVAILABLE, Bucket.TRADING, tonnes)


def is_deadlock(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.errors.DeadlockDetected)


# Two requests of 60 against 100 ------------------------------------------------------------


def two_of_sixty(together, operator, cea):
    actor = Actor.of(operator)
    ids = [draft(KIND, operator, {cea: 60}) for _ in range(2)]
    return together(*(partial(submit, id_, actor) for id_ in ids))


def test_of_two_requests_of_60_against_100_exactly_one_wins(together, plant, operator, cea):
    for _ in range(5):
        results = two_of_sixty(together, operator, cea)

        assert [type(error) for error in results.failed] == [InsufficientQuantity]
        # The loser is told the figure, since it waited for the winner: no guess, no fault.
        assert results.failed[0].field == f"lines.{cea.id}.quantity"
        assert quantity(plant, cea) == 40
        (won,) = (case for case in results.returned if case)
        withdraw(won.id, Actor.of(operator))

    assert verify_ledger().is_sound


def test_without_the_account_lock_both_pass_the_check(
    together, plant, operator, cea, without_account_lock
):
    """The database still refuses the second one, after the engine's check."""
    for _ in range(TRIES):
        results = two_of_sixty(together, operator, cea)
        assert quantity(plant, cea) == 40
        for case in filter(None, results.returned):
            withdraw(case.id, Actor.of(operator))
        if any(error.field == "" for error in results.failed):
            return
    pytest.fail("the account lock makes no difference")


def overdraw(together, plant, cea):
    """Give 100 and post 60 twice, past the engine."""
    return together(*(partial(post, to_trading(plant.id, cea.id, 60)) for _ in range(2)))


def test_the_ledger_alone_lets_one_of_them_win(together, plant, cea):
    results = overdraw(together, plant, cea)

    assert [type(error) for error in results.failed] == [InsufficientQuantity]
    assert quantity(plant, cea) == 40
    assert verify_ledger().is_sound


# One hot holding ---------------------------------------------------------------------------


def test_many_threads_on_one_holding_lose_nothing(together, plant, operator, cea):
    actor = Actor.of(operator)
    ids = [draft(KIND, operator, {cea: 15}) for _ in range(8)]

    results = together(*(partial(submit, id_, actor) for id_ in ids))

    assert len([case for case in results.returned if case]) == 6  # 6 x 15 <= 100
    assert {type(error) for error in results.failed} == {InsufficientQuantity}
    assert quantity(plant, cea) == 10
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 90
    assert verify_ledger().is_sound


def hammer(plant_id, cea_id, times=20):
    for _ in range(times):
        post(to_trading(plant_id, cea_id, 1))
        post(within(plant_id, cea_id, Bucket.TRADING, Bucket.AVAILABLE, 1))


def test_entries_of_a_hot_holding_are_gapless(together, plant, cea):
    results = together(*(partial(hammer, plant.id, cea.id) for _ in range(6)))

    assert results.failed == []
    assert quantity(plant, cea) == 100
    report = verify_ledger()
    assert report.is_sound
    assert report.movements == 1 + 6 * 40


# Batches that overlap in opposite order ----------------------------------------------------


def crosswise(together, plant, instruments, rounds=12):
    """Two threads post to the same holdings in opposite order."""
    moves = [to_trading(plant.id, what.id, 1) for what in instruments]

    def work(ordered):
        for _ in range(rounds):
            post(*ordered)

    return together(partial(work, moves), partial(work, moves[::-1]))


@pytest.fixture
def instruments(plant):
    rows = [instrument(f"标的{n}") for n in range(40)]
    for row in rows:
        give(plant, row, 1000)
    return rows


def test_overlapping_batches_in_opposite_order_do_not_deadlock(together, plant, instruments):
    results = crosswise(together, plant, instruments)

    assert results.failed == []
    assert {quantity(plant, what, Bucket.TRADING) for what in instruments} == {24}
    assert verify_ledger().is_sound


def test_without_the_order_of_locks_overlapping_batches_deadlock(
    together, plant, instruments, posting_function
):
    """Locked as they come, each batch waits for what the other holds."""
    posting_function(
        """  PERFORM FROM holding
    WHERE (account_id, instrument_id) IN (
            SELECT from_account, instrument_id FROM new_movement
            UNION SELECT to_account, instrument_id FROM new_movement)
    ORDER BY account_id, instrument_id
      FOR NO KEY UPDATE;""",
        """  DECLARE m record; BEGIN
    FOR m IN SELECT * FROM new_movement ORDER BY id LOOP
      PERFORM FROM holding h WHERE h.account_id = m.from_account
          AND h.instrument_id = m.instrument_id FOR NO KEY UPDATE;
      PERFORM pg_sleep(0.0005);
    END LOOP; END;""",
    )

    for _ in range(3):
        if any(map(is_deadlock, crosswise(together, plant, instruments, rounds=3).failed)):
            return
    pytest.fail("the order of the lock makes no difference")


def test_submissions_of_overlapping_accounts_do_not_deadlock(together, plant, cea, operator):
    """The exchange acts for many accounts in any order."""
    parties = [plant, *(account(f"企业{n}") for n in range(12))]
    for party in parties[1:]:
        give(party, cea, 100)
    where = venue().id
    with transaction():
        db.session.execute(
            db.text("UPDATE account SET allows_exchange_transfer = true WHERE id > 1")
        )

    def work(order):
        for _ in range(3):
            drafts = [
                engine.Draft(
                    "exchange_registry_to_trading", id_, (Line(cea_id, 1, venue_id=where),),
                    str(uuid4()),
                )
                for id_ in order
            ]  # fmt: skip
            with transaction():
                made = engine.start(drafts, SYSTEM, now=at("10:00"))
                outcome = engine.submit(made[::-1], SYSTEM, now=at("10:00"))
            assert outcome.refused == []

    ids, cea_id = [party.id for party in parties], cea.id
    results = together(partial(work, ids), partial(work, ids[::-1]), partial(work, ids[5:]))

    assert results.failed == []
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 6
    assert verify_ledger().is_sound


def exchange_of_tonnes(together, plant, other, cea, rounds=15):
    """Single movements and batches in both directions between two accounts."""
    there = Move(Pocket(plant, cea, Bucket.AVAILABLE), Pocket(other, cea, Bucket.AVAILABLE), 1)
    back = Move(Pocket(other, cea, Bucket.AVAILABLE), Pocket(plant, cea, Bucket.AVAILABLE), 1)

    def work(*moves):
        for _ in range(rounds):
            post(*moves)

    return together(
        partial(work, there),
        partial(work, back),
        partial(work, there, there),
        partial(work, back, back),
        partial(work, back, there),
    )


@pytest.fixture
def other(plant, cea):
    """A second account with 100 tonnes of the same instrument."""
    row = account("乙水泥有限公司")
    give(row, cea, 100)
    return row


def test_single_movements_and_batches_cross_without_deadlock(together, plant, other, cea):
    results = exchange_of_tonnes(together, plant.id, other.id, cea.id)

    assert results.failed == []
    assert (quantity(plant, cea), quantity(other, cea)) == (100, 100)
    assert verify_ledger().is_sound


def test_without_the_ledgers_lock_its_entries_collide(
    together, plant, other, cea, posting_function
):
    """Two postings continue from the same entry."""
    posting_function(
        """  PERFORM FROM holding
    WHERE (account_id, instrument_id) IN (
            SELECT from_account, instrument_id FROM new_movement
            UNION SELECT to_account, instrument_id FROM new_movement)
    ORDER BY account_id, instrument_id
      FOR NO KEY UPDATE;""",
        "",
    )

    for _ in range(3):
        if exchange_of_tonnes(together, plant.id, other.id, cea.id).failed:
            return
        if not verify_ledger().is_sound:
            return
    pytest.fail("the ledger's lock makes no difference")


# A fresh holding ---------------------------------------------------------------------------


def test_a_holding_opened_by_several_at_once_is_one(together, plant, cea):
    newcomers = [account(f"企业{n}") for n in range(4)]

    def work(order):
        for who in order:
            give_to(who, cea_id)

    ids, cea_id = [who.id for who in newcomers], cea.id
    results = together(*(partial(work, order) for order in (ids, ids[::-1], ids, ids[::-1])))

    assert results.failed == []
    assert [quantity(who, cea) for who in newcomers] == [20] * 4
    assert verify_ledger().is_sound


def give_to(account_id, cea_id):
    issue = Move(
        Pocket(ISSUANCE_ACCOUNT_ID, cea_id, Bucket.ISSUED),
        Pocket(account_id, cea_id, Bucket.AVAILABLE),
        5,
    )
    post(
        issue,
        within(account_id, cea_id, Bucket.AVAILABLE, Bucket.CUSTODY, 1),
        within(account_id, cea_id, Bucket.CUSTODY, Bucket.AVAILABLE, 1),
    )


# Against the day-end -----------------------------------------------------------------------


def test_submission_and_settlement_at_once_lose_nothing(together, plant, operator, cea):
    """A transfer is settled, or refused because the day is closed."""
    actor = Actor.of(operator)
    ids = [draft(KIND, operator, {cea: 10}) for _ in range(5)]

    results = together(*(partial(submit, id_, actor, at("14:59")) for id_ in ids), settle)

    done = [case for case in results.returned[:-1] if case]
    assert {error.code for error in results.failed} <= {"outside_trading_hours"}
    assert len(done) + len(results.failed) == 5
    assert quantity(plant, cea, Bucket.TRADING) == 10 * len(done)
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 0
    assert verify_ledger().is_sound


def test_withdrawal_and_settlement_at_once_lose_nothing(together, plant, operator, cea):
    actor = Actor.of(operator)
    ids = [submit(draft(KIND, operator, {cea: 10}), actor).id for _ in range(5)]

    results = together(*(partial(withdraw, id_, actor) for id_ in ids), settle)

    taken_back = [case for case in results.returned[:-1] if case]
    assert {error.code for error in results.failed} <= {"already_settled"}
    assert quantity(plant, cea, Bucket.TRADING) == 50 - 10 * len(taken_back)
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 0
    assert verify_ledger().is_sound


def test_without_the_days_lock_a_transfer_slips_through(
    together, plant, operator, cea, monkeypatch
):
    """It is accepted while its day is being settled, and stays in transit for ever."""
    monkeypatch.setattr(calendar, "share_transfers", lambda: None)
    monkeypatch.setattr(calendar, "stop_transfers", lambda: None)
    judging, settled = threading.Event(), threading.Event()
    real = engine.gather

    def slowly(cases, moment):
        facts = real(cases, moment)
        judging.set()  # The day is judged open; meanwhile it is settled.
        assert settled.wait(timeout=60)
        return facts

    def settle_meanwhile():
        assert judging.wait(timeout=60)
        settle()
        settled.set()

    monkeypatch.setattr(engine, "gather", slowly)
    made = draft(KIND, operator, {cea: 10})

    results = together(partial(submit, made, Actor.of(operator), at("14:59")), settle_meanwhile)

    assert results.failed == []
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 10
    assert "application_hold" in verify_ledger().totals


def test_with_the_days_lock_no_transfer_slips_through(together, plant, operator, cea, monkeypatch):
    real = engine.gather

    def slowly(cases, moment):
        facts = real(cases, moment)
        time.sleep(0.1)
        return facts

    monkeypatch.setattr(engine, "gather", slowly)
    made = draft(KIND, operator, {cea: 10})

    together(partial(submit, made, Actor.of(operator), at("14:59")), settle)

    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 0
    assert verify_ledger().is_sound


def test_a_day_settled_by_two_at_once_is_settled_once(together, plant, operator, cea):
    submit(draft(KIND, operator, {cea: 60}), Actor.of(operator))

    results = together(*[settle] * 4)

    assert results.failed == []
    assert sorted(run.was_settled_before for run in results.returned) == [False, True, True, True]
    assert {run.to_trading_quantity for run in results.returned} == {60}
    assert db.session.query(SettlementRun).count() == 1
    assert quantity(plant, cea, Bucket.TRADING) == 60
    assert verify_ledger().is_sound


def test_without_the_days_lock_the_second_run_fails(together, plant, operator, cea, monkeypatch):
    """The primary key of the day still prevents a second settlement; the lock avoids the error."""
    monkeypatch.setattr(calendar, "stop_transfers", lambda: None)
    real, all_there = settlement._require_due, threading.Barrier(2)

    def together_past_the_check(day, now):
        real(day, now)
        all_there.wait(timeout=60)

    monkeypatch.setattr(settlement, "_require_due", together_past_the_check)
    submit(draft(KIND, operator, {cea: 60}), Actor.of(operator))

    results = together(settle, settle)

    assert [type(error) for error in results.failed] == [IntegrityError]
    assert quantity(plant, cea, Bucket.TRADING) == 60
    assert verify_ledger().is_sound


# The same thing twice ----------------------------------------------------------------------


def test_the_same_request_from_eight_browsers_is_one_application(together, plant, operator, cea):
    actor, where, what = Actor.of(operator), venue().id, cea.id
    content = engine.Draft(KIND, plant.id, (Line(what, 10, venue_id=where),), "pressed eight times")

    def press():
        with transaction():
            (made,) = engine.start([content], actor, now=at("10:00"))
            engine.submit([made], actor, now=at("10:00")).one()
        return made

    results = together(*[press] * 8)

    assert db.session.query(Application).count() == 1
    assert len([made for made in results.returned if made]) == 1
    assert {type(error) for error in results.failed} == {NotAllowed}
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 10
    assert verify_ledger().is_sound


def test_the_same_submission_twice_at_once_moves_once(together, plant, operator, cea):
    made, actor = draft(KIND, operator, {cea: 10}), Actor.of(operator)

    results = together(*[partial(submit, made, actor)] * 4)

    assert {error.code for error in results.failed} == {"wrong_status"}
    assert len(results.failed) == 3
    assert quantity(plant, cea) == 90


def test_without_locks_the_request_key_still_moves_once(
    together, plant, operator, cea, without_any_lock_on_applications
):
    """The ledger's key is the second line of defence; the lock gives a clear refusal."""
    actor = Actor.of(operator)
    for _ in range(TRIES):
        made = draft(KIND, operator, {cea: 1})
        before = quantity(plant, cea)
        results = together(*[partial(submit, made, actor)] * 4)
        assert quantity(plant, cea) == before - 1
        if any(error.code == "done_before" for error in results.failed):
            return
    pytest.fail("the locks make no difference")


def test_the_same_posting_from_eight_threads_is_one(together, plant, cea):
    results = together(*[partial(post, to_trading(plant.id, cea.id, 5), key="the same")] * 8)

    assert [error.code for error in results.failed] == ["done_before"] * 7
    assert quantity(plant, cea, Bucket.TRADING) == 5
    assert verify_ledger().is_sound


def test_a_withdrawal_twice_at_once_gives_back_once(together, plant, operator, cea):
    actor = Actor.of(operator)
    made = submit(draft(KIND, operator, {cea: 10}), actor).id

    results = together(*[partial(withdraw, made, actor)] * 4)

    assert {error.code for error in results.failed} == {"wrong_status"}
    assert quantity(plant, cea) == 100
    assert verify_ledger().is_sound


# Review ------------------------------------------------------------------------------------


class Toy(Kind):
    code = "toy"
    title = "Toy"
    prefix = "TO"
    reviews = (Party.AUTHORITY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.SURRENDERED)


@pytest.fixture
def reviewed(monkeypatch, plant, operator, cea):
    """Return the id of an application of 10 tonnes that waits for its review."""
    known(monkeypatch, Toy)
    return lambda: submit(draft("toy", operator, {cea: 10}), Actor.of(operator)).id


def decide(verb, application_id, actor):
    with transaction():
        return verb([application_id], actor, now=at("10:00"), comment="意见").one()


def officers(many):
    return [Actor.of(member("province", province="42")) for _ in range(many)]


def test_two_officers_approve_at_once_and_one_counts(together, plant, cea, reviewed):
    made = reviewed()

    results = together(*(partial(decide, engine.approve, made, officer) for officer in officers(4)))

    assert [error.code for error in results.failed] == ["wrong_status"] * 3
    assert quantity(plant, cea, Bucket.SURRENDERED) == 10
    events = [event.action for event in db.session.get_one(Application, made).events]
    assert events.count("approve") == 1
    assert verify_ledger().is_sound


def test_approval_and_return_at_once_end_in_one_of_them(together, plant, cea, reviewed):
    made = reviewed()
    first, second = officers(2)

    results = together(
        partial(decide, engine.approve, made, first),
        partial(decide, engine.send_back, made, second),
    )

    assert [error.code for error in results.failed] == ["wrong_status"]
    status = db.session.get_one(Application, made).status
    assert (status, quantity(plant, cea, Bucket.SURRENDERED)) in {("approved", 10), ("returned", 0)}
    assert verify_ledger().is_sound


def test_without_the_locks_both_officers_count(
    together, plant, cea, reviewed, without_any_lock_on_applications
):
    ready = officers(4)
    for _ in range(8):
        made = reviewed()
        results = together(*(partial(decide, engine.approve, made, officer) for officer in ready))
        if any(not isinstance(error, NotAllowed) for error in results.failed):
            # They all saw it waiting; only the ledger's own keys kept the tonnes from moving twice.
            assert all(isinstance(error, RuleError) for error in results.failed)
            return
    pytest.fail("the locks make no difference")


# Sealing beside posting --------------------------------------------------------------------


def test_sealing_beside_posting_misses_nothing(together, plant, cea):
    def seal():
        for _ in range(15):
            with transaction():
                db.session.execute(db.text("SELECT seal_movements()"))

    results = together(*[partial(hammer, plant.id, cea.id, 15)] * 4, seal, seal)

    assert results.failed == []
    seal()
    report = verify_ledger()
    assert report.is_sound
    assert (report.movements, report.unsealed_movements) == (1 + 4 * 30, 0)
    assert report.sealed_blocks > 1
