"""Two operators apply against one carry-over notice; without its locks each race fails."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from app.domain.errors import InsufficientQuantity, RuleError
from app.extensions import db, transaction
from app.operations.applications import engine
from app.operations.compliance import carry_over
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import give, instrument, member, plan
from tests.operations import carrying
from tests.races.conftest import without_account_lock

__all__ = ["without_account_lock"]  # a fixture, shared


@pytest.fixture
def second(plant):
    return member(of=plant)


@pytest.fixture
def old(plant, operator, maker, checker):
    """Two older vintages of 60,000 tonnes each, and a notice of 59,999."""
    plan(2024, "power", carry_over_base=59_999)
    found = [
        instrument(f"{vintage}年度配额", trade_code=None, vintage=vintage)
        for vintage in (2021, 2023)
    ]
    for each in found:
        give(plant, each, 60_000, at=carrying.BEFORE)
    carrying.target()
    carrying.decided_round(maker, checker)
    carrying.fulfilled(plant, operator, maker)
    carrying.noticed(maker, checker)
    return found


def submit(application_id, actor):
    with transaction():
        return engine.submit([application_id], actor, now=clock.now()).one()


def both_apply_for_30_000(together, old, *members):
    """Each for another vintage, so that no holding keeps them apart."""
    acts = [
        partial(submit, carrying.start(carrying.draft(by, {what: 30_000}), by, submits=False),
                Actor.of(by))
        for by, what in zip(members, old, strict=True)
    ]  # fmt: skip
    return together(*acts)


def withdraw_all(results, operator):
    for case in filter(None, results.returned):
        with transaction():
            engine.withdraw([case.id], Actor.of(operator), now=clock.now()).one()


def test_of_two_who_apply_for_30_000_of_59_999_one_wins(together, plant, operator, second, old):
    notice = carrying.notice_of(plant)
    for _ in range(5):
        results = both_apply_for_30_000(together, old, operator, second)
        (error,) = results.failed
        assert (type(error), error.code) == (InsufficientQuantity, "carry_over_above_quota")
        assert carry_over.taken_of(notice.id) == (0, 30_000)
        withdraw_all(results, operator)
    assert verify_ledger().is_sound


def test_without_the_account_lock_the_notice_s_own_still_lets_one_win(
    app, plant, operator, second, old, without_account_lock
):
    """Both pass our own check; the trigger, which locks the notice, lets the second one wait and see."""
    notice = carrying.notice_of(plant)
    first, other = (
        carrying.start(carrying.draft(by, {what: 30_000}), by, submits=False)
        for by, what in zip((operator, second), old, strict=True)
    )
    failed: list[RuleError] = []

    def go_second():
        with app.app_context():
            try:
                submit(other, Actor.of(second))
            except RuleError as error:
                failed.append(error)
            finally:
                db.session.remove()

    db.session.refresh(second)
    waiting = threading.Thread(target=go_second)
    with transaction():
        engine.submit([first], Actor.of(operator), now=clock.now()).one()
        waiting.start()
        waiting.join(0.7)
        assert waiting.is_alive()
    waiting.join(10)
    assert [error.code for error in failed] == ["insufficient_quantity"]
    assert carry_over.taken_of(notice.id) == (0, 30_000)
