"""The pages, one room per subject, discovered by walking the rooms."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import isclass
from pkgutil import walk_packages
from typing import Any

from flask import current_app

from app.domain.money import yuan
from app.security import roles
from app.views.applications.review import counts
from app.views.chapters import CHAPTERS
from app.views.frame.frame import TODO_COUNTS
from app.views.page import Page


def pages() -> Iterator[type[Page]]:
    """Yield every page: the classes with a `route_base` of their own."""
    for found in walk_packages(__path__, f"{__name__}."):
        module = import_module(found.name)
        for each in vars(module).values():
            if isclass(each) and each.__module__ == found.name and "route_base" in vars(each):
                assert issubclass(each, Page)
                yield each


def register(builder: Any) -> None:
    """Register every page, in the order of the manual's menus, and gather the grants."""
    found = [page for page in pages() if current_app.config["PROFILE"] in page.profiles]
    for page in sorted((page for page in found if page.menu), key=_place):
        builder.add_view(page, page.__name__, label=page.title, **_entry(page))
    for page in found:
        if not page.menu:
            builder.add_view_no_menu(page)
    current_app.extensions["pages"] = {page.endpoint: page for page in builder.baseviews}
    current_app.jinja_env.filters["yuan"] = yuan
    roles.gather(builder.baseviews)
    TODO_COUNTS[:] = [counts]


def _place(page: type[Page]) -> tuple[int, int]:
    assert page.menu
    return CHAPTERS.index(page.menu.chapter), page.menu.place


def _entry(page: type[Page]) -> dict[str, Any]:
    """Return the arguments for Flask-AppBuilder's add_view."""
    assert page.menu
    chapter = page.menu.chapter
    if not chapter.title:
        return {"icon": page.menu.icon}
    return {
        # Menu permissions have these names in the database; the first chapter has no title.
        "category": f"menu-{CHAPTERS.index(chapter) - 1}",
        "category_label": chapter.title,
        "category_icon": chapter.icon,
    }
