"""Systems of members sign in; each interface refuses the other's clients and tokens; what stops them."""

from __future__ import annotations

import time

import pytest
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import MachineToken, MachineUse
from app.operations.people import machine_sign_in, members
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from app.views.interfaces import exchange, token
from app.views.member_interface import member
from tests import factories
from tests.conftest import TRADING_MORNING
from tests.operations.machines import MEMBER_BASE, issued, registered
from tests.views.interfaces.test_description import ROUTES as OF_EXCHANGE
from tests.views.member_interface.test_description import ROUTES as OF_MEMBERS


def test_an_oauth_client_of_somebody_else_s_signs_in_and_reads(app, site, operator, plant, cea):
    system = issued(app, operator)
    at = f"{site}{MEMBER_BASE}/token"
    signing = PrivateKeyJWT(
        at, {"exp": int(time.time()) + 60}, {"alg": "ES256", "kid": system.key.kid}, "ES256"
    )
    session = OAuth2Session(system.code, system.key, signing, scope="holdings:read")
    found = session.fetch_token(at, grant_type="client_credentials")
    assert (found["token_type"], found["scope"]) == ("Bearer", "holdings:read")
    answer = session.get(f"{site}{MEMBER_BASE}/holdings")
    assert [each["available"] for each in answer.json()["holdings"]] == [700]
    assert session.get(f"{site}{MEMBER_BASE}/notices").status_code == 403


@pytest.mark.parametrize(("method", "path"), OF_EXCHANGE[1:])
def test_a_member_s_token_opens_nothing_of_the_exchange(app, system, method, path):
    _require_wrong_interface(system, exchange.interface.prefix, method, path, "会员接口")


@pytest.mark.parametrize(("method", "path"), OF_MEMBERS[1:])
def test_an_exchange_s_token_opens_nothing_of_members(app, method, path):
    machine = registered(app).sign_in()
    _require_wrong_interface(machine, member.interface.prefix, method, path, "交易接口")


def _require_wrong_interface(machine, prefix, method, path, own):
    machine.base = prefix
    address = path.replace("{day}", "2026-11-20").replace("{", "").replace("}", "")
    answer = machine.call(method, address)
    assert (answer.status_code, answer.mimetype) == (403, "application/problem+json")
    (fault,) = answer.json["errors"]
    assert fault["code"] == "wrong_interface"
    assert own in fault["detail"]
    assert answer.json["type"].startswith(f"{prefix}/#")
    assert answer.headers["WWW-Authenticate"].startswith(f'Bearer realm="{prefix.split("/")[2]}"')


def test_each_signs_in_at_its_own_interface_alone(app, operator):
    system, machine = issued(app, operator), registered(app)
    system.base, machine.base = machine.base, system.base
    for each in (system, machine):
        answer = each.ask_token()
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
        assert answer.json["error_description"] == "This client signs in at another interface"
    # An assertion for one interface is none for the other.
    system.base, machine.base = machine.base, system.base
    assertion = system.assertion()
    assert (
        system.ask_token(system.assertion(aud="http://localhost/api/exchange/v1/token")).status_code
        == 401
    )
    assert db.session.query(MachineToken).count() == 0
    assert system.ask_token(assertion).status_code == 200


def test_scopes_of_the_other_interface_are_not_given(app, operator):
    system, machine = issued(app, operator), registered(app)
    for each, scope in ((system, "transfers:write"), (machine, "holdings:read")):
        answer = each.ask_token(scope=scope)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_scope")


def test_a_token_has_the_scopes_of_its_credential_alone(app, operator):
    system = issued(app, operator, scopes=["notices:read"]).sign_in()
    assert system.call("GET", "/notices").status_code == 200
    answer = system.call("GET", "/holdings")
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (403, "insufficient_scope")
    assert "holdings:read" in answer.json["errors"][0]["detail"]
    assert system.call("GET", "/me").json["scopes"] == ["notices:read"]


@pytest.mark.parametrize("header", ["", "Basic eDp5", "Bearer", "Bearer x", "Bearer " + "x" * 300])
def test_without_a_token_every_route_is_closed(app, header):
    headers = {"Authorization": header} if header else {}
    for method, path in OF_MEMBERS[1:]:
        answer = app.test_client().open(f"{MEMBER_BASE}{path}", method=method, headers=headers)
        assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="member"')


def test_a_signed_in_browser_is_nobody_here(sign_in, operator):
    assert sign_in(operator).get(f"{MEMBER_BASE}/holdings").status_code == 401


def test_it_only_reads(system, plant, cea):
    with factories.nothing_moves():
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            for _get, path in OF_MEMBERS[1:]:
                answer = system.call(method, path.replace("{number}", "x"))
                assert answer.status_code == 405, (method, path)


# What stops a system at once -------------------------------------------------------------------------


def require_stopped(system):
    answer = system.call("GET", "/me")
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (401, "token_invalid")
    refused = system.ask_token()
    assert (refused.status_code, refused.json["error"]) == (401, "invalid_client")


def test_a_disabled_person_s_system_stops_at_once(system, operator):
    officer = factories.member("security_admin")
    with transaction():
        members.disable(operator.id, Actor.of(officer))
    require_stopped(system)
    with transaction():
        members.enable(operator.id, Actor.of(officer))
    assert system.call("GET", "/me").status_code == 200  # unsigned here: no certificate to resume


def test_a_person_in_another_role_stops_it(system, operator):
    officer = factories.member("security_admin")
    with transaction():
        members.set_roles(operator.id, ["enterprise_maker"], Actor.of(officer))
    require_stopped(system)


def test_a_credential_is_over_after_its_day(system):
    with transaction():
        clock.set_to(TRADING_MORNING.replace(year=2027, month=11, day=2), SYSTEM)
    require_stopped(system)


# The log of uses, and limits --------------------------------------------------------------------------


def test_each_sign_in_is_a_row_with_its_calls(app, operator):
    system = issued(app, operator)
    system.sign_in()
    for _each in range(3):
        system.call("GET", "/me")
    system.call("GET", "/statements/x")  # not found: a call all the same
    system.sign_in()
    rows = db.session.scalars(select(MachineUse).order_by(MachineUse.id)).all()
    assert [(row.calls, row.ip, row.last_ip) for row in rows] == [
        (4, "127.0.0.1", "127.0.0.1"), (0, "127.0.0.1", ""),
    ]  # fmt: skip
    assert rows[0].last_call_at is not None
    assert rows[1].last_call_at is None


def test_uses_are_kept_for_400_days(system, tables):
    db.session.rollback()
    for days, left in ((399, 1), (401, 0)):
        tables.connection.execute(
            "UPDATE machine_use SET signed_in_at = now() - make_interval(days => %s)", [days]
        )
        with transaction():
            machine_sign_in.clear_leftovers()
        assert db.session.query(MachineUse).count() == left


def test_a_system_signs_in_a_bounded_number_of_times(app, operator, monkeypatch):
    while time.time() % 60 > 50:  # Counters are of a minute.
        time.sleep(1)
    monkeypatch.setattr(token, "MOST_TOKENS", 2)
    system, other = issued(app, operator), issued(app, operator)
    answers = [system.ask_token() for _each in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert int(answers[-1].headers["Retry-After"]) <= 60
    assert db.session.query(MachineToken).count() == 2
    assert other.ask_token().status_code == 200


def test_a_system_has_its_calls_a_minute(app, system, monkeypatch):
    monkeypatch.setitem(app.config, "MACHINE_REQUESTS_PER_MINUTE", 2)
    codes = [system.call("GET", "/me").status_code for _each in range(5)]
    assert codes.count(429) >= 1
