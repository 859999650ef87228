"""Keys of machine clients: two officers register and revoke them, and nothing else does."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import MachineClient, MachineKey
from app.operations.people import machine_keys
from tests import factories
from tests.operations.machines import REVOCATION, asked, new_key, proposed, registered


@pytest.fixture(autouse=True)
def _venue(app):
    with transaction():
        factories.venue()


def keys() -> list[tuple[str, str, bool]]:
    rows = db.session.query(MachineKey).order_by(MachineKey.id).all()
    return [(row.client.code, row.kid, row.revoked_at is None) for row in rows]


def test_a_key_is_registered_by_two_officers(maker, checker):
    key = new_key()
    application = asked(proposed(key, scopes=["calendar:read"]), maker)
    assert keys() == []

    factories.confirmed(application, checker)

    assert keys() == [("SHEX01", key.kid, True)]
    client = db.session.query(MachineClient).one()
    assert (client.venue.code, client.scopes) == ("ZGW", ["calendar:read"])


def test_nobody_confirms_their_own_key(maker):
    application = asked(proposed(new_key()), maker)

    with pytest.raises(RuleError, match="Nobody reviews"):
        factories.confirmed(application, maker)
    assert keys() == []


def test_a_second_key_changes_the_client_and_leaves_the_first_one(maker, checker):
    one, two = new_key(), new_key("Ed25519")
    factories.confirmed(asked(proposed(one), maker), checker)
    factories.confirmed(
        asked(proposed(two, name="新名称", scopes=["calendar:read"]), maker), checker
    )

    assert [stands for _code, _kid, stands in keys()] == [True, True]
    client = db.session.query(MachineClient).one()
    assert (client.name, client.scopes) == ("新名称", ["calendar:read"])


def test_a_revoked_key_never_comes_back(app, maker, checker):
    machine = registered(app)
    proposal = {"client": machine.code, "kid": machine.key.kid}
    factories.confirmed(asked(proposal, maker, REVOCATION), checker)
    assert keys() == [("SHEX01", machine.key.kid, False)]

    with pytest.raises(RuleError, match="revoked before"):
        asked(proposal, maker, REVOCATION)
    with pytest.raises(RuleError, match="registered before"):
        asked(proposed(machine.key), maker)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"ends_on": None}, "key_term"),
        ({"ends_on": factories.DEADLINE.date().replace(year=2029)}, "key_term"),
        ({"ends_on": factories.DEADLINE.date().replace(year=2025)}, "key_term"),
        ({"reason": " "}, "reason_missing"),
    ],
)
def test_what_a_rule_refuses_is_not_submitted(maker, more, code):
    with pytest.raises(RuleError) as refusal:
        asked(proposed(new_key()), maker, **more)
    assert refusal.value.code == code


def test_without_a_key_nothing_is_registered(maker):
    with pytest.raises(RuleError) as refusal:
        asked({"client": "SHEX01"}, maker)
    assert refusal.value.code == "key_missing"


def test_a_client_stays_at_its_venue(app, maker):
    registered(app)
    with pytest.raises(RuleError, match="belongs to ZGW"):
        asked(proposed(new_key(), venue="OTHER"), maker)


@pytest.mark.parametrize("kind", ["ES256", "Ed25519", "PS256"])
def test_a_public_key_is_read_without_anything_else(kind):
    key = new_key(kind)
    found = machine_keys.read_key(json.dumps({**key.as_dict(private=False), "use": "sig"}))
    assert found["thumbprint"] == key.thumbprint()
    assert found["jwk"].keys() <= {"kty", "crv", "x", "y", "n", "e"}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "not a public key"),
        ("[]", "not a public key"),
        ("{}", "of type EC"),
        ("[" * 3000, "not a public key"),
        ('{"kty": "oct", "k": "AAAA"}', "private key"),
        ('{"kty": ["EC"]}', "of type EC"),
        ('{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}', "of type EC"),
        ('{"kty": "EC", "crv": "P-256", "x": "AA", "y": "BB"}', "not a public key"),
        ('{"kty": "EC", "crv": "P-256", "x": 1, "y": []}', "not a public key"),
        ('{"kty": "RSA", "n": "AQAB", "e": "AQAB"}', "not a public key"),
        ('{"kty": "OKP", "crv": "Ed25519", "x": "A"}', "not a public key"),
        ("x" * 4001, "longer than"),
    ],
)
def test_what_is_no_public_key_is_refused(typed, message):
    with pytest.raises(RuleError, match=message):
        machine_keys.read_key(typed)


def test_a_private_key_and_a_strange_kid_are_refused():
    key = new_key()
    with pytest.raises(RuleError, match="private key"):
        machine_keys.read_key(json.dumps(key.as_dict(private=True)))
    with pytest.raises(RuleError, match="kid"):
        machine_keys.read_key(json.dumps({**key.as_dict(private=False), "kid": "a b"}))


ATTACKS = {
    "a client": "INSERT INTO machine_client (code, name, venue_id, scopes)"
    " SELECT 'EVIL', 'x', id, '{}' FROM venue",
    "a key": "INSERT INTO machine_key (client_id, kid, thumbprint, jwk, starts_on, ends_on,"
    " registered_at, application_id) SELECT client_id, 'evil', 'evil', '{}', starts_on, ends_on, now(),"
    " application_id + 1 FROM machine_key",
    "another key in its place": "UPDATE machine_key SET jwk = '{}'",
    "more scopes": "UPDATE machine_client SET scopes = '{transfers:write}'",
    "a key that is not approved": "SELECT carry_out_machine_keys(ARRAY[(SELECT max(id)"
    " FROM application)])",
    "a key twice": "SELECT carry_out_machine_keys(ARRAY[(SELECT min(id) FROM application)])",
    "a counter": "DELETE FROM machine_rate",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_applications_password_makes_no_key(app, maker, attack):
    registered(app)
    asked(proposed(new_key()), maker)  # waits for its approval
    before = keys()

    with pytest.raises(DBAPIError), transaction():
        db.session.execute(text(ATTACKS[attack]))

    assert keys() == before
