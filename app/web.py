"""The web application: `create_app` puts it together."""

from __future__ import annotations

from functools import partial

from flask import Flask
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

import config
from app import cli, views
from app.extensions import db, migrate
from app.installation import schema
from app.installation.demo import DEMO_PASSWORD
from app.models import encrypted
from app.security import appbuilder, gate, headers, production
from app.views.frame import errors, frame

LARGEST_ID = 2**31 - 1  # Most keys end here, and what no key can be is an address of nothing.


def create_app(settings: config.Settings | None = None) -> Flask:
    """Make the application for these settings, or for the environment's.

    Nothing is asked of the database, but before serving.  Raises ConfigurationError.
    """
    settings = settings or config.load()
    app = Flask("app")
    app.config.from_mapping(settings.flask_config())
    app.url_map.converters["int"] = partial(IntegerConverter, max=LARGEST_ID)  # type: ignore[assignment]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    _set_keys(settings)
    db.init_app(app)
    migrate.init_app(app, db)
    headers.init_app(app)
    gate.init_app(app)
    with app.app_context():
        _add_pages(app)
    # After the gate: whose session is over is sent to sign in, not told of tokens.
    csrf = CSRFProtect(app)
    # Programs ask it, no browser's session counts there, and it changes nothing.
    csrf.exempt(app.view_functions["AuthorityView.ocsp"])
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


def _set_keys(settings: config.Settings) -> None:
    """Hand the keys of personal data to the column type that uses them."""
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
    views.register(builder)
    # Where Flask-AppBuilder's decorators would send a stranger whom the gate let through.
    builder.sm.auth_view = next(v for v in builder.baseviews if v.endpoint == "SignInView")
