"""The menu and the breadcrumb of a request, from the registered views and the member's permissions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from flask import current_app, get_template_attribute, request
from flask_babel import get_locale, gettext
from markupsafe import Markup

from app.security.manager import permissions


class Menu(NamedTuple):
    """What the member may open, in order of registration, and as it is drawn."""

    entries: tuple[dict[str, Any], ...] = ()
    html: Markup = Markup("")


def menu() -> Menu:
    """Return the menu of this request's member."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    here = request.blueprint or ""
    return _menu(app, permissions(), str(get_locale()), request.script_root, here)


# The same for everybody of a role at an address: a fifth of what a page cost went into drawing it.
@lru_cache(maxsize=1024)
def _menu(app: Any, held: frozenset[tuple[str, str]], _locale: str, _root: str, here: str) -> Menu:
    items = app.appbuilder.menu.get_list()
    entries = tuple(entry for item in items if (entry := _entry(item, held, here)))
    draw = get_template_attribute("frame/frame.html", "menu")
    return Menu(entries, Markup(draw(entries)))  # noqa: S704 - a template's


def breadcrumb(entries: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the path from 首页 to this entry; a page beneath it passes its `crumb` to the template."""
    crumbs = [(gettext("Home"), "/")]
    for entry in entries:
        if not entry["active"] or entry["url"] == "/":
            continue
        crumbs.append((entry["label"], entry["url"]))
        crumbs += [(child["label"], child["url"]) for child in entry["children"] if child["active"]]
    return crumbs


def _opens(view: Any, held: frozenset[tuple[str, str]]) -> bool:
    permission = f"can_{view.get_method_permission(view.default_view)}"
    return (permission, view.class_permission_name) in held


def _entry(item: Any, held: frozenset[tuple[str, str]], here: str) -> dict[str, Any] | None:
    children = [child for each in item.childs if (child := _entry(each, held, here))]
    if not children and not (item.baseview and _opens(item.baseview, held)):
        return None
    beneath = getattr(item.baseview, "beneath", ())
    is_here = bool(item.baseview) and here in (item.baseview.endpoint, *beneath)
    return {
        "label": str(item.label),
        "icon": (item.icon or "").removeprefix("ti-"),
        "url": item.get_url() if item.baseview else "",
        "active": is_here or any(child["active"] for child in children),
        "children": children,
    }
