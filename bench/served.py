"""The applications served by gunicorn: the registry, and stock Flask-AppBuilder."""

from __future__ import annotations

import os

from flask import Flask


def registry() -> Flask:
    """Return the application under measurement."""
    from app.web import create_app
    from bench.world import settings

    return create_app(settings(os.environ["BENCH_URL"], os.environ["BENCH_OWNER_URL"]))


def stock() -> Flask:
    """Return an application with a ModelView of the same table and columns, as in FAB's tutorial."""
    from flask_appbuilder import AppBuilder, ModelView
    from flask_appbuilder.models.sqla.base import SQLA
    from flask_appbuilder.models.sqla.interface import SQLAInterface
    from flask_login import login_user

    from app.models import Application

    app = Flask("stock")
    app.config.update(
        SECRET_KEY="bench" * 8,
        SQLALCHEMY_DATABASE_URI=os.environ["BENCH_URL"],
        FAB_ADD_OPENAPI_VIEWS=False,
        RATELIMIT_ENABLED=False,
    )
    database = SQLA(app)

    class ApplicationView(ModelView):
        datamodel = SQLAInterface(Application)
        list_columns = [
            "number", "account.member_no", "account.name", "created_at", "settles_on", "status",
        ]  # fmt: skip
        # Without this its search form would load all lines and events.
        search_columns = ["number", "status", "created_at", "settles_on"]
        base_order = ("id", "desc")

    with app.app_context():
        builder = AppBuilder(app, database.session)
        builder.add_view(ApplicationView, "Applications")
        manager = builder.sm
        user = manager.find_user("stock") or manager.add_user(
            "stock", "stock", "stock", "stock@bench.invalid", manager.find_role("Admin"), "stock"
        )
        id_ = user.id

    @app.get("/bench-login")
    def bench_login() -> str:
        login_user(manager.load_user(id_))
        return "signed in"

    return app
