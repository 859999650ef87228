"""Machines sign in by a signed assertion, used once; a token opens its scopes until its key ends."""

from __future__ import annotations

import base64
import hashlib
import time
from datetime import timedelta

import pytest
from joserfc import jwk, jwt

from app.extensions import db, transaction
from app.models import MachineToken
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from app.views.interfaces import bearer
from tests import factories
from tests.conftest import TRADING_MORNING
from tests.operations.machines import asked, new_key, officers, proposed, registered, revoke


def refused(answer, status=401, error="invalid_client"):
    assert (answer.status_code, answer.json["error"]) == (status, error), answer.text
    assert answer.json["error_description"].isascii()
    assert answer.json["errors"][0]["detail"]
    assert db.session.query(MachineToken).count() == 0


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519", "PS256"])
def test_each_algorithm_opens_the_door(app, algorithm):
    machine = registered(app, algorithm=algorithm)
    answer = machine.ask_token()
    assert answer.status_code == 200
    assert answer.json["expires_in"] == 600
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    machine.token = answer.json["access_token"]
    assert machine.call("GET", "/calendar").status_code == 200
    stored = db.session.query(MachineToken).one()
    assert bytes(stored.token_hash) == hashlib.sha256(machine.token.encode()).digest()


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_the_older_name_of_ed25519_is_taken_too(app):
    machine = registered(app, algorithm="Ed25519")
    machine.algorithm = "EdDSA"
    assert machine.ask_token().status_code == 200


CLAIMS = {
    "another audience": {"aud": "https://elsewhere.example/token"},
    "no audience": {"aud": None},
    "an old one": {"exp": int(time.time()) - 3600},
    "one for an hour": {"exp": int(time.time()) + 3600},
    "no end": {"exp": None},
    "an end that is no number": {"exp": "soon"},
    "an end without end": {"exp": 10**30},
    "another issuer": {"iss": "OTHER1"},
    "no number": {"jti": None},
    "a number that is none": {"jti": ["x"]},
    "an unknown client": {"iss": "NOBODY", "sub": "NOBODY"},
    "a client that is none": {"iss": 7, "sub": 7},
}


@pytest.mark.parametrize("claims", CLAIMS.values(), ids=CLAIMS)
def test_an_assertion_that_says_something_else_is_refused(app, claims):
    machine = registered(app)
    refused(machine.ask_token(machine.assertion(**claims)))


def test_an_assertion_is_used_once(app):
    machine = registered(app)
    assertion = machine.assertion()
    assert machine.ask_token(assertion).status_code == 200
    again = machine.ask_token(assertion)
    assert (again.status_code, again.json["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "assertion", ["x", "a.b.c", "a" * 9000, "eyJhbGciOiJub25lIn0.e30.", "甲.乙.丙", "..", "\x00"]
)
def test_what_is_no_assertion_is_refused(app, assertion):
    refused(registered(app).ask_token(assertion))


def test_nobody_signs_with_another_key_or_algorithm(app):
    machine, other = registered(app), registered(app, "SHEX02")
    stranger = new_key()
    machine.key, known = stranger, machine.key
    refused(machine.ask_token())
    machine.key = other.key  # a registered one, of another client
    refused(machine.ask_token())
    machine.key, machine.algorithm = known, "HS256"
    public = base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")
    shared = jwk.OctKey.import_key({"kty": "oct", "k": public})
    claims = {"iss": machine.code, "sub": machine.code, "jti": "1", "exp": int(time.time()) + 60}
    forged = jwt.encode({"alg": "HS256", "kid": known.kid}, claims, shared, algorithms=["HS256"])
    refused(machine.ask_token(forged))


def test_a_deep_payload_is_refused(app):
    header = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"x"}').decode().rstrip("=")
    payload = base64.urlsafe_b64encode(b"[" * 2900).decode().rstrip("=")
    refused(registered(app).ask_token(f"{header}.{payload}.AAAA"))


def test_a_form_with_something_else_is_refused(app):
    machine = registered(app)
    refused(machine.ask_token(grant_type="password"), 400, "unsupported_grant_type")
    refused(machine.ask_token(scope="everything"), 400, "invalid_scope")
    refused(machine.ask_token(client_assertion_type="x"))
    answer = app.test_client().post("/api/exchange/v1/token", json={})
    refused(answer, 400, "invalid_request")


def test_a_token_opens_the_scopes_that_were_asked_for(app):
    machine = registered(app).sign_in(scope="calendar:read")
    assert machine.call("GET", "/calendar").status_code == 200
    answer = machine.call("GET", "/positions")
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (403, "insufficient_scope")
    assert 'scope="positions:read"' in answer.headers["WWW-Authenticate"]


def test_a_client_asks_for_its_own_scopes_alone(app):
    machine = registered(app, scopes=["calendar:read"])
    refused(machine.ask_token(scope="transfers:write"), 400, "invalid_scope")
    assert machine.ask_token().json["scope"] == "calendar:read"


def test_a_revoked_key_ends_its_tokens_at_once(app, machine):
    other = registered(app).sign_in()  # another key of the same client
    revoke(machine)
    answer = machine.call("GET", "/calendar")
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (401, "token_invalid")
    assert machine.ask_token().status_code == 401
    assert other.call("GET", "/calendar").status_code == 200


def test_a_token_is_over_after_ten_minutes(machine, tables):
    row = db.session.query(MachineToken).one()
    assert timedelta(minutes=9) < row.expires_at - row.issued_at <= timedelta(minutes=10)
    db.session.rollback()
    tables.connection.execute("UPDATE machine_token SET expires_at = now() - interval '1 second'")
    answer = machine.call("GET", "/calendar")
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (401, "token_invalid")


def test_a_key_that_is_over_opens_nothing(machine):
    with transaction():
        clock.set_to(TRADING_MORNING.replace(year=2028), SYSTEM)
    assert machine.call("GET", "/calendar").status_code == 401
    assert machine.ask_token().status_code == 401


@pytest.mark.parametrize("header", ["", "Basic eDp5", "Bearer", "Bearer x", "Bearer " + "x" * 300])
def test_without_a_token_every_route_is_closed(app, header):
    headers = {"Authorization": header} if header else {}
    for method, path in (("GET", "/calendar"), ("POST", "/transfers"), ("GET", "/transfers/T1")):
        answer = app.test_client().open(f"/api/exchange/v1{path}", method=method, headers=headers)
        assert answer.status_code == 401, path
        assert answer.mimetype == "application/problem+json"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_signed_in_browser_is_nobody_here(app, sign_in, maker):
    browser = sign_in(maker)
    assert browser.get("/api/exchange/v1/calendar").status_code == 401
    assert browser.post("/api/exchange/v1/transfers", json={}).status_code == 401


def test_a_client_bound_to_a_certificate_needs_it_each_time(app, monkeypatch):
    shown = b"a certificate"
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(shown).digest()).decode().rstrip("=")
    machine = registered(app, certificate=thumbprint)
    refused(machine.ask_token())
    monkeypatch.setattr(bearer, "tls_certificate", lambda: shown)
    machine.sign_in()
    assert machine.call("GET", "/calendar").status_code == 200
    monkeypatch.setattr(bearer, "tls_certificate", lambda: b"another one")
    assert machine.call("GET", "/calendar").status_code == 401


def test_a_client_has_its_requests_a_minute(app, machine, monkeypatch):
    monkeypatch.setitem(app.config, "MACHINE_REQUESTS_PER_MINUTE", 2)
    other = registered(app, "SHEX02").sign_in()
    codes = [machine.call("GET", "/calendar").status_code for _each in range(4)]
    assert codes.count(429) >= 1
    assert other.call("GET", "/calendar").status_code == 200


def test_more_scopes_come_with_the_next_token_and_fewer_at_once(app, machine):
    maker, checker = officers()
    less = proposed(new_key(), machine.code, scopes=["members:read"])
    factories.confirmed(asked(less, maker), checker)
    assert machine.call("GET", "/calendar").status_code == 403
