"""The menu and the breadcrumb of a request, from the registered views and the member's permissions."""

from __future__ import annotations

from typing import Any

from flask import current_app, request
from flask_babel import gettext

from app.security.manager import permissions


def menu() -> list[dict[str, Any]]:
    """Return the entries that the member may open, in order of registration."""
    entries = [_entry(item) for item in current_app.appbuilder.menu.get_list()]  # type: ignore[attr-defined]
    return [entry for entry in entries if entry]


def breadcrumb(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the path from 首页 to this entry; a page beneath it passes its `crumb` to the template."""
    crumbs = [(gettext("Home"), "/")]
    for entry in entries:
        if not entry["active"] or entry["url"] == "/":
            continue
        crumbs.append((entry["label"], entry["url"]))
        crumbs += [(child["label"], child["url"]) for child in entry["children"] if child["active"]]
    return crumbs


def may_open(view: Any) -> bool:
    permission = f"can_{view.get_method_permission(view.default_view)}"
    return (permission, view.class_permission_name) in permissions()


def _entry(item: Any) -> dict[str, Any] | None:
    children = [child for child in map(_entry, item.childs) if child]
    if not children and not (item.baseview and may_open(item.baseview)):
        return None
    beneath = getattr(item.baseview, "beneath", ())
    is_here = bool(item.baseview) and request.blueprint in (item.baseview.endpoint, *beneath)
    return {
        "label": str(item.label),
        "icon": (item.icon or "").removeprefix("ti-"),
        "url": item.get_url() if item.baseview else "",
        "active": is_here or any(child["active"] for child in children),
        "children": children,
    }
