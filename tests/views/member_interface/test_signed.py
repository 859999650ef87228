"""Where acts are signed: a credential is issued and revoked by the member's signature, or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.extensions import db, transaction, violated
from app.models import Certificate, MachineClient, MachineKey, Signature
from app.operations.applications import evidence
from app.operations.people import certificates, credentials, deeds
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.operations.machines import MEMBER_BASE, Machine, new_key, wanted
from tests.security.certified import content_of, register
from tests.security.certified import issue as certify
from tests.security.test_signed_acts import (  # noqa: F401 - fixtures are found by their names
    authority,
    key_of,
    signed,
    signing,
    step_of,
)
from tests.views.member_interface.test_pages import form
from tests.views.member_interface.test_sign_in import require_stopped


@pytest.fixture
def mode(signing, cluster):  # noqa: F811
    """Acts are signed from now on, and the database knows it."""
    with cluster.connect("registry") as owner:
        owner.execute(
            "INSERT INTO operating_mode (signs, is_production, after_event)"
            " SELECT true, false, coalesce(max(id), 0) FROM application_event"
        )


@pytest.fixture
def holder(mode, operator, key_of):  # noqa: F811
    return key_of(operator)


def kept(holder, by, name, values) -> int:
    """Sign an act as the page has it signed, and keep the signature; return its id."""
    payload = deeds.payload(name, Actor.of(by), values)
    step = {"type": "act", "challenge": f"{id(values)}-{datetime.now(UTC)}", "payload": payload}
    content = content_of(step)
    certificate = db.session.scalars(
        select(Certificate).where(Certificate.member_id == by.id)
    ).first()
    return evidence.keep(
        certificate, content, holder.signature(content), purpose="act", signed_at=datetime.now(UTC)
    )


def issue(holder, by, key, *, signs=None, **more) -> str:
    """Issue a credential by an act; ``signs`` are the values that are signed, if they are others."""
    values = wanted(key, **more)
    with transaction():
        signature = kept(holder, by, "credential.issue", signs or values)
        return credentials.issue(values, Actor.of(by), signature, now=clock.now())


def refused(act) -> str:
    with pytest.raises(IntegrityError) as error:
        act()
    db.session.rollback()
    return violated(error.value)


def test_a_credential_is_signed_on_the_signing_page_and_then_reads(
    app, holder, sign_in, operator, plant, cea
):
    browser, key = sign_in(operator), new_key()
    asked = browser.post("/credentials/new", data=form(key))
    assert asked.status_code == 302, asked.text
    assert "/signing/" in asked.location
    assert db.session.query(MachineKey).count() == 0  # nothing before the signature

    page = browser.get(asked.location)
    for shown in ("签发系统接入凭证", "碳管理系统", key.thumbprint(), "查询持仓和持仓流水"):
        assert shown in page.text
    answer = browser.post(asked.location, data=signed(holder, step_of(page.text)))
    assert answer.location.endswith("/credentials/")
    row = db.session.scalars(select(MachineKey)).one()
    assert row.signature_id == db.session.scalars(select(Signature.id)).one()
    code = db.session.scalars(select(MachineClient.code)).one()
    system = Machine(app, code, key, base=MEMBER_BASE).sign_in()
    assert system.call("GET", "/holdings").json["holdings"][0]["available"] == 700

    asked = browser.post(f"/credentials/{code}/revoke")
    assert system.call("GET", "/me").status_code == 200
    page = browser.get(asked.location)
    browser.post(asked.location, data=signed(holder, step_of(page.text)))
    require_stopped(system)
    assert "已吊销" in browser.get("/credentials/").text


def test_the_applications_password_issues_nothing(app, mode, operator, hubei, key_of):  # noqa: F811
    """Each of these is inserted as the application's role, and fails at the commit."""
    holder, other = key_of(operator), key_of(hubei)
    key, values = new_key(), wanted(new_key())

    def unsigned():
        with transaction():
            credentials.issue(values, Actor.of(operator), None, now=clock.now())

    def by_another_s_signature():
        with transaction():
            signature = kept(other, hubei, "credential.issue", values)
            credentials.issue(values, Actor.of(operator), signature, now=clock.now())

    def by_an_earlier_signature():
        with transaction():
            signature = kept(holder, operator, "credential.issue", values)
        with transaction():
            credentials.issue(values, Actor.of(operator), signature, now=clock.now())

    def by_another_act():
        with transaction():
            signature = kept(holder, operator, "account.transfer_permission", values)
            credentials.issue(values, Actor.of(operator), signature, now=clock.now())

    for act in (unsigned, by_another_s_signature, by_an_earlier_signature, by_another_act):
        assert refused(act) == "credential_is_signed", act.__name__
    said = wanted(key)
    changed = {
        "scopes": ["notices:read"], "name": "别的系统", "ends_on": "2027-01-01",
        "thumbprint": "A" * 43, "kid": "other", "jwk": {**said["jwk"], "x": "AA"},
    }  # fmt: skip
    for name, value in changed.items():
        signs = said | {name: value}
        assert refused(lambda signs=signs: issue(holder, operator, key, signs=signs)) == (
            "credential_is_signed"
        ), name
    # A subset is not what was signed, either.
    fewer = {"scopes": ["notices:read"]}
    assert (
        refused(lambda: issue(holder, operator, key, signs=said, **fewer)) == "credential_is_signed"
    )
    assert db.session.query(MachineKey).count() == 0
    issue(holder, operator, key)


def test_a_revocation_is_signed_too(holder, operator):
    code = issue(holder, operator, new_key())
    values = credentials.revocation(code)

    def unsigned():
        with transaction():
            credentials.revoke(values, Actor.of(operator), None, now=clock.now())

    def of_another():
        with transaction():
            signature = kept(holder, operator, "credential.revoke", values | {"credential": "M1"})
            credentials.revoke(values, Actor.of(operator), signature, now=clock.now())

    for act in (unsigned, of_another):
        assert refused(act) == "credential_is_signed"
    with transaction():
        signature = kept(holder, operator, "credential.revoke", values)
        credentials.revoke(values, Actor.of(operator), signature, now=clock.now())
    row = db.session.scalars(select(MachineKey)).one()
    assert (row.revoked_by, row.revoking_signature_id) == (operator.id, signature)


def test_a_certificate_that_no_longer_counts_stops_its_credentials(
    app,
    holder,
    operator,
    authority,  # noqa: F811
    tables,
):
    """Suspended for a while, renewed, replaced after a loss."""
    key = new_key()
    system = Machine(app, issue(holder, operator, key), key, base=MEMBER_BASE).sign_in()
    officer = factories.member("security_admin")
    mine = select(Certificate).where(Certificate.member_id == operator.id).order_by(Certificate.id)
    first = db.session.scalars(mine).one()
    with transaction():
        certificates.suspend_all(operator.id, Actor.of(officer), now=datetime.now(UTC))
    require_stopped(system)
    _set(first.id, state="active", reason="", revoked_at=None)
    assert system.call("GET", "/me").status_code == 200

    until = first.not_after
    _run_out(tables, first.id, datetime.now(UTC) - timedelta(seconds=1))
    require_stopped(system)
    _run_out(tables, first.id, until)

    successor = certify(authority, operator.username)
    renewed = register(operator.username, successor, renews_id=first.id).id
    _set(first.id, state="revoked", reason="superseded", revoked_at=datetime.now(UTC))
    assert system.call("GET", "/me").status_code == 200
    _set(renewed, state="revoked", reason="keyCompromise", revoked_at=datetime.now(UTC))
    require_stopped(system)


def test_a_replaced_certificate_does_not_carry_them_on(app, holder, operator, authority):  # noqa: F811
    key = new_key()
    system = Machine(app, issue(holder, operator, key), key, base=MEMBER_BASE).sign_in()
    first = db.session.scalars(
        select(Certificate.id).where(Certificate.member_id == operator.id)
    ).one()
    _set(first, state="revoked", reason="superseded", revoked_at=datetime.now(UTC))
    register(operator.username, certify(authority, operator.username))
    require_stopped(system)


def _run_out(tables, certificate_id, at):
    db.session.rollback()
    tables.connection.execute(
        "UPDATE certificate SET not_after = %s WHERE id = %s", [at, certificate_id]
    )


def _set(certificate_id, **values):
    with transaction():
        row = db.session.get_one(Certificate, certificate_id)
        for name, value in values.items():
            setattr(row, name, value)


def test_what_is_signed_says_all_of_it(holder, operator):
    key = new_key()
    issue(holder, operator, key)
    told = json.loads(db.session.scalars(select(Signature.content)).one())["payload"]
    assert told["act"] == "credential.issue"
    assert told["values"].keys() == {"name", "scopes", "kid", "thumbprint", "jwk", "ends_on"}
    assert told["member_no"] == operator.username
