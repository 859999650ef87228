"""Concurrent freezes, liftings and issuances; without its lock each race fails."""

from __future__ import annotations

from functools import partial

import pytest

from app.domain.errors import InsufficientQuantity
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Application, ApplicationEvent
from app.operations.applications import engine
from app.operations.exchange import instruments
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import confirmed, draft, entered, instrument, member, quantity
from tests.races.conftest import without

TRIES = 25


@pytest.fixture
def checkers(app):
    return [member("registry_checker") for _ in range(2)]


def submit(application_id, actor):
    with transaction():
        return engine.submit([application_id], actor, now=clock.now()).one()


def approve(application_id, actor):
    with transaction():
        return engine.approve([application_id], actor, now=clock.now()).one()


def withdraw(application_id, actor):
    with transaction():
        engine.withdraw([application_id], actor, now=clock.now()).one()


def codes(results):
    return [error.code for error in results.failed]


# Two freezes of 60 against 100 ---------------------------------------------------------------


def two_freezes(together, plant, cea, maker):
    ids = [entered("freeze", plant, maker, lines={cea: 60}, submits=False) for _ in range(2)]
    actor = Actor.of(maker)
    return together(*(partial(submit, id_, actor) for id_ in ids))


def test_of_two_freezes_of_60_against_100_exactly_one_wins(together, plant, cea, maker):
    for _ in range(5):
        results = two_freezes(together, plant, cea, maker)

        assert [type(error) for error in results.failed] == [InsufficientQuantity]
        # The loser waited for the winner and is told the figure that can still be frozen.
        assert results.failed[0].field == f"lines.{cea.id}.quantity"
        assert "40" in str(results.failed[0])
        assert (quantity(plant, cea), quantity(plant, cea, Bucket.FROZEN)) == (40, 60)
        (won,) = (case for case in results.returned if case)
        withdraw(won.id, Actor.of(maker))
    assert verify_ledger().is_sound


def test_without_the_account_lock_both_freezes_pass_the_check(
    together, plant, cea, maker, without_account_lock
):
    """The ledger still refuses the second one, but without the figure."""
    for _ in range(TRIES):
        results = two_freezes(together, plant, cea, maker)
        assert (quantity(plant, cea), quantity(plant, cea, Bucket.FROZEN)) == (40, 60)
        for case in filter(None, results.returned):
            withdraw(case.id, Actor.of(maker))
        if any(error.field == "" for error in results.failed):
            assert verify_ledger().is_sound
            return
    pytest.fail("the account lock makes no difference")


# Two liftings of one document ----------------------------------------------------------------


@pytest.fixture
def freeze(plant, cea, maker, checkers):
    """A confirmed freeze of all 100."""
    made = entered("freeze", plant, maker, lines={cea: 100})
    confirmed(made, checkers[0])
    return made


def two_liftings(together, plant, cea, maker, freeze):
    ids = [
        entered("unfreeze", plant, maker, lines={cea: 60}, source=freeze, submits=False)
        for _ in range(2)
    ]
    actor = Actor.of(maker)
    return together(*(partial(submit, id_, actor) for id_ in ids))


def drawn(freeze):
    """Return the tonnes drawn from a freeze, pending and approved."""
    db.session.rollback()
    return db.session.scalar(
        db.text(
            "SELECT coalesce(sum(l.quantity), 0) FROM application_line l"
            " JOIN application a ON a.id = l.application_id"
            " JOIN application_line s ON s.id = l.source_line_id"
            " WHERE s.application_id = :freeze AND a.status IN ('in_review', 'approved')"
        ),
        {"freeze": freeze},
    )


def test_of_two_liftings_of_60_of_100_exactly_one_wins(together, plant, cea, maker, freeze):
    for _ in range(5):
        results = two_liftings(together, plant, cea, maker, freeze)

        assert codes(results) == ["more_than_left"]
        assert "40" in str(results.failed[0])
        assert drawn(freeze) == 60
        (won,) = (case for case in results.returned if case)
        withdraw(won.id, Actor.of(maker))
    assert verify_ledger().is_sound


def test_without_the_engines_lock_the_database_still_refuses_the_second_lifting(
    together, plant, cea, maker, freeze, without_account_lock
):
    """Both pass the engine's check; the trigger on the source's lines refuses one."""
    for _ in range(TRIES):
        results = two_liftings(together, plant, cea, maker, freeze)
        assert drawn(freeze) == 60
        for case in filter(None, results.returned):
            withdraw(case.id, Actor.of(maker))
        if any(error.field == "" for error in results.failed):
            assert verify_ledger().is_sound
            return
    pytest.fail("the account lock makes no difference")


def test_past_the_engine_nobody_draws_more_than_there_is(together, plant, cea, maker, freeze):
    """Two statements that only write the status: the database alone keeps the sum."""
    ids = [
        entered("unfreeze", plant, maker, lines={cea: 60}, source=freeze, submits=False)
        for _ in range(2)
    ]

    def write(id_):
        with transaction():
            db.session.execute(
                db.text(
                    "WITH written AS (UPDATE application SET status = 'in_review',"
                    " submitted_at = now() WHERE id = :id RETURNING id)"
                    " INSERT INTO application_event (application_id, action, status, at)"
                    " SELECT id, 'submit', 'in_review', now() FROM written"
                ),
                {"id": id_},
            )

    results = together(*(partial(write, id_) for id_ in ids))

    assert len(results.failed) == 1
    assert "draws_stay_within" in str(results.failed[0].orig.diag.constraint_name)
    assert drawn(freeze) == 60


# A transfer and a freeze ---------------------------------------------------------------------


def test_a_transfer_and_a_freeze_at_once_never_take_the_same_tonnes(
    together, plant, operator, cea, maker
):
    for _ in range(5):
        transfer = draft("registry_to_trading", operator, {cea: 60})
        frozen = entered("freeze", plant, maker, lines={cea: 60}, submits=False)

        results = together(
            partial(submit, transfer, Actor.of(operator)), partial(submit, frozen, Actor.of(maker))
        )

        assert [type(error) for error in results.failed] == [InsufficientQuantity]
        assert results.failed[0].field == f"lines.{cea.id}.quantity"
        assert quantity(plant, cea) == 40
        taken = {
            quantity(plant, cea, Bucket.FROZEN),
            quantity(plant, cea, Bucket.PENDING_TO_TRADING),
        }
        assert taken == {0, 60}
        first, second = results.returned
        withdraw((first or second).id, Actor.of(operator if first else maker))
    assert verify_ledger().is_sound


# The second officer twice --------------------------------------------------------------------


def confirm_twice(together, plant, cea, maker, checkers, kind="confiscation", **more):
    made = entered(kind, plant, maker, lines={cea: 1}, **more)
    results = together(*(partial(approve, made, Actor.of(checker)) for checker in checkers))
    return made, results


def test_two_second_officers_at_once_confirm_once(together, plant, cea, maker, checkers):
    for n in range(1, 6):
        made, results = confirm_twice(together, plant, cea, maker, checkers, category="penalty")

        assert codes(results) == ["wrong_status"]
        assert quantity(plant, cea, Bucket.CONFISCATED) == n
        approvals = db.session.query(ApplicationEvent).filter_by(
            application_id=made, action="approve"
        )
        assert approvals.count() == 1
    assert verify_ledger().is_sound


def test_an_issue_confirmed_twice_at_once_is_issued_once(together, plant, cea, maker, checkers):
    for n in range(1, 6):
        _made, results = confirm_twice(
            together, plant, cea, maker, checkers, "issuance", category="supplementary"
        )
        assert codes(results) == ["wrong_status"]
        assert quantity(plant, cea) == 100 + n
    assert verify_ledger().is_sound


def test_without_the_locks_the_second_yes_is_found_by_the_database_alone(
    together, plant, cea, maker, checkers, without_any_lock_on_applications
):
    for _ in range(TRIES):
        before = quantity(plant, cea, Bucket.CONFISCATED)
        _made, results = confirm_twice(together, plant, cea, maker, checkers, category="penalty")
        assert quantity(plant, cea, Bucket.CONFISCATED) == before + 1
        if "done_before" in [getattr(error, "code", "") for error in results.failed]:
            assert verify_ledger().is_sound
            return
    pytest.fail("the locks make no difference")


def test_confirming_and_withdrawing_at_once_ends_in_one_of_both(
    together, plant, cea, maker, checkers
):
    for _ in range(5):
        made = entered("freeze", plant, maker, lines={cea: 10})

        results = together(
            partial(approve, made, Actor.of(checkers[0])), partial(withdraw, made, Actor.of(maker))
        )

        assert codes(results) == ["wrong_status"]
        status = db.session.get_one(Application, made).status
        assert status in ("approved", "withdrawn")
    assert verify_ledger().is_sound


# Codes of instruments ------------------------------------------------------------------------


def two_allocations(together, plant, cea, maker):
    ids = [
        entered("issuance", plant, maker, lines={cea: 60}, category="approved", submits=False)
        for _ in range(2)
    ]
    return ids, together(*(partial(submit, id_, Actor.of(maker)) for id_ in ids))


def test_of_two_allocations_at_once_one_is_issued(together, plant, cea, maker):
    _ids, results = two_allocations(together, plant, cea, maker)
    assert codes(results) == ["issued_before"]
    assert "FF" in str(results.failed[0])


def test_without_the_engines_lock_the_database_refuses_the_second_allocation(
    together, plant, maker, without_account_lock
):
    """Both pass the engine's check; the guard on the account's row refuses one."""
    for _ in range(TRIES):
        _ids, results = two_allocations(together, plant, instrument(), maker)
        assert codes(results) == ["issued_before"]
        if "FF" not in str(results.failed[0]):
            return
    pytest.fail("the account lock makes no difference")


def create(n, actor):
    new = instruments.NewInstrument(f"标的{n}", 2022 + n)
    with transaction():
        return instruments.create(new, actor, now=clock.now()).code


def test_instruments_created_at_once_get_codes_of_their_own(together, maker):
    results = together(*(partial(create, n, Actor.of(maker)) for n in range(6)))

    assert results.failed == []
    assert sorted(results.returned) == [f"PE2026{n:06d}" for n in range(1, 7)]


def test_without_the_numbers_lock_they_collide(together, maker):
    with without(instruments, "_NUMBERING", "pg_advisory_xact_lock(7260007)"):
        for n in range(TRIES):
            acts = (partial(create, f"{n}-{k}", Actor.of(maker)) for k in range(6))
            if together(*acts).failed:
                return
    pytest.fail("the lock on numbers makes no difference")
