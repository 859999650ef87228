"""停用, 启用, 重置 and 角色 have the same effects on whichever page."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import (
    Certificate,
    CertificateEnrolment,
    LoginFailure,
    LoginSession,
    Member,
    OperationLog,
    OutboxMessage,
    PasswordRecord,
)
from app.operations.people import certificates, passwords
from app.operations.records.actor import SYSTEM, Actor
from app.security import lockout
from tests.factories import PASSWORD, member
from tests.signing import authority_folder, certified, signing

__all__ = ["authority_folder", "signing"]


@pytest.fixture
def representative(plant, sign_in):
    return sign_in(member(of=plant))


@pytest.fixture
def system(app, sign_in):
    return sign_in(member("system_admin"))


@pytest.fixture
def security(app, sign_in):
    return sign_in(member("security_admin"))


def prepare(person: Member, browser) -> None:
    """Give a member an address, a certificate, pending codes and a failed attempt."""
    now = datetime.now(UTC)
    with transaction():
        person.email, person.phone = f"{person.username}@example.cn", "13800138000"
    certified(person)
    with transaction():
        certificates.open_enrolment(person.id, SYSTEM, now=now, confirmed_by=Actor.of(person))
    lockout.take_a_guess(person.username, lockout.Source("192.0.2.1"))
    assert browser.get("/").status_code == 200


def effects_on(person: Member, acts: list[str]) -> dict[str, object]:
    """Return all effects of acts, without names."""
    db.session.rollback()
    db.session.expire_all()

    def of(column, *where) -> list:
        return list(db.session.scalars(select(column).where(*where).order_by(column)))

    logged = db.session.scalars(
        select(OperationLog).where(OperationLog.subject == person.username).order_by("id")
    )
    return {
        "active": person.active,
        "has a password": person.password is not None,
        "must change it": person.must_change_password,
        "earlier passwords": len(of(PasswordRecord.id, PasswordRecord.member_id == person.id)),
        "sessions": of(LoginSession.ended_reason, LoginSession.member_id == person.id),
        "certificates": of(Certificate.state, Certificate.member_id == person.id),
        "codes": of(CertificateEnrolment.state, CertificateEnrolment.member_id == person.id),
        "failures": len(of(LoginFailure.id, LoginFailure.member_no == person.username)),
        "mails": of(OutboxMessage.purpose, OutboxMessage.recipient == person.email),
        "log": [
            (each.account_id == person.account_id, sorted(each.detail))
            for each in logged
            if each.action.partition(".")[2] in acts
        ],
    }


def test_disabled_on_either_page_the_same_is_left_behind(
    plant, representative, system, sign_in, signing
):
    operators = [member("enterprise_maker", of=plant) for _each in range(2)]
    people = [*operators, member("registry_maker"), member("auditor")]
    browsers = [sign_in(person) for person in people]
    for person, browser in zip(people, browsers, strict=True):
        prepare(person, browser)

    representative.post(f"/operators/{people[0].id}/disable")
    for person in people[1:]:
        system.post(f"/members/{person.id}/disable")

    found = [effects_on(person, ["disable"]) for person in people]
    assert found[0] == {
        "active": False,
        "has a password": True,
        "must change it": False,
        "earlier passwords": 0,
        "sessions": ["inactive"],
        "certificates": ["suspended"],
        "codes": ["lapsed", "used"],
        "failures": 2,  # the counters of the member, and of member and address
        "mails": ["certificate.issue", "certificate.suspend"],
        "log": [(True, [])],
    }
    assert found[1:] == found[:1] * 3
    assert [browser.get("/").status_code for browser in browsers] == [302] * 4


def test_enabled_on_either_page_nothing_is_resumed(plant, representative, system, sign_in, signing):
    people = [member("enterprise_maker", of=plant) for _each in range(2)]
    browsers = [sign_in(person) for person in people]
    for person, browser in zip(people, browsers, strict=True):
        prepare(person, browser)

    for browser, page, person in zip(
        (representative, system), ("operators", "members"), people, strict=True
    ):
        browser.post(f"/{page}/{person.id}/disable")
        browser.post(f"/{page}/{person.id}/enable")

    found = [effects_on(person, ["disable", "enable"]) for person in people]
    assert found[0] == found[1]
    assert (found[0]["active"], found[0]["certificates"]) == (True, ["suspended"])
    assert [browser.get("/").status_code for browser in browsers] == [302, 302]


def test_other_roles_on_either_page_end_the_sessions(plant, representative, security, sign_in):
    people = [member("enterprise_maker", of=plant) for _each in range(2)]
    for person in people:
        sign_in(person)

    representative.post(f"/operators/{people[0].id}/duties", data={"checker": "y"})
    security.post(f"/members/{people[1].id}/role", data={"role": "enterprise_checker"})

    found = [effects_on(person, ["role"]) for person in people]
    assert found[0] == found[1]
    assert (found[0]["sessions"], found[0]["log"]) == (["forced"], [(True, ["after", "before"])])
    assert [[role.name for role in person.roles] for person in people] == [
        ["enterprise_checker"]
    ] * 2


def test_a_reset_by_either_leaves_no_session_no_lock_and_no_old_password(
    plant, representative, security, sign_in, signing
):
    people = [member("enterprise_maker", of=plant) for _each in range(2)]
    for person in people:
        prepare(person, sign_in(person))

    representative.post(f"/operators/{people[0].id}/reset")
    security.post(f"/members/{people[1].id}/reset")

    found = [effects_on(person, ["reset"]) for person in people]
    by_link, told = ({**each, "mails": None} for each in found)
    assert by_link == told | {"has a password": False}
    assert (told["sessions"], told["failures"], told["must change it"]) == (["password"], 0, True)
    for person in people:
        with transaction(), pytest.raises(RuleError) as refused:
            passwords.choose(person, PASSWORD)
        assert refused.value.code == "password_reused"
