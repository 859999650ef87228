"""The OpenAPI document of the member interface: complete, apart from the exchange's, and true."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from app.views.interfaces import exchange
from app.views.member_interface.member import interface
from tests.operations.machines import issued
from tests.views.interfaces.describing import assert_complete, assert_page_is_ours, codes_of

ROUTES = [
    ("POST", "/token"),
    ("GET", "/me"),
    ("GET", "/holdings"),
    ("GET", "/holdings/entries"),
    ("GET", "/statements"),
    ("GET", "/statements/{number}"),
    ("GET", "/statements/{number}/trades"),
    ("GET", "/notices"),
    ("GET", "/notices/{number}"),
    ("GET", "/applications"),
    ("GET", "/applications/{number}"),
]


def test_every_route_is_described_with_all_that_it_answers(app):
    assert_complete(app, interface, ROUTES, unscoped=["/me"])


def test_the_page_has_everything_from_our_own_host(app):
    assert_page_is_ours(app, interface)


def test_the_two_documents_do_not_mix(app):
    ours, theirs = interface.described(), exchange.interface.described()
    assert not ours["paths"].keys() & theirs["paths"].keys()
    assert not interface.scopes.keys() & exchange.interface.scopes.keys()
    for document, other in ((ours, theirs), (theirs, ours)):
        flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
        assert flow["tokenUrl"] in document["paths"]
        assert flow["tokenUrl"] not in other["paths"]
    assert "/api/exchange" not in app.test_client().get(f"{interface.prefix}/").text


@pytest.mark.parametrize("is_signed_in", [True, False], ids=["signed in", "not signed in"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_that_is_sent_is_answered_in_another_way(
    app, world, method, path, is_signed_in, monkeypatch
):
    for name in ("MACHINE_REQUESTS_PER_MINUTE", "MACHINE_SIGN_INS_PER_MINUTE"):
        monkeypatch.setitem(app.config, name, 10_000)
    headers = {}
    if is_signed_in:
        token = issued(app, world.a.member).sign_in().token
        headers = {"Authorization": f"Bearer {token}"}
    codes = codes_of(app, interface, method, path, headers)
    assert codes
    if not is_signed_in:
        assert codes <= {400, 401, 404}
    elif path != "/token":
        assert 401 not in codes
        if "{" not in path:
            assert 200 in codes


def test_what_there_is_is_answered_as_described(app, world):
    """Rows of every list fit the document: no example of the generator names one."""
    system = issued(app, world.a.member).sign_in()
    named = {
        "/statements/{number}": world.a.statements[0],
        "/statements/{number}/trades": world.a.statements[0],
        "/notices/{number}": system.call("GET", "/notices").json["notices"][0]["number"],
        "/applications/{number}": system.call("GET", "/applications").json["applications"][0][
            "number"
        ],
    }
    document = interface.described()
    for method, path in ROUTES[1:]:
        address = path.replace("{number}", named.get(path, ""))
        if path == "/holdings/entries":
            address += "?from=2026-01-01&to=2026-11-30"
        answer = system.call(method, address)
        assert answer.status_code == 200, address
        (schema,) = (
            each["schema"]
            for each in document["paths"][interface.prefix + path]["get"]["responses"]["200"][
                "content"
            ].values()
        )
        fits = Draft202012Validator({**schema, "components": document["components"]})
        fits.validate(answer.json)
