"""The OpenAPI document: complete, and true of whatever is asked."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.domain.machines import SCOPES
from app.views.interfaces import exchange
from tests.operations.machines import BASE, registered

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 12  # of each operation, each time the same
ROUTES = [
    ("POST", "/token"),
    ("POST", "/transfers"),
    ("GET", "/transfers"),
    ("GET", "/transfers/{request_no}"),
    ("GET", "/members/{member_no}"),
    ("GET", "/positions"),
    ("GET", "/funds"),
    ("GET", "/calendar"),
    ("GET", "/tradable"),
    ("PUT", "/days/{day}"),
    ("GET", "/days/{day}"),
    ("POST", "/days/{day}/confirmation"),
    ("GET", "/days/{day}/trades"),
]


@schemathesis.serializer("application/zip")
def _as_it_is(_context, value):
    """A file is sent as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture
def document(app):
    answer = app.test_client().get(f"{BASE}/openapi.json")
    assert answer.status_code == 200
    return answer.json


def test_every_route_is_described_with_all_that_it_answers(app, document):
    assert document["openapi"] == "3.1.0"
    described = {
        (method.upper(), path.removeprefix(BASE))
        for path, operations in document["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert described == set(ROUTES)
    served = {
        (method, rule.rule.removeprefix(BASE).replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(BASE)
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert served == described | {("GET", "/openapi.json"), ("GET", "/")}
    for method, path in described - {("POST", "/token")}:
        operation = document["paths"][BASE + path][method.lower()]
        assert {"200", "401", "403", "405", "429"} <= operation["responses"].keys()
        assert "default" not in operation["responses"]
        assert operation["summary"]
        ((scope,),) = (each["oauth2"] for each in operation["security"])
        assert scope in SCOPES


def test_the_page_has_everything_from_our_own_host(app, document):
    answer = app.test_client().get(f"{BASE}/")
    assert answer.status_code == 200
    for path in document["paths"]:
        assert path in answer.text
    assert "<script" not in answer.text
    assert "http://" not in answer.text.replace("http://127.0.0.1", "")
    assert "https://" not in answer.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("is_signed_in", [True, False], ids=["signed in", "not signed in"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_that_is_sent_is_answered_in_another_way(
    app, method, path, is_signed_in, monkeypatch
):
    for name in ("MACHINE_REQUESTS_PER_MINUTE", "MACHINE_SIGN_INS_PER_MINUTE"):
        monkeypatch.setitem(app.config, name, 10_000)
    headers = {}
    if is_signed_in:
        headers = {"Authorization": f"Bearer {registered(app).sign_in().token}"}
    found = exchange.described()
    schema = schemathesis.openapi.from_dict(found)
    operation = schema[BASE + path][method]
    codes = set()

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def ask(case):
        answer = case.call(app=app, headers=headers, base_url="http://localhost")
        codes.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    given(case=operation.as_strategy())(ask)()
    assert codes
    if not is_signed_in:
        assert codes <= {400, 401, 404}
    elif path != "/token":
        assert 401 not in codes
