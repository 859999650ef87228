"""Flask-AppBuilder without its own pages: only factory, menu and permissions."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_appbuilder import AppBuilder
from flask_babel import get_babel

from app.security.manager import RegistrySecurityManager, locale


class RegistryAppBuilder(AppBuilder):
    """Registers only the views it is given.

    Stock FAB adds /back (an open redirect), /lang (a GET that changes state), the menu, OpenAPI and
    security APIs, user and role pages, and its static files.
    """

    def init_app(self, app: Flask, session: Any) -> None:
        """Set up, and remove FAB's choice of language from the session cookie."""
        super().init_app(app, session)
        get_babel(app).locale_selector = locale

    def _add_admin_views(self) -> None:
        """Add none: app.views.register adds every view."""

    def _add_global_static(self) -> None:
        """Serve none of FAB's static files or templates."""

    def add_limits(self, baseview: Any) -> None:
        """Add none: FAB's rate limits count per process."""

    @property
    def get_url_for_index(self) -> str:
        """Return the home page, for FAB's redirects."""
        return "/"


def make() -> RegistryAppBuilder:
    """Make a fresh one for an application."""
    return RegistryAppBuilder(
        base_template="frame/base.html",
        security_manager_class=RegistrySecurityManager,
        update_perms=False,
    )
