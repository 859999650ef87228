"""Review: approval and return, in batches, and never of one's own applications."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import event

from app.domain.errors import InsufficientQuantity, NotAllowed, NotFound, RuleError
from app.domain.kinds import Kind
from app.domain.moves import Bucket
from app.domain.workflow import Line, Party
from app.extensions import db, transaction
from app.models import Application, Posting
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import (
    account,
    draft,
    give,
    instrument,
    known,
    member,
    nothing_moves,
    submitted,
)


class Toy(Kind):
    """Like 清缴履约: the provincial authority reviews, the tonnes end up surrendered."""

    code = "toy"
    title = "Toy"
    prefix = "TO"
    reviews = (Party.AUTHORITY,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.SURRENDERED)


class TwoSteps(Toy):
    """The authority first, then the registry."""

    code = "two_steps"
    prefix = "TW"
    reviews = (Party.AUTHORITY, Party.REGISTRY)


@pytest.fixture(autouse=True)
def _toys(app, monkeypatch):
    known(monkeypatch, Toy, TwoSteps)


@pytest.fixture
def hunan(app):
    return member("province", province="43")


@pytest.fixture
def registry(app):
    return member("registry_checker")


def approve(*ids, by, comment=""):
    with transaction():
        return engine.approve(ids, Actor.of(by), now=clock.now(), comment=comment)


def send_back(*ids, by, comment="数量有误"):
    with transaction():
        return engine.send_back(ids, Actor.of(by), now=clock.now(), comment=comment)


def submit(*ids, by):
    with transaction():
        return engine.submit(ids, Actor.of(by), now=clock.now())


def read(application_id):
    db.session.expire_all()
    return db.session.get_one(Application, application_id)


def test_approval_carries_it_out(operator, cea, hubei, holds):
    case = submitted("toy", operator, {cea: 100})
    assert holds() == {"available": 600, "reserved": 100}
    assert verify_ledger().is_sound

    approve(case.id, by=hubei, comment="同意").one()

    assert holds() == {"available": 600, "surrendered": 100}
    row = read(case.id)
    assert (row.status, row.events[-1].comment) == ("approved", "同意")
    assert row.events[-1].member_id == hubei.id
    assert verify_ledger().is_sound


def test_sending_back_releases_the_tonnes(operator, cea, hubei, holds):
    case = submitted("toy", operator, {cea: 100})

    send_back(case.id, by=hubei).one()

    assert holds() == {"available": 700}
    row = read(case.id)
    assert (row.status, row.posting_id, row.events[-1].comment) == ("returned", None, "数量有误")
    assert verify_ledger().is_sound


@pytest.mark.parametrize("comment", ["", "   ", "\n"])
def test_sending_back_asks_for_a_reason(operator, cea, hubei, comment):
    case = submitted("toy", operator, {cea: 100})

    with nothing_moves(), pytest.raises(RuleError) as refusal:
        send_back(case.id, by=hubei, comment=comment)

    assert (refusal.value.field, refusal.value.code) == ("comment", "reason_missing")
    assert read(case.id).status == "in_review"


def test_returned_changed_submitted_again_and_approved(operator, cea, hubei, holds):
    case = submitted("toy", operator, {cea: 100})
    send_back(case.id, by=hubei).one()
    changed = engine.Draft("toy", operator.account_id, (Line(cea.id, 60),), "x")
    with transaction():
        engine.edit(case.id, changed, Actor.of(operator), now=clock.now())

    submit(case.id, by=operator).one()
    assert holds() == {"available": 640, "reserved": 60}
    approve(case.id, by=hubei).one()

    assert holds() == {"available": 640, "surrendered": 60}
    assert [event.action for event in read(case.id).events] == [
        "save",
        "submit",
        "send_back",
        "save",
        "submit",
        "approve",
    ]
    assert verify_ledger().is_sound


def test_every_round_posts_under_a_key_of_its_own(operator, cea, hubei, holds):
    case = submitted("toy", operator, {cea: 100})
    for _ in range(3):
        send_back(case.id, by=hubei).one()
        submit(case.id, by=operator).one()

    keys = db.session.query(Posting.request_key).filter_by(application_id=case.id).all()
    assert len(set(keys)) == len(keys) == 7
    assert holds() == {"available": 600, "reserved": 100}
    assert verify_ledger().is_sound


def test_another_province_does_not_find_it(operator, cea, hunan):
    case = submitted("toy", operator, {cea: 100})

    for verb in (approve, send_back):
        with nothing_moves(), pytest.raises(NotFound):
            verb(case.id, by=hunan).one()

    assert read(case.id).status == "in_review"


@pytest.mark.parametrize("verb", [approve, send_back])
def test_it_is_the_authoritys_turn_and_nobody_elses(operator, cea, registry, verb):
    case = submitted("toy", operator, {cea: 100})

    for other in (operator, registry):
        with nothing_moves(), pytest.raises(NotAllowed) as refusal:
            verb(case.id, by=other).one()
        assert refusal.value.code in ("own_application", "not_your_turn")

    assert read(case.id).status == "in_review"


@pytest.mark.unsound
@pytest.mark.parametrize("verb", [approve, send_back])
def test_nobody_reviews_what_they_submitted(cea, operator, hubei, verb):
    made = draft("toy", operator, {cea: 100})
    with transaction():
        db.session.execute(
            db.text("UPDATE application SET status = 'in_review', submitted_at = now(),"
                    " submitted_by = :member"),
            {"member": hubei.id},
        )  # fmt: skip

    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        verb(made, by=hubei).one()

    assert refusal.value.code == "own_application"


def test_two_officers_approve_once(operator, cea, hubei, holds):
    case = submitted("toy", operator, {cea: 100})
    approve(case.id, by=hubei).one()

    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        approve(case.id, by=member("province", province="42")).one()
    assert refusal.value.code == "wrong_status"
    with nothing_moves(), pytest.raises(NotAllowed):
        send_back(case.id, by=hubei).one()


def test_each_step_waits_for_its_party(operator, cea, hubei, registry, holds):
    case = submitted("two_steps", operator, {cea: 100})
    with nothing_moves(), pytest.raises(NotAllowed):
        approve(case.id, by=registry).one()

    approve(case.id, by=hubei).one()
    assert (read(case.id).status, read(case.id).step) == ("in_review", 1)
    assert holds() == {"available": 600, "reserved": 100}
    with nothing_moves(), pytest.raises(NotAllowed):
        approve(case.id, by=hubei).one()

    approve(case.id, by=registry).one()
    assert holds() == {"available": 600, "surrendered": 100}


def test_sent_back_at_the_second_step_it_starts_at_the_first(operator, cea, hubei, registry, holds):
    case = submitted("two_steps", operator, {cea: 100})
    approve(case.id, by=hubei).one()
    send_back(case.id, by=registry).one()
    assert holds() == {"available": 700}

    submit(case.id, by=operator).one()
    assert read(case.id).step == 0
    with nothing_moves(), pytest.raises(NotAllowed):
        approve(case.id, by=registry).one()


def test_an_account_restricted_meanwhile_is_not_debited(plant, operator, cea, hubei, holds):
    case = submitted("toy", operator, {cea: 100})
    with transaction():
        plant.is_restricted = True

    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        approve(case.id, by=hubei).one()
    assert refusal.value.code == "account_restricted"

    send_back(case.id, by=hubei).one()
    assert holds() == {"available": 700}


def test_the_applicant_withdraws_until_it_is_decided(operator, cea, hubei, holds):
    case = submitted("toy", operator, {cea: 100})
    with transaction():
        engine.withdraw([case.id], Actor.of(operator), now=clock.now()).one()
    assert holds() == {"available": 700}

    with nothing_moves(), pytest.raises(NotAllowed):
        approve(case.id, by=hubei).one()


def test_reserved_tonnes_cannot_be_asked_for_twice(operator, cea):
    submitted("toy", operator, {cea: 700})

    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 0"):
        submitted("toy", operator, {cea: 1})


def test_bulk_review_reports_each(operator, cea, hubei, hunan, holds):
    first, second, decided = (submitted("toy", operator, {cea: 10}) for _ in range(3))
    approve(decided.id, by=hubei).one()
    elsewhere = account("丙钢铁有限公司", province="43")
    give(elsewhere, cea, 10)
    foreign = submitted("toy", member(of=elsewhere), {cea: 10})

    outcome = approve(first.id, decided.id, foreign.id, second.id, by=hubei)

    assert [case.id for case in outcome.done] == [first.id, second.id]
    assert {case.id: error.code for case, error in outcome.refused} == {
        decided.id: "wrong_status",
        foreign.id: "not_found",
    }
    assert holds() == {"available": 670, "surrendered": 30}
    assert holds(of=elsewhere) == {"reserved": 10}
    assert verify_ledger().is_sound


@pytest.fixture
def queries(app):
    """Return the list to which every statement is added."""
    sent: list[str] = []

    def note(_connection, _cursor, statement, *_rest):
        if statement != "DISCARD PLANS":  # From single acts to bulk, and back (ADR 0097).
            sent.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield sent
    event.remove(db.engine, "before_cursor_execute", note)


def test_a_thousand_take_as_many_queries_as_one(plant, operator, cea, hubei, queries, holds):
    give(plant, cea, 10_000)
    counts = {}
    for many in (1, 1000):
        drafts = [
            engine.Draft("toy", plant.id, (Line(cea.id, 2),), str(uuid4())) for _ in range(many)
        ]
        officer, reviewer = Actor.of(operator), Actor.of(hubei)
        db.session.rollback()
        queries.clear()
        with transaction():
            made = engine.start(drafts, officer, now=clock.now())
            assert len(engine.submit(made, officer, now=clock.now()).done) == many
        submitting = len(queries)
        queries.clear()
        with transaction():
            assert len(engine.approve(made, reviewer, now=clock.now()).done) == many
        counts[many] = (submitting, len(queries))

    assert counts[1000] == counts[1]
    assert max(counts[1]) <= 12
    assert holds() == {"available": 10_700 - 2002, "surrendered": 2002}
    assert verify_ledger().is_sound


def test_instruments_of_one_application_go_together(plant, operator, cea, hubei, holds):
    cea21 = instrument("CEA21")
    give(plant, cea21, 50)
    case = submitted("toy", operator, {cea: 100, cea21: 50})

    approve(case.id, by=hubei).one()

    assert holds() == {"available": 600, "surrendered": 100}
    assert holds(what=cea21) == {"surrendered": 50}
