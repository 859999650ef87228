"""What was issued too much is claimed, returned and netted, nothing twice (rules-2026 N16, N26)."""

from __future__ import annotations

import threading
from datetime import date
from functools import partial

import pytest
from sqlalchemy import func, select

from app.domain.errors import NotAllowed, RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Application, ClaimNetting, CourtOrder, Entry
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import (
    confirmed,
    entered,
    instrument,
    member,
    nothing_moves,
    quantity,
    submitted,
)
from tests.operations.claims import claimed, claiming, issued, open_of, returning
from tests.operations.courts import freeze
from tests.races.conftest import without_account_lock

__all__ = ["without_account_lock"]  # a fixture, shared


@pytest.fixture
def cea(plant):
    return instrument()


def test_n26_a_claim_of_17000_of_which_10000_are_returned(
    plant, operator, maker, checker, cea, holds
):
    issued(plant, cea, 50_000, by=maker)
    claim = claimed(plant, cea, 17_000, by=maker)
    assert (open_of(claim), holds()) == (17_000, {"available": 50_000})

    back = returning(claim, 10_000, by=operator)
    assert holds() == {"available": 40_000, "reserved": 10_000}
    confirmed(back, maker)

    assert open_of(claim) == 7_000
    assert holds() == {"available": 40_000, "recalled": 10_000}
    assert verify_ledger().is_sound


def test_n26_the_next_issue_of_the_vintage_is_netted_by_what_is_open(
    plant, operator, maker, checker, cea, holds
):
    issued(plant, cea, 50_000, by=maker)
    claim = claimed(plant, cea, 17_000, by=maker)
    confirmed(returning(claim, 10_000, by=operator), maker)
    other = instrument()
    issued(plant, other, 100, by=maker)
    assert open_of(claim) == 7_000  # Another vintage nets nothing.

    issue = issued(plant, cea, 20_000, by=maker)

    assert (open_of(claim), holds()) == (0, {"available": 53_000, "recalled": 17_000})
    row = db.session.scalars(select(ClaimNetting)).one()
    assert row.quantity == 7_000
    number = db.session.get_one(Application, claim).number
    found = db.session.execute(
        db.text("SELECT business, document FROM posting WHERE id = :id"), {"id": row.posting_id}
    ).one()
    assert tuple(found) == ("claim_netting", number)
    issuing = db.text("SELECT application_id FROM posting WHERE id = :id")
    assert db.session.scalar(issuing, {"id": row.issue_posting_id}) == issue
    issued(plant, cea, 5, by=maker)  # The claim is closed.
    assert holds()["available"] == 53_005
    assert verify_ledger().is_sound


def test_a_smaller_issue_is_netted_whole_the_earliest_claim_first(
    plant, maker, checker, cea, holds
):
    issued(plant, cea, 10_000, by=maker)
    later = claimed(plant, cea, 500, by=maker, ends_on=date(2026, 12, 10))
    earlier = claimed(plant, cea, 300, by=maker, ends_on=date(2026, 12, 1))
    issued(plant, cea, 400, by=maker)
    assert (open_of(earlier), open_of(later)) == (0, 400)
    assert holds() == {"available": 10_000, "recalled": 400}


def test_what_waits_for_its_review_is_not_netted_as_well(
    plant, operator, maker, checker, cea, holds
):
    issued(plant, cea, 1_000, by=maker)
    claim = claimed(plant, cea, 700, by=maker)
    back = returning(claim, 600, by=operator)
    issued(plant, cea, 500, by=maker)
    assert (open_of(claim), holds()) == (0, {"available": 800, "reserved": 600, "recalled": 100})
    with transaction():
        engine.send_back([back], Actor.of(maker), now=clock.now(), comment="数量有误").one()
    assert (open_of(claim), holds()["available"]) == (600, 1_400)
    assert verify_ledger().is_sound


def test_what_a_court_waits_for_is_netted_first(plant, maker, checker, cea, holds):
    """What is netted was never the enterprise's; the court gets all the rest."""
    issued(plant, cea, 100, by=maker)
    claim = claimed(plant, cea, 100, by=maker)
    freeze(plant, maker, 1_000, cea)
    issued(plant, cea, 400, by=maker)
    order = db.session.scalars(select(CourtOrder)).one()
    assert (order.effective, order.queued, open_of(claim)) == (400, 600, 0)
    assert holds() == {"frozen": 400, "recalled": 100}
    assert verify_ledger().is_sound


def test_n16_a_wrong_issue_that_was_spent_is_claimed(plant, maker, checker, cea):
    """1,000,000 instead of 100,000 tonnes; 50,000 are gone: 900,000 are claimed all the same."""
    issued(plant, cea, 1_000_000, by=maker)
    claim = claimed(plant, cea, 900_000, by=maker, category="wrong_issue")
    assert open_of(claim) == 900_000


@pytest.mark.parametrize(("first", "second"), [(17_000, 1), (10_000, 7_001)])
def test_never_more_is_returned_than_is_open(plant, operator, maker, checker, cea, first, second):
    issued(plant, cea, 50_000, by=maker)
    claim = claimed(plant, cea, 17_000, by=maker)
    confirmed(returning(claim, first, by=operator), maker)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        returning(claim, second, by=operator)
    assert refusal.value.code == "more_than_left"
    assert f"{17_000 - first:,}" in str(refusal.value)


def test_a_return_needs_a_claim_of_the_own_account(plant, operator, maker, checker, cea):
    issued(plant, cea, 100, by=maker)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        submitted("allowance_return", operator, {cea: 10})
    assert refusal.value.code == "more_than_left"
    waits = claiming(plant, cea, 50, by=maker)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        returning(waits, 10, by=operator)
    assert refusal.value.code == "more_than_left"


def test_never_more_is_claimed_than_was_issued(plant, maker, checker, cea):
    issued(plant, cea, 1_000, by=maker)
    claiming(plant, cea, 900, by=maker)
    with pytest.raises(RuleError, match="only 100 tonnes were issued") as refusal:
        claiming(plant, cea, 101, by=maker)
    assert refusal.value.code == "claim_beyond_issued"
    claiming(plant, cea, 100, by=maker)


@pytest.mark.parametrize("ends_on", [None, date(2026, 11, 19)])
def test_a_claim_says_until_when(plant, maker, cea, ends_on):
    issued(plant, cea, 100, by=maker)
    with pytest.raises(RuleError) as refusal:
        claiming(plant, cea, 10, by=maker, ends_on=ends_on)
    assert (refusal.value.code, refusal.value.field) == ("claim_deadline", "ends_on")


def test_who_entered_a_claim_does_not_approve_it(plant, maker, checker, cea):
    issued(plant, cea, 100, by=maker)
    claim = claiming(plant, cea, 10, by=maker)
    with transaction(), pytest.raises(NotAllowed) as refusal:
        engine.approve([claim], Actor.of(maker), now=clock.now()).one()
    assert refusal.value.code == "own_application"


def test_a_restricted_account_returns_as_well(plant, operator, maker, checker, cea):
    issued(plant, cea, 100, by=maker)
    claim = claimed(plant, cea, 40, by=maker)
    confirmed(entered("restriction", plant, maker), checker)
    confirmed(returning(claim, 40, by=operator), maker)
    assert (open_of(claim), quantity(plant, cea, Bucket.RECALLED)) == (0, 40)


# Races --------------------------------------------------------------------------------------------


def submit(application_id, actor):
    with transaction():
        return engine.submit([application_id], actor, now=clock.now()).one()


def approve(application_id, actor):
    with transaction():
        return engine.approve([application_id], actor, now=clock.now()).one()


def test_two_returns_never_exceed_the_claim(together, plant, operator, maker, checker, cea):
    """Without the account's lock the trigger's, on the claim's line, keeps them apart."""
    issued(plant, cea, 1_000, by=maker)
    other = member("enterprise", of=plant)
    for _time in range(4):
        claim = claimed(plant, cea, 100, by=maker)
        drafts = [returning(claim, 60, by=each, submits=False) for each in (operator, other)]
        results = together(
            *(
                partial(submit, draft, Actor.of(each))
                for draft, each in zip(drafts, (operator, other), strict=True)
            )
        )
        assert [error.code for error in results.failed] == ["more_than_left"]
        assert open_of(claim) == 40
    assert verify_ledger().is_sound


def test_without_the_account_lock_the_database_keeps_two_returns_apart(
    together, plant, operator, maker, checker, cea, without_account_lock, monkeypatch
):
    """Both have read the claim as open; whoever writes second is refused by the trigger."""
    read, gather = threading.Barrier(2), engine.gather
    issued(plant, cea, 1_000, by=maker)
    claim = claimed(plant, cea, 100, by=maker)
    both = (operator, member("enterprise", of=plant))
    drafts = [returning(claim, 60, by=each, submits=False) for each in both]

    def after_both_have_read(cases, moment):
        found = gather(cases, moment)
        read.wait(timeout=60)
        return found

    monkeypatch.setattr(engine, "gather", after_both_have_read)
    results = together(
        *(partial(submit, draft, Actor.of(each)) for draft, each in zip(drafts, both, strict=True))
    )
    assert [error.code for error in results.failed] == ["insufficient_quantity"]
    assert open_of(claim) == 40
    assert verify_ledger().is_sound


def test_an_issue_beside_a_return_nets_what_the_return_leaves(
    together, plant, operator, maker, checker, cea, holds
):
    issued(plant, cea, 1_000, by=maker)
    for _time in range(4):
        claim = claimed(plant, cea, 100, by=maker)
        back = returning(claim, 100, by=operator, submits=False)
        issue = entered("issuance", plant, maker, lines={cea: 100}, category="supplementary")
        together(
            partial(submit, back, Actor.of(operator)), partial(approve, issue, Actor.of(checker))
        )
        assert open_of(claim) == 0
        state = db.session.get_one(Application, back).status
        netted = db.session.scalar(select(func.coalesce(func.sum(ClaimNetting.quantity), 0)))
        assert state in ("in_review", "draft")
        if state == "in_review":
            confirmed(back, maker)
        assert holds()["recalled"] % 100 == 0
        assert netted % 100 == 0
    assert db.session.query(Entry).count()
    assert verify_ledger().is_sound
