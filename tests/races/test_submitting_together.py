"""Concurrent submission and withdrawal of one import; without its lock the race fails."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy.exc import IntegrityError

from app.extensions import db, transaction
from app.models import Application, ApplicationEvent
from app.operations.applications import engine
from app.operations.imports import batches, opening_import
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import member
from tests.openings import enterprise, table

TRIES = 25


@pytest.fixture
def officers(app):
    return [Actor.of(member("registry_maker")) for _ in range(2)]


def drafts(n: int, by: Actor) -> batches.Imported:
    rows = [enterprise(2 * n + each) for each in range(2)]
    with transaction():
        return opening_import.take(table(rows), by, now=clock.now(), only_tries=True)


def submit(ids, by):
    with transaction():
        return len(engine.submit_all(ids, by, now=clock.now()))


def withdraw(import_id, by):
    with transaction():
        return batches.withdraw(import_id, by, now=clock.now())


def events(ids, action):
    found = db.session.query(ApplicationEvent).filter(
        ApplicationEvent.application_id.in_(ids), ApplicationEvent.action == action
    )
    return found.count()


def statuses(ids):
    rows = db.session.query(Application.status).filter(Application.id.in_(ids))
    return {status for (status,) in rows}


def two_submissions(together, officers, n):
    ids = drafts(n, officers[0]).applications
    return ids, together(*(partial(submit, ids, officer) for officer in officers))


def test_two_presses_at_once_submit_once(together, officers):
    for n in range(5):
        ids, results = two_submissions(together, officers, n)
        assert [type(error) for error in results.failed] == [engine.NoneSubmitted]
        assert sorted(results.returned, key=str) == [2, None]
        assert events(ids, "submit") == 2
        assert statuses(ids) == {"in_review"}


def test_without_the_locks_the_database_alone_refuses_the_second(
    together, officers, without_any_lock_on_applications
):
    for n in range(TRIES):
        ids, results = two_submissions(together, officers, n)
        assert events(ids, "submit") == 2
        if any(isinstance(error, IntegrityError) for error in results.failed):
            return
    pytest.fail("the lock is not what keeps the second press out")


def test_an_import_is_submitted_or_withdrawn_never_both(together, officers):
    for n in range(5):
        done = drafts(n, officers[0])
        together(
            partial(submit, done.applications, officers[0]),
            partial(withdraw, done.import_id, officers[1]),
        )
        assert statuses(done.applications) in ({"in_review"}, {"withdrawn"})
