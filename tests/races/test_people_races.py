"""停用 beside the same person's sign-in, and beside what the person is just signing."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from sqlalchemy import func, select

from app.domain.errors import NotAllowed
from app.extensions import db, transaction
from app.models import Application, Certificate, LoginRecord, LoginSession, Member
from app.operations.applications import evidence
from app.operations.people import members
from app.operations.records.actor import SYSTEM
from app.security import sign_in as doors
from tests.factories import PASSWORD, member, quantity, submitted
from tests.security.test_signed_acts import authority, key_of, signed, signing, step_of

__all__ = ["authority", "key_of", "signing"]


@pytest.fixture
def officer(app):
    return member("registry_checker")


def disable(person_id: int, done: threading.Event | None = None) -> None:
    with transaction():
        members.disable(person_id, SYSTEM)
        if done:
            done.set()
            time.sleep(0.5)


def living(person: Member) -> int:
    return db.session.scalar(
        select(func.count())
        .select_from(LoginSession)
        .where(LoginSession.member_id == person.id, LoginSession.ended_at.is_(None))
    )


def test_no_session_outlives_being_disabled_at_once(together, officer):
    """Without the lock the session would work again once the member is enabled."""
    out = threading.Event()

    def come_in() -> None:
        out.wait(20)  # Written, not committed.
        doors.attempt(officer.username, PASSWORD, doors.Visitor("192.0.2.1"))

    results = together(partial(disable, officer.id, out), come_in)

    assert [type(error) for error in results.failed] == [NotAllowed]
    assert living(officer) == 0
    assert db.session.scalars(select(LoginRecord.is_success)).all() == [False]


def test_of_several_at_once_none_stays_signed_in(together, officer):
    for _round in range(5):
        with transaction():
            if not officer.active:
                members.enable(officer.id, SYSTEM)
        come_in = partial(doors.attempt, officer.username, PASSWORD, doors.Visitor("192.0.2.1"))
        together(partial(disable, officer.id), *[come_in] * 3)
        assert living(officer) == 0


@pytest.fixture
def decision(officer, operator, cea, signing, key_of, sign_in):
    """A waiting application, and its reviewer's signed approval, not yet sent."""
    case = submitted("voluntary_cancellation", operator, {cea: 10}, reason="碳中和")
    browser, key = sign_in(officer), key_of(officer)
    place = browser.post(f"/reviews/{case.id}/decide", data={"decision": "approve"}).location
    form = signed(key, step_of(browser.get(place).text))
    return case.id, partial(browser.post, place, data=form)


def test_what_is_being_signed_counts_before_its_signer_is_out(
    together, officer, decision, monkeypatch
):
    """Without the lock on the certificate a disabled person would still have agreed."""
    case_id, send = decision
    checked, order = threading.Event(), []
    keep = evidence.keep

    def slow(*arguments, **more):
        checked.set()  # The certificate was found good; nothing is written yet.
        time.sleep(0.5)
        order.append("signed")
        return keep(*arguments, **more)

    def put_out() -> None:
        checked.wait(20)
        disable(officer.id)
        order.append("disabled")

    monkeypatch.setattr(evidence, "keep", slow)
    results = together(send, put_out)

    assert results.failed == []
    assert order == ["signed", "disabled"]
    assert db.session.get_one(Application, case_id).status == "approved"
    assert db.session.scalars(select(Certificate.state)).all() == ["suspended"]
    assert living(officer) == 0


def test_what_was_signed_before_and_is_sent_after_counts_for_nothing(officer, plant, cea, decision):
    case_id, send = decision
    disable(officer.id)

    assert send().location.startswith("/login/")
    db.session.expire_all()
    assert db.session.get_one(Application, case_id).status == "in_review"
    assert quantity(plant, cea) == 90
