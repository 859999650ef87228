"""Closures beside credits and submissions; without their locks the races fail."""

from __future__ import annotations

import re
import threading
import time
from types import SimpleNamespace

import pytest

from app.domain.moves import Bucket, Move, Pocket, PostingRequest, Stage
from app.extensions import db, transaction
from app.migrations import buckets
from app.models import Account
from app.operations.applications import engine
from app.operations.ledger import posting
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import TRIAL, account, draft, give, instrument, member, quantity, submitted

CLOSED = threading.Event()  # written, and not committed yet
WORDS = {
    "account": "PERFORM FROM account WHERE id = d.account_id FOR UPDATE;",
    "holdings": "PERFORM FROM holding WHERE account_id = d.account_id ORDER BY instrument_id FOR NO KEY UPDATE;",  # noqa: E501
}


@pytest.fixture
def without(cluster):
    """Return a function that takes locks out of `carry_out_closures` for the rest of the test."""
    whole = (buckets.SQL / "0032" / "closure.sql").read_text(encoding="utf-8")
    found = re.search(r"CREATE FUNCTION carry_out_closures\(.*?\nEND \$\$;", whole, re.DOTALL)
    assert found

    def install(text: str) -> None:
        with cluster.connect("registry") as connection:
            connection.execute("SET ROLE registry_owner")
            connection.execute(text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))

    def take_out(*names: str) -> None:
        text = found[0]
        for name in names:
            assert WORDS[name] in text
            text = text.replace(WORDS[name], "")
        install(text)

    yield take_out
    install(found[0])


@pytest.fixture
def officers(app):
    return [Actor.of(member("registry_checker")) for _each in range(2)]


def closing(officers, *, held=None):
    """Return an account whose closure waits for the second officer, and the act that approves it slowly."""
    of = account("待销户有限公司")
    if held is not None:  # A holding of nothing: its row is there.
        give(of, held, 1)
        by = member(of=of)
        case = submitted("voluntary_cancellation", by, {held: 1}, reason="自愿")
        with transaction():
            engine.approve([case.id], officers[0], now=clock.now()).one()
    else:
        by = member(of=of)
    case = submitted("account_closure", by, {}, reason="停产")
    with transaction():
        engine.approve([case.id], officers[0], now=clock.now()).one()
    actor, id_ = officers[1], case.id

    def approve():
        with transaction():
            engine.approve([id_], actor, now=clock.now()).one()
            CLOSED.set()
            time.sleep(0.7)

    CLOSED.clear()
    return of, by, approve


def credited_later(of, what):
    ids = SimpleNamespace(id=of.id), SimpleNamespace(id=what.id)

    def later():
        CLOSED.wait(20)
        give(*ids, 5)

    return later


def is_closed(of):
    db.session.expire_all()
    return db.session.get_one(Account, of.id).closed_at is not None


@pytest.mark.parametrize("is_new", [True, False])
def test_a_credit_beside_a_closure_is_refused(together, officers, is_new):
    what = instrument()
    of, _by, approve = closing(officers, held=None if is_new else what)
    results = together(approve, credited_later(of, what))
    (error,) = results.failed
    assert error.code == "account_closed"
    assert (is_closed(of), quantity(of, what)) == (True, 0)


def test_without_the_locks_a_credit_reaches_a_closed_account(together, officers, without):
    without("account", "holdings")
    what = instrument()
    of, _by, approve = closing(officers)
    results = together(approve, credited_later(of, what))
    assert (results.failed, is_closed(of), quantity(of, what)) == ([], True, 5)


def test_a_credit_that_came_first_refuses_the_closure(together, officers):
    what = instrument()
    of, _by, approve = closing(officers, held=what)
    to, id_ = of.id, what.id

    def credit():
        source, target = Pocket(1, id_, Bucket.ISSUED), Pocket(to, id_, Bucket.AVAILABLE)
        asked = PostingRequest(TRIAL, Stage.APPROVAL, "credit", (Move(source, target, 5),))
        with transaction():
            posting.post([asked], at=clock.now())
            credited.set()
            time.sleep(0.7)

    def later():
        credited.wait(20)
        approve()

    credited = threading.Event()

    results = together(credit, later)
    assert len(results.failed) == 1
    assert (is_closed(of), quantity(of, what)) == (False, 5)


def test_a_submission_beside_a_closure_is_refused(together, officers):
    of, by, approve = closing(officers)
    made = draft("account_closure", by, {}, reason="再次")
    actor = Actor.of(by)

    def submit():
        CLOSED.wait(20)
        with transaction():
            engine.submit([made], actor, now=clock.now()).one()

    results = together(approve, submit)
    (error,) = results.failed
    assert error.code == "account_closed"
    assert is_closed(of)
