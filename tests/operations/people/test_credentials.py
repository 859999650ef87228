"""系统接入凭证: what is issued and revoked, and what the database proves of it, whatever the program does."""

from __future__ import annotations

import json
from datetime import date

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from app.domain.errors import RuleError
from app.domain.machines import MEMBER_SCOPES
from app.extensions import db, transaction, violated
from app.models import MachineClient, MachineKey, OperationLog
from app.models import parameter as parameters
from app.operations.people import credentials, machine_keys
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.operations.machines import asked, issued, new_key, officers, proposed, wanted


def issue(by, key=None, **more):
    with transaction():
        return credentials.issue(
            wanted(key or new_key(), **more), Actor.of(by), None, now=clock.now()
        )


def revoke(code, by):
    with transaction():
        return credentials.revoke(credentials.revocation(code), Actor.of(by), None, now=clock.now())


def test_a_credential_belongs_to_its_member_and_is_logged(operator, hubei, plant):
    first, second = issue(operator), issue(hubei)
    rows = db.session.scalars(select(MachineClient).order_by(MachineClient.id)).all()
    assert [(row.code, row.account_id, row.province, row.venue_id) for row in rows] == [
        (first, plant.id, None, None), (second, None, "42", None),
    ]  # fmt: skip
    lines = db.session.scalars(
        select(OperationLog)
        .where(OperationLog.action == "credential.issue")
        .order_by(OperationLog.id)
    ).all()
    assert [(line.subject, line.member_no) for line in lines] == [
        (first, operator.username), (second, hubei.username),
    ]  # fmt: skip
    assert lines[0].detail["scopes"] == list(MEMBER_SCOPES)
    assert "jwk" not in lines[0].detail


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"name": "  "}, "name", "100"),
        ({"name": "x" * 101}, "name", "100"),
        ({"scopes": []}, "scopes", "at least one"),
        ({"scopes": ["transfers:write"]}, "scopes", "at least one"),
        ({"ends_on": None}, "ends_on", "2026-11-20"),
        ({"ends_on": date(2026, 11, 19)}, "ends_on", "2027-11-20"),
        ({"ends_on": date(2027, 11, 21)}, "ends_on", "365"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(operator, more, field, message):
    with pytest.raises(RuleError) as refused:
        issue(operator, **more)
    assert refused.value.field == field
    assert message in str(refused.value)
    assert db.session.query(MachineKey).count() == 0


def test_a_key_serves_one_system(operator, hubei):
    key = new_key()
    issue(operator, key)
    for by in (operator, hubei):
        with pytest.raises(RuleError, match="registered before"):
            issue(by, key)


def test_a_member_has_a_bounded_number_of_them(operator, hubei, monkeypatch):
    monkeypatch.setattr(
        credentials,
        "settings",
        lambda session: parameters.settings(session) | {"credentials_a_member": 2},
    )
    first, _second = issue(operator), issue(operator)
    with pytest.raises(RuleError, match="2") as refused:
        issue(operator)
    assert refused.value.field == "name"
    issue(hubei)  # of another member
    revoke(first, operator)
    issue(operator)


def test_a_credential_is_revoked_once(app, operator):
    system = issued(app, operator).sign_in()
    revoke(system.code, operator)
    assert system.call("GET", "/me").status_code == 401
    with pytest.raises(RuleError, match="revoked before"):
        revoke(system.code, operator)


def test_a_colleague_and_the_security_administrator_revoke_it_too(app, operator, plant):
    for by in (factories.member(of=plant), factories.member("security_admin")):
        system = issued(app, operator)
        revoke(system.code, by)
        assert system.ask_token().status_code == 401


# A typed key -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "PS256"])
def test_a_key_in_pem_is_the_same_as_in_json(algorithm):
    key = new_key(algorithm)
    in_pem = machine_keys.read_key(key.as_pem(private=False).decode())
    in_json = machine_keys.read_key(json.dumps(key.as_dict(private=False)))
    assert (in_pem["thumbprint"], in_pem["jwk"]) == (in_json["thumbprint"], in_json["jwk"])
    assert in_pem["kid"] == in_pem["thumbprint"]


@pytest.mark.parametrize("content", ["x", "", "AAAA", "甲"])
def test_what_is_no_key_in_pem_is_refused(app, content):
    typed = f"-----BEGIN PUBLIC KEY-----\n{content}\n-----END PUBLIC KEY-----"
    with pytest.raises(RuleError, match="PEM"):
        machine_keys.read_key(typed)


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "PS256"])
def test_a_private_key_in_pem_is_refused(app, algorithm):
    with pytest.raises(RuleError, match="private key"):
        machine_keys.read_key(new_key(algorithm).as_pem(private=True).decode())


# What the database proves ------------------------------------------------------------------------------


def refused_by(statement, **values):
    """Run a statement as the application's role; return the constraint that refuses it."""
    with pytest.raises(DBAPIError) as refused, transaction():
        db.session.execute(text(statement), values)
    db.session.rollback()
    if isinstance(refused.value, ProgrammingError):
        return "privilege"
    return violated(refused.value) if isinstance(refused.value, IntegrityError) else "other"


KEY = (
    "INSERT INTO machine_key (client_id, kid, thumbprint, jwk, starts_on, ends_on, registered_at, issued_by)"
    " VALUES (:client, 'k', :thumbprint, '{{}}', '2026-11-20', {ends}, now(), :by)"
)
CLIENT = "INSERT INTO machine_client (name, {owner}, scopes) VALUES ('x', {whose}, {scopes}) RETURNING id"


def client_of(owner, whose, scopes="'{holdings:read}'"):
    with transaction():
        return db.session.scalar(text(CLIENT.format(owner=owner, whose=whose, scopes=scopes)))


def test_nobody_issues_for_another_member(operator, plant, hubei):
    other = factories.account("乙水泥有限公司")
    stranger, maker = factories.member(of=other), factories.member("registry_maker")
    shanghai = factories.member("province", province="31")
    of_plant, of_hubei = client_of("account_id", plant.id), client_of("province", "'42'")
    for client, by in (
        (of_plant, stranger), (of_plant, hubei), (of_plant, maker),
        (of_hubei, shanghai), (of_hubei, operator), (of_hubei, maker),
    ):  # fmt: skip
        said = {"client": client, "thumbprint": "t", "by": by.id}
        assert refused_by(KEY.format(ends="'2026-12-01'"), **said) == "credential_of_its_member"
    assert db.session.query(MachineKey).count() == 0


def test_a_person_without_the_role_issues_nothing(plant):
    maker = factories.member("enterprise_maker", of=plant)
    client = client_of("account_id", plant.id)
    said = {"client": client, "thumbprint": "t", "by": maker.id}
    assert refused_by(KEY.format(ends="'2026-12-01'"), **said) == "credential_of_its_member"


def test_no_credential_is_of_a_venue_s_client(app, operator, tables):
    with transaction():
        factories.venue()
    factories.confirmed(asked(proposed(new_key()), officers()[0]), officers()[1])
    client = db.session.scalars(select(MachineClient.id)).one()
    said = {"client": client, "thumbprint": "t", "by": operator.id}
    assert refused_by(KEY.format(ends="'2026-12-01'"), **said) == "credential_of_its_member"
    assert refused_by(
        "UPDATE machine_key SET revoked_at = now(), revoked_by = :by", by=operator.id
    ) == ("machine_key_revoked_by")
    assert (
        refused_by("INSERT INTO machine_client (name, venue_id, scopes) VALUES ('x', 1, '{}')")
        == "privilege"
    )


def test_a_credential_lasts_a_year_and_has_its_scopes(operator, plant):
    client = client_of("account_id", plant.id)
    said = {"client": client, "thumbprint": "t", "by": operator.id}
    assert refused_by(KEY.format(ends="'2027-11-22'"), **said) == "credential_term"
    for owner, whose, scopes in (
        ("account_id", plant.id, "'{transfers:write}'"),
        ("account_id", plant.id, "'{}'"),
        ("province", "'42'", "'{holdings:read,transfers:read}'"),
    ):
        assert (
            refused_by(CLIENT.format(owner=owner, whose=whose, scopes=scopes))
            == "credential_scopes"
        )


def test_a_credential_stays_as_it_was_issued(app, operator, cluster):
    system = issued(app, operator)
    db.session.rollback()
    for column, value in (("scopes", "'{notices:read}'"), ("name", "'y'"), ("province", "'42'")):
        assert refused_by(f"UPDATE machine_client SET {column} = {value}") == "privilege"
        with cluster.connect("registry") as owner, pytest.raises(psycopg.Error, match="stays as"):
            owner.execute(f"UPDATE machine_client SET {column} = {value}")
    assert refused_by("UPDATE machine_key SET ends_on = '2030-01-01'") == "privilege"
    with cluster.connect("registry") as owner, pytest.raises(psycopg.Error, match="revoked once"):
        owner.execute("UPDATE machine_key SET ends_on = ends_on - 1")
    revoke(system.code, operator)
    assert (
        refused_by("UPDATE machine_key SET revoked_at = NULL, revoked_by = NULL")
        == "machine_key_stays"
    )
    assert refused_by("DELETE FROM machine_key") == "privilege"


def test_uses_are_written_by_sign_ins_and_calls_alone(app, operator):
    issued(app, operator).sign_in()
    assert refused_by("UPDATE machine_use SET calls = 0") == "privilege"
    assert refused_by("DELETE FROM machine_use") == "privilege"


def test_an_officer_s_application_revokes_no_credential(app, operator):
    system = issued(app, operator)
    maker, _checker = officers()
    with pytest.raises(RuleError):
        asked({"client": system.code, "kid": system.key.kid}, maker, "machine_key_revocation")
    assert system.ask_token().status_code == 200
