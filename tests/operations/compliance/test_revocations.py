"""What an authority decided is revoked by two of its officers, and then counts no longer (ADR 0100)."""

from __future__ import annotations

import threading
from decimal import Decimal
from uuid import uuid4

import pytest
from flask_babel import force_locale

from app.domain.errors import RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Application
from app.models.figures import claim_part, true_up
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.publicity import publishing
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests import factories
from tests.factories import account, colleague, confirmed, entered, instrument, quantity
from tests.operations.claims import DOCUMENT, claimed, deducted, issued, open_of, returning
from tests.operations.imports.test_figure_import import approved, pre, take
from tests.operations.successions import succeeding
from tests.races.conftest import without_account_lock

__all__ = ["without_account_lock"]  # a fixture, shared


@pytest.fixture
def cea(plant):
    return instrument()


def revoking(what, of, by, *, submits=True, **more):
    """Ask for the revocation of an application, which nobody has approved; return its id."""
    said = db.session.get_one(Application, what)
    asked = {"number": said.number, "kind": said.kind, **more}
    draft = engine.Draft("revocation", of.id, (), str(uuid4()), "决定有误", proposal=asked,
                         **DOCUMENT)  # fmt: skip
    with transaction():
        made = engine.start([draft], Actor.of(by), now=clock.now())
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def revoked(what, of, by, **more):
    made = revoking(what, of, by, **more)
    confirmed(made, colleague(by))
    return made


def is_revoked(application_id):
    db.session.expire_all()
    return db.session.get_one(Application, application_id).revoked_by_id is not None


def test_a_revoked_deduction_counts_no_longer_in_the_true_up(plant, hubei, maker):
    """P 50,000, A 60,000, D 40,000 + 30,000: without the second 20,000 are left to be issued."""
    factories.plan(pre_allocation_share=Decimal(50), share_cap=Decimal(50))
    with force_locale("zh"):
        take(maker, pre(plant, "", "100000", 50_000),
             approved(plant, "", "60000", 60_000, basis="核定等于核查"))  # fmt: skip
    deducted(plant, 40_000, by=hubei)
    wrong = deducted(plant, 30_000, by=hubei)
    figures = db.select(true_up.c.due, true_up.c.issue_1, true_up.c.issue_2, true_up.c.remaining)
    assert tuple(db.session.execute(figures).one()) == (70_000, 0, 0, 10_000)
    revoked(wrong, plant, hubei)
    assert tuple(db.session.execute(figures).one()) == (40_000, 10_000, 10_000, 0)
    assert is_revoked(wrong)
    assert verify_ledger().is_sound


def test_what_is_open_of_a_claim_ends_and_what_came_back_stays(
    plant, operator, maker, checker, cea
):
    """17,000 claimed, 10,000 returned: 7,000 end, and may be claimed anew; nothing is netted."""
    issued(plant, cea, 50_000, by=maker)
    claim = claimed(plant, cea, 17_000, by=maker)
    confirmed(returning(claim, 10_000, by=operator), maker)
    revoked(claim, plant, maker)

    assert (open_of(claim), is_revoked(claim)) == (0, True)
    issued(plant, cea, 5_000, by=maker)
    assert (quantity(plant, cea), quantity(plant, cea, Bucket.RECALLED)) == (45_000, 10_000)
    with pytest.raises(RuleError) as refusal:
        returning(claim, 1, by=operator)
    assert refusal.value.code == "more_than_left"
    assert (
        open_of(claimed(plant, cea, 45_000, by=maker)) == 45_000
    )  # 55,000 issued, 10,000 returned
    assert verify_ledger().is_sound


def test_a_claim_returned_in_full_is_made_good_by_an_issue(plant, operator, maker, checker, cea):
    issued(plant, cea, 50_000, by=maker)
    claim = claimed(plant, cea, 100, by=maker)
    back = returning(claim, 100, by=operator)
    with pytest.raises(RuleError) as refusal:
        revoking(claim, plant, maker)
    assert (refusal.value.code, "100 tonnes" in str(refusal.value)) == ("return_under_review", True)
    confirmed(back, maker)
    with pytest.raises(RuleError, match="supplementary issue") as refusal:
        revoking(claim, plant, maker)
    assert refusal.value.code == "claim_returned"
    assert not is_revoked(claim)


def test_a_claim_is_revoked_for_a_successor_too(plant, operator, maker, checker, cea):
    issued(plant, cea, 100, by=maker)
    claim = claimed(plant, cea, 40, by=maker)
    heir = account("乙")
    confirmed(succeeding(plant, maker, [(heir, "100")], {cea: 100}), checker)
    revoked(claim, heir, maker)
    left = db.session.scalars(db.select(claim_part.c.remaining)).all()
    assert left == [0, 0]
    assert verify_ledger().is_sound


def test_a_revoked_penalty_is_published_as_withdrawn(plant, maker, checker):
    penalty = entered("penalty", plant, maker, category="shortfall",
                      proposal={"year": "2025", "fen": 2_000_000})  # fmt: skip
    confirmed(penalty, checker)
    revoked(penalty, plant, maker)
    with transaction():
        publishing.publish_if_due(SYSTEM, now=factories.at("06:00", day=20))
    (row,) = publishing.find("penalties").rows()
    assert (row["state"], row["withdrawn_by"]) == ("withdrawn", DOCUMENT["document_no"])
    # By its document another one is entered, in the place of the wrong one.
    number = db.session.get_one(Application, penalty).document_no
    entered("penalty", plant, maker, category="shortfall", document_no=number,
            proposal={"year": "2025", "fen": 2_000})  # fmt: skip


def test_each_authority_revokes_its_own_decisions_once(plant, hubei, maker, checker, cea):
    wrong = deducted(plant, 30_000, by=hubei)
    other = account("乙")
    for of, by, more in ((plant, maker, {}), (other, hubei, {}), (plant, hubei, {"kind": "penalty"}),
                         (plant, hubei, {"number": "HJ209900000001"})):  # fmt: skip
        with pytest.raises(RuleError) as refusal:
            revoking(wrong, of, by, **more)
        assert (refusal.value.code, refusal.value.field) == ("not_revocable", "number")
    waits = revoking(wrong, plant, hubei)
    with pytest.raises(RuleError):
        revoking(wrong, plant, hubei)
    confirmed(waits, colleague(hubei))
    with pytest.raises(RuleError, match="revoked already"):
        revoking(wrong, plant, hubei)


def test_what_moved_tonnes_is_not_revoked(plant, maker, checker, cea):
    issue = issued(plant, cea, 100, by=maker)
    with pytest.raises(RuleError) as refusal:
        revoking(issue, plant, maker)
    assert refusal.value.code == "not_revocable"


def test_a_return_beside_a_revocation_has_one_winner(
    app, plant, operator, maker, checker, cea, without_account_lock
):
    """Without the accounts' locks the claim's line keeps the two apart."""
    issued(plant, cea, 1_000, by=maker)
    claim = claimed(plant, cea, 100, by=maker)
    back = returning(claim, 60, by=operator, submits=False)
    made = revoking(claim, plant, maker)
    refused = []

    def revoke():
        with app.app_context():
            try:
                confirmed(made, checker)
            except RuleError as error:
                refused.append(error.code)
            finally:
                db.session.remove()

    beside = threading.Thread(target=revoke)
    with transaction():
        engine.submit([back], Actor.of(operator), now=clock.now()).one()
        beside.start()
        beside.join(timeout=1)  # Without the line's lock it is revoked by now.
    beside.join()
    assert (refused, is_revoked(claim), open_of(claim)) == (["revocable_changed"], False, 40)
    assert verify_ledger().is_sound
