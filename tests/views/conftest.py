"""Reuses the members and browsers of tests/security."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from app.models import Member
from tests.security.conftest import (  # noqa: F401 - fixtures are found by their names
    browser,
    count,
    execute,
    member_of,
    new_browser,
    people,
    said,
    with_captcha,
)
from tests.tables import Tables
from tests.views import toys
from tests.views.world import World, restored_world


@pytest.fixture
def world(app: Flask, tables: Tables) -> World:
    return restored_world(tables)


@pytest.fixture
def desk(sign_in: Callable[[Member], FlaskClient], maker: Member) -> FlaskClient:
    """The browser of the registry's maker."""
    return sign_in(maker)


@pytest.fixture
def site(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server of this application."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setitem(app.config, "SITE_URL", address)
    yield address
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


@pytest.fixture(scope="module")
def toy_app(settings: Any, _installed: Flask) -> Iterator[Flask]:
    toy_app = toys.make_app(settings, _installed.test_client_class)
    yield toy_app
    toys.close(toy_app)
