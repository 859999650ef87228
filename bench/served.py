"""What gunicorn serves during a measurement: the registry, and stock Flask-AppBuilder."""

from __future__ import annotations

import os

from flask import Flask


def registry() -> Flask:
    """Return the application under measurement."""
    from app.web import create_app
    from bench.world import settings

    return create_app(settings(os.environ["BENCH_URL"], os.environ["BENCH_OWNER_URL"]))


def stock() -> Flask:
    """Return a ModelView of the same table with the same columns, as the tutorial has it."""
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
        # Or its search form would load every line and every event that there is.
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
