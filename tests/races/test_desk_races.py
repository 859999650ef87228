"""Two forms about one draft, saved concurrently: one is saved, the other is told."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import select

from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Application
from app.operations.applications import desk, engine, rows
from app.operations.applications.desk import Changed, FormOutcome, SentForm
from app.operations.records.actor import Actor
from tests.factories import at, draft, quantity

KIND = "voluntary_cancellation"
TRIES = 12


@pytest.fixture
def save(plant, operator, cea):
    """Return a function that saves content over the version it was loaded with."""
    actor, account_id, what = Actor.of(operator), plant.id, cea.id

    def act(made: int, tonnes: int, version: int | None, *, submits: bool = False) -> FormOutcome:
        content = engine.Draft(KIND, account_id, (Line(what, tonnes),), f"page {tonnes}", "碳中和")
        with transaction():
            taken = desk.take(
                SentForm(content, made, version),
                actor,
                now=at("10:00"),
                submits=submits,
                is_signed=False,
            )
        if taken.error:
            raise taken.error
        return taken.ending

    return act


def saved(made: int) -> int:
    db.session.rollback()
    return sum(line.quantity for line in db.session.get_one(Application, made).lines)


def version_of(made: int) -> int:
    return db.session.scalar(select(Application.version).where(Application.id == made)) or 0


def test_two_saves_at_once_on_one_draft_and_one_counts(together, operator, cea, save):
    for _each in range(TRIES):
        made = draft(KIND, operator, {cea: 1})
        version = version_of(made)
        results = together(*(partial(save, made, tonnes, version) for tonnes in (20, 30)))
        assert [type(error) for error in results.failed] == [Changed]
        (winner,) = [n for n, ending in enumerate(results.returned) if ending is FormOutcome.SAVED]
        assert saved(made) == (20, 30)[winner]


def test_without_the_version_the_last_of_two_saves_wins_unseen(together, operator, cea, save):
    """A form without a version is not refused."""
    made = draft(KIND, operator, {cea: 1})
    results = together(*(partial(save, made, tonnes, None) for tonnes in (20, 30)))
    assert results.failed == []


def test_without_the_locks_both_saves_count(
    together, operator, cea, save, without_any_lock_on_applications, monkeypatch
):
    """Both see the version they were loaded with."""
    seen = rows.lock

    def lock_slowly(ids, actor):
        found = seen(ids, actor)
        db.session.execute(db.text("SELECT pg_sleep(0.05)"))
        return found

    monkeypatch.setattr(rows, "lock", lock_slowly)
    for _each in range(TRIES):
        made = draft(KIND, operator, {cea: 1})
        version = version_of(made)
        results = together(*(partial(save, made, tonnes, version) for tonnes in (20, 30)))
        if not any(isinstance(error, Changed) for error in results.failed):
            return
    pytest.fail("the locks make no difference")


def test_one_form_submitted_twice_at_once_is_submitted_once(together, plant, operator, cea, save):
    made = draft(KIND, operator, {cea: 10})
    version = version_of(made)
    results = together(*[partial(save, made, 40, version, submits=True)] * 4)
    assert results.failed == []
    assert sorted(ending.name for ending in results.returned) == ["REPEATED"] * 3 + ["SUBMITTED"]
    assert quantity(plant, cea) == 60


def test_a_draft_deleted_while_it_is_submitted_is_one_of_both(together, plant, operator, cea, save):
    actor = Actor.of(operator)

    def discard(made: int) -> None:
        with transaction():
            desk.discard(made, actor, now=at("10:00"))

    for _each in range(4):
        made = draft(KIND, operator, {cea: 1})
        version, before = version_of(made), quantity(plant, cea)
        results = together(partial(save, made, 2, version, submits=True), partial(discard, made))
        assert len(results.failed) == 1
        db.session.rollback()
        end = (db.session.get_one(Application, made).status, before - quantity(plant, cea))
        assert end in {("in_review", 2), ("discarded", 0)}
