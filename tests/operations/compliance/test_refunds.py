"""What a lowered obligation leaves goes back to where it came from (rules-2026 N54)."""

from __future__ import annotations

from uuid import uuid4

import pytest

from app.domain.errors import NotAllowed, RuleError
from app.domain.moves import Bucket
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.operations.applications import engine
from app.operations.compliance import attestations
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import (
    account,
    colleague,
    confirmed,
    entered,
    give,
    instrument,
    member,
    nothing_moves,
    notice,
    quantity,
    submitted,
)
from tests.operations.chains import commissioned, executed, issued_to_province, listed
from tests.operations.compliance.test_assistance import supply
from tests.operations.compliance.test_compliance import figures
from tests.operations.pledging import approved, drawing, pledged, switched


@pytest.fixture
def cea(app):
    return instrument("2025年度配额", vintage=2025)


def refund(kind, of, by, what, tonnes, source, due, **more):
    return entered(kind, of, by, lines={what: tonnes}, source=source, notice_id=due, **more)


def lowered(due, obligation, by):
    confirmed(factories.changed(due, by=by, obligation=obligation), colleague(by))


def test_n54_what_was_commissioned_goes_to_the_enterprise(plant, cea, maker, checker):
    """1,000 commissioned, the obligation sinks to 700: 300 are the enterprise's."""
    office = member("province", province="42")
    listed(plant, 2025, office)
    issued_to_province(plant, {cea: 1_000}, maker, checker)
    due = notice(plant, 1_000, by=maker)
    made = commissioned(plant, due, office)
    executed(made, maker, checker)
    assert attestations.of_notice(due) is not None

    back = refund("refund_of_commission", plant, maker, cea, 300, made, due)
    confirmed(back, checker)

    assert (quantity(plant, cea), quantity(plant, cea, Bucket.SURRENDERED)) == (300, 700)
    assert attestations.of_notice(due) is None
    lowered(due, 700, maker)
    assert figures(due) == (700, 0)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        refund("refund_of_commission", plant, maker, cea, 701, made, due)
    assert refusal.value.code == "more_than_left"
    assert verify_ledger().is_sound


@pytest.fixture
def helped(plant, cea, hubei, maker):
    """B has supplied 5,000 for A's notice; return B, the application and the notice."""
    helper = account("乙发电有限公司", province="41")
    give(helper, cea, 6_000)
    due = notice(plant, 5_000, by=maker)
    made = supply(member(of=helper), plant, cea, 5_000, due)
    approved(made, member(of=plant), hubei)
    return helper, made, due


def test_n54_what_a_helper_supplied_goes_back_to_it(plant, cea, maker, checker, helped):
    helper, made, due = helped
    assert quantity(plant, cea, Bucket.SURRENDERED) == 5_000
    confirmed(refund("refund_to_helper", helper, maker, cea, 2_000, made, due), checker)
    assert (quantity(helper, cea), quantity(plant, cea)) == (3_000, 0)
    assert quantity(plant, cea, Bucket.SURRENDERED) == 3_000
    assert figures(due) == (3_000, 0)
    assert verify_ledger().is_sound


def test_n54_nobody_else_gets_what_a_helper_supplied(plant, cea, maker, helped):
    helper, made, due = helped
    for kind, to in (("surrender_refund", plant), ("refund_to_helper", plant),
                     ("surrender_refund", helper), ("refund_of_commission", plant)):  # fmt: skip
        with nothing_moves(), pytest.raises(RuleError):
            refund(kind, to, maker, cea, 1, made, due)


def test_a_closed_helper_gets_nothing(plant, cea, maker, checker, helped):
    helper, made, due = helped
    waits = refund("refund_to_helper", helper, maker, cea, 1, made, due, submits=False)
    with transaction():
        submitted("voluntary_cancellation", member(of=helper), {cea: 1_000}, reason="注销")
    confirmed(_latest(helper), checker)
    closing = submitted("account_closure", member(of=helper), {}, reason="停产")
    approved(closing.id, checker, member("registry_checker"))
    with nothing_moves(), pytest.raises(NotAllowed, match="closed"), transaction():
        engine.submit([waits], Actor.of(maker), now=clock.now()).one()


def _latest(of):
    return db.session.scalar(
        db.text("SELECT max(id) FROM application WHERE account_id = :id"), {"id": of.id}
    )


def test_n54_what_was_pledged_is_pledged_again(operator, plant, cea, hubei, maker, checker):
    """800 pledged, 300 of them surrendered, 100 refunded: 600 are frozen for the pledgee."""
    give(plant, cea, 1_000)
    switched(2)
    due = notice(plant, 500, by=maker)
    pledge = pledged(operator, {cea: 800}, maker, checker)
    made = approved(
        drawing("pledge_surrender", pledge, 300, operator, notice_id=due), maker, checker, hubei
    ).id
    assert quantity(plant, cea, Bucket.FROZEN) == 500

    confirmed(refund("refund_to_pledge", plant, maker, cea, 100, made, due), checker)
    assert (quantity(plant, cea), quantity(plant, cea, Bucket.FROZEN)) == (200, 600)
    assert (quantity(plant, cea, Bucket.SURRENDERED), figures(due)) == (200, (200, 0))

    # The pledgee releases what is pledged, and no tonne more.
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        drawing("pledge_release", pledge, 601, maker)
    assert refusal.value.code == "more_than_left"
    approved(drawing("pledge_release", pledge, 600, maker), checker)
    assert quantity(plant, cea) == 800
    # Though it has released all, what comes back now is its own to release.
    confirmed(refund("refund_to_pledge", plant, maker, cea, 200, made, due), checker)
    assert quantity(plant, cea, Bucket.FROZEN) == 200
    approved(drawing("pledge_release", pledge, 200, maker), checker)
    assert quantity(plant, cea, Bucket.FROZEN) == 0
    assert verify_ledger().is_sound


@pytest.mark.parametrize("kind", ["surrender_refund", "refund_of_commission", "refund_to_pledge"])
def test_the_database_refunds_nothing_as_another_kind(plant, cea, maker, helped, kind):
    """Whatever the rules say, what a helper supplied is no enterprise's own."""
    _helper, made, due = helped
    source = db.session.scalar(
        db.text("SELECT id FROM application_line WHERE application_id = :id"), {"id": made}
    )
    asked = engine.Draft(
        kind, plant.id, (Line(cea.id, 1, source_line_id=source),), str(uuid4()), "核减",
        document_no="环函2号", authority="省生态环境厅", notice_id=due,
    )  # fmt: skip
    with transaction():
        (waits,) = engine.start([asked], Actor.of(maker), now=clock.now())
    with pytest.raises(Exception, match="more is drawn than line"), transaction():
        db.session.execute(
            db.text(
                "UPDATE application SET status = 'in_review', submitted_at = now() WHERE id = :id"
            ),
            {"id": waits},
        )
