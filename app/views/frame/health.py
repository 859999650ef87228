"""/healthz and /readyz: whether this process lives, and whether it can do its work; for monitors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address

from flask import Response, abort, current_app, request
from flask_appbuilder import expose
from flask_babel import lazy_gettext as _
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import db
from app.operations.records import seals
from app.views.page import Page


class HealthView(Page):
    """Answers in JSON, to this machine alone."""

    route_base = "/"
    default_view = "live"
    title = _("State of this process")

    @expose("/healthz")
    def live(self) -> Response:
        """Answer 200 wherever the process answers at all; the database may be gone."""
        return _told({"process": True})

    @expose("/readyz")
    def ready(self) -> Response:
        """Answer 200 where pages can be served, else 503 with what is missing."""
        revision = _revision()
        found = {
            "database": revision is not None,
            "schema": revision == current_app.extensions["schema_head"](),
        }
        if seals.are_asked():
            found["signer"] = seals.the_signer().is_ready()
        return _told(found)


def _revision() -> str | None:
    """Return the database's revision, None where it does not answer."""
    try:
        return db.session.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError:
        db.session.rollback()
        return None


def _told(found: Mapping[str, bool]) -> Response:
    """Answer what was found; 404 to everybody but this machine."""
    if not ip_address(request.remote_addr or "::").is_loopback:
        abort(404)
    status = 200 if all(found.values()) else 503
    said = json.dumps({name: "ok" if is_well else "failed" for name, is_well in found.items()})
    return Response(f"{said}\n", status, mimetype="application/json")
