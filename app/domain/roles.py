"""Roles: the row scope each requires and their mutual exclusions; app/security has the grants.

The database enforces the same (app/migrations/sql/0001/members.sql).
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
# Role -> what its holder is certified as: whose enrolment whom a person may sign for (docs/adr/0071).
REPRESENTATIVE, OPERATOR, STAFF = "representative", "operator", "staff"
KINDS = {
    "enterprise": REPRESENTATIVE,
    "enterprise_maker": OPERATOR,
    "enterprise_checker": OPERATOR,
    "province": "province",
    "registry_maker": STAFF,
    "registry_checker": STAFF,
    **{code: code for code in sorted(ADMINISTRATORS)},
}
OF_ENTERPRISES = frozenset({REPRESENTATIVE, OPERATOR})


def scope_for(account_id: int | None, province: str | None) -> str:
    """Return the row scope that the roles of such a member must require."""
    return "account" if account_id else "province" if province else "all"


def require_compatible(
    codes: Iterable[str], *, account_id: int | None, province: str | None
) -> None:
    """Raise RuleError unless one person may hold these roles together with this row scope.

    三员 exclude each other and every business role; a role of an account or province cannot be
    held by a member with national scope.
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
