"""The OpenAPI document of the platform interface: complete, and true of whatever is asked."""

from __future__ import annotations

import pytest

from app.views.platform_interface.platform import interface
from tests.operations.machines import of_platform
from tests.views.interfaces.describing import assert_complete, assert_page_is_ours, codes_of
from tests.views.platform_interface.pushing import push, row, sent

ROUTES = [
    ("POST", "/token"),
    ("POST", "/tables"),
    ("GET", "/tables"),
    ("GET", "/tables/{number}"),
    ("GET", "/tables/{number}/differences"),
]


def test_every_route_is_described_with_all_that_it_answers(app):
    assert_complete(app, interface, ROUTES)


def test_the_page_has_everything_from_our_own_host(app):
    assert_page_is_ours(app, interface)


@pytest.mark.parametrize("is_signed_in", [True, False], ids=["signed in", "not signed in"])
# The token is the one of all interfaces: tests/views/interfaces/test_description.py asks for it.
@pytest.mark.parametrize(("method", "path"), ROUTES[1:])
def test_nothing_that_is_sent_is_answered_in_another_way(
    app, plant, method, path, is_signed_in, monkeypatch
):
    for name in ("REQUESTS", "SIGN_INS", "TABLES"):
        monkeypatch.setitem(app.config, f"MACHINE_{name}_PER_MINUTE", 10_000)
    headers = {}
    if is_signed_in:
        platform = of_platform(app).sign_in()
        push(platform, sent(row(plant, 1790)))
        headers = {"Authorization": f"Bearer {platform.token}"}
    codes = codes_of(app, interface, method, path, headers)
    assert codes
    assert 401 not in codes if is_signed_in else codes <= {400, 401, 404}
