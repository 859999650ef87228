"""Flask-AppBuilder without its own pages: only factory, menu and permissions."""

from __future__ import annotations

from typing import Any

from flask import Flask, g
from flask_appbuilder import AppBuilder
from flask_babel import Domain, get_babel

from app.security.manager import RegistrySecurityManager, locale


class RequestDomain(Domain):
    """Looks the catalogue up once a request and language.

    Flask-Babel finds context and language anew for each text, of which a page has two hundred.
    """

    def get_translations(self) -> Any:
        """Return the catalogue of the current language."""
        try:
            context = g._flask_babel
        except (AttributeError, RuntimeError):  # the first text of a request, or none
            return super().get_translations()
        language, found = getattr(context, "kept_translations", (None, None))
        if language is None or language is not context.babel_locale:  # `force_locale` sets another.
            found = super().get_translations()
            context.kept_translations = (context.babel_locale, found)
        return found


class RegistryAppBuilder(AppBuilder):
    """Registers only the views it is given.

    Stock FAB adds /back (an open redirect), /lang (a GET that changes state), the menu, OpenAPI and
    security APIs, user and role pages, and its static files.
    """

    def init_app(self, app: Flask, session: Any) -> None:
        """Set up, and remove FAB's choice of language from the session cookie."""
        super().init_app(app, session)
        babel = get_babel(app)
        babel.locale_selector = locale
        babel.instance.domain_instance = domain = RequestDomain(domain=babel.default_domain)
        app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
            gettext=lambda text: domain.get_translations().ugettext(text),
            ngettext=lambda one, many, count: domain.get_translations().ungettext(one, many, count),
            newstyle=True,
        )

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
