"""Roles: the row scope that each needs, and which exclude each other; app/security has their grants.

The database guards the same (migrations/sql/0005_operators.sql).
"""

from __future__ import annotations

from collections.abc import Iterable

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError

# Role -> account (本单位), province (省) or all (全国).
SCOPES = {
    "enterprise": "account",
    "enterprise_maker": "account",
    "enterprise_checker": "account",
    "province": "province",
    "registry_maker": "all",
    "registry_checker": "all",
    "system_admin": "all",
    "security_admin": "all",
    "auditor": "all",
}
ADMINISTRATORS = frozenset({"system_admin", "security_admin", "auditor"})


def scope_for(account_id: int | None, province: str | None) -> str:
    """Return the row scope that the roles of a member of this account or province must have."""
    return "account" if account_id else "province" if province else "all"


def require_compatible(
    codes: Iterable[str], *, account_id: int | None, province: str | None
) -> None:
    """Raise RuleError unless one person may hold these roles together with this row scope.

    The three administrators exclude each other and every business role; a role that sees one
    account or one province must not be held by someone whose scope is everything.
    """
    chosen = set(codes)
    if len(chosen) > 1 and chosen & ADMINISTRATORS:
        raise RuleError(
            _("An administrator's role excludes every other role"),
            field="role",
            code="role_exclusion",
        )
    if any(SCOPES[code] != scope_for(account_id, province) for code in chosen):
        raise RuleError(
            _("The role does not fit the member's account or province"),
            field="role",
            code="role_scope",
        )
