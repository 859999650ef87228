"""Late notices, newer allowances for arrears, 协助清缴, 履约规划: rules-2026 N51, N53, N57, N61."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import DailyQuote
from app.operations.applications import engine, evidence
from app.operations.compliance import fines, planning
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import (
    account,
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
from tests.operations.compliance.test_compliance import figures

DEADLINE = datetime(2025, 12, 31, 23, 59, 59, tzinfo=BEIJING)  # of 2024


@pytest.fixture
def cea25(app):
    return instrument("2025年度配额", vintage=2025)


@pytest.fixture
def cea24(app):
    return instrument("2024年度配额", vintage=2024)


def state(notice_id, *, deadline, now=None):
    """Return what the database says of a notice (N61)."""
    db.session.rollback()
    found = db.session.execute(
        text(
            "SELECT notice_state(n.obligation, coalesce(sum(u.surrendered), 0)::bigint, max(u.last_at),"
            " :deadline, n.withdrawn_at, :now) AS state, max(u.last_at) AS last_at"
            "  FROM notice n LEFT JOIN notice_surrender u ON u.notice_id = n.id"
            " WHERE n.id = :id GROUP BY n.id"
        ),
        {"id": notice_id, "deadline": deadline, "now": now or clock.now()},
    ).one()
    return found.state, found.last_at


# N61 ------------------------------------------------------------------------------------------


def test_n61_the_four_states(operator, hubei, maker, plant, cea24):
    give(plant, cea24, 1000)
    due = notice(plant, 500, by=maker, year=2024)
    later = clock.now() + timedelta(1)
    assert state(due, deadline=later)[0] == "due"
    assert state(due, deadline=DEADLINE)[0] == "overdue"
    first = submitted("surrender", operator, {cea24: 300}, notice_id=due)
    confirmed(first.id, hubei)
    assert state(due, deadline=later)[0] == "partial"
    second = submitted("surrender", operator, {cea24: 200}, notice_id=due)
    assert state(due, deadline=DEADLINE)[0] == "overdue"  # Under review it does not count yet.
    confirmed(second.id, hubei)
    submitted_at = db.session.scalar(
        text("SELECT submitted_at FROM application WHERE id = :id"), {"id": second.id}
    )
    assert state(due, deadline=DEADLINE) == ("late", submitted_at)
    # In time is what was submitted by then, whenever it is approved.
    assert state(due, deadline=submitted_at)[0] == "fulfilled"
    assert state(due, deadline=submitted_at, now=submitted_at + timedelta(1))[0] == "fulfilled"


def test_n61_what_was_refunded_in_full_does_not_make_it_late(
    operator, hubei, maker, checker, plant, cea24
):
    """The excess that came late is refunded after the obligation sank: what counts came in time."""
    give(plant, cea24, 1000)
    due = notice(plant, 500, by=maker, year=2024)
    confirmed(submitted("surrender", operator, {cea24: 300}, notice_id=due).id, hubei)
    in_time = clock.now()
    late = submitted("surrender", operator, {cea24: 200}, notice_id=due)
    confirmed(late.id, hubei)
    assert state(due, deadline=in_time)[0] == "late"
    back = entered(
        "surrender_refund", plant, maker, lines={cea24: 200}, source=late.id, notice_id=due
    )
    confirmed(back, checker)
    lowered = factories.changed(due, by=maker, obligation=300)
    confirmed(lowered, factories.colleague(maker))
    assert state(due, deadline=in_time)[0] == "fulfilled"


# N57 ------------------------------------------------------------------------------------------


def test_n57_the_frame_rests_on_the_quotes_and_on_what_was_missing_at_the_deadline(
    operator, hubei, maker, plant, cea25
):
    give(plant, cea25, 100_000)
    due = notice(plant, 30_000, by=maker)
    confirmed(submitted("surrender", operator, {cea25: 20_000}, notice_id=due).id, hubei)
    end = datetime(2026, 12, 31, 23, 59, 59, tzinfo=BEIJING)
    quotes = (
        (date(2026, 11, 30), 1_000_000, 99_000_000_000),  # before the period
        (date(2026, 12, 1), 15_000_000, 98_145_000_000),
        (date(2026, 12, 31), 5_000_000, 32_715_000_000),
    )
    with transaction():
        for day, tonnes, fen in quotes:
            db.session.add(
                DailyQuote(
                    venue=factories.venue(), instrument_id=cea25.id, day=day, close=6543,
                    listed_quantity=tonnes, listed_amount=fen, block_quantity=0, block_amount=0,
                    auction_quantity=0, auction_amount=0,
                )
            )  # fmt: skip
    assert fines.of_notice(due, end, end) is None
    found = fines.of_notice(due, end, end + timedelta(seconds=1))
    assert (found.gap, found.market.price) == (10_000, 6543)
    assert (found.least, found.most) == (327_150_000, 654_300_000)


# N51 ------------------------------------------------------------------------------------------


def test_n51_newer_allowances_for_an_arrear_need_a_confirmation(
    operator, hubei, maker, plant, cea24, cea25
):
    give(plant, cea24, 100)
    give(plant, cea25, 100)
    arrear = notice(plant, 150, by=maker, year=2024)
    with nothing_moves(), pytest.raises(RuleError) as refusal:
        submitted("surrender", operator, {cea24: 100, cea25: 50}, notice_id=arrear)
    assert (refusal.value.code, refusal.value.field) == ("later_use_unconfirmed", "also_for")
    assert "2025、2026" in str(refusal.value)
    with nothing_moves(), pytest.raises(RuleError):  # It names other years.
        submitted(
            "surrender", operator, {cea25: 50}, notice_id=arrear, proposal={"also_for": "2025"}
        )
    submitted("surrender", operator, {cea24: 100}, notice_id=arrear)  # nothing newer
    said = {"also_for": "2025、2026"}
    case = submitted("surrender", operator, {cea25: 50}, notice_id=arrear, proposal=said)
    assert evidence.contents([case.id])[case.id].values["also_for"] == "2025、2026"
    confirmed(case.id, hubei)


def test_n51_a_notice_that_is_not_due_yet_is_no_arrear(operator, maker, plant, cea25):
    cea26 = instrument("2026年度配额", vintage=2026)
    give(plant, cea26, 100)
    due = notice(plant, 100, by=maker)
    submitted("surrender", operator, {cea26: 100}, notice_id=due)


# N53 ------------------------------------------------------------------------------------------


@pytest.fixture
def helper(app):
    """B, of another province."""
    return account("乙发电有限公司", province="41")


@pytest.fixture
def helping(helper):
    return member(of=helper)


@pytest.fixture
def owed(plant, maker):
    """A owes 5,000."""
    return notice(plant, 5000, by=maker)


def supply(by, to, what, tonnes, notice_id, *, submits=True, **more):
    lines = (Line(what.id, tonnes, account_id=to.id),)
    draft = engine.Draft(
        "assisted_surrender", by.account_id, lines, str(uuid4()), notice_id=notice_id, **more
    )
    with transaction():
        made = engine.start([draft], Actor.of(by), now=clock.now())
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def approve(id_, by):
    with transaction():
        return engine.approve([id_], Actor.of(by), now=clock.now()).one()


def test_n53_b_supplies_5000_for_a(plant, operator, hubei, helper, helping, owed, cea25):
    give(helper, cea25, 6000)
    id_ = supply(helping, plant, cea25, 5000, owed)
    assert quantity(helper, cea25, Bucket.RESERVED) == 5000
    assert figures(owed) == (0, 5000)
    with pytest.raises(NotAllowed):
        approve(id_, hubei)  # A has not agreed yet.
    approve(id_, operator)
    with pytest.raises(NotFound):
        approve(id_, member("province", province="31"))
    with pytest.raises(NotAllowed):
        approve(id_, member("province", province="41"))  # B's province sees it and is not asked.
    case = approve(id_, hubei)

    assert case.status == "approved"
    assert quantity(helper, cea25) == 1000
    assert quantity(helper, cea25, Bucket.RESERVED) == 0
    assert quantity(plant, cea25, Bucket.SURRENDERED) == 5000
    assert figures(owed) == (5000, 0)
    assert state(owed, deadline=clock.now() + timedelta(1))[0] == "fulfilled"
    assert verify_ledger().is_sound


def test_n53_a_or_its_province_may_send_it_back(plant, operator, helper, helping, owed, cea25):
    give(helper, cea25, 6000)
    id_ = supply(helping, plant, cea25, 5000, owed)
    with transaction():
        engine.send_back([id_], Actor.of(operator), now=clock.now(), comment="数量不符").one()
    assert quantity(helper, cea25) == 6000
    assert figures(owed) == (0, 0)


def test_n53_what_a_helper_may_not_supply(plant, helper, helping, owed, cea25, cea24, maker):
    for each in (cea25, cea24):
        give(helper, each, 6000)
    own = notice(helper, 10, by=maker)
    for what, tonnes, about, to, code in (
        (cea24, 10, owed, plant, "not_eligible"),
        (cea25, 5001, owed, plant, "above_due"),
        (cea25, 10, own, helper, "notice_not_anothers"),
        (cea25, 10, owed, helper, "notice_not_anothers"),
    ):
        with nothing_moves(), pytest.raises(RuleError) as refusal:
            supply(helping, to, what, tonnes, about)
        assert refusal.value.code == code
    # The other's rest is not told to whom it does not concern.
    with pytest.raises(RuleError, match="ask the enterprise"):
        supply(helping, plant, cea25, 5001, owed)


def test_n53_a_province_meets_nothing_else_of_the_helper(
    plant, operator, hubei, helper, helping, owed, cea25
):
    give(helper, cea25, 6000)
    id_ = supply(helping, plant, cea25, 5000, owed)
    approve(id_, operator)
    other = submitted("voluntary_cancellation", helping, {cea25: 1}, reason="公益")
    with transaction():
        outcome = engine.approve([id_, other.id], Actor.of(hubei), now=clock.now())
    assert [case.id for case in outcome.done] == [id_]
    assert [type(error) for _case, error in outcome.refused] == [NotFound]


def test_n53_without_our_rules_the_database_refuses(
    plant, helping, helper, owed, cea25, monkeypatch
):
    """Beyond what a notice asks for, or to another than it is about, by whoever writes the status."""
    give(helper, cea25, 9000)
    kind = engine.KINDS["assisted_surrender"]
    monkeypatch.setattr(type(kind), "judge", lambda *_args, **_more: None)
    for what, tonnes, to in ((cea25, 5001, plant), (cea25, 1, helper)):
        with nothing_moves(), pytest.raises(RuleError):
            supply(helping, to, what, tonnes, owed)


# The planner ----------------------------------------------------------------------------------


def test_the_plan_gathers_arrears_holdings_and_what_is_under_review(
    operator, plant, maker, cea24, cea25
):
    for what, tonnes in ((cea24, 100), (cea25, 300)):
        give(plant, what, tonnes)
    fits, fits_too, _beyond = (factories.mirrored(operator, tonnes).id for tonnes in (7, 20, 50))
    arrear = notice(plant, 150, by=maker, year=2024)
    due = notice(plant, 400, by=maker)
    submitted("surrender", operator, {cea25: 20}, notice_id=due)
    planned = planning.for_account(plant.id, clock.now())
    assert [row.id for row in planned.notices] == [arrear, due]
    # 5 % of CCER: 7 and 20, in whole units; CEA24 counts for 2024 alone, CEA25 for 2026, too.
    assert planned.proposal.offsets == {arrear: {fits: 7}, due: {fits_too: 20}}
    assert planned.proposal.lines[arrear] == {cea24.id: 100, cea25.id: 43}
    assert planned.proposal.missing == {arrear: 0, due: 380 - 20 - (280 - 43)}
    assert planned.last_years[cea24.id] == 2024
    assert planned.last_years[cea25.id] == 2026
