"""协助清缴 (rules-2026 N53): helpers at once never supply more than a notice asks for."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import pytest

from app.domain.errors import InsufficientQuantity
from app.domain.workflow import Line
from app.extensions import transaction
from app.operations.applications import engine
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import account, draft, give, instrument, member, notice
from tests.operations.compliance.test_compliance import figures

TRIES = 25


@pytest.fixture
def cea25(app):
    return instrument("2025年度配额", vintage=2025)


@pytest.fixture
def owed(plant, maker):
    return notice(plant, 5000, by=maker)


@pytest.fixture
def helpers(app, cea25):
    """Two enterprises, of which each could supply all that is due."""
    found = [account(f"{name}发电有限公司", province="41") for name in "乙丙"]
    for each in found:
        give(each, cea25, 6000)
    return [member(of=each) for each in found]


def supplying(by, to, what, tonnes, notice_id):
    lines = (Line(what.id, tonnes, account_id=to.id),)
    asked = engine.Draft(
        "assisted_surrender", by.account_id, lines, str(uuid4()), notice_id=notice_id
    )
    with transaction():
        return engine.start([asked], Actor.of(by), now=clock.now())[0]


def submit(application_id, actor):
    with transaction():
        return engine.submit([application_id], actor, now=clock.now()).one()


def withdraw(application_id, actor):
    with transaction():
        engine.withdraw([application_id], actor, now=clock.now()).one()


def both(together, helpers, plant, cea25, owed):
    """Let both submit 3,000 of the 5,000 due; they share no lock of the engine."""
    ids = [supplying(each, plant, cea25, 3000, owed) for each in helpers]
    results = together(
        *(partial(submit, id_, Actor.of(each)) for id_, each in zip(ids, helpers, strict=True))
    )
    return ids, results


def test_n53_of_two_helpers_at_once_one_is_refused(together, helpers, plant, cea25, owed):
    for _ in range(5):
        ids, results = both(together, helpers, plant, cea25, owed)
        (error,) = results.failed
        assert isinstance(error, InsufficientQuantity)
        assert figures(owed) == (0, 3000)
        (won,) = filter(None, results.returned)
        withdraw(won.id, Actor.of(helpers[ids.index(won.id)]))
    assert verify_ledger().is_sound


def test_n53_the_notice_s_lock_is_what_refuses(together, helpers, plant, cea25, owed, cluster):
    """Without the lock in assisted_surrenders_keep_within both are accepted, sooner or later."""
    lock = "PERFORM FROM notice WHERE id = ANY(notices) ORDER BY id FOR NO KEY UPDATE;"
    name = "assisted_surrenders_keep_within()"
    with cluster.connect("registry") as connection:
        connection.execute("SET ROLE registry_owner")
        whole = connection.execute(f"SELECT pg_get_functiondef('{name}'::regprocedure)").fetchone()[
            0
        ]
        assert lock in whole
        connection.execute(whole.replace(lock, "PERFORM pg_sleep(0.05);"))
    try:
        for _ in range(TRIES):
            ids, results = both(together, helpers, plant, cea25, owed)
            for id_, each in zip(ids, helpers, strict=True):
                if id_ in {case.id for case in results.returned if case}:
                    withdraw(id_, Actor.of(each))
            if not results.failed:
                return
        pytest.fail("the notice's lock makes no difference")
    finally:
        with cluster.connect("registry") as connection:
            connection.execute("SET ROLE registry_owner")
            connection.execute(whole)


def test_n53_a_helper_beside_the_enterprise_itself(together, helpers, plant, operator, cea25, owed):
    """The other trigger, of surrenders, waits for the same notice."""
    give(plant, cea25, 6000)
    for _ in range(5):
        helping = supplying(helpers[0], plant, cea25, 3000, owed)
        own = draft("surrender", operator, {cea25: 3000}, notice_id=owed)
        results = together(
            partial(submit, helping, Actor.of(helpers[0])), partial(submit, own, Actor.of(operator))
        )
        assert len(results.failed) == 1
        assert figures(owed) == (0, 3000)
        (won,) = filter(None, results.returned)
        withdraw(won.id, Actor.of(operator if won.id == own else helpers[0]))
