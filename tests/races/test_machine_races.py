"""Machines at the same moment: one act and one answer; as many credentials as a member may have."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from sqlalchemy import text

from app.domain.errors import RuleError
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.models import Application, ImportFile, MachineAnswer, MachineAssertion, MachineKey
from app.operations.accounts import accounts
from app.operations.people import credentials
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import quantity
from tests.operations.machines import new_key, of_platform, registered, wanted
from tests.views.platform_interface.pushing import push, row, sent

TOGETHER = 4
CREDENTIALS = 8  # asked for at once, of which five may stand


@pytest.fixture
def machine(app, plant, operator):
    with transaction():
        accounts.allow_exchange_transfer(
            plant.id, Actor.of(operator), allowed=True, now=clock.now()
        )
    return registered(app).sign_in()


def transfer(plant, cea, number="T1"):
    return {"request_no": number, "direction": "in", "member_no": plant.member_no,
            "instrument_code": cea.code, "quantity": 30}  # fmt: skip


def test_one_key_at_once_is_one_act_and_one_answer(machine, plant, cea, together):
    sent = transfer(plant, cea)

    results = together(*(lambda: machine.post(sent, key="k1") for _each in range(TOGETHER)))

    assert results.failed == []
    assert {answer.status_code for answer in results.returned} == {200}
    assert len({answer.data for answer in results.returned}) == 1
    again = [answer.headers.get("Idempotency-Replayed") for answer in results.returned]
    assert sorted(map(str, again)) == ["None", *["true"] * (TOGETHER - 1)]
    assert db.session.query(MachineAnswer).count() == 1
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 30


def test_without_the_key_s_index_some_have_another_answer(machine, plant, cea, together, tables):
    """What the test above rests on: without it nobody waits for the first one's answer."""
    sent, owner = transfer(plant, cea), tables.connection
    owner.execute("ALTER TABLE machine_answer DROP CONSTRAINT machine_answer_pkey")
    try:
        results = together(*(lambda: machine.post(sent, key="k1") for _each in range(TOGETHER)))
        found = db.session.query(MachineAnswer.digest).count()
        db.session.rollback()
    finally:
        owner.execute("DELETE FROM machine_answer")
        owner.execute(
            "ALTER TABLE machine_answer ADD CONSTRAINT machine_answer_pkey PRIMARY KEY (client_id, key)"
        )
    assert results.failed or found > 1


def test_one_number_under_several_keys_is_one_act(machine, plant, cea, together):
    sent = transfer(plant, cea)

    results = together(*(lambda: machine.post(sent) for _each in range(TOGETHER)))

    assert results.failed == []
    numbers = {answer.json["transfers"][0]["number"] for answer in results.returned}
    assert len(numbers) == 1
    assert (
        db.session.query(Application).filter(Application.request_key.like("client:%")).count() == 1
    )
    assert quantity(plant, cea, Bucket.PENDING_TO_TRADING) == 30


def test_several_requests_together_take_no_more_than_there_is(machine, plant, cea, together):
    sent = [transfer(plant, cea, f"T{n}") for n in range(TOGETHER)]
    results = together(*(lambda each=each: machine.post(each) for each in sent))
    assert results.failed == []
    states = sorted(answer.json["transfers"][0]["state"] for answer in results.returned)
    assert states == ["pending_settlement"] * 3 + ["refused"]  # of 100 tonnes


def test_an_assertion_opens_the_door_once(machine, together):
    assertion = machine.assertion()
    results = together(*(lambda: machine.ask_token(assertion) for _each in range(TOGETHER)))
    codes = sorted(answer.status_code for answer in results.returned)
    assert codes == [200, *[401] * (TOGETHER - 1)]
    assert db.session.query(MachineAssertion).count() == 2  # and the one of the fixture


@pytest.fixture
def issue_together(operator, together, monkeypatch):
    """Return a function that issues more than may stand, each counting before any inserts."""
    counted = credentials._require_room

    def slowly(*arguments):
        counted(*arguments)
        time.sleep(0.05)  # The others count meanwhile, where nothing keeps them.

    monkeypatch.setattr(credentials, "_require_room", slowly)
    actor, asked = Actor.of(operator), [wanted(new_key()) for _each in range(CREDENTIALS)]

    def issue(values):
        with transaction():
            credentials.issue(values, actor, None, now=clock.now())

    return lambda: together(*(lambda each=each: issue(each) for each in asked))


def test_together_no_more_are_issued_than_may_stand(issue_together):
    results = issue_together()
    assert [type(error) for error in results.failed] == [RuleError] * (CREDENTIALS - 5)
    assert {error.code for error in results.failed} == {"credentials_full"}
    assert db.session.query(MachineKey).count() == 5


def test_without_the_lock_more_are_issued(issue_together, monkeypatch):
    """What the test above rests on."""
    monkeypatch.setattr(credentials, "_ONE_AFTER_ANOTHER", text("SELECT 1"))
    issue_together()
    assert db.session.query(MachineKey).count() > 5


def pushing(app, plant):
    """Return a function that pushes the same table, under a key of its own each time."""
    factories.plan(pre_allocation_share=Decimal(50), share_cap=Decimal(50))
    platform = of_platform(app).sign_in()
    table = sent(row(plant, 1789))
    return lambda: push(platform, table)


def test_one_table_at_once_is_taken_once(app, plant, together):
    act = pushing(app, plant)

    results = together(*[act] * TOGETHER)

    assert results.failed == []
    statuses = sorted(answer.status_code for answer in results.returned)
    assert statuses == [200, *[409] * (TOGETHER - 1)]
    assert db.session.query(ImportFile).count() == 1
    assert db.session.query(Application).filter_by(kind="figure_table").count() == 1


def test_without_the_constraint_it_is_taken_several_times(app, plant, together, tables):
    """What the test above rests on: the import's content is unique."""
    act, owner = pushing(app, plant), tables.connection
    owner.execute("ALTER TABLE import_file DROP CONSTRAINT import_file_once")
    try:
        together(*[act] * TOGETHER)
        taken = db.session.query(ImportFile).count()
        db.session.rollback()
    finally:
        owner.execute("DELETE FROM import_file")
        owner.execute(
            "ALTER TABLE import_file ADD CONSTRAINT import_file_once UNIQUE (kind, sha256, attempt)"
        )
    assert taken > 1
