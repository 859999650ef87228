"""Credentials issued at the same time are counted one after another."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import MachineKey
from app.operations.people import credentials
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.operations.machines import new_key, wanted

TOGETHER = 8


@pytest.fixture
def issue_together(operator, together, monkeypatch):
    """Return a function that issues more than may stand, each counting before any inserts."""
    counted = credentials._require_room

    def slowly(*arguments):
        counted(*arguments)
        time.sleep(0.05)  # The others count meanwhile, where nothing keeps them.

    monkeypatch.setattr(credentials, "_require_room", slowly)
    actor, asked = Actor.of(operator), [wanted(new_key(), operator) for _each in range(TOGETHER)]

    def issue(values):
        with transaction():
            credentials.issue(values, actor, None, now=clock.now())

    return lambda: together(*(lambda each=each: issue(each) for each in asked))


def test_together_no_more_are_issued_than_may_stand(issue_together):
    results = issue_together()
    assert [type(error) for error in results.failed] == [RuleError] * (TOGETHER - 5)
    assert {error.code for error in results.failed} == {"credentials_full"}
    assert db.session.query(MachineKey).count() == 5


def test_without_the_lock_more_are_issued(issue_together, monkeypatch):
    """What the test above rests on."""
    monkeypatch.setattr(credentials, "_ONE_AFTER_ANOTHER", text("SELECT 1"))
    issue_together()
    assert db.session.query(MachineKey).count() > 5
