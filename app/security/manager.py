"""Who is asking and what they may do: loaded once per request, two queries, and kept in `g`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import current_app, g, has_request_context, request, session
from flask_appbuilder.security.sqla.manager import SecurityManager
from flask_login import LoginManager, current_user
from sqlalchemy.orm.attributes import set_committed_value

from app.extensions import db
from app.models import LoginSession, Member
from app.operations.people.members import permissions_of
from app.operations.people.sessions import end
from app.security import sessions

MENU_ACCESS = "menu_access"


class RegistrySecurityManager(SecurityManager):
    """Flask-AppBuilder's security manager with its doors closed.

    It registers no view and no API, makes no JWTs and no limiter, knows a member by a row of
    `login_session` alone, and reads a member's permissions in one query.
    """

    user_model = Member

    def register_views(self) -> None:
        """Register nothing: the pages we want are in our own catalogue of views."""

    def create_jwt_manager(self, app: Any) -> None:
        """Have none: a token would sign in without captcha, lock or session row."""

    def create_limiter(self, app: Any) -> None:
        """Have none: its counters live in one process; app.security.lockout counts for all."""

    def create_login_manager(self, app: Any) -> LoginManager:
        """Know members by our session row, never by the number in Flask-Login's own cookie."""
        login_manager = LoginManager(app)
        login_manager.session_protection = None
        login_manager.request_loader(_load_member)
        return login_manager

    @staticmethod
    def before_request() -> None:
        """Leave `g.user` to app.security.gate, which runs first."""

    def has_access(self, permission_name: str, view_name: str) -> bool:
        """Tell whether the member of this request holds a permission on a view."""
        return (permission_name, view_name) in permissions()

    def is_item_public(self, permission_name: str, view_name: str) -> bool:
        """Tell that nothing is public by permission; app.security.gate lists what is."""
        return False

    def get_user_menu_access(self, menu_names: Iterable[str] | None = None) -> set[str]:
        """Return the names of the menu entries that the member may see."""
        mine = {view for permission, view in permissions() if permission == MENU_ACCESS}
        return mine if menu_names is None else mine & set(menu_names)


# Each would write members, roles or permissions past our rules and our log, and commit by itself.
WRITES = """
    add_user update_user delete_user reset_password update_user_auth_stat noop_user_update
    add_register_user del_register_user
    add_role update_role delete_role add_group delete_group import_roles
    add_permission del_permission add_view_menu del_view_menu
    add_permission_view_menu del_permission_view_menu add_permission_role del_permission_role
    add_permissions_view add_permissions_menu security_cleanup security_converge
    _create_db create_api_key revoke_api_key validate_api_key
""".split()


def _refusing(name: str) -> Callable[..., None]:
    def refuse(*_arguments: Any, **_more: Any) -> None:
        raise NotImplementedError(
            f"{name}: members are written by app.operations.people, roles by `flask init`"
        )

    return refuse


for _name in WRITES:
    setattr(RegistrySecurityManager, _name, _refusing(_name))


def permissions() -> frozenset[tuple[str, str]]:
    """Return what the member of this request may do, as (permission, view) pairs."""
    if "permissions" not in g:
        g.permissions = _load_permissions() if current_user.is_authenticated else frozenset()
    return g.permissions


def current_login() -> LoginSession | None:
    """Return the session of this request."""
    return g.get("login")


def _load_member(_request: Any) -> Member | None:
    """Return the member behind the cookie's token, or None and, in `g.ending`, why no longer."""
    token = session.get("token")
    if not isinstance(token, str):
        return None
    standing = sessions.find(token)
    if standing and standing.is_stale and not standing.ending:
        # Once a minute: note it and read again, since the commit lets go of what was read.
        sessions.note_seen(standing.login.id)
        db.session.commit()
        standing = sessions.find(token)
    if standing is None or standing.ending:
        _forget(standing)
        return None
    g.login = standing.login
    g.facts = standing.facts
    return standing.login.member


def _forget(standing: sessions.Standing | None) -> None:
    """Let go of a session that is over, and write so where nobody has."""
    if standing and not standing.login.ended_at:
        end([standing.login.id], standing.ending)
        db.session.commit()
    session.clear()
    g.ending = standing.ending if standing else ""


def _load_permissions() -> frozenset[tuple[str, str]]:
    """Read roles and permissions in one query; the roles are put on the member, too."""
    member = current_user._get_current_object()
    roles, held = permissions_of(member.id)
    set_committed_value(member, "roles", roles)
    return held


def locale() -> str:
    """Choose the language of this request: the cookie's, where we speak it."""
    known = current_app.config["LANGUAGES"]
    chosen = request.cookies.get("lang", "") if has_request_context() else ""
    return chosen if chosen in known else current_app.config["BABEL_DEFAULT_LOCALE"]
