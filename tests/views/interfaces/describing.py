"""What the tests of both interfaces ask of an OpenAPI document: complete, and true of whatever is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.views.interfaces.interface import Interface

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 12  # of each operation, each time the same
Routes = Sequence[tuple[str, str]]


@schemathesis.serializer("application/zip")
def _as_it_is(_context: Any, value: Any) -> bytes:
    """A file is sent as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


def assert_complete(
    app: Flask, interface: Interface, routes: Routes, unscoped: Collection[str] = ()
) -> None:
    """Every route is described with all that it answers; those ``unscoped`` take any token."""
    document = app.test_client().get(f"{interface.prefix}/openapi.json").json
    assert document["openapi"] == "3.1.0"
    described = {
        (method.upper(), path.removeprefix(interface.prefix))
        for path, operations in document["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert described == set(routes)
    served = {
        (method, rule.rule.removeprefix(interface.prefix).replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(interface.prefix)
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert served == described | {("GET", "/openapi.json"), ("GET", "/")}
    for method, path in described - {("POST", "/token")}:
        operation = document["paths"][interface.prefix + path][method.lower()]
        assert {"200", "401", "403", "405", "429"} <= operation["responses"].keys()
        assert "default" not in operation["responses"]
        assert operation["summary"]
        (scopes,) = (each["oauth2"] for each in operation["security"])
        assert len(scopes) == (path not in unscoped)
        assert set(scopes) <= set(interface.scopes)


def assert_page_is_ours(app: Flask, interface: Interface) -> None:
    """The page names every route, and loads nothing from elsewhere."""
    answer = app.test_client().get(f"{interface.prefix}/")
    assert answer.status_code == 200
    for path in interface.described()["paths"]:
        assert path in answer.text
    assert "<script" not in answer.text
    assert "http://" not in answer.text.replace("http://127.0.0.1", "")
    assert "https://" not in answer.text
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


def codes_of(
    app: Flask, interface: Interface, method: str, path: str, headers: Mapping[str, str]
) -> set[int]:
    """Ask a route for anything; return its statuses, each of them and each answer described."""
    schema = schemathesis.openapi.from_dict(interface.described())
    operation = schema[interface.prefix + path][method]
    codes = set()

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def ask(case: Any) -> None:
        answer = case.call(app=app, headers=headers, base_url="http://localhost")
        codes.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    given(case=operation.as_strategy())(ask)()
    return codes
