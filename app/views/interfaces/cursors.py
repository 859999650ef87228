"""Cursors of pages: where the next page begins, signed so that nobody else writes one."""

from __future__ import annotations

from typing import Any

from flask import current_app, request
from flask_babel import gettext as _
from itsdangerous import BadData, URLSafeSerializer

from app.security.problems import Fault, Problem


def write(route: str, *place: Any) -> str:
    """Return the cursor of a place in a route's list."""
    return _serializer(route).dumps(list(place))


def read(route: str, cursor: str | None) -> list[Any]:
    """Return the place of a cursor, [] without one.  Raises Problem 422 for one of another list."""
    if not cursor:
        return []
    try:
        return list(_serializer(route).loads(cursor))
    except BadData as error:
        detail = _("This cursor does not come from an answer of this list")
        raise Problem(422, [Fault("cursor_unknown", detail, "cursor")]) from error


def _serializer(route: str) -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt=f"{request.blueprint} {route}")
