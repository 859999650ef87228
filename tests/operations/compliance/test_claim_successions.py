"""What is open of a claim goes to successors under its number (rules-2026 N116)."""

from __future__ import annotations

import pytest

from app.domain.errors import RuleError
from app.domain.moves import CARE_ACCOUNT_ID, Bucket
from app.extensions import db
from app.models import Account, Application, ClaimNetting
from app.models.figures import claim_part
from app.operations.accounts import life
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from tests.factories import (
    account,
    confirmed,
    instrument,
    member,
    nothing_moves,
    quantity,
)
from tests.operations.claims import claimed, issued, returning
from tests.operations.successions import succeeding


@pytest.fixture
def cea(plant):
    return instrument()


def owed(claim):
    """Return what each account owes of a claim, by account: (its part, what is left of it)."""
    db.session.rollback()
    part = claim_part.c
    rows = db.session.execute(
        db.select(part.account_id, part.quantity, part.remaining).where(
            part.application_id == claim
        )
    )
    return {row.account_id: (row.quantity, row.remaining) for row in rows}


def test_n116_a_merger_leaves_20000_of_30000_on_the_same_number(
    plant, operator, maker, checker, cea
):
    """Claim 30,000, 10,000 returned: the successor owes 20,000, returns some and is netted for the rest."""
    issued(plant, cea, 100_000, by=maker)
    claim = claimed(plant, cea, 30_000, by=maker)
    number = db.session.get_one(Application, claim).number
    confirmed(returning(claim, 10_000, by=operator), maker)
    heir = account("乙发电有限公司")
    by = member(of=heir)

    made = succeeding(plant, maker, [(heir, "100")], {cea: 90_000})
    confirmed(made, checker)

    assert owed(claim) == {plant.id: (10_000, 0), heir.id: (20_000, 20_000)}
    assert (quantity(plant, cea), quantity(heir, cea)) == (0, 90_000)
    assert db.session.get_one(Application, claim).account_id == plant.id  # who owed it at first
    assert not life.obstacles_of(plant.id)
    (left,) = [each for each in life.obstacles_of(heir.id) if each.what == "claim"]
    assert (left.name, left.quantity) == (number, 20_000)

    confirmed(returning(claim, 15_000, by=by), maker)
    issued(heir, cea, 8_000, by=maker)
    assert owed(claim) == {plant.id: (10_000, 0), heir.id: (20_000, 0)}
    assert quantity(heir, cea, Bucket.RECALLED) == 20_000
    assert db.session.scalars(db.select(ClaimNetting)).one().account_id == heir.id
    assert verify_ledger().is_sound


def test_n116_a_division_splits_a_claim_by_its_table(plant, operator, maker, checker, cea):
    issued(plant, cea, 100_000, by=maker)
    claim = claimed(plant, cea, 20_001, by=maker)
    one, two = account("甲一"), account("甲二")
    confirmed(
        succeeding(plant, maker, [(one, "60"), (two, "40")], {cea: 100_000}, "division"), checker
    )
    assert owed(claim) == {plant.id: (0, 0), one.id: (12_001, 12_001), two.id: (8_000, 8_000)}

    by = member(of=two)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        returning(claim, 8_001, by=by)  # Others owe more of it.
    assert (refusal.value.code, "8,000" in str(refusal.value)) == ("more_than_left", True)
    confirmed(returning(claim, 8_000, by=by), maker)
    issued(one, cea, 12_000, by=maker)
    assert owed(claim)[one.id] == (12_001, 1)
    # What was taken over is taken over again.
    last = account("丙")
    confirmed(succeeding(one, maker, [(last, "100")], {cea: 60_000}), checker)
    assert owed(claim)[last.id] == (1, 1)
    assert verify_ledger().is_sound


def test_who_owed_a_claim_does_not_return_for_it_any_more(plant, operator, maker, checker, cea):
    issued(plant, cea, 100, by=maker)
    claim = claimed(plant, cea, 40, by=maker)
    confirmed(succeeding(plant, maker, [(account("乙"), "100")], {cea: 100}), checker)
    issued(plant, cea, 10, by=maker)  # not netted
    assert quantity(plant, cea) == 10
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        returning(claim, 10, by=operator)
    assert refusal.value.code == "more_than_left"


def test_a_return_under_review_comes_before_a_succession(plant, operator, maker, cea):
    issued(plant, cea, 100, by=maker)
    returning(claimed(plant, cea, 40, by=maker), 30, by=operator)
    with nothing_moves(), pytest.raises(RuleError, match="under way"):
        succeeding(plant, maker, [(account("乙"), "100")], {cea: 70})


def test_nobody_takes_over_a_claim_of_who_is_dissolved(plant, maker, cea):
    issued(plant, cea, 100, by=maker)
    claimed(plant, cea, 40, by=maker)
    care = db.session.get_one(Account, CARE_ACCOUNT_ID)
    with nothing_moves(), pytest.raises(RuleError, match="returns 40 tonnes"):
        succeeding(plant, maker, [(care, "100")], {cea: 100}, "dissolution")


def test_the_database_keeps_each_successor_within_its_part(plant, maker, checker, cea, monkeypatch):
    """Whatever the rule says: the trigger knows who owes how much."""
    issued(plant, cea, 1_000, by=maker)
    claim = claimed(plant, cea, 100, by=maker)
    one, two = account("甲一"), account("甲二")
    made = succeeding(plant, maker, [(one, "60"), (two, "40")], {cea: 1_000}, "division")
    confirmed(made, checker)
    by = member(of=two)
    gather = engine.gather

    def misread(cases, moment):
        found = gather(cases, moment)
        for source in found.sources.values():
            source.left = 10**6
        return found

    monkeypatch.setattr(engine, "gather", misread)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        returning(claim, 41, by=by)
    assert refusal.value.code == "insufficient_quantity"
