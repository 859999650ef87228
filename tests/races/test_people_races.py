"""停用 under threads: beside the same person's sign-in, and beside what the person is just signing."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from sqlalchemy import func, select

from app.domain.errors import NotAllowed
from app.extensions import db, transaction
from app.models import Application, Certificate, LoginRecord, LoginSession, Member
from app.operations.applications import engine
from app.operations.people import members
from app.operations.records.actor import SYSTEM
from app.security import sign_in as doors
from tests.factories import PASSWORD, member, submitted
from tests.security import test_signed_acts as signed_acts
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
    """Without the lock the session would wait for the day when the member is enabled again."""
    out = threading.Event()

    def come_in() -> None:
        out.wait(20)  # Written, not committed.
        doors.attempt(officer.username, PASSWORD, ip="192.0.2.1", user_agent="")

    results = together(partial(disable, officer.id, out), come_in)

    assert [type(error) for error in results.failed] == [NotAllowed]
    assert living(officer) == 0
    assert db.session.scalars(select(LoginRecord.is_success)).all() == [False]


def test_of_several_at_once_none_stays_signed_in(together, officer):
    for _round in range(5):
        with transaction():
            if not officer.active:
                members.enable(officer.id, SYSTEM)
        come_in = partial(doors.attempt, officer.username, PASSWORD, ip="192.0.2.1", user_agent="")
        together(partial(disable, officer.id), *[come_in] * 3)
        assert living(officer) == 0


@pytest.fixture
def decision(officer, operator, cea, signing, key_of, sign_in):
    """An application that waits, and the signed yes of its reviewer, ready to be sent."""
    case = submitted("voluntary_cancellation", operator, {cea: 10}, reason="碳中和")
    browser, key = sign_in(officer), key_of(officer)
    place = browser.post(f"/reviews/{case.id}/decide", data={"decision": "approve"}).location
    form = signed(key, step_of(browser.get(place).text))
    return case.id, partial(browser.post, place, data=form)


def test_what_is_being_signed_counts_before_its_signer_is_out(
    together, officer, decision, monkeypatch
):
    case_id, send = decision
    approving, order = threading.Event(), []
    approve = engine.approve

    def slow(*arguments, **more):
        outcome = approve(*arguments, **more)
        approving.set()
        time.sleep(0.5)
        order.append("approved")
        return outcome

    def put_out() -> None:
        approving.wait(20)
        disable(officer.id)
        order.append("disabled")

    monkeypatch.setattr(engine, "approve", slow)
    results = together(send, put_out)

    assert results.failed == []
    assert order == ["approved", "disabled"]
    assert db.session.get_one(Application, case_id).status == "approved"
    assert db.session.scalars(select(Certificate.state)).all() == ["suspended"]
    assert living(officer) == 0


def test_what_comes_after_counts_for_nothing(together, officer, plant, cea, decision):
    case_id, send = decision
    out = threading.Event()

    def approve() -> int:
        out.wait(20)  # The session still stands; the certificate is suspended, not committed.
        return send().status_code

    results = together(partial(disable, officer.id, out), approve)

    assert results.failed == []
    assert db.session.get_one(Application, case_id).status == "in_review"
    assert signed_acts.quantity(plant, cea) == 90
    assert living(officer) == 0
