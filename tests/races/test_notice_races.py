"""Concurrent decisions on notices, and surrenders beside them; without its lock each race fails."""

from __future__ import annotations

import io
import threading
from functools import partial

import pytest
from flask_babel import force_locale

from app.domain.compliance.notices import Decision, Terms
from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Application, Notice, NoticeChange
from app.operations.applications import engine
from app.operations.imports import notice_import, tables
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import (
    changed,
    colleague,
    confirmed,
    deciding,
    draft,
    member,
    notice,
    withdrawn,
)
from tests.operations.imports.test_notice_import import HEADINGS


def submit(application_id, actor):
    with transaction():
        return engine.submit([application_id], actor, now=clock.now()).one()


def approve(application_id, actor):
    with transaction():
        return engine.approve([application_id], actor, now=clock.now()).one()


def surrender_beside_withdrawal(together, plant, operator, cea, maker, year):
    """The first surrender is submitted while the notice's withdrawal is approved."""
    about = notice(plant, 100, [cea], by=maker, year=year)
    leaves = withdrawn(about, by=maker)
    surrender = draft("surrender", operator, {cea: 1}, notice_id=about)
    results = together(
        partial(submit, surrender, Actor.of(operator)),
        partial(approve, leaves, Actor.of(colleague(maker))),
    )
    db.session.expire_all()
    is_gone = db.session.get_one(Notice, about).withdrawn_at is not None
    is_due = db.session.get_one(Application, surrender).status == "in_review"
    db.session.rollback()
    return results, is_gone, is_due


def test_a_withdrawal_and_a_first_surrender_never_both_succeed(
    together, plant, operator, cea, maker, checker
):
    for year in range(2021, 2026):
        results, is_gone, is_due = surrender_beside_withdrawal(
            together, plant, operator, cea, maker, year
        )
        (error,) = results.failed
        assert error.code in ("above_due", "surrendered_already")
        assert is_gone is not is_due
    assert verify_ledger().is_sound


def test_without_the_account_lock_the_database_keeps_them_apart(
    together, plant, operator, cea, maker, checker, without_account_lock, monkeypatch
):
    """Both have read a notice without surrenders; whoever writes second is refused."""
    read, gather = threading.Barrier(2), engine.gather
    made = []

    def after_both_have_read(cases, moment):
        found = gather(cases, moment)
        if made:
            read.wait(timeout=60)
        return found

    monkeypatch.setattr(engine, "gather", after_both_have_read)
    about = notice(plant, 100, [cea], by=maker)
    leaves = withdrawn(about, by=maker)
    surrender = draft("surrender", operator, {cea: 1}, notice_id=about)
    made.append(about)
    results = together(
        partial(submit, surrender, Actor.of(operator)),
        partial(approve, leaves, Actor.of(colleague(maker))),
    )
    (error,) = results.failed
    assert isinstance(error, RuleError)
    # Our own rules were passed: these are the database's.
    assert error.code in ("insufficient_quantity", "changed_meanwhile")
    assert verify_ledger().is_sound


def test_two_who_approve_one_decision_change_the_notice_once(together, plant, cea, maker, checker):
    about = notice(plant, 100, [cea], by=maker)
    application = changed(about, by=maker, obligation=200)
    others = [Actor.of(checker), Actor.of(member("registry_checker"))]
    results = together(*(partial(approve, application, each) for each in others))
    (error,) = results.failed
    assert error.code == "wrong_status"
    assert db.session.query(NoticeChange).count() == 2


def two_who_issue_one_notice(together, plant, cea, maker, hubei):
    """The registry and the province issue the same enterprise's notice of a year."""
    decision = Decision(2025, "power", None, Terms(100))
    acts = [
        partial(submit, deciding(plant, decision, by=each, submits=False), Actor.of(each))
        for each in (maker, hubei)
    ]
    results = together(*acts)
    (error,) = results.failed
    assert error.code == "notice_under_review"


def test_of_two_who_issue_one_notice_one_is_told(together, plant, cea, maker, hubei):
    two_who_issue_one_notice(together, plant, cea, maker, hubei)


def test_without_the_account_lock_the_index_tells_one(
    together, plant, cea, maker, hubei, without_account_lock, monkeypatch
):
    read, gather = threading.Barrier(2), engine.gather

    def after_both_have_read(cases, moment):
        found = gather(cases, moment)
        read.wait(timeout=60)
        return found

    monkeypatch.setattr(engine, "gather", after_both_have_read)
    two_who_issue_one_notice(together, plant, cea, maker, hubei)


def two_imports(together, plant, cea, maker):
    """Import the same rows from two files at once, submitted as they are read."""
    actors = [Actor.of(maker), Actor.of(member("registry_maker"))]  # Read here, not in the threads.
    line = f"{plant.member_no},2025,发电,10"

    def take(number):
        with force_locale("zh"):
            content = "\n".join([HEADINGS, line, *[""] * number]).encode()
            table = tables.read(io.BytesIO(content), "表.csv", notice_import.COLUMNS)
            with transaction():
                notice_import.take(table, actors[number], now=clock.now(), reason="核查结果")

    return together(partial(take, 0), partial(take, 1))


def test_of_two_imports_of_one_notice_one_is_told(together, plant, cea, maker):
    results = two_imports(together, plant, cea, maker)
    (error,) = results.failed
    assert getattr(error, "code", "") in ("rows_refused", "notice_under_review", "none_submitted")
    assert db.session.query(Application).filter_by(kind="notice").count() == 1


@pytest.mark.parametrize("is_withdrawn", [True, False])
def test_a_change_killed_before_its_end_leaves_nothing(plant, cea, maker, checker, is_withdrawn):
    about = notice(plant, 100, [cea], by=maker)
    application = (
        withdrawn(about, by=maker) if is_withdrawn else changed(about, by=maker, obligation=7)
    )
    engine.approve([application], Actor.of(checker), now=clock.now()).one()
    db.session.rollback()
    assert db.session.get_one(Notice, about).obligation == 100
    assert db.session.get_one(Application, application).status == "in_review"
    confirmed(application, checker)
    assert verify_ledger().is_sound
