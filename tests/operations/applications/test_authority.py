"""冻结, 解冻, 收缴, 退还, 限制: by two officers, on a document (domain.md R112-R120, decisions 7 and 8)."""

from __future__ import annotations

from datetime import date

import pytest

from app.domain.errors import InsufficientQuantity, NotAllowed, NotFound, RuleError
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Account, Application, ApplicationEvent, ApplicationLine
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import (
    account,
    confirmed,
    entered,
    give,
    instrument,
    issued_to,
    member,
    nothing_moves,
    submitted,
)

WITH_LINES = ("freeze", "unfreeze", "confiscation", "confiscation_refund")
REASONS = {"freeze": "supervision", "confiscation": "penalty"}


@pytest.fixture
def cea(plant):
    """An instrument of which the plant has 1,000 tonnes available."""
    return issued_to(plant, 1000)


@pytest.fixture
def done(plant, maker, checker):
    """Return a function that enters and confirms, and returns the application's id."""

    def carry_out(kind, lines, source=None, **more):
        more.setdefault("category", REASONS.get(kind, ""))
        made = entered(kind, plant, maker, lines=lines, source=source, **more)
        confirmed(made, checker)
        return made

    return carry_out


def status(application_id):
    db.session.expire_all()
    return db.session.get_one(Application, application_id).status


# R112: freeze 400 of 1,000; lift 150 ---------------------------------------------------------


def test_a_freeze_of_400_leaves_600_and_lifting_150_leaves_750(
    plant, cea, maker, checker, done, holds
):
    freeze = entered("freeze", plant, maker, lines={cea: 400})
    assert holds() == {"available": 600, "frozen": 400}  # From the submission on.
    confirmed(freeze, checker)
    assert holds() == {"available": 600, "frozen": 400}

    lift = entered("unfreeze", plant, maker, lines={cea: 150}, source=freeze)
    assert holds() == {"available": 600, "frozen": 400}  # Not before the second officer's yes.
    confirmed(lift, checker)

    assert holds() == {"available": 750, "frozen": 250}
    assert verify_ledger().is_sound


@pytest.mark.parametrize(
    ("missing", "code", "field"),
    [
        ({"document_no": " "}, "document_missing", "document_no"),
        ({"authority": ""}, "authority_missing", "authority"),
        ({"starts_on": None}, "start_missing", "starts_on"),
        ({"ends_on": None}, "term_missing", "ends_on"),
        ({"ends_on": date(2026, 11, 19)}, "term_missing", "ends_on"),
        ({"ends_on": date(2029, 11, 21)}, "term_too_long", "ends_on"),
        ({"category": ""}, "category_missing", "category"),
    ],
)
def test_a_freeze_needs_its_document(plant, cea, maker, missing, code, field):
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("freeze", plant, maker, lines={cea: 400}, **missing)

    assert (refusal.value.code, refusal.value.field) == (code, field)


def test_a_freeze_of_three_years_to_the_day_is_taken(plant, cea, maker, holds):
    entered("freeze", plant, maker, lines={cea: 1}, ends_on=date(2029, 11, 20))  # R118
    assert holds() == {"available": 999, "frozen": 1}


def test_an_unknown_reason_is_refused(plant, cea, maker):
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        entered("freeze", plant, maker, lines={cea: 1}, category="whim")
    assert refusal.value.code == "category_unknown"


# R113: above what is available ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["freeze", "confiscation"])
def test_more_than_is_available_is_refused_with_the_figure(plant, cea, maker, kind):
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 1,000 tonnes") as refusal:
        entered(kind, plant, maker, lines={cea: 1200}, category=REASONS[kind])
    assert refusal.value.field == f"lines.{cea.id}.quantity"


def test_what_an_application_holds_cannot_be_frozen_as_well(plant, cea, operator, maker, holds):
    submitted("voluntary_cancellation", operator, {cea: 300}, reason="碳中和")

    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 700 tonnes"):
        entered("freeze", plant, maker, lines={cea: 701})

    entered("freeze", plant, maker, lines={cea: 700})
    assert holds() == {"reserved": 300, "frozen": 700}
    assert verify_ledger().is_sound


def test_frozen_tonnes_cannot_be_used(plant, cea, operator, done, holds):
    done("freeze", {cea: 900})

    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 100"):
        submitted("registry_to_trading", operator, {cea: 101})
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 100"):
        submitted("voluntary_cancellation", operator, {cea: 101}, reason="碳中和")


# R114: credits are allowed -------------------------------------------------------------------


def test_a_frozen_account_still_receives(plant, cea, done, holds):
    done("freeze", {cea: 1000})
    done("issuance", {cea: 50}, category="supplementary")
    assert holds() == {"available": 50, "frozen": 1000}


# R115: a document and what is left of it -----------------------------------------------------


def test_no_more_is_lifted_than_its_own_document_froze(plant, cea, maker, done, holds):
    first = done("freeze", {cea: 400})
    done("freeze", {cea: 300})

    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 400 tonnes are left"):
        entered("unfreeze", plant, maker, lines={cea: 401}, source=first)
    done("unfreeze", {cea: 400}, first)
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 0 tonnes are left"):
        entered("unfreeze", plant, maker, lines={cea: 1}, source=first)

    assert holds() == {"available": 700, "frozen": 300}  # The other document stands.
    assert verify_ledger().is_sound


def test_what_is_being_lifted_is_taken_and_comes_back_when_sent_back(
    plant, cea, maker, checker, done
):
    freeze = done("freeze", {cea: 400})
    waiting = entered("unfreeze", plant, maker, lines={cea: 300}, source=freeze)

    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 100 tonnes are left"):
        entered("unfreeze", plant, maker, lines={cea: 101}, source=freeze)

    with transaction():
        engine.send_back([waiting], Actor.of(checker), now=clock.now(), comment="文书不符").one()
    done("unfreeze", {cea: 400}, freeze)


def test_only_a_confirmed_freeze_is_lifted(plant, cea, maker):
    freeze = entered("freeze", plant, maker, lines={cea: 400})
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 0"):
        entered("unfreeze", plant, maker, lines={cea: 1}, source=freeze)


def test_a_lifting_without_its_freeze_is_refused(plant, cea, maker, done):
    done("freeze", {cea: 400})
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        entered("unfreeze", plant, maker, lines={cea: 1})


def test_a_document_about_another_enterprise_or_business_is_no_source(plant, cea, maker, checker):
    other = account("乙水泥有限公司")
    give(other, cea, 500)
    foreign = entered("freeze", other, maker, lines={cea: 500})
    confirmed(foreign, checker)
    taken = entered("confiscation", plant, maker, lines={cea: 10}, category="penalty")
    confirmed(taken, checker)

    for source in (foreign, taken):
        with nothing_moves(), pytest.raises(InsufficientQuantity):
            entered("unfreeze", plant, maker, lines={cea: 1}, source=source)


# R119: confiscation and refund ---------------------------------------------------------------


def test_confiscated_without_consent_and_refunded_in_parts(plant, cea, maker, checker, done, holds):
    claim = entered("confiscation", plant, maker, lines={cea: 400}, category="true_up")
    assert holds() == {"available": 600, "reserved": 400}
    confirmed(claim, checker)
    assert holds() == {"available": 600, "confiscated": 400}

    done("confiscation_refund", {cea: 150}, claim)
    assert holds() == {"available": 750, "confiscated": 250}
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 250 tonnes are left"):
        entered("confiscation_refund", plant, maker, lines={cea: 251}, source=claim)
    done("confiscation_refund", {cea: 250}, claim)

    assert holds() == {"available": 1000}
    assert verify_ledger().is_sound


def test_a_refund_goes_back_to_the_same_enterprise_and_instrument(plant, cea, maker, done):
    claim = done("confiscation", {cea: 400})
    other, cea21 = account("乙水泥有限公司"), instrument("CEA21")

    with nothing_moves(), pytest.raises(InsufficientQuantity):
        entered("confiscation_refund", other, maker, lines={cea: 1}, source=claim)
    line = db.session.query(ApplicationLine).filter_by(application_id=claim).one()
    asked = engine.Draft(
        "confiscation_refund",
        plant.id,
        (Line(cea21.id, 1, source_line_id=line.id),),
        "another-instrument",
        document_no="1",
        authority="2",
        starts_on=date(2026, 11, 20),
    )
    with transaction():
        made = engine.start([asked], Actor.of(maker), now=clock.now())
    with nothing_moves(), pytest.raises(InsufficientQuantity), transaction():
        engine.submit(made, Actor.of(maker), now=clock.now()).one()


def test_a_freeze_of_several_instruments_is_all_or_nothing(plant, cea, maker, holds):
    cea21 = instrument("CEA21")
    give(plant, cea21, 50)
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="only 50"):
        entered("freeze", plant, maker, lines={cea: 400, cea21: 51})


# Four eyes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*WITH_LINES, "restriction", "restriction_lifting", "issuance"])
def test_who_enters_does_not_confirm(plant, cea, maker, checker, done, kind):
    source = {"unfreeze": "freeze", "confiscation_refund": "confiscation"}.get(kind)
    if kind == "restriction_lifting":
        done("restriction", {})
    source_id = done(source, {cea: 9}) if source else None
    lines = {cea: 1} if kind in (*WITH_LINES, "issuance") else {}
    category = {**REASONS, "issuance": "approved"}.get(kind, "")
    made = entered(kind, plant, maker, lines=lines, source=source_id, category=category)

    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        confirmed(made, maker)

    assert refusal.value.code == "own_application"
    assert status(made) == "in_review"
    confirmed(made, checker)
    assert status(made) == "approved"


def test_who_changed_it_does_not_confirm_it_either(plant, cea, maker, checker):
    second = member("registry_maker")
    made = entered("freeze", plant, maker, lines={cea: 400})
    with transaction():
        engine.send_back([made], Actor.of(checker), now=clock.now(), comment="数量有误").one()
    changed = engine.Draft(
        "freeze", plant.id, (Line(cea.id, 300),), "x", category="supervision", document_no="1",
        authority="2", starts_on=date(2026, 11, 20), ends_on=date(2027, 1, 1),
    )  # fmt: skip
    with transaction():
        engine.edit(made, changed, Actor.of(second), now=clock.now())
        engine.submit([made], Actor.of(second), now=clock.now()).one()

    for person in (maker, second):
        with nothing_moves(), pytest.raises(NotAllowed) as refusal:
            confirmed(made, person)
        assert refusal.value.code == "own_application"
    confirmed(made, checker)


@pytest.mark.parametrize("kind", ["freeze", "confiscation", "issuance"])
def test_nobody_but_the_registry_enters_or_confirms(plant, cea, operator, maker, kind):
    province = member("province", province="42")
    category = {**REASONS, "issuance": "approved"}[kind]
    for person in (operator, province):
        with nothing_moves(), pytest.raises(NotAllowed):
            entered(kind, plant, person, lines={cea: 1}, category=category)
    made = entered(kind, plant, maker, lines={cea: 1}, category=category)
    for person in (operator, province):
        with nothing_moves(), pytest.raises(NotAllowed):
            confirmed(made, person)


def test_the_enterprise_cannot_take_a_freeze_back(plant, cea, operator, maker, done):
    """R120: it may look at freezes, not end them."""
    waiting = entered("freeze", plant, maker, lines={cea: 10})
    carried_out = done("freeze", {cea: 10})
    for made in (waiting, carried_out):
        with nothing_moves(), pytest.raises((NotAllowed, NotFound)), transaction():
            engine.withdraw([made], Actor.of(operator), now=clock.now()).one()


def test_a_freeze_that_is_not_confirmed_can_be_withdrawn_or_sent_back(
    plant, cea, maker, checker, holds
):
    first = entered("freeze", plant, maker, lines={cea: 400})
    with transaction():
        engine.withdraw([first], Actor.of(maker), now=clock.now()).one()
    second = entered("freeze", plant, maker, lines={cea: 500})
    with transaction():
        engine.send_back([second], Actor.of(checker), now=clock.now(), comment="缺文书").one()

    assert holds() == {"available": 1000}
    assert (status(first), status(second)) == ("withdrawn", "returned")
    assert verify_ledger().is_sound


# Restriction ---------------------------------------------------------------------------------


def is_restricted(plant):
    db.session.expire_all()
    return db.session.get_one(Account, plant.id).is_restricted


def test_a_restricted_account_is_not_debited_and_still_credited(
    plant, cea, operator, maker, done, holds
):
    waiting = submitted("voluntary_cancellation", operator, {cea: 10}, reason="碳中和")
    restriction = entered("restriction", plant, maker)
    assert not is_restricted(plant)
    checker = member("registry_checker")
    confirmed(restriction, checker)
    assert is_restricted(plant)

    for kind in ("registry_to_trading", "voluntary_cancellation"):
        with nothing_moves(), pytest.raises(NotAllowed) as refusal:
            submitted(kind, operator, {cea: 1}, reason="业务需要")
        assert refusal.value.code == "account_restricted"
    with nothing_moves(), pytest.raises(NotAllowed) as refusal:
        confirmed(waiting.id, checker)  # Asked again on approval.
    assert refusal.value.code == "account_restricted"
    done("issuance", {cea: 5}, category="supplementary")
    done("freeze", {cea: 5})  # No restriction stands against an authority's document.

    done("restriction_lifting", {})
    assert not is_restricted(plant)
    submitted("registry_to_trading", operator, {cea: 1})
    assert holds()["pending_to_trading"] == 1


@pytest.mark.parametrize("missing", ["reason", "document_no", "authority"])
def test_a_restriction_needs_its_document_and_reason(plant, maker, missing):
    with pytest.raises(RuleError) as refusal:
        entered("restriction", plant, maker, **{missing: ""})
    assert refusal.value.field == missing


def test_an_account_is_restricted_once_and_lifted_once(plant, maker, checker, done):
    with pytest.raises(RuleError) as refusal:
        entered("restriction_lifting", plant, maker)
    assert refusal.value.code == "not_restricted"
    both = [entered("restriction", plant, maker) for _ in range(2)]

    with transaction():
        outcome = engine.approve(both, Actor.of(checker), now=clock.now())

    assert [case.id for case in outcome.done] == both[:1]
    assert [error.code for _case, error in outcome.refused] == ["restricted_already"]
    with pytest.raises(RuleError) as refusal:
        entered("restriction", plant, maker)
    assert refusal.value.code == "restricted_already"
    done("restriction_lifting", {})
    confirmed(both[1], checker)  # The other document restricts it again.
    assert is_restricted(plant)


# The records ---------------------------------------------------------------------------------


def test_who_entered_and_who_confirmed_is_kept(plant, cea, maker, checker, done):
    made = done("freeze", {cea: 1})
    events = db.session.query(ApplicationEvent).filter_by(application_id=made).order_by("id").all()
    assert [(event.action, event.member_id) for event in events] == [
        ("save", maker.id),
        ("submit", maker.id),
        ("approve", checker.id),
    ]


@pytest.mark.unsound
def test_tonnes_frozen_without_a_document_are_found(plant, cea, cluster, done):
    done("freeze", {cea: 400})
    done("confiscation", {cea: 100})
    assert verify_ledger().is_sound
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE application_line SET quantity = quantity - 1 WHERE instrument_id = %s", [cea.id]
        )

    report = verify_ledger()

    assert report.totals["document_hold"] == 2
    keys = [fault.key for fault in report.faults if fault.check == "document_hold"]
    assert f"holding {plant.id}/{cea.id} bucket 3: holds 400, documents say 399" in keys
    assert report.totals["approval_posting"] == 1
