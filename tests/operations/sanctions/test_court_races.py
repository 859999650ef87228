"""Courts' orders beside credits, releases and each other; without its lock each race fails."""

from __future__ import annotations

import re
import time
from datetime import date, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from sqlalchemy import BigInteger, String

from app.domain.errors import InsufficientQuantity, RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.migrations import buckets
from app.models import CourtLapse
from app.operations.applications import engine, rows
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.records.columns import typed
from app.operations.sanctions import lapses
from tests.factories import account, confirmed, give, instrument, issued_to, notice, quantity
from tests.operations import courts
from tests.operations.courts import freeze, midnight, release, stands

HOLDINGS = "FOR NO KEY UPDATE"
TRIES = 10
_UNLOCKED = typed(
    rows._LOCK_ACCOUNTS.text.replace("FOR NO KEY UPDATE", ""), ids=BigInteger, for_receivers=String
)


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


# A surrender with consent beside the court's own measures (N105) --------------------------------


@pytest.fixture
def consented(plant, operator, maker, checker):
    """Return a function that freezes 600 until a day and lets a surrender of 450 await the province."""
    what = instrument("2025年度配额", vintage=2025)
    give(plant, what, 600)
    owed = notice(plant, 500, by=maker)

    def made():
        order = freeze(plant, maker, 600, what, ends_on=date(2026, 12, 1))
        asked = courts.surrender(order, operator, 450, what, owed)
        for each in (maker, checker):
            confirmed(asked, each)
        return order, asked, what

    return made


def approval(application_id, member):
    actor = Actor.of(member)

    def run():
        with transaction():
            engine.approve([application_id], actor, now=clock.now()).one()

    return run


def lapsing():
    with transaction():
        lapses.lapse_next(SYSTEM, now=midnight(date(2026, 12, 2)))


@pytest.mark.parametrize("measure", ["release", "assignment", "renewal", "lapse"])
@pytest.mark.parametrize("locks", [True, False])
def test_n105_a_surrender_beside_a_measure_of_the_court(
    together, plant, maker, checker, hubei, consented, measure, locks, monkeypatch
):
    """One of two that want the same tonnes gets them, by the database alone as well."""
    order, asked, what = consented()
    other = lapsing
    if measure == "release":
        other = approval(release(order, maker, 500, confirms=False), checker)
    elif measure == "assignment":
        receiver = account("申请执行人有限公司")
        other = approval(courts.assign(order, maker, 500, what, receiver, confirms=False), checker)
    elif measure == "renewal":
        other = approval(courts.renew(order, maker, date(2028, 1, 1), confirms=False), checker)
    if not locks:
        monkeypatch.setattr(rows, "_LOCK_ACCOUNTS", _UNLOCKED)

    results = together(approval(asked, hubei), other)

    surrendered = quantity(plant, what, Bucket.SURRENDERED)
    assert [type(each) for each in results.failed] in ([], [InsufficientQuantity], [RuleError])
    if measure in ("release", "assignment"):
        assert len(results.failed) == 1
        assert stands(order) == ((150, 0) if surrendered else (100, 0))
    elif measure == "renewal":
        assert (results.failed, stands(order), surrendered) == ([], (150, 0), 450)
    else:
        assert stands(order) == (0, 0)
        assert quantity(plant, what) == 600 - surrendered
    assert verify_ledger().is_sound
