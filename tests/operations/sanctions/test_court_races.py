"""Courts' orders beside credits, releases and each other; without its lock each race fails."""

from __future__ import annotations

import re
import time
from datetime import date, timedelta
from functools import partial
from types import SimpleNamespace

import pytest

from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.migrations import buckets
from app.models import CourtLapse
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.sanctions import lapses
from tests.factories import account, give, instrument, issued_to, quantity
from tests.operations import courts
from tests.operations.courts import freeze, midnight, release, stands

HOLDINGS = "FOR NO KEY UPDATE"
TRIES = 10


@pytest.fixture
def court_function(cluster):
    """Return a function that removes words from a function of the courts' for the rest of the test."""
    whole = (buckets.SQL / "0039" / "sales.sql").read_text(encoding="utf-8")

    def take_out(name: str, words: str) -> None:
        pattern = rf"CREATE (?:OR REPLACE )?FUNCTION {name}\(.*?\nEND \$\$;"
        found = re.search(pattern, whole, re.DOTALL)
        assert found
        assert words in found[0]
        install(found[0].replace(words, ""))
        changed.append(found[0])

    def install(text: str) -> None:
        with cluster.connect("registry") as connection:
            connection.execute("SET ROLE registry_owner")
            connection.execute(text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))

    changed: list[str] = []
    yield take_out
    for text in changed:
        install(text)


def credit(account_id, instrument_id, tonnes):
    """Credit by keys: a thread loads nothing of another one's session."""
    give(SimpleNamespace(id=account_id), SimpleNamespace(id=instrument_id), tonnes)


# Two credits for one order of the whole account ------------------------------------------------


def two_credits(together, maker):
    """Credit two instruments at once; the order lacks as much as each of them brings."""
    plant = account("被执行人有限公司")
    one, two = instrument(), instrument()
    for each in (one, two):  # A new holding would serialise.
        give(plant, each, 10)
    order = freeze(plant, maker, 120)
    assert stands(order) == (20, 100)
    results = together(*(partial(credit, plant.id, each.id, 100) for each in (one, two)))
    left = sum(quantity(plant, each) for each in (one, two))
    return order, left, results


def test_of_two_credits_the_order_takes_what_it_lacks_once(together, maker, checker):
    for _ in range(3):
        order, left, results = two_credits(together, maker)
        assert results.failed == []
        assert (stands(order), left) == ((120, 0), 100)
    assert verify_ledger().is_sound


def test_without_the_orders_lock_a_credit_fails(together, maker, checker, court_function):
    court_function("serve_court_orders", "FOR UPDATE")
    for _ in range(TRIES):
        _order, _left, results = two_credits(together, maker)
        if results.failed:
            return
    pytest.fail("the lock on the orders makes no difference")


# A credit beside an order's submission ---------------------------------------------------------


def a_credit_beside_a_submission(together, plant, maker):
    """Credit a holding while an order for it is submitted and not committed yet."""
    what = issued_to(plant, 10)
    freeze(plant, maker, 10, what, served="2026-11-20T08:00:00+08:00")
    said = {"instrument": what.id, "quantity": 50}
    made = courts.entered("court_freeze", plant, maker, submits=False, proposal=said)
    actor = Actor.of(maker)

    def submit():
        with transaction():
            engine.submit([made], actor, now=clock.now()).one()
            time.sleep(0.4)

    account_id, instrument_id = plant.id, what.id

    def later():
        time.sleep(0.15)
        credit(account_id, instrument_id, 30)

    results = together(submit, later)
    return made, what, results


def test_a_credit_beside_a_submission_serves_it(together, plant, maker):
    order, what, results = a_credit_beside_a_submission(together, plant, maker)
    assert results.failed == []
    assert (stands(order), quantity(plant, what)) == ((30, 20), 0)
    assert verify_ledger().is_sound


def test_without_the_holdings_lock_the_credit_is_missed(together, plant, maker, court_function):
    """What is left of the guard: the check as the order commits sees what passed it by."""
    court_function("serve_court_orders", HOLDINGS)
    court_function("carry_out_court_measures", HOLDINGS)
    _order, _what, results = a_credit_beside_a_submission(together, plant, maker)
    (error,) = results.failed
    assert "waits for what is available" in str(error)


# A release beside a credit ---------------------------------------------------------------------


def test_a_release_beside_a_credit_leaves_nothing_over(together, plant, maker, checker):
    what = issued_to(plant, 1000)
    a = freeze(plant, maker, 600, what, served="2026-11-20T08:00:00+08:00")
    b = freeze(plant, maker, 900, what)
    lift = release(a, maker, 250, confirms=False)
    actor = Actor.of(checker)

    def approve():
        with transaction():
            engine.approve([lift], actor, now=clock.now()).one()

    results = together(approve, partial(credit, plant.id, what.id, 300))

    assert results.failed == []
    assert (stands(a), stands(b)) == ((350, 0), (900, 0))
    assert (quantity(plant, what), quantity(plant, what, Bucket.FROZEN)) == (50, 1250)
    assert verify_ledger().is_sound


# The job ---------------------------------------------------------------------------------------


def test_two_jobs_at_once_end_an_order_once(together, plant, maker):
    what = issued_to(plant, 1000)
    end = date(2027, 11, 19)
    orders = [freeze(plant, maker, 300, what, ends_on=end) for _ in range(3)]
    after = midnight(end + timedelta(days=1))

    def run():
        while True:
            with transaction():
                if lapses.lapse_next(SYSTEM, now=after) is None:
                    return

    results = together(run, run, run)

    assert results.failed == []
    assert [stands(each) for each in orders] == [(0, 0)] * 3
    assert quantity(plant, what) == 1000
    assert db.session.scalar(db.select(db.func.count()).select_from(CourtLapse)) == 3
    assert verify_ledger().is_sound
