"""The OpenAPI document of the exchange interface: complete, and true of whatever is asked."""

from __future__ import annotations

import pytest

from app.views.interfaces.exchange import interface
from tests.operations.machines import registered
from tests.views.interfaces.describing import assert_complete, assert_page_is_ours, codes_of

ROUTES = [
    ("POST", "/token"),
    ("POST", "/transfers"),
    ("GET", "/transfers"),
    ("GET", "/transfers/{request_no}"),
    ("GET", "/members/{member_no}"),
    ("GET", "/positions"),
    ("GET", "/funds"),
    ("GET", "/court-sales"),
    ("GET", "/calendar"),
    ("GET", "/tradable"),
    ("PUT", "/days/{day}"),
    ("GET", "/days/{day}"),
    ("POST", "/days/{day}/confirmation"),
    ("GET", "/days/{day}/trades"),
]


def test_every_route_is_described_with_all_that_it_answers(app):
    assert_complete(app, interface, ROUTES)


def test_the_page_has_everything_from_our_own_host(app):
    assert_page_is_ours(app, interface)


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
    codes = codes_of(app, interface, method, path, headers)
    assert codes
    if not is_signed_in:
        assert codes <= {400, 401, 404}
    elif path != "/token":
        assert 401 not in codes
