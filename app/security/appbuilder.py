"""Our Flask-AppBuilder: its factory, menu and permissions, and none of its own pages."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_appbuilder import AppBuilder
from flask_babel import get_babel

from app.security.manager import RegistrySecurityManager, locale


class RegistryAppBuilder(AppBuilder):
    """Registers the views it is given, and nothing besides.

    Stock, it adds /back (an open redirect by history), /lang (state changed by GET), the menu,
    OpenAPI and security APIs, user and role pages, and static files of another look.
    """

    def init_app(self, app: Flask, session: Any) -> None:
        """Set up, then take the choice of language out of the session cookie."""
        super().init_app(app, session)
        get_babel(app).locale_selector = locale

    def _add_admin_views(self) -> None:
        """Add none; app.views.register adds every view."""

    def _add_global_static(self) -> None:
        """Serve none of its scripts and styles, and offer none of its templates."""

    def add_limits(self, baseview: Any) -> None:
        """Have no limits per process."""

    @property
    def get_url_for_index(self) -> str:
        """Return the home page, which FAB's own code may redirect to."""
        return "/"


def make() -> RegistryAppBuilder:
    """Make a fresh one for an application."""
    return RegistryAppBuilder(
        base_template="frame/base.html",
        security_manager_class=RegistrySecurityManager,
        update_perms=False,
    )
