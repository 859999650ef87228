"""A real PostgreSQL for each test process, the application on it, and clients that sign in."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer

import config
from app import embedded, installation
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Account, Instrument, Member, encrypted
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from app.security import sessions
from app.web import create_app
from tests import factories
from tests.invariants import assert_sound
from tests.tables import Tables

TRADING_MORNING = datetime(2026, 11, 20, 10, 0, tzinfo=BEIJING)  # a Friday


class FreshClient(FlaskClient):
    """Give every request its own `g`, as a real server does, even inside a test's app context.

    Once `arm`ed, it sends the session's CSRF token with every request.
    """

    csrf_token = ""

    def open(self, *args, **kwargs):
        if self.csrf_token and "headers" not in kwargs:
            kwargs["headers"] = {"X-CSRFToken": self.csrf_token}
        with self.application.app_context():
            return super().open(*args, **kwargs)

    def arm(self, **cookie: str) -> None:
        """Put `cookie` and a CSRF token into the browser's session."""
        raw = secrets.token_hex(20)
        with self.session_transaction() as session:
            session.update(cookie, csrf_token=raw)
        signer = URLSafeTimedSerializer(self.application.secret_key, salt="wtf-csrf-token")
        self.csrf_token = signer.dumps(raw)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name files after their place: processes that share the tests make each a little differently."""
    return argname if isinstance(val, bytes) and len(val) > 40 else None


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """Take the place of pytest-flask's: a context around all requests would share their user."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[embedded.Cluster]:
    """A throw-away PostgreSQL of this test process."""
    with embedded.throwaway() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def settings(cluster: embedded.Cluster) -> config.Settings:
    """The test profile's settings on the throw-away PostgreSQL."""
    urls = cluster.urls()
    return config.load(
        {
            "APP_PROFILE": "test",
            "DATABASE_URL": urls.app,
            "DATABASE_OWNER_URL": urls.owner,
            "SECRET_KEY": "test" * 10,
        }
    )


@pytest.fixture(scope="session")
def _installed(settings: config.Settings) -> Iterator[Flask]:
    app = create_app(settings)
    app.config["TESTING"] = True
    app.config["OWN_KEYS"] = encrypted.keys()
    app.test_client_class = FreshClient
    with app.app_context():
        installation.install()
        factories.sync_routes()
        yield app
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()


@pytest.fixture
def app(_installed: Flask, tables: Tables) -> Iterator[Flask]:
    """The application on an empty registry, at 10:00 of Friday 2026-11-20, in an app context."""
    factories.reset_numbers()
    # An application that another test made has set its own keys of personal data.
    encrypted.set_keys(lambda: _installed.config["OWN_KEYS"])
    with _installed.app_context():
        with transaction():
            clock.set_to(TRADING_MORNING, SYSTEM)
        yield _installed
        db.session.rollback()
        db.session.remove()
        tables.empty()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without a session."""
    return app.test_client()


@pytest.fixture
def sign_in(app: Flask) -> Callable[[Member], FlaskClient]:
    """Return a function that opens a signed-in browser for a member."""

    def open_browser(member: Member) -> FlaskClient:
        with transaction():
            token = sessions.begin(member.id, ip="127.0.0.1")
        browser = app.test_client()
        browser.arm(token=token)
        return browser

    return open_browser


@pytest.fixture
def plant(app: Flask) -> Account:
    """甲发电有限公司, in 湖北."""
    return factories.account()


@pytest.fixture
def operator(plant: Account) -> Member:
    """An operator of the plant."""
    return factories.member(of=plant)


@pytest.fixture
def cea(plant: Account) -> Instrument:
    """An instrument of which the plant has 700 tonnes available, as in the manual."""
    return factories.issued_to(plant, 700)


@pytest.fixture
def hubei(app: Flask) -> Member:
    """The officer of the plant's province."""
    return factories.member("province", province="42")


@pytest.fixture
def maker(app: Flask) -> Member:
    return factories.member("registry_maker")


@pytest.fixture
def checker(app: Flask) -> Member:
    return factories.member("registry_checker")


@pytest.fixture
def officer(maker: Member) -> Member:
    """An officer of the registry, where one is enough."""
    return maker


@pytest.fixture(scope="session")
def tables(_installed: Flask, cluster: embedded.Cluster) -> Iterator[Tables]:
    """The tables that tests write to."""
    with cluster.connect("registry") as connection:
        yield Tables(connection)


# Modules after whose tests the invariants are asserted; those that manipulate the ledger are marked
# "unsound" or are not listed.
VERIFIED = re.compile(
    r"tests\.(operations|races|views)\.(\w+\.)?test_(account|applications|authority|colleague|compliance"
    r"|custody|issuance|openings|operators|pledges|races|reviews?|settlement|surrender|trading|transfer)"
)


@pytest.fixture(autouse=True)
def _verify_afterwards(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Assert the invariants after business tests, while a test's own kinds are still registered."""
    is_business = VERIFIED.match(request.module.__name__) and "app" in request.fixturenames
    # Without a lock, or by hand, the result is wrong on purpose.
    if "without_the" in request.node.name or request.node.get_closest_marker("unsound"):
        is_business = False
    if is_business:
        request.getfixturevalue("app")  # Finalised after this fixture.
    yield
    if is_business:
        assert_sound()
