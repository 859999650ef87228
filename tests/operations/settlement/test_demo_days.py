"""Trading days of the demonstration: who may ask for which, and what becomes of one that failed."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from app.domain.errors import NotAllowed, RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Job
from app.operations.applications import jobs
from app.operations.ledger import settlement
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import demo_days

FRIDAY, MONDAY = date(2026, 11, 20), date(2026, 11, 23)


@pytest.fixture
def demonstration(app, monkeypatch):
    monkeypatch.setitem(app.config, "HAS_DEMO_MARKET", True)


def ask(member) -> demo_days.DemoDay:
    with transaction():
        return demo_days.ask(Actor.of(member), now=clock.now())


def test_nobody_asks_for_a_day_outside_the_demonstration(app, operator):
    with pytest.raises(NotAllowed, match="Only the demonstration"):
        ask(operator)
    assert db.session.scalar(db.select(db.func.count(Job.id))) == 0


def test_a_day_runs_stage_by_stage_and_alone(demonstration, operator, maker):
    day = ask(operator)
    assert (day.day, day.state, day.stage) == (FRIDAY, "queued", "trade")
    with pytest.raises(RuleError, match="Trading day 2026-11-20 is running already"):
        ask(maker)
    for number, stage in enumerate(demo_days.STAGES, 1):
        assert demo_days.running().id == day.id
        with transaction():
            for _twice in range(2):  # A second worker that carried it out, too.
                demo_days.note(day.id, stage, f"第{number}步", seconds=1.234, now=clock.now())
    assert demo_days.running() is None
    over = demo_days.latest()
    assert (over.state, over.stage) == ("done", "")
    assert [each.stage for each in over.ended] == list(demo_days.STAGES)
    assert (over.ended[0].said, over.ended[0].seconds) == ("第1步", 1.2)


def test_what_failed_is_asked_for_again_as_the_same_day(demonstration, operator):
    failed = ask(operator)
    with transaction():
        demo_days.note(failed.id, "trade", "", seconds=0, now=clock.now())
        jobs.fail(failed.id, "注册登记系统没有应答", now=clock.now())
    shown = demo_days.latest()
    assert (shown.state, shown.stage, shown.error) == (
        "failed", "package", "注册登记系统没有应答",
    )  # fmt: skip
    again = ask(operator)
    assert (again.day, again.state, again.stage) == (FRIDAY, "queued", "trade")
    assert again.id > failed.id


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-11-20 08:00", FRIDAY),
        ("2026-11-20 18:00", FRIDAY),
        ("2026-11-21 10:00", MONDAY),  # a Saturday
    ],
)
def test_the_day_asked_for_is_the_next_that_trades(demonstration, now, day):
    at = datetime.fromisoformat(now).replace(tzinfo=BEIJING)
    assert demo_days.next_day(at) == day


def test_a_settled_day_is_not_asked_for_again(demonstration):
    evening = datetime(2026, 11, 20, 16, tzinfo=BEIJING)
    with transaction():
        settlement.settle_day(FRIDAY, SYSTEM, now=evening)
    assert demo_days.next_day(evening) == MONDAY
    assert demo_days.next_day(datetime(2026, 11, 19, 10, tzinfo=BEIJING)) == MONDAY
