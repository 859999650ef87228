"""Concurrent surrenders, and changes of their notice; without its lock each race fails."""

from __future__ import annotations

import threading
from decimal import Decimal
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.domain.errors import InsufficientQuantity, RuleError
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Notice
from app.operations.applications import engine, rows
from app.operations.applications.effects import EFFECTS
from app.operations.compliance import attestations, plans
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import changed, colleague, draft, give, member, proposing, quantity
from tests.operations.compliance.test_compliance import figures, issue, refund, surrender

TRIES = 25


@pytest.fixture
def second(plant):
    """Another operator of the same enterprise."""
    return member(of=plant)


def submit(application_id, actor):
    with transaction():
        return engine.submit([application_id], actor, now=clock.now()).one()


def withdraw(application_id, actor):
    with transaction():
        return engine.withdraw([application_id], actor, now=clock.now()).one()


def approve(application_id, actor):
    with transaction():
        return engine.approve([application_id], actor, now=clock.now()).one()


def lowering(notice, obligation, maker):
    """Propose to lower an obligation; return the act by which a colleague approves it."""
    application = changed(notice, by=maker, obligation=obligation)
    return partial(approve, application, Actor.of(colleague(maker)))


def narrowing(maker, checker):
    """Propose that 2025's plan accepts 2025 and 2026 alone; return the act by which another approves it."""
    application = proposing(2025, "power", by=maker, vintages="2025,2026")
    return partial(approve, application, Actor.of(checker))


# Two operators, 60 of 100 due ------------------------------------------------------------------


@pytest.fixture
def due(plant, cea, maker):
    """An obligation of 100 tonnes; the plant holds 1,000, so that the holding is no limit."""
    give(plant, cea, 900)
    return issue(plant, [cea], 100, by=maker)


def both_submit_60(together, operator, second, cea, notice):
    acts = [
        partial(submit, draft("surrender", each, {cea: 60}, notice_id=notice), Actor.of(each))
        for each in (operator, second)
    ]
    return together(*acts)


def test_of_two_who_submit_60_of_100_due_one_wins(together, plant, operator, second, cea, due):
    for _ in range(5):
        results = both_submit_60(together, operator, second, cea, due)

        (error,) = results.failed
        # The loser waited, and is told the figure by our own rule.
        assert (type(error), error.code) == (InsufficientQuantity, "above_due")
        assert figures(due) == (0, 60)
        (won,) = filter(None, results.returned)
        withdraw(won.id, Actor.of(operator))
    assert verify_ledger().is_sound


def test_without_the_account_lock_the_database_still_lets_one_win(
    together, plant, operator, second, cea, due, without_account_lock
):
    """Both pass our own check; the constraint surrender_stays_within refuses the second one."""
    guarded = 0
    for _ in range(TRIES):
        results = both_submit_60(together, operator, second, cea, due)
        assert figures(due) == (0, 60)
        assert quantity(plant, cea) == 940
        for case in filter(None, results.returned):
            withdraw(case.id, Actor.of(operator))
        (error,) = results.failed
        guarded += error.code != "above_due"
        if guarded:
            assert error.code == "insufficient_quantity"
            return
    pytest.fail("the account lock makes no difference")


# CCER ------------------------------------------------------------------------------------------


@pytest.fixture
def units(plant, operator):
    return [factories.mirrored(operator, 30) for _n in range(2)]


def offset_acts(notice, units, *members):
    """Return submissions of one unit each."""
    return [
        partial(submit, factories.offsetting(each, notice, unit), Actor.of(each))
        for each, unit in zip(members, units, strict=True)
    ]


def test_ccer_s_share_is_not_exceeded_by_two_at_once(
    together, plant, operator, second, cea, units, maker
):
    notice = issue(plant, [cea], 1000, by=maker, percent=Decimal(5))
    results = together(*offset_acts(notice, units, operator, second))
    assert [error.code for error in results.failed] == ["offset_limit"]
    assert figures(notice) == (0, 30)


def test_two_applications_at_once_do_not_get_the_same_unit(
    together, plant, operator, second, cea, units, maker
):
    notice = issue(plant, [cea], 10_000, by=maker, percent=Decimal(5))
    results = together(*offset_acts(notice, units[:1] * 2, operator, second))
    assert [error.code for error in results.failed] == ["unit_taken"]
    assert figures(notice) == (0, 30)


@pytest.mark.parametrize("what", ["share", "unit"])
def test_without_the_account_lock_the_database_keeps_share_and_unit(
    together, plant, operator, second, cea, maker, without_account_lock, what
):
    """The usual code is the program's rule, another one the database's."""
    notice = issue(plant, [cea], 1000, by=maker, percent=Decimal(5))
    usual = {"share": "offset_limit", "unit": "unit_taken"}[what]
    for _ in range(TRIES):
        units = [factories.mirrored(operator, 30)] * 2
        if what == "share":
            units[1] = factories.mirrored(operator, 30)
        results = together(*offset_acts(notice, units, operator, second))
        assert figures(notice) == (0, 30)
        for case in filter(None, results.returned):
            withdraw(case.id, Actor.of(operator))
        if any(error.code != usual for error in results.failed):
            return
    pytest.fail("the account lock makes no difference")


# Approving beside lowering ---------------------------------------------------------------------


def approve_beside_lowering(together, plant, operator, hubei, maker, cea, year):
    """500 wait for approval while the obligation is lowered from 500 to 300."""
    notice = issue(plant, [cea], 500, by=maker, year=year)
    case = surrender(operator, {cea: 500}, notice)
    lower = lowering(notice, 300, maker)
    results = together(partial(approve, case.id, Actor.of(hubei)), lower)
    db.session.expire_all()
    obligation = db.session.get_one(Notice, notice).obligation
    surrendered, _pending = figures(notice)
    db.session.rollback()
    return results, obligation, surrendered


def test_an_approval_and_a_lowering_never_both_succeed(
    together, plant, operator, hubei, maker, cea
):
    give(plant, cea, 5000)
    for year in range(2021, 2026):
        results, obligation, surrendered = approve_beside_lowering(
            together, plant, operator, hubei, maker, cea, year
        )
        (error,) = results.failed
        assert error.code in ("above_due", "beneath_surrendered")
        assert (obligation, surrendered) in ((500, 500), (300, 0))
    assert verify_ledger().is_sound


def test_without_the_locks_the_database_still_keeps_them_apart(
    together, plant, operator, hubei, maker, cea, without_account_lock, monkeypatch
):
    """Both read 500 and nothing surrendered; whoever writes second is refused by the database."""
    give(plant, cea, 5000)
    notice = issue(plant, [cea], 500, by=maker)
    case = surrender(operator, {cea: 500}, notice)
    lower = lowering(notice, 300, maker)
    read = threading.Barrier(2)
    gather = engine.gather

    def after_both_have_read(function):
        def wrapped(*arguments):
            found = function(*arguments)
            read.wait(timeout=60)
            return found

        return wrapped

    monkeypatch.setattr(engine, "gather", after_both_have_read(gather))
    results = together(partial(approve, case.id, Actor.of(hubei)), lower)

    (error,) = results.failed
    assert isinstance(error, RuleError)
    # Our own rules were passed: these are the two constraints.
    assert error.code in ("insufficient_quantity", "surrendered_meanwhile")
    db.session.expire_all()
    found = (db.session.get_one(Notice, notice).obligation, figures(notice)[0])
    assert found in ((500, 500), (300, 0))
    assert verify_ledger().is_sound


def test_with_the_locks_nobody_reads_beside_the_other(
    together, plant, operator, hubei, maker, cea, monkeypatch
):
    """The same race with the locks: the second waits for the first, and its own rule refuses it."""
    notice = issue(plant, [cea], 100, by=maker)
    case = surrender(operator, {cea: 100}, notice)
    lower = lowering(notice, 50, maker)
    inside, most = [], []
    original = engine.gather

    def counting(function):
        def wrapped(*arguments):
            found = function(*arguments)
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.2)
            inside.pop()
            return found

        return wrapped

    monkeypatch.setattr(engine, "gather", counting(original))
    results = together(partial(approve, case.id, Actor.of(hubei)), lower)
    (error,) = results.failed
    assert error.code in ("above_due", "beneath_surrendered")
    assert max(most) == 1


# Submitting beside a plan that accepts fewer vintages ---------------------------------------------


def submit_beside_narrowing(together, operator, cea, due, maker, checker, monkeypatch):
    """The plan's approval has written the version, and not ended yet, when the surrender is written."""
    waiting = draft("surrender", operator, {cea: 60}, notice_id=due)
    narrow, written = narrowing(maker, checker), threading.Event()
    carry_out, gather = plans.carry_out, engine.gather

    def slow(*arguments):
        carry_out(*arguments)
        written.set()
        threading.Event().wait(0.4)

    def late(cases, moment):
        found = gather(cases, moment)
        if cases[0].kind == "surrender":
            written.wait(timeout=60)
        return found

    monkeypatch.setitem(EFFECTS, "plan", slow)
    monkeypatch.setattr(engine, "gather", late)
    return together(partial(submit, waiting, Actor.of(operator)), narrow)


def test_a_surrender_and_a_plan_that_no_longer_accepts_it_never_both_succeed(
    together, operator, cea, due, maker, checker, monkeypatch
):
    """Our own rules were passed: the surrender waits for the version, and the database refuses it."""
    results = submit_beside_narrowing(together, operator, cea, due, maker, checker, monkeypatch)
    (error,) = results.failed
    assert error.code == "insufficient_quantity"
    assert figures(due) == (0, 0)


def test_without_the_lock_of_the_plan_both_succeed(
    together, cluster, operator, cea, due, maker, checker, monkeypatch
):
    with cluster.connect("registry") as connection:
        (kept,) = connection.execute(
            "SELECT pg_get_functiondef('applications_keep_within'::regproc)"
        ).fetchone()
        assert "ORDER BY p.id FOR SHARE" in kept
        connection.execute(kept.replace("ORDER BY p.id FOR SHARE", "ORDER BY p.id"))
    try:
        results = submit_beside_narrowing(together, operator, cea, due, maker, checker, monkeypatch)
    finally:
        with cluster.connect("registry") as connection:
            connection.execute(kept)
    assert results.failed == []
    assert figures(due) == (0, 60)


def test_a_plan_waits_for_a_surrender_under_way(
    together, operator, cea, due, maker, checker, monkeypatch
):
    """The surrender is written, and not ended yet, when the plan's version is: that one is refused."""
    waiting = draft("surrender", operator, {cea: 60}, notice_id=due)
    narrow, written = narrowing(maker, checker), threading.Event()
    record, gather = rows.record, engine.gather

    def slow(cases, *arguments, **more):
        found = record(cases, *arguments, **more)
        if cases[0].kind == "surrender":
            written.set()
            threading.Event().wait(0.4)
        return found

    def late(cases, moment):
        found = gather(cases, moment)
        if cases[0].kind == "plan":
            written.wait(timeout=60)
        return found

    monkeypatch.setattr(rows, "record", slow)
    monkeypatch.setattr(engine, "gather", late)
    results = together(partial(submit, waiting, Actor.of(operator)), narrow)
    (error,) = results.failed
    assert error.code == "plan_in_use"
    assert figures(due) == (0, 60)


# A certificate asked for beside a refund ----------------------------------------------------------


def certify(notice, actor):
    with transaction():
        attestations.certify_notice(notice, actor, clock.now())


def test_no_certificate_holds_after_a_refund_that_was_beside_it(
    together, plant, operator, hubei, maker, cea, monkeypatch
):
    """Lowered to what is surrendered, fulfilment is certified on demand, while a refund is approved."""
    give(plant, cea, 900)
    checker = member("registry_checker")
    _pause_after(monkeypatch, attestations, "_fulfilled")
    for year in range(2021, 2024):
        notice = issue(plant, [cea], 200, by=maker, year=year)
        case = surrender(operator, {cea: 100}, notice)
        approve(case.id, Actor.of(hubei))
        lowering(notice, 100, maker)()
        back = refund(case.id, 1, notice, by=maker)
        together(
            partial(certify, notice, Actor.of(operator)),
            partial(approve, back.id, Actor.of(checker)),
        )
        assert figures(notice)[0] == 99
        assert attestations.of_notice(notice) is None
        db.session.rollback()


def _pause_after(monkeypatch, module, name):
    """Let a function's caller wait a moment, so that the other one comes between."""
    original = getattr(module, name)

    def slow(*arguments):
        found = original(*arguments)
        threading.Event().wait(0.4)
        return found

    monkeypatch.setattr(module, name, slow)


# Two refunds of one line -------------------------------------------------------------------------


def test_two_refunds_of_60_from_100_surrendered_let_one_win(
    together, plant, operator, hubei, maker, cea
):
    notice = issue(plant, [cea], 100, by=maker)
    case = surrender(operator, {cea: 100}, notice)
    approve(case.id, Actor.of(hubei))
    line = db.session.execute(
        text("SELECT id FROM application_line WHERE application_id = :id"), {"id": case.id}
    ).scalar_one()
    ids = []
    for _ in range(2):
        content = engine.Draft(
            "surrender_refund",
            plant.id,
            (Line(cea.id, 60, source_line_id=line),),
            str(uuid4()),
            reason="核减",
            document_no="1号",
            authority="生态环境厅",
            starts_on=clock.now().date(),
            notice_id=notice,
        )
        with transaction():
            ids += engine.start([content], Actor.of(maker), now=clock.now())
    results = together(*(partial(submit, id_, Actor.of(maker)) for id_ in ids))
    assert [error.code for error in results.failed] == ["more_than_left"]
