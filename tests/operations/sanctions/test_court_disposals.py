"""What a court froze, surrendered with its written consent (rules-2026 N105)."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import func, text
from sqlalchemy.exc import IntegrityError

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Attestation, CourtEffect
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.sanctions import lapses
from tests.factories import (
    account,
    confirmed,
    give,
    instrument,
    nothing_moves,
    notice,
    quantity,
    submitted,
)
from tests.operations.compliance.test_compliance import figures
from tests.operations.courts import (
    assign,
    freeze,
    midnight,
    release,
    renew,
    stands,
    surrender,
)


@pytest.fixture
def cea(plant):
    """An allowance of 2025 of which the plant has 1,000 tonnes available."""
    what = instrument("2025年度配额", vintage=2025)
    give(plant, what, 1000)
    return what


@pytest.fixture
def held(plant, cea):
    """Return a function that tells what is available and what is frozen."""
    return lambda: (quantity(plant, cea), quantity(plant, cea, Bucket.FROZEN))


@pytest.fixture
def owed(plant, maker):
    return notice(plant, 500, by=maker)


def lapse(day):
    with transaction():
        return lapses.lapse_next(SYSTEM, now=midnight(day))


def approved(application_id, *by):
    for each in by:
        confirmed(application_id, each)


def effects(order):
    rows = db.select(CourtEffect.cause, CourtEffect.quantity).filter_by(order_id=order)
    return [tuple(row) for row in db.session.execute(rows.order_by(CourtEffect.id))]


# N105: surrender with the court's consent ------------------------------------------------------


def test_n105_surrendered_out_of_the_freeze_with_the_court_s_consent(
    plant, operator, cea, maker, checker, hubei, held, owed
):
    """600 frozen, 700 queued behind it: 450 surrendered leave 150; the queue gets none of them."""
    a = freeze(plant, maker, 600, cea, served="2026-11-20T08:00:00+08:00")
    b = freeze(plant, maker, 700, cea, served="2026-11-20T09:00:00+08:00")
    asked = surrender(a, operator, 450, cea, owed)
    assert (stands(a), held(), figures(owed)) == ((600, 0), (0, 1000), (0, 450))
    approved(asked, maker, checker)
    assert (stands(a), held()) == ((600, 0), (0, 1000))
    approved(asked, hubei)
    assert (stands(a), stands(b)) == ((150, 0), (400, 300))
    assert (held(), figures(owed)) == ((0, 550), (450, 0))
    assert quantity(plant, cea, Bucket.SURRENDERED) == 450
    assert effects(a) == [("order", 600), ("surrender", -450)]
    with nothing_moves(), pytest.raises(InsufficientQuantity) as refusal:
        surrender(a, operator, 51, cea, owed)  # 500 due, 450 surrendered.
    assert refusal.value.code == "above_due"
    release(a, maker, 150)
    assert (stands(a), stands(b)) == ((0, 0), (550, 150))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"document_no": " "}, "consent_number_missing"),
        ({"authority": ""}, "consent_court_missing"),
        ({"paper": False}, "consent_paper_missing"),
    ],
)
def test_n105_not_without_the_consent_its_number_and_the_paper(
    plant, operator, cea, maker, owed, said, code
):
    a = freeze(plant, maker, 600, cea)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        surrender(a, operator, 450, cea, owed, **said)
    assert refusal.value.code == code


def test_n105_otherwise_what_is_frozen_is_not_surrendered(plant, operator, cea, maker, owed):
    freeze(plant, maker, 600, cea)
    with nothing_moves(), pytest.raises(InsufficientQuantity):
        submitted("surrender", operator, {cea: 401}, notice_id=owed)


def test_n105_only_out_of_the_freeze_that_is_named(plant, operator, cea, maker, owed):
    a = freeze(plant, maker, 600, cea)
    b = freeze(plant, maker, 400, cea)
    for order, tonnes, code in (
        (a, 601, "above_due"), (b, 401, "court_surrender_above_hold"),
        (0, 1, "court_order_unknown"),
    ):  # fmt: skip
        with nothing_moves(), pytest.raises(RuleError) as refusal:
            surrender(order, operator, tonnes, cea, owed)
        assert refusal.value.code == code
    surrender(b, operator, 250, cea, owed)
    with nothing_moves(), pytest.raises(InsufficientQuantity, match="150"):
        surrender(b, operator, 151, cea, owed)  # 250 are under review.


def test_n105_of_this_account_s_own_freeze_and_notice(plant, operator, cea, maker, owed):
    other = account("乙发电有限公司")
    give(other, cea, 300)
    theirs = freeze(other, maker, 300, cea)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        surrender(theirs, operator, 100, cea, owed)
    assert refusal.value.code == "court_order_unknown"
    a = freeze(plant, maker, 600, cea)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        surrender(a, operator, 100, cea, notice(other, 500, by=maker))
    assert refusal.value.code == "notice_unknown"


def test_n105_two_officers_check_the_paper_before_the_province(
    plant, operator, cea, maker, checker, hubei, owed
):
    a = freeze(plant, maker, 600, cea)
    asked = surrender(a, operator, 450, cea, owed)
    with pytest.raises(NotAllowed):
        confirmed(asked, hubei)
    approved(asked, maker)
    with pytest.raises(NotAllowed):
        confirmed(asked, maker)
    approved(asked, checker)
    with pytest.raises(NotAllowed):
        confirmed(asked, checker)


def test_n105_what_the_court_did_meanwhile_comes_first(
    plant, operator, cea, maker, checker, hubei, held, owed
):
    """Released, assigned or ended while it was under review; a renewal changes nothing."""
    orders = [freeze(plant, maker, 200, cea, ends_on=date(2026, 12, 1)) for _ in range(4)]
    asked = [surrender(order, operator, 100, cea, owed) for order in orders]
    for each in asked:
        approved(each, maker, checker)
    release(orders[0], maker, 101)
    assign(orders[1], maker, 101, cea, account("申请执行人有限公司"))
    renew(orders[2], maker, date(2028, 1, 1))
    assert lapse(date(2026, 12, 2)).orders == 3
    for each in (asked[0], asked[1], asked[3]):
        with nothing_moves(), pytest.raises(RuleError):
            confirmed(each, hubei)
    approved(asked[2], hubei)
    assert (stands(orders[2]), figures(owed)) == ((100, 0), (100, 300))


def test_n105_a_surrender_sent_back_leaves_it_frozen(plant, operator, cea, maker, held, owed):
    a = freeze(plant, maker, 600, cea)
    asked = surrender(a, operator, 450, cea, owed)
    with transaction():
        engine.send_back([asked], Actor.of(maker), now=clock.now(), comment="复函无文号").one()
    assert (stands(a), held(), figures(owed)) == ((600, 0), (400, 600), (0, 0))


def test_n105_it_fulfils_the_notice_as_any_surrender(
    plant, operator, cea, maker, checker, hubei, owed
):
    a = freeze(plant, maker, 600, cea)
    approved(surrender(a, operator, 500, cea, owed), maker, checker, hubei)
    assert figures(owed) == (500, 0)
    assert db.session.scalar(db.select(func.count()).select_from(Attestation)) == 1
    counts = text("SELECT counted_at IS NOT NULL FROM notice_surrender_line WHERE notice_id = :id")
    assert db.session.scalars(counts, {"id": owed}).all() == [True]


@pytest.mark.parametrize(
    ("paper", "tonnes", "message"),
    [
        (False, 450, "rests on no consent of a court"),
        (True, 601, "asks for more than its order has frozen"),
    ],
)
def test_n105_the_database_takes_no_surrender_without_consent_or_hold(
    plant, operator, cea, maker, paper, tonnes, message
):
    a, owed = freeze(plant, maker, 600, cea), notice(plant, 900, by=maker)
    asked = surrender(a, operator, tonnes, cea, owed, paper=paper, submits=False)
    with pytest.raises(IntegrityError) as refusal, transaction():
        db.session.execute(
            text(
                "UPDATE application SET status = 'in_review', submitted_at = now(), submitted_by = created_by"
                " WHERE id = :id"
            ),
            {"id": asked},
        )
    assert message in str(refusal.value)


def test_n105_the_database_takes_no_approval_that_no_two_officers_gave(
    plant, operator, cea, maker, owed
):
    asked = surrender(freeze(plant, maker, 600, cea), operator, 450, cea, owed)
    with pytest.raises(IntegrityError) as refusal, transaction():
        db.session.execute(
            text("UPDATE application SET status = 'approved' WHERE id = :id"), {"id": asked}
        )
    assert "is not confirmed by officers of the registry" in str(refusal.value)
