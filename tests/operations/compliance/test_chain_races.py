"""Officers who take the same waiting units, or reverse an issue that is used; without its lock each fails."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import pytest

from app.domain.moves import Bucket
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.operations.applications import engine
from app.operations.compliance import chain
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import confirmed, draft, entered, instrument, member, quantity
from tests.operations import chains

TRIES = 12


@pytest.fixture
def office(app):
    """Two officers of 湖北."""
    return member("province", province="42"), member("province", province="42")


def submit(application_id, actor):
    with transaction():
        return engine.submit([application_id], actor, now=clock.now()).one()


def approve(application_id, actor):
    with transaction():
        return engine.approve([application_id], actor, now=clock.now()).one()


# Two officers, the same waiting units ----------------------------------------------------------


def both_issue(together, plant, cea, office, maker, checker):
    """Submit issues of 60 each of 100 that wait, as two officers."""
    source = chains.issued_to_province(plant, {cea: 100}, maker, checker, "supplementary")
    acts = [
        partial(
            submit,
            entered("province_issue", plant, each, lines={cea: 60}, source=source, submits=False),
            Actor.of(each),
        )
        for each in office
    ]
    return together(*acts)


def test_of_two_officers_one_issues(together, plant, office, maker, checker):
    cea = instrument(vintage=2025)
    results = both_issue(together, plant, cea, office, maker, checker)
    (error,) = results.failed
    assert error.code == "more_than_left"
    assert sorted(chains.waiting(plant)) == [40]
    assert verify_ledger().is_sound


@pytest.mark.usefixtures("without_account_lock")
def test_without_the_account_s_lock_the_database_refuses(together, plant, office, maker, checker):
    """The rule lets both pass now and then; the trigger on what is drawn does not."""
    cea = instrument(vintage=2025)
    for _ in range(TRIES):
        results = both_issue(together, plant, cea, office, maker, checker)
        (error,) = results.failed
        if error.code != "more_than_left":
            assert verify_ledger().is_sound
            return
    pytest.fail("the account's lock makes no difference")


# A reversal beside a transfer of the same units ------------------------------------------------


def a_reversal_beside_a_transfer(together, plant, operator, maker, checker):
    """Submit the reversal of 100 and a transfer of 60 of them at once."""
    cea = instrument(vintage=2021)
    issue = chains.issued_to_province(plant, {cea: 100}, maker, checker)
    undo = chains.reversal(issue, plant, maker, submits=False)
    transfer = draft("registry_to_trading", operator, {cea: 60})
    results = together(
        partial(submit, undo, Actor.of(maker)), partial(submit, transfer, Actor.of(operator))
    )
    held = [quantity(plant, cea, each) for each in (Bucket.AVAILABLE, Bucket.RESERVED)]
    return results, held


def test_a_reversal_or_a_transfer_takes_them(together, plant, operator, maker, checker):
    results, held = a_reversal_beside_a_transfer(together, plant, operator, maker, checker)
    (error,) = results.failed
    assert error.code in ("reversal_of_used", "insufficient_quantity")
    assert held in ([0, 100], [40, 0])
    assert verify_ledger().is_sound


@pytest.mark.usefixtures("without_account_lock")
def test_without_the_account_s_lock_the_holding_refuses(together, plant, operator, maker, checker):
    for _ in range(TRIES):
        results, _held = a_reversal_beside_a_transfer(together, plant, operator, maker, checker)
        (error,) = results.failed
        if not error.field:  # The holding's, not a rule's.
            return
    pytest.fail("the account's lock makes no difference")


# A commission beside a release -----------------------------------------------------------------


def test_a_commission_beside_a_removal_takes_them_once(together, plant, office, maker, checker):
    """What the list's removal would release cannot be surrendered by commission as well."""
    cea = instrument(vintage=2025)
    chains.listed(plant, 2025, office[0])
    chains.issued_to_province(plant, {cea: 100}, maker, checker)
    notice = factories.notice(plant, 80, by=maker)
    ask = chains.commissioned(plant, notice, office[0], submits=False)
    leave = chains.removal(plant, 2025, office[1], submits=False)

    results = together(
        partial(submit, ask, Actor.of(office[0])), partial(submit, leave, Actor.of(office[1]))
    )

    (error,) = results.failed
    assert error.code in ("commission_out_of_order", "waiting_changed", "more_than_left")
    assert chains.waiting(plant) in ([20], [0])
    assert verify_ledger().is_sound


def test_a_release_waits_for_the_commission_that_fulfils(together, plant, office, maker, checker):
    """The remainder is issued after the second officer's approval, or refused before it."""
    cea = instrument(vintage=2025)
    chains.listed(plant, 2025, office[0])
    source = chains.issued_to_province(plant, {cea: 100}, maker, checker)
    notice = factories.notice(plant, 80, by=maker)
    made = chains.commissioned(plant, notice, office[0])
    confirmed(made, maker)
    line = chains.lines_waiting(plant)[0]
    rest = engine.Draft(
        "province_issue", plant.id, (Line(cea.id, 20, source_line_id=line),), str(uuid4())
    )
    with transaction():
        (release,) = engine.start([rest], Actor.of(office[0]), now=clock.now())
    assert source
    results = together(
        partial(approve, made, Actor.of(checker)), partial(submit, release, Actor.of(office[0]))
    )
    assert [error.code for error in results.failed] in ([], ["withheld"])
    db.session.rollback()
    assert quantity(plant, cea, Bucket.SURRENDERED) == 80
    assert chain.commissioned([plant.id], clock.now().date()).gaps[notice] == 0
    assert verify_ledger().is_sound
