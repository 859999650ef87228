"""Roles: their titles and the permissions that pages grant them.

Each page declares its grants, and `flask init` writes them to the database (`sync_roles`), which
enforces the exclusions and row scopes of roles (migrations/sql/0001/members.sql).  A menu entry is
shown to the roles that may open its page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import current_app
from flask_babel import lazy_gettext as _
from sqlalchemy import text

from app.domain import roles as domain
from app.security.manager import MENU_ACCESS

# Recipients of grants: codes of roles, separated by spaces.
REPRESENTATIVE = "enterprise"
APPLICANTS = f"{REPRESENTATIVE} enterprise_maker"  # who enter and submit for an enterprise
ENTERPRISES = f"{APPLICANTS} enterprise_checker"
PROVINCE = "province"
REGISTRY_MAKER, REGISTRY_CHECKER = "registry_maker", "registry_checker"
OFFICERS = f"{REGISTRY_MAKER} {REGISTRY_CHECKER}"
AUTHORITIES = f"{PROVINCE} {OFFICERS}"
# A maker never reviews.
REVIEWERS = f"{REPRESENTATIVE} enterprise_checker {AUTHORITIES}"
READERS = f"{ENTERPRISES} {AUTHORITIES}"  # all business roles
SYSTEM_ADMIN, SECURITY_ADMIN, AUDITOR = "system_admin", "security_admin", "auditor"
ADMINISTRATORS = " ".join(code for code in domain.SCOPES if code in domain.ADMINISTRATORS)
ALL_ROLES = f"{READERS} {ADMINISTRATORS}"


@dataclass(frozen=True)
class RoleSpec:
    """One role: code, title, and its guide."""

    code: str
    title: Any
    guide: str

    @property
    def scope(self) -> str:
        """Return the row scope that the role requires: account, province or all."""
        return domain.SCOPES[self.code]

    @property
    def is_administrator(self) -> bool:
        """Tell whether it is one of 三员, which exclude every other role."""
        return self.code in domain.ADMINISTRATORS

    def permissions(self) -> frozenset[tuple[str, str]]:
        """Return its granted (permission, view) pairs, in Flask-AppBuilder's names."""
        return current_app.extensions["grants"][self.code]


ROLES = {
    role.code: role
    for role in (
        RoleSpec("enterprise", _("Emitting enterprise"), "enterprise"),
        # The representative's colleagues.
        RoleSpec("enterprise_maker", _("Enterprise operator (maker)"), "enterprise"),
        RoleSpec("enterprise_checker", _("Enterprise operator (checker)"), "enterprise"),
        RoleSpec("province", _("Provincial authority"), "province"),
        RoleSpec("registry_maker", _("Registry officer (maker)"), "registry"),
        RoleSpec("registry_checker", _("Registry officer (checker)"), "registry"),
        RoleSpec("system_admin", _("System administrator"), "administration"),
        RoleSpec("security_admin", _("Security administrator"), "administration"),
        RoleSpec("auditor", _("Auditor"), "administration"),
    )
}


def gather(pages: Iterable[Any]) -> None:
    """Store the grants of the pages, by role, in the application."""
    found: dict[str, set[tuple[str, str]]] = {code: set() for code in ROLES}
    for page in pages:
        for codes, permissions in page.grants.items():
            for code in codes.split():
                view = page.class_permission_name
                found[code] |= {(f"can_{name}", view) for name in permissions.split()}
    current_app.extensions["grants"] = {code: frozenset(pairs) for code, pairs in found.items()}


def codes_of(member: Any) -> list[str]:
    """Return a member's roles in the order of the table."""
    held = member.role_codes or {role.name for role in member.roles}
    return [code for code in ROLES if code in held]


def title_of(member: Any) -> str:
    """Return the titles of a member's roles."""
    return "、".join(str(ROLES[code].title) for code in codes_of(member))


def sync_roles(session: Any) -> None:
    """Write roles and grants to the database, and delete grants no longer declared.

    ``session`` is the schema owner's; safe to repeat and to run concurrently.  The caller commits.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('sync_roles', 0))"))
    granted = {(code, *pair) for code, role in ROLES.items() for pair in role.permissions()}
    granted |= {(code, MENU_ACCESS, name) for code, name in _menu_grants()}
    pairs = _registered() | {(permission, view) for _code, permission, view in granted}
    rows = {
        "roles": list(ROLES),
        "permissions": [permission for permission, _view in sorted(pairs)],
        "views": [view for _permission, view in sorted(pairs)],
        "granted_to": [code for code, _permission, _view in sorted(granted)],
        "granted_permission": [permission for _code, permission, _view in sorted(granted)],
        "granted_view": [view for _code, _permission, view in sorted(granted)],
    }
    for statement in _SYNC.split(";"):
        if statement.strip():
            session.execute(text(statement), rows)


def _registered() -> set[tuple[str, str]]:
    """Return the permissions of every registered view and the access to every menu entry."""
    views = current_app.appbuilder.baseviews  # type: ignore[attr-defined]
    found = {
        (permission, view.class_permission_name)
        for view in views
        for permission in view.base_permissions
    }
    menu = current_app.appbuilder.menu  # type: ignore[attr-defined]
    return found | {(MENU_ACCESS, name) for name in menu.get_flat_name_list()}


def _menu_grants() -> set[tuple[str, str]]:
    """Return (role, menu entry) for every entry whose page the role may open, and for its category."""
    found = set()
    for category in current_app.appbuilder.menu.get_list():  # type: ignore[attr-defined]
        for item in category.childs or [category]:
            for code, role in ROLES.items():
                if item.baseview and may_open(role, item.baseview):
                    found |= {(code, item.name), (code, category.name)}
    return found


def may_open(role: RoleSpec, view: Any) -> bool:
    """Tell whether a role may open a menu entry's page."""
    permission = f"can_{view.get_method_permission(view.default_view)}"
    return (permission, view.class_permission_name) in role.permissions()


# Set-based: parallel arrays, unnested together.
_SYNC = """
INSERT INTO ab_role (id, name)
SELECT nextval('ab_role_id_seq'), name FROM unnest(CAST(:roles AS text[])) AS name
 WHERE name NOT IN (SELECT name FROM ab_role);

INSERT INTO ab_permission (id, name)
SELECT nextval('ab_permission_id_seq'), name
  FROM (SELECT DISTINCT unnest(CAST(:permissions AS text[])) AS name) AS wanted
 WHERE name NOT IN (SELECT name FROM ab_permission);

INSERT INTO ab_view_menu (id, name)
SELECT nextval('ab_view_menu_id_seq'), name
  FROM (SELECT DISTINCT unnest(CAST(:views AS text[])) AS name) AS wanted
 WHERE name NOT IN (SELECT name FROM ab_view_menu);

INSERT INTO ab_permission_view (id, permission_id, view_menu_id)
SELECT nextval('ab_permission_view_id_seq'), p.id, v.id
  FROM unnest(CAST(:permissions AS text[]), CAST(:views AS text[])) AS wanted (permission, view)
  JOIN ab_permission p ON p.name = wanted.permission
  JOIN ab_view_menu v ON v.name = wanted.view
ON CONFLICT DO NOTHING;

INSERT INTO ab_permission_view_role (id, permission_view_id, role_id)
SELECT nextval('ab_permission_view_role_id_seq'), pv.id, r.id
  FROM unnest(CAST(:granted_to AS text[]), CAST(:granted_permission AS text[]),
              CAST(:granted_view AS text[])) AS wanted (role, permission, view)
  JOIN ab_role r ON r.name = wanted.role
  JOIN ab_permission p ON p.name = wanted.permission
  JOIN ab_view_menu v ON v.name = wanted.view
  JOIN ab_permission_view pv ON pv.permission_id = p.id AND pv.view_menu_id = v.id
ON CONFLICT DO NOTHING;

DELETE FROM ab_permission_view_role g
 USING ab_role r, ab_permission_view pv, ab_permission p, ab_view_menu v
 WHERE r.id = g.role_id AND pv.id = g.permission_view_id AND p.id = pv.permission_id
   AND v.id = pv.view_menu_id
   AND (r.name, p.name, v.name) NOT IN (
       SELECT * FROM unnest(CAST(:granted_to AS text[]), CAST(:granted_permission AS text[]),
                            CAST(:granted_view AS text[])))
"""
