"""Concurrent returns: one deposit drawn on twice, and receivers who answer together.

Without its lock each race fails.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from app.domain.errors import InsufficientQuantity, NotAllowed, NotFound, RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.operations.applications import engine, rows
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.custody import (
    agreed,
    deposited,
    distribution,
    drafted,
    edited,
    link,
    parties,
    returning,
    standing,
    submit,
)
from tests.factories import give, quantity
from tests.invariants import assert_sound

TRIES = 25  # Repetitions before a race counts as harmless without the lock.


@pytest.fixture
def party(app):
    """A, linked with B and C; 300,000 t of its 600,000 t in custody are `deposit`."""
    found = parties(600_000)
    for row in (found.b, found.c):
        give(row, found.cea, 1)  # A fresh holding would serialise.
    found.deposit = deposited(found.of_a, {found.cea: 300_000}, found.checker)
    # As many tonnes again are in custody, so that the deposit alone is what runs out.
    deposited(found.of_a, {found.cea: 300_000}, found.checker)
    link(found.a, [found.b, found.c], found.maker, found.checker)
    return found


def submits(id_, actor):
    with transaction():
        return engine.submit([id_], actor, now=clock.now()).one()


def approves(id_, actor):
    with transaction():
        return engine.approve([id_], actor, now=clock.now(), comment="同意").one()


def refuses(id_, actor):
    with transaction():
        return engine.send_back([id_], actor, now=clock.now(), comment="数量有误").one()


def withdraws(id_, actor):
    with transaction():
        return engine.withdraw([id_], actor, now=clock.now()).one()


LOCKED_OUT = 0.5  # Seconds; with the lock the barrier always times out.


@contextmanager
def deciding_together(monkeypatch, patience):
    """Let all read their facts before any decides; with the lock only one gets that far."""
    all_read = threading.Barrier(2)
    real = engine.gather

    def gather(cases, moment):
        facts = real(cases, moment)
        with suppress(threading.BrokenBarrierError):  # The others wait for the lock.
            all_read.wait(timeout=patience)
        return facts

    with monkeypatch.context() as patch:
        patch.setattr(engine, "gather", gather)
        yield


# Two returns of one deposit ----------------------------------------------------------------


def two_returns(together, party, monkeypatch, patience=60.0):
    actor = Actor.of(party.of_a)
    ids = [
        drafted(party.of_a, distribution(party.deposit, {party.b: 200_000})),
        drafted(party.of_a, distribution(party.deposit, {party.c: 100_001})),
    ]
    with deciding_together(monkeypatch, patience):
        return together(*(partial(submits, id_, actor) for id_ in ids))


def test_of_two_returns_of_one_deposit_exactly_one_is_taken(together, party, monkeypatch):
    results = two_returns(together, party, monkeypatch, LOCKED_OUT)

    assert [type(error) for error in results.failed] == [InsufficientQuantity]
    # The loser is told the figure, since it waited for the winner.
    assert results.failed[0].code == "more_than_left"
    assert results.failed[0].field.startswith("lines.s")
    assert quantity(party.a, party.cea, Bucket.IN_RETURN) in (200_000, 100_001)
    assert_sound()


def test_without_the_account_lock_the_database_still_takes_one_alone(
    together, party, monkeypatch, without_account_lock
):
    """Both pass the engine's check; `draws_stay_within` refuses the second."""
    results = two_returns(together, party, monkeypatch)

    assert len(results.failed) == 1
    assert isinstance(results.failed[0], RuleError)
    assert (results.failed[0].code, results.failed[0].field) != ("more_than_left", "")
    assert not results.failed[0].field.startswith("lines.s")  # Not our own check's words.
    assert quantity(party.a, party.cea, Bucket.IN_RETURN) in (200_000, 100_001)
    assert_sound()


# Receivers answer at the same moment -------------------------------------------------------


def to_both(party):
    return returning(party.of_a, party.deposit, {party.b: 200_000, party.c: 100_000})


def both_agree(together, party, made, monkeypatch, patience=60.0):
    actors = Actor.of(party.of_b), Actor.of(party.of_c)
    with deciding_together(monkeypatch, patience):
        return together(*(partial(approves, made, actor) for actor in actors))


def test_b_and_c_agree_at_once_and_it_goes_one_step_on(together, party, monkeypatch):
    made = to_both(party)

    results = both_agree(together, party, made, monkeypatch, LOCKED_OUT)

    assert results.failed == []
    assert sorted(case.step for case in results.returned) == [0, 1]
    assert standing(made) == ("in_review", 1)
    assert agreed(made) == sorted([party.b.id, party.c.id])
    assert_sound()
    approves(made, Actor.of(party.checker))
    assert (quantity(party.b, party.cea), quantity(party.c, party.cea)) == (200_001, 100_001)
    assert_sound()


def test_without_the_locks_an_agreement_is_overlooked(
    together, party, monkeypatch, without_any_lock_on_applications
):
    """Each sees the other missing, so that neither advances the application."""
    made = to_both(party)

    both_agree(together, party, made, monkeypatch)

    assert agreed(made) == sorted([party.b.id, party.c.id])
    assert standing(made) == ("in_review", 0)
    with pytest.raises(AssertionError):
        assert_sound()


def test_b_agrees_while_c_refuses(together, party):
    """In either order it is back with A, and B's agreement is void."""
    for _ in range(5):
        made = to_both(party)

        results = together(
            partial(approves, made, Actor.of(party.of_b)),
            partial(refuses, made, Actor.of(party.of_c)),
        )

        assert {getattr(error, "code", error) for error in results.failed} <= {"wrong_status"}
        assert results.returned[1] is not None
        assert standing(made) == ("returned", 0)
        assert quantity(party.a, party.cea, Bucket.CUSTODY) == 600_000
        submit(made, party.of_a)
        assert agreed(made) == []
        assert_sound()
        withdraws(made, Actor.of(party.of_a))


def test_without_the_locks_an_agreement_overrides_a_refusal(
    together, party, monkeypatch, without_any_lock_on_applications
):
    """The agreement is decided before and written after the refusal: the tonnes are released already."""
    made = to_both(party)
    written = threading.Event()
    real = engine.rows.record

    def record(cases, action, *arguments, **more):
        if action == "approve":
            assert written.wait(timeout=60)
        return real(cases, action, *arguments, **more)

    def refuse():
        case = refuses(made, Actor.of(party.of_c))
        written.set()
        return case

    read = threading.Barrier(2)
    lock = rows.lock

    def lock_together(ids, actor):
        cases = lock(ids, actor)
        read.wait(timeout=60)
        return cases

    with monkeypatch.context() as patch:
        patch.setattr(rows, "record", record)
        patch.setattr(rows, "lock", lock_together)
        together(partial(approves, made, Actor.of(party.of_b)), refuse)

    assert standing(made) == ("in_review", 0)
    assert quantity(party.a, party.cea, Bucket.CUSTODY) == 600_000  # Nothing is held for it.
    with pytest.raises(AssertionError):
        assert_sound()


# The registry, and the applicant in between -------------------------------------------------


def test_the_registry_approves_twice_at_once_and_it_is_paid_once(together, party):
    officers = [Actor.of(each) for each in (party.maker, party.checker)]
    for n in range(5):
        made = returning(party.of_a, party.deposit, {party.b: 1000})
        approves(made, Actor.of(party.of_b))

        results = together(*(partial(approves, made, officer) for officer in officers))

        assert [getattr(error, "code", error) for error in results.failed] == ["wrong_status"]
        assert standing(made) == ("approved", 2)
        assert quantity(party.b, party.cea) == 1 + 1000 * (n + 1)
    assert_sound()


def test_without_the_locks_both_officers_believe_they_may(
    together, party, monkeypatch, without_any_lock_on_applications
):
    """Only the posting's key prevents a second payment."""
    officers = [Actor.of(each) for each in (party.maker, party.checker)]
    made = returning(party.of_a, party.deposit, {party.b: 1000})
    approves(made, Actor.of(party.of_b))

    with deciding_together(monkeypatch, 60):
        results = together(*(partial(approves, made, officer) for officer in officers))

    assert [getattr(error, "code", "") for error in results.failed] != ["wrong_status"]
    assert quantity(party.b, party.cea) == 1001


def test_a_withdraws_while_the_last_receiver_agrees(together, party):
    """In either order nothing stays reserved for a finished application."""
    for _ in range(5):
        made = returning(party.of_a, party.deposit, {party.b: 5})

        results = together(
            partial(withdraws, made, Actor.of(party.of_a)),
            partial(approves, made, Actor.of(party.of_b)),
        )

        assert {getattr(error, "code", error) for error in results.failed} <= {"wrong_status"}
        assert standing(made)[0] == "withdrawn"
        assert quantity(party.a, party.cea, Bucket.CUSTODY) == 600_000
    assert_sound()


def test_a_submits_again_while_c_still_answers_the_first_time(together, party):
    """C's answer counts for the submission that C has read, or not at all."""
    for _ in range(5):
        made = to_both(party)
        refuses(made, Actor.of(party.of_b))
        edited(made, party.of_a, distribution(party.deposit, {party.b: 1, party.c: 2}))

        results = together(
            partial(submits, made, Actor.of(party.of_a)),
            partial(approves, made, Actor.of(party.of_c)),
        )

        assert results.returned[0] is not None
        for error in results.failed:
            assert isinstance(error, (NotAllowed, NotFound))
        assert standing(made) == ("in_review", 0)
        assert_sound()
        withdraws(made, Actor.of(party.of_a))
    db.session.rollback()
