"""`frame`: the context of base.html; and the choice of theme and language."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, current_app, g, has_request_context, redirect, request, url_for
from flask_appbuilder import expose
from flask_babel import get_locale, gettext
from flask_babel import lazy_gettext as _
from flask_login import current_user

from app.operations.people import passwords
from app.operations.records import clock
from app.security.gate import came_from
from app.security.manager import current_login, permissions
from app.security.roles import title_of
from app.views.frame.help import help_url
from app.views.frame.menu import Menu, breadcrumb, menu
from app.views.frame.security_index import security_index
from app.views.page import Page

A_YEAR = 365 * 24 * 3600

# Functions that return what awaits a member as (label, count, endpoint), each in one query; set by
# app.views.register.
TODO_COUNTS: list[Callable[[Any], Iterable[tuple[Any, int, str]]]] = []


@dataclass
class Frame:
    """What base.html reads; without a member, what is public."""

    system_name: str
    language: str
    theme: str
    theme_url: str
    home_url: str
    business_time: datetime | None = None
    has_own_clock: bool = False
    member: dict[str, Any] | None = None
    menu: Menu = field(default_factory=Menu)
    breadcrumb: list[tuple[str, str]] = field(default_factory=list)
    todo: list[dict[str, Any]] = field(default_factory=list)
    todo_total: int = 0
    password_url: str = ""
    logout_url: str = ""
    help_url: str = ""
    unread: int = 0
    unread_url: str = ""


def init_app(app: Flask) -> None:
    app.context_processor(_context)


class AppearanceView(Page):
    """Theme and language, kept in cookies."""

    route_base = "/appearance"
    default_view = "choose"
    title = _("Appearance and language")

    @expose("/", methods=["POST"])
    def choose(self) -> Response:
        """Store the choice and return to the page it was made on."""
        response = redirect(came_from() or "/")
        choices = {"theme": ("light", "dark"), "lang": tuple(current_app.config["LANGUAGES"])}
        for name, known in choices.items():
            value = request.form.get(name, "")
            if value in known:
                response.set_cookie(
                    name,
                    value,
                    max_age=A_YEAR,
                    samesite="Lax",
                    secure=current_app.config["SESSION_COOKIE_SECURE"],
                )
        return response  # type: ignore[return-value]


def _context() -> dict[str, Any]:
    return {"frame": current_frame()} if has_request_context() else {}


def current_frame() -> Frame:
    """Return the frame of this request, built once."""
    if "frame" not in g:
        g.frame = _build()
    return g.frame


def _build() -> Frame:
    theme = request.cookies.get("theme", "")
    locale = get_locale()
    frame = Frame(
        system_name=gettext("National carbon allowance registry and settlement system"),
        language="en" if locale and locale.language == "en" else "zh-CN",
        theme=theme if theme in ("light", "dark") else "",
        theme_url=url_for("AppearanceView.choose"),
        home_url=url_for("HomeView.index"),
    )
    # After an internal error the page must not depend on the database.
    if not g.get("is_broken") and current_user.is_authenticated:
        _add_member(frame)
    return frame


def _add_member(frame: Frame) -> None:
    member = current_user._get_current_object()
    login = current_login()
    assert login
    permissions()  # Loads the roles, too.
    frame.business_time = clock.now()
    frame.has_own_clock = clock.has_own_clock()
    frame.member = {
        "name": member.first_name,
        "number": member.username,
        "role_label": title_of(member),
        "previous_login_at": clock.shown(login.previous_at),
        "previous_login_ip": login.previous_ip,
        "failures_since": login.failures_since,
        "security": security_index(member, login, g.facts),
    }
    frame.password_url = url_for("SignInView.change_password")
    frame.logout_url = url_for("SignInView.logout")
    if passwords.must_be_changed(member, datetime.now(UTC)):
        return  # No other page is allowed yet.
    frame.menu = menu()
    frame.breadcrumb = breadcrumb(frame.menu.entries)
    frame.todo = [
        {"label": str(label), "count": count, "url": url_for(endpoint)}
        for counts in TODO_COUNTS
        for label, count, endpoint in counts(member)
    ]
    frame.unread, frame.unread_url = g.facts.unread, url_for("AnnouncementView.list")
    frame.help_url = help_url(member, request.blueprint or "")
    frame.todo_total = sum(item["count"] for item in frame.todo)
