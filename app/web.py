"""The web application factory."""

from __future__ import annotations

from functools import cache, partial

from flask import Flask
from flask_wtf.csrf import CSRFProtect
from sqlalchemy.exc import OperationalError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

import config
from app import cli, views
from app.extensions import db, end_reading, migrate
from app.installation import schema
from app.installation.demo import DEMO_PASSWORD
from app.models import encrypted
from app.security import appbuilder, gate, headers, lost_forms, production
from app.views.frame import errors, frame
from app.views.interfaces import exchange, interface
from app.views.member_interface import member
from app.views.platform_interface import platform

INTERFACES = (exchange.interface, member.interface, platform.interface)
LARGEST_ID = 2**31 - 1  # of integer keys; larger ids in a URL are a 404


def create_app(settings: config.Settings | None = None) -> Flask:
    """Create the application for these settings, or for the environment's.

    Queries the database only before serving.  Raises ConfigurationError.
    """
    settings = settings or config.load()
    app = Flask("app")
    app.config.from_mapping(settings.flask_config())
    app.url_map.converters["int"] = partial(IntegerConverter, max=LARGEST_ID)  # type: ignore[assignment]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    _set_keys(settings)
    db.init_app(app)
    migrate.init_app(app, db)
    app.teardown_request(end_reading)
    headers.init_app(app)
    lost_forms.init_app(app)  # before the gate
    gate.init_app(app)
    with app.app_context():
        _add_pages(app)
        interface.init_app(app, INTERFACES)
    # After the gate: an ended session redirects to sign-in, rather than failing the CSRF check.
    csrf = CSRFProtect(app)
    # OCSP clients have no session, and it changes nothing.
    csrf.exempt(app.view_functions["AuthorityView.ocsp"])
    for each in INTERFACES:
        csrf.exempt(each.blueprint)  # A token opens its routes; no cookie is read there.
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app,
            x_for=settings.trusted_proxies,
            x_proto=settings.trusted_proxies,
            x_host=settings.trusted_proxies,
        )
    cli.register(app)
    schema.check_before_serving(app, settings)
    if settings.is_production:
        production.check_before_serving(app, settings, DEMO_PASSWORD)
    return app


def no_answer(error: OperationalError) -> config.ConfigurationError:
    """Return why nothing can start without the database, as a refusal of its address."""
    reason = str(error.orig).strip().partition("\n")[0]
    return config.refusal(f"数据库没有应答：{reason}", f"the database does not answer: {reason}")


def _set_keys(settings: config.Settings) -> None:
    """Set the keys of personal data (app.models.encrypted)."""
    pairs = dict(settings.personal_data_keys)
    index = bytes.fromhex(pairs.pop("index"))
    secrets = {key_id: bytes.fromhex(text) for key_id, text in pairs.items()}
    ring = encrypted.Keys(next(iter(secrets)), secrets, index, settings.crypto_suite)
    encrypted.set_keys(lambda: ring)


def _add_pages(app: Flask) -> None:
    builder = appbuilder.make()
    builder.init_app(app, db.session)
    frame.init_app(app)
    errors.init_app(app)
    app.extensions["schema_head"] = cache(schema.head)
    views.register(builder)
    # Where Flask-AppBuilder's decorators redirect anonymous users.
    builder.sm.auth_view = next(v for v in builder.baseviews if v.endpoint == "SignInView")
