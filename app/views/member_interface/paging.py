"""Pages of the member interface: a cursor keeps to the conditions that its list was asked with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _

from app.security.problems import Fault, Problem
from app.views.interfaces import cursors

Query = Mapping[str, Any]


def place_of(route: str, query: Query) -> list[Any]:
    """Return where a page begins, [] for the first one.  Raises Problem 422 for other conditions."""
    place = cursors.read(route, query.get("cursor"))
    if place and place.pop(0) != _conditions(query):
        detail = _("The cursor belongs to other conditions")
        raise Problem(422, [Fault("cursor_unknown", detail, "cursor")])
    return place


def cursor_after(route: str, query: Query, *place: Any) -> str:
    """Return the cursor of the page after a place."""
    return cursors.write(route, _conditions(query), *place)


def _conditions(query: Query) -> dict[str, str]:
    return {name: str(query[name]) for name in sorted(query) if name not in ("cursor", "limit")}
