"""The trading calendar and the business clock."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from app.domain.errors import NotAllowed, RuleError
from app.extensions import db, transaction
from app.models import OperationLog, TradingDay
from app.operations.ledger import settlement
from app.operations.records import calendar, clock
from app.operations.records.actor import SYSTEM, Actor
from tests.conftest import TRADING_MORNING
from tests.factories import at, member


@pytest.fixture
def administrator(app):
    return Actor.of(member("system_admin"))


@pytest.mark.parametrize(
    ("day", "trades", "why"),
    [
        (date(2026, 11, 20), True, ""),
        (date(2026, 11, 21), False, "周末"),
        (date(2026, 11, 22), False, "周末"),
        (date(2026, 10, 1), False, "国庆节"),
        (date(2026, 10, 8), True, ""),
        (date(2026, 1, 1), False, "元旦"),
        (date(2026, 2, 17), False, "春节"),
        # Working weekends that make up for a holiday: people work, the exchange does not.
        (date(2026, 2, 14), False, "周末"),
        (date(2026, 10, 10), False, "周末"),
    ],
)
def test_what_the_calendar_says_of_a_day(app, day, trades, why):
    row = db.session.get_one(TradingDay, day)

    assert (row.is_trading, row.note) == (trades, why)
    assert calendar.is_trading_day(day) is trades


def test_a_day_that_the_calendar_lacks_does_not_trade(app):
    assert not calendar.is_trading_day(date(2099, 1, 5))
    with pytest.raises(RuleError, match="calendar ends"):
        calendar.next_trading_day(date(2099, 1, 5))


def test_the_next_trading_day_leaps_over_weekends_and_holidays(app):
    assert calendar.next_trading_day(date(2026, 11, 20)) == date(2026, 11, 23)
    assert calendar.next_trading_day(date(2026, 9, 30)) == date(2026, 10, 8)


def test_every_day_is_there_once_without_gaps(app):
    days = db.session.scalars(db.select(TradingDay.day).order_by(TradingDay.day)).all()

    assert days[0] == calendar.FIRST_DAY
    assert len(days) == (days[-1] - days[0]).days + 1
    assert days[-1] >= date(2027, 12, 31)


def test_seeding_again_adds_nothing_and_keeps_edited_days(administrator):
    day = date(2026, 11, 24)
    with transaction():
        calendar.change_day(day, is_trading=False, note=" 系统维护 ", actor=administrator)
        assert calendar.seed() == 0

    row = db.session.get_one(TradingDay, day)
    assert (row.is_trading, row.note, row.changed_by) == (
        False,
        "系统维护",
        administrator.member_id,
    )
    log = db.session.query(OperationLog).filter_by(action="calendar.change").one()
    assert (log.subject, log.detail["before"]["is_trading"]) == ("2026-11-24", True)


def test_a_settled_day_stays_as_it_was(administrator):
    friday = date(2026, 11, 20)
    with transaction():
        settlement.settle_day(friday, SYSTEM, now=at("16:00"))

    for day in (friday, friday - timedelta(days=3)):
        with pytest.raises(RuleError, match="has been settled"), transaction():
            calendar.change_day(day, is_trading=False, note="", actor=administrator)

    assert calendar.is_trading_day(friday)


def test_a_day_outside_the_calendar_is_not_edited(administrator):
    with pytest.raises(RuleError, match="not in the calendar"), transaction():
        calendar.change_day(date(2099, 1, 5), is_trading=True, note="", actor=administrator)


def test_the_clock_starts_at_ten_of_a_trading_day_and_runs_on(app):
    first, second = clock.now(), clock.now()

    assert TRADING_MORNING <= first <= second < TRADING_MORNING + timedelta(minutes=1)
    assert clock.has_own_clock()


def test_the_clock_is_moved_and_the_move_is_kept(administrator):
    began = _wall()
    with transaction():
        moved = clock.set_to(at("14:59", day=23), administrator)

    assert timedelta(0) <= moved - at("14:59", day=23) <= _wall() - began
    log = (
        db.session.query(OperationLog)
        .filter_by(action="clock.set")
        .order_by(OperationLog.id.desc())
        .first()
    )
    assert (log.member_id, log.subject) == (
        administrator.member_id,
        "2026-11-23 14:59:00",
    )


def test_production_follows_the_wall_clock(app, monkeypatch):
    monkeypatch.setitem(app.config, "HAS_OWN_CLOCK", False)

    with pytest.raises(NotAllowed, match="production"):
        clock.set_to(at("10:00"), SYSTEM)
    assert _wall() <= clock.now() <= _wall()


def _wall():
    return db.session.scalar(db.text("SELECT clock_timestamp()"))
