"""The member of a request and their permissions: one query a request, cached in `g`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask import current_app, g, has_request_context, request, session
from flask_appbuilder.security.sqla.manager import SecurityManager
from flask_login import LoginManager, current_user

from app.extensions import db
from app.models import LoginSession, Member
from app.operations.people.members import grants
from app.operations.people.sessions import end
from app.security import sessions

MENU_ACCESS = "menu_access"


class RegistrySecurityManager(SecurityManager):
    """Flask-AppBuilder's security manager, reduced to reading.

    It registers no views or APIs, creates no JWTs and no limiter, identifies a member by a row of
    `login_session`, and reads permissions in one query.
    """

    user_model = Member

    def register_views(self) -> None:
        """Register none: app.views.register adds every view."""

    def create_jwt_manager(self, app: Any) -> None:
        """Create none: a token would bypass captcha, lock and session row."""

    def create_limiter(self, app: Any) -> None:
        """Create none: its counters are per process; app.security.lockout counts in the database."""

    def create_login_manager(self, app: Any) -> LoginManager:
        """Identify members by our session row, not by the id in Flask-Login's cookie."""
        login_manager = LoginManager(app)
        login_manager.session_protection = None
        login_manager.request_loader(_load_member)
        return login_manager

    @staticmethod
    def before_request() -> None:
        """Do nothing: app.security.gate sets `g.user`."""

    def has_access(self, permission_name: str, view_name: str) -> bool:
        """Tell whether the member of this request holds a permission on a view."""
        return (permission_name, view_name) in permissions()

    def is_item_public(self, permission_name: str, view_name: str) -> bool:
        """Return False: app.security.gate lists what is public."""
        return False

    def get_user_menu_access(self, menu_names: Iterable[str] | None = None) -> set[str]:
        """Return the names of the menu entries that the member may see."""
        mine = {view for permission, view in permissions() if permission == MENU_ACCESS}
        return mine if menu_names is None else mine & set(menu_names)


# FAB's methods that would write members, roles or permissions without our rules and our log.
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
    """Return the member's permissions as (permission, view) pairs."""
    if "permissions" not in g:
        g.permissions = _load_permissions() if current_user.is_authenticated else frozenset()
    return g.permissions


def current_login() -> LoginSession | None:
    """Return the session of this request."""
    return g.get("login")


def _load_member(_request: Any) -> Member | None:
    """Return the member of the cookie's session; else None, with the reason in `g.ending`."""
    token = session.get("token")
    if not isinstance(token, str):
        return None
    state = sessions.find(token)
    if state and state.is_stale and not state.ending:
        # Once a minute; the commit expires the loaded rows.
        sessions.note_seen(state.login.id)
        db.session.commit()
        state = sessions.find(token)
    if state is None or state.ending:
        _forget(state)
        return None
    g.login = state.login
    g.facts = state.facts
    return state.login.member


def _forget(state: sessions.SessionState | None) -> None:
    """Clear the cookie of an ended session, and record the end where it is not yet recorded."""
    if state and not state.login.ended_at:
        end([state.login.id], state.ending)
        db.session.commit()
    session.clear()
    g.ending = state.ending if state else ""


def _load_permissions() -> frozenset[tuple[str, str]]:
    """Return what the roles of this request's member grant."""
    granted = _granted()
    return frozenset().union(*(granted.get(code, frozenset()) for code in current_user.role_codes))


def _granted() -> Mapping[str, frozenset[tuple[str, str]]]:
    """Return what each role grants, reloaded where the version read with the session has changed."""
    kept = current_app.extensions.get("held_by_roles")
    if kept is None or kept[0] != g.catalogue_version:
        kept = current_app.extensions["held_by_roles"] = (g.catalogue_version, grants())
    return kept[1]


def locale() -> str:
    """Return the language of this request: the cookie's, where supported."""
    known = current_app.config["LANGUAGES"]
    chosen = request.cookies.get("lang", "") if has_request_context() else ""
    return chosen if chosen in known else current_app.config["BABEL_DEFAULT_LOCALE"]
