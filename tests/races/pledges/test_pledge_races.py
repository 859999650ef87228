"""Pledges beside transfers of the same allowances, and releases beside each other (rules-2026 N110-N112)."""

from __future__ import annotations

from functools import partial

import pytest

from app.domain.errors import InsufficientQuantity
from app.domain.moves import Bucket
from app.extensions import transaction
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records.actor import Actor
from tests.factories import at, draft, quantity
from tests.operations.pledging import approved, drawing, pledging, switched

TRIES = 25
LOCK = "PERFORM FROM application_line WHERE id = ANY(sources) ORDER BY id FOR NO KEY UPDATE;"


@pytest.fixture(autouse=True)
def _hold(app):
    switched(2, since=at("09:00").date(), now=at("09:00"))


def submit(application_id, actor):
    with transaction():
        return engine.submit([application_id], actor, now=at("10:00")).one()


def withdraw(application_id, actor):
    with transaction():
        engine.withdraw([application_id], actor, now=at("10:30")).one()


# A pledge of 60 beside a transfer of 60, of 100 -------------------------------------------------


def both(together, operator, cea):
    actor = Actor.of(operator)
    ids = (
        pledging(operator, {cea: 60}, submits=False),
        draft("registry_to_trading", operator, {cea: 60}),
    )
    return together(*(partial(submit, id_, actor) for id_ in ids))


def test_n110_a_pledge_beside_a_transfer_of_the_same_one_wins(together, plant, operator, cea):
    for _ in range(5):
        results = both(together, operator, cea)
        assert [type(error) for error in results.failed] == [InsufficientQuantity]
        # The loser waited for the winner, and is told the figure.
        assert results.failed[0].field == f"lines.{cea.id}.quantity"
        assert quantity(plant, cea) == 40
        (won,) = filter(None, results.returned)
        withdraw(won.id, Actor.of(operator))
    assert verify_ledger().is_sound


def test_n110_without_the_account_s_lock_both_pass_the_check(
    together, plant, operator, cea, without_account_lock
):
    """The ledger refuses the second one, without the figure."""
    for _ in range(TRIES):
        results = both(together, operator, cea)
        assert quantity(plant, cea) == 40
        for case in filter(None, results.returned):
            withdraw(case.id, Actor.of(operator))
        if any(error.field == "" for error in results.failed):
            return
    pytest.fail("the account's lock makes no difference")


# Two releases of 40, of 60 ----------------------------------------------------------------------


@pytest.fixture
def pledge(operator, cea, maker, checker):
    made = pledging(operator, {cea: 60})
    approved(made, maker, checker)
    return made


def two_releases(together, pledge, maker):
    ids = [drawing("pledge_release", pledge, 40, maker, submits=False) for _ in range(2)]
    return together(*(partial(submit, id_, Actor.of(maker)) for id_ in ids))


def test_n111_of_two_releases_at_once_one_wins(together, pledge, maker, plant, cea):
    for _ in range(5):
        results = two_releases(together, pledge, maker)
        (error,) = results.failed
        assert isinstance(error, InsufficientQuantity)
        assert "20" in str(error)
        assert quantity(plant, cea, Bucket.FROZEN) == 60
        (won,) = filter(None, results.returned)
        withdraw(won.id, Actor.of(maker))
    assert verify_ledger().is_sound


def test_n111_without_the_account_s_lock_the_database_refuses_the_second(
    together, pledge, maker, without_account_lock
):
    for _ in range(TRIES):
        results = two_releases(together, pledge, maker)
        assert len(results.failed) == 1
        for case in filter(None, results.returned):
            withdraw(case.id, Actor.of(maker))
        if results.failed[0].field == "":  # Of the database: it knows no figure.
            return
    pytest.fail("the account's lock makes no difference")


def test_n111_without_the_lines_lock_either_both_are_taken(
    together, pledge, maker, cluster, without_account_lock
):
    name = "applications_keep_within()"
    with cluster.connect("registry") as connection:
        connection.execute("SET ROLE registry_owner")
        asked = connection.execute(f"SELECT pg_get_functiondef('{name}'::regprocedure)")
        whole = asked.fetchone()[0]
        assert LOCK in whole
        connection.execute(whole.replace(LOCK, "PERFORM pg_sleep(0.05);"))
    try:
        for _ in range(TRIES):
            results = two_releases(together, pledge, maker)
            for case in filter(None, results.returned):
                withdraw(case.id, Actor.of(maker))
            if not results.failed:
                return
        pytest.fail("the line's lock makes no difference")
    finally:
        with cluster.connect("registry") as connection:
            connection.execute("SET ROLE registry_owner")
            connection.execute(whole)
