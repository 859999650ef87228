"""Two clicks at once on 下一交易日: one day is asked for."""

from __future__ import annotations

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Job
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.operations.settlement import demo_days


def test_two_clicks_at_once_ask_for_one_day(app, together, operator, maker, monkeypatch):
    monkeypatch.setitem(app.config, "HAS_DEMO_MARKET", True)
    actors = [Actor.of(operator), Actor.of(maker)] * 3

    def click(actor: Actor) -> None:
        with transaction():
            demo_days.ask(actor, now=clock.now())

    results = together(*[lambda actor=actor: click(actor) for actor in actors])

    assert {type(error) for error in results.failed} == {RuleError}
    assert len(results.failed) == len(actors) - 1
    assert db.session.scalar(db.select(db.func.count(Job.id))) == 1
