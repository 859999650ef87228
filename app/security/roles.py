"""Roles as data: who may do what on which page, and which roles exclude each other.

`flask init` writes this table to the database (`sync_roles`), and the database guards the exclusions
and the row scope that a role needs (migrations/sql/0001/members.sql, which names the roles).
Menu entries need no line here: an entry shows to whoever may open the page behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import current_app
from flask_babel import lazy_gettext as _
from sqlalchemy import text

from app.domain.roles import ADMINISTRATORS, SCOPES
from app.security.manager import MENU_ACCESS


@dataclass(frozen=True)
class RoleSpec:
    """One role: its grants are view class -> permissions, without FAB's "can_"."""

    code: str
    title: Any
    grants: dict[str, str] = field(default_factory=dict)  # "list show" and so on

    @property
    def scope(self) -> str:
        """Return the row scope that the role needs: account, province or all."""
        return SCOPES[self.code]

    @property
    def is_administrator(self) -> bool:
        """Tell whether it is one of the three administrators', which exclude every other role."""
        return self.code in ADMINISTRATORS

    def permissions(self) -> set[tuple[str, str]]:
        """Return the (permission, view) pairs as Flask-AppBuilder names them."""
        return {
            (f"can_{name}", view) for view, names in self.grants.items() for name in names.split()
        }


# Every signed-in member's: the home page, announcements, the guides, their own password and their own
# jobs; in a demonstration also the mailbox, which a real registry does not have.
EVERYBODY = {
    "HomeView": "index",
    "AnnouncementView": "list export show",
    "HelpView": "show",
    "SignInView": "change_password",
    "JobView": "list export show abort",
    "JobFailureView": "list export",
    "MailboxView": "list export show",
}

# What may be looked at, within the member's row scope.
READING = {
    "AccountChangeView": "list export show",
    "CertificateView": "list export renew",
    "AttachmentView": "download",
    "AttestationView": "download",
    "RegistryToTradingView": "list export show",
    "TradingToRegistryView": "list export show",
    "ExchangeRegistryToTradingView": "list export show",
    "TransferPermissionView": "list export",
    "SurrenderView": "list export show",
    "CustodyDepositView": "list export show",
    "CustodyReturnView": "list export show",
    "LinkedEnterpriseView": "list export",
    "VoluntaryCancellationView": "list export show",
    "HoldingView": "list export",
    "RegistryEntryView": "list export",
    "TradingEntryView": "list export",
    "FrozenPartView": "list export",
    "IssuanceEnquiryView": "list export",
    "FreezeEnquiryView": "list export",
    "UnfreezeEnquiryView": "list export",
    "ConfiscationEnquiryView": "list export",
    "ConfiscationRefundEnquiryView": "list export",
}

# 数据字典: kept by the system administrator.
REFERENCE_DATA = ("SectorView", "CategoryView", "VenueView", "TradeCodeView", "CityView")

# What the administrators and the auditor may look up: who may do what, and which rules hold.
RULES_IN_FORCE = {
    "PermissionSheetView": "list export",
    "ParameterView": "list",
    "ParameterHistoryView": "list export",
    "DictionaryView": "list",
    **dict.fromkeys(REFERENCE_DATA, "list export"),
}

# How compliance stands; who issues notices, adjusts them and reminds has ISSUES_NOTICES.
COMPLIANCE = {
    "NoticeView": "list export show certificate",
    "ComplianceStatisticsView": "show",
    "ComplianceGapView": "list export",
}
ISSUES_NOTICES = {"NoticeView": "list export show certificate write bulk"}

# What those who review have besides.
REVIEWS = {
    "SigningView": "sign",
    "ReviewView": "list export show review bulk",
    "ReviewedView": "list export show",
}

# The administrators' own certificates, and those of others without an enterprise.
CERTIFIED = {"CertificateView": "list export renew"}

# What only the account representative does: who acts for the enterprise, and how many of them.
REPRESENTATIVES: dict[str, str] = {
    "OperatorView": "list export write",
    "ColleagueReviewView": "list export switch",
    "CertificateView": "list export renew manage",
}

ENTERPRISE = RoleSpec(
    "enterprise",
    _("Emitting enterprise"),
    {
        **EVERYBODY,
        **READING,
        "AccountChangeView": "list export show write reveal",
        "RegistryToTradingView": "list export show write",
        "TransferPermissionView": "list export switch",
        "ComplianceView": "list export show certificate",
        "SurrenderView": "list export show write",
        "CustodyDepositView": "list export show write",
        "CustodyReturnView": "list export show write",
        "VoluntaryCancellationView": "list export show write",
        **REPRESENTATIVES,
        **REVIEWS,  # As the receiver of what another enterprise returns from custody.
    },
)
# The representative's colleagues: who enters and submits, and who says yes or no to it.
ENTERPRISE_MAKER = RoleSpec(
    "enterprise_maker",
    _("Enterprise operator (maker)"),
    {
        name: allowed
        for name, allowed in ENTERPRISE.grants.items()
        if name not in REVIEWS and name not in REPRESENTATIVES
    }
    | {
        "CertificateView": READING["CertificateView"],
        "SigningView": "sign",
        "TransferPermissionView": "list export",
        "AccountChangeView": "list export show write",
    },
)
ENTERPRISE_CHECKER = RoleSpec(
    "enterprise_checker",
    _("Enterprise operator (checker)"),
    {
        **EVERYBODY,
        **READING,
        "ComplianceView": "list export show certificate",
        **REVIEWS,
    },
)
PROVINCE = RoleSpec(
    "province",
    _("Provincial authority"),
    {**EVERYBODY, **READING, **REVIEWS, **COMPLIANCE, **ISSUES_NOTICES},
)
# What the registry's officers look at besides, and what the first of two enters.
OFFICERS: dict[str, str] = {
    **COMPLIANCE,
    "AnnouncementDeskView": "list export show",
    "SurrenderRefundView": "list export show",
    "AccountChangeView": "list export show reveal",
    "AccountOpeningView": "list export show reveal",
    "CertificateView": "list export renew manage",
    "CertificateReplacementView": "list export show",
    "InstrumentView": "list export",
    "IssuanceView": "list export show",
    "CustodyLinkView": "list export show",
    "FreezeView": "list export show",
    "UnfreezeView": "list export show",
    "ConfiscationView": "list export show",
    "ConfiscationRefundView": "list export show",
    "RestrictionView": "list export show",
    "RestrictionLiftingView": "list export show",
}
ENTERED: dict[str, str] = {
    **ISSUES_NOTICES,
    "AnnouncementDeskView": "list export show write",
    "AccountOpeningView": "list export show reveal write bulk",
    "CertificateReplacementView": "list export show write",
    "SurrenderRefundView": "list export show write",
    "InstrumentView": "list export write",
    "IssuanceView": "list export show write bulk",
    "CustodyLinkView": "list export show write",
    "FreezeView": "list export show write",
    "UnfreezeView": "list export show write",
    "ConfiscationView": "list export show write",
    "ConfiscationRefundView": "list export show write",
    "RestrictionView": "list export show write",
    "RestrictionLiftingView": "list export show write",
}
REGISTRY_MAKER = RoleSpec(
    "registry_maker",
    _("Registry officer (maker)"),
    {**EVERYBODY, **READING, **REVIEWS, **OFFICERS, **ENTERED},
)
REGISTRY_CHECKER = RoleSpec(
    "registry_checker",
    _("Registry officer (checker)"),
    {
        **EVERYBODY,
        **READING,
        **REVIEWS,
        **OFFICERS,
        "AnnouncementDeskView": "list export show publish",
    },
)
SYSTEM_ADMIN = RoleSpec(
    "system_admin",
    _("System administrator"),
    {
        **EVERYBODY,
        **RULES_IN_FORCE,
        **CERTIFIED,
        "MemberView": "list export add switch confirm",
        "ParameterView": "list edit",
        **dict.fromkeys(REFERENCE_DATA, "list export edit bulk"),
        "TradingCalendarView": "list export edit",
        "ClockView": "show set",
    },
)
SECURITY_ADMIN = RoleSpec(
    "security_admin",
    _("Security administrator"),
    {
        **EVERYBODY,
        **RULES_IN_FORCE,
        "CertificateView": "list export renew manage",
        "MemberView": "list export edit certify",
        "OnlineView": "list export end bulk",
        "LockView": "list export unlock",
        "LoginRecordView": "list export",
    },
)
AUDITOR = RoleSpec(
    "auditor",
    _("Auditor"),
    {
        **EVERYBODY,
        **RULES_IN_FORCE,
        **CERTIFIED,
        "LoginRecordView": "list export",
        "OperationLogView": "list export show",
        "MemberView": "list export",
    },
)

ROLES = {
    role.code: role
    for role in (
        ENTERPRISE,
        ENTERPRISE_MAKER,
        ENTERPRISE_CHECKER,
        PROVINCE,
        REGISTRY_MAKER,
        REGISTRY_CHECKER,
        SYSTEM_ADMIN,
        SECURITY_ADMIN,
        AUDITOR,
    )
}


def codes_of(member: Any) -> list[str]:
    """Return a member's roles in the order of the table."""
    held = {role.name for role in member.roles}
    return [code for code in ROLES if code in held]


def title_of(member: Any) -> str:
    """Return what a member's roles are called."""
    return "、".join(str(ROLES[code].title) for code in codes_of(member))


def sync_roles(session: Any) -> None:
    """Write roles and permissions to the database, and remove what is no longer granted.

    ``session`` belongs to the schema's owner; safe to repeat and to run from two machines at once.
    The caller commits.
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
    """Return (role, menu entry) for every entry whose page the role may open, and its category."""
    found = set()
    for category in current_app.appbuilder.menu.get_list():  # type: ignore[attr-defined]
        for item in category.childs or [category]:
            for code, role in ROLES.items():
                if item.baseview and may_open(role, item.baseview):
                    found |= {(code, item.name), (code, category.name)}
    return found


def may_open(role: RoleSpec, view: Any) -> bool:
    """Tell whether a role may open the page that a menu entry leads to."""
    permission = f"can_{view.get_method_permission(view.default_view)}"
    return (permission, view.class_permission_name) in role.permissions()


# Set-based; the parallel arrays are unnested side by side.
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
