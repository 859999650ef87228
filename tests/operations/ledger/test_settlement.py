"""Day-end: quantities in transit are settled, once, all or none (domain.md 6.4, 结算规则 7)."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy.exc import IntegrityError

from app.domain.errors import RuleError
from app.domain.moves import Bucket
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import OperationLog, Posting, SettlementRun
from app.operations.applications import engine
from app.operations.ledger import settlement
from app.operations.ledger.verification import verify_ledger
from app.operations.records import calendar, clock
from app.operations.records.actor import EXCHANGE, SYSTEM, Actor
from tests.factories import (
    account,
    at,
    draft,
    give,
    instrument,
    member,
    nothing_moves,
    submitted,
    venue,
)

KIND = "registry_to_trading"
FRIDAY, SATURDAY, MONDAY = date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 23)


def settle(day: date = FRIDAY, *, now=None):
    with transaction():
        return settlement.settle_day(day, SYSTEM, now=now or at("16:00", day=day.day))


def submit_at(now, by, lines):
    made = draft(KIND, by, lines)
    with transaction():
        return engine.submit([made], Actor.of(by), now=now).one()


def bring_home(plant, what, tonnes, now):
    content = engine.Draft(
        "trading_to_registry", plant.id, (Line(what.id, tonnes, venue_id=venue().id),), f"{now}"
    )
    with transaction():
        (made,) = engine.start([content], EXCHANGE, now=now)
        engine.submit([made], EXCHANGE, now=now).one()


def test_both_directions_settle_and_are_counted(plant, operator, cea, holds):
    give(plant, cea, 200, Bucket.TRADING)
    other = account("乙水泥有限公司")
    give(other, cea, 50)
    submitted(KIND, operator, {cea: 100})
    submitted(KIND, operator, {cea: 50})
    submitted(KIND, member(of=other), {cea: 50})
    bring_home(plant, cea, 80, clock.now())

    run = settle()

    assert (run.to_trading_holdings, run.to_trading_quantity) == (2, 200)
    assert (run.to_registry_holdings, run.to_registry_quantity) == (1, 80)
    assert not run.was_settled_before
    assert holds() == {"available": 630, "trading": 270}
    assert holds(of=other) == {"trading": 50}
    assert verify_ledger().is_sound


def test_a_second_run_of_the_day_changes_nothing(operator, cea):
    submitted(KIND, operator, {cea: 100})
    first = settle()

    with nothing_moves():
        again = settle(now=at("18:00"))

    assert again.was_settled_before
    assert again.to_trading_quantity == first.to_trading_quantity == 100
    assert db.session.query(SettlementRun).count() == 1
    assert db.session.query(OperationLog).filter_by(action="settlement.run").count() == 1


def test_a_day_without_transfers_settles_without_a_posting(app):
    run = settle()

    assert (run.to_trading_quantity, run.to_registry_quantity) == (0, 0)
    assert db.session.query(Posting).count() == 0
    assert db.session.query(SettlementRun).one().posting_id is None


@pytest.mark.parametrize("now", [at("00:00"), at("14:59:59.999999"), at("15:30", day=19)])
def test_a_day_is_not_settled_before_its_close(operator, cea, now):
    submitted(KIND, operator, {cea: 100})

    with nothing_moves(), pytest.raises(RuleError, match="15:00"):
        settle(now=now)

    assert db.session.query(SettlementRun).count() == 0
    assert settle(now=at("15:00")).to_trading_quantity == 100


def test_a_day_without_trading_is_not_settled(operator, cea):
    submitted(KIND, operator, {cea: 100})

    with nothing_moves(), pytest.raises(RuleError, match="2026-11-21 is not a trading day"):
        settle(SATURDAY)


def test_days_are_settled_in_order(operator, cea):
    settle(MONDAY)

    with nothing_moves(), pytest.raises(RuleError, match="2026-11-20 lies before"):
        settle(FRIDAY)


def test_after_settlement_the_day_takes_nothing_more(operator, cea, holds):
    settle(now=at("15:00"))
    made = draft(KIND, operator, {cea: 100})

    # A clock that was moved back does not open the day again.
    with nothing_moves(), pytest.raises(RuleError) as refusal, transaction():
        engine.submit([made], Actor.of(operator), now=at("14:00")).one()

    assert refusal.value.code == "outside_trading_hours"


def test_what_was_submitted_for_a_later_day_stays_in_transit(plant, operator, cea, holds):
    give(plant, cea, 200, Bucket.TRADING)
    submit_at(at("10:00"), operator, {cea: 100})
    bring_home(plant, cea, 20, at("10:00"))
    # Friday's settlement is late: Monday's transfers are under way already.
    submit_at(at("09:00", day=23), operator, {cea: 30})
    bring_home(plant, cea, 7, at("09:00", day=23))

    friday = settle(FRIDAY, now=at("09:30", day=23))

    assert (friday.to_trading_quantity, friday.to_registry_quantity) == (100, 20)
    assert holds() == {
        "available": 590,
        "pending_to_trading": 30,
        "trading": 273,
        "pending_to_registry": 7,
    }
    assert verify_ledger().is_sound

    monday = settle(MONDAY)
    assert (monday.to_trading_quantity, monday.to_registry_quantity) == (30, 7)
    assert holds() == {"available": 597, "trading": 303}
    assert verify_ledger().is_sound


def test_a_day_that_was_missed_is_caught_up_by_the_next(operator, cea, holds):
    submit_at(at("10:00"), operator, {cea: 100})

    assert settle(MONDAY).to_trading_quantity == 100
    assert holds() == {"available": 600, "trading": 100}
    assert verify_ledger().is_sound


def test_a_day_closed_afterwards_settles_with_the_next(operator, cea, holds):
    submit_at(at("10:00"), operator, {cea: 100})
    administrator = Actor.of(member("system_admin"))
    with transaction():
        calendar.change_day(FRIDAY, is_trading=False, note="台风", actor=administrator)

    with nothing_moves(), pytest.raises(RuleError, match="not a trading day"):
        settle(FRIDAY)
    assert settle(MONDAY).to_trading_quantity == 100


def test_a_withdrawn_transfer_is_not_settled(operator, cea, holds):
    kept, taken_back = (submitted(KIND, operator, {cea: 100}) for _ in range(2))
    with transaction():
        engine.withdraw([taken_back.id], Actor.of(operator), now=clock.now()).one()

    assert settle().to_trading_quantity == 100
    assert holds() == {"available": 600, "trading": 100}
    assert kept.posting_id


def test_a_run_that_fails_midway_leaves_nothing(operator, cea, monkeypatch):
    submitted(KIND, operator, {cea: 100})

    def torn(*_arguments, **_more):
        raise ConnectionError("the cable")

    monkeypatch.setattr(settlement.log, "record", torn)
    with nothing_moves(), pytest.raises(ConnectionError):
        settle()
    assert db.session.query(SettlementRun).count() == 0

    monkeypatch.undo()
    assert settle().to_trading_quantity == 100
    assert verify_ledger().is_sound


def test_a_run_that_the_database_refuses_leaves_nothing(operator, cea):
    submitted(KIND, operator, {cea: 100})
    nobody = Actor(member_id=999_999, member_no="nobody", name="")

    # The balances are rolled by then; the run's own row is what fails.
    with nothing_moves(), pytest.raises(IntegrityError, match="settlement_run"), transaction():
        settlement.settle_day(FRIDAY, nobody, now=at("16:00"))

    assert db.session.query(SettlementRun).count() == 0


def test_the_settlement_is_one_posting_of_the_day(operator, cea):
    submitted(KIND, operator, {cea: 100})
    settle()

    posting = db.session.query(Posting).filter_by(business="day_end").one()
    run = db.session.query(SettlementRun).one()
    assert (posting.request_key, posting.document) == ("day_end:2026-11-20", "2026-11-20")
    assert (posting.stage, run.posting_id) == ("settlement", posting.id)


def test_many_holdings_settle_in_one_go(plant, operator, cea, holds):
    others = [instrument(f"标的{n}") for n in range(30)]
    for what in others:
        give(plant, what, 10)
    submitted(KIND, operator, dict.fromkeys(others, 3))

    run = settle()

    assert (run.to_trading_holdings, run.to_trading_quantity) == (30, 90)
    assert all(holds(what=what) == {"available": 7, "trading": 3} for what in others)
    assert verify_ledger().is_sound
