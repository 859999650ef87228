"""机器接入: what a machine client may do at which interface, and how one is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _

CLIENT_CODE = re.compile(
    r"[A-Z][A-Z0-9]{1,9}"
)  # A request's key holds it (operations/exchange/trading.py).
# A member's credential has a code of its own, which the database gives.
CREDENTIAL_CODE = re.compile(r"M[0-9]{8}", re.ASCII)
KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
THUMBPRINT = re.compile(
    r"[A-Za-z0-9_-]{43}"
)  # SHA-256 in base64url, without padding (RFC 8705, 3.1)
LONGEST_CLIENT_NAME = 100
LONGEST_KEY_YEARS = 2

# What a token may be used for.
SCOPES = {
    "transfers:write": _("Start transfers"),
    "transfers:read": _("Read own transfers"),
    "members:read": _("Read members"),
    "positions:read": _("Read positions"),
    "funds:read": _("Read money of participants"),
    "settlement:write": _("Hand in day packages and confirm results"),
    "settlement:read": _("Read the settlement of days"),
    "calendar:read": _("Read calendar and tradable instruments"),
}
# The same of a member's own system, at the member interface.
MEMBER_SCOPES = {
    "holdings:read": _("Read holdings and their entries"),
    "statements:read": _("Read settlement statements"),
    "notices:read": _("Read compliance notices"),
    "applications:read": _("Read applications"),
}
# The same of 全国碳市场管理平台, which pushes its tables (rules-2026 N03).
PLATFORM_SCOPES = {
    "figures:write": _("Push tables of verified data"),
    "figures:read": _("Read own tables and their differences"),
}
# The interfaces by name, which is that of their addresses and of their tokens' realm.
EXCHANGE, MEMBER, PLATFORM = "exchange", "member", "platform"
INTERFACES = {EXCHANGE: SCOPES, MEMBER: MEMBER_SCOPES, PLATFORM: PLATFORM_SCOPES}
ALL_SCOPES = SCOPES | MEMBER_SCOPES | PLATFORM_SCOPES
PLATFORM_TITLE = _("National carbon market management platform")
# How a client may sign (RFC 7518, RFC 9864), by type of its key; EdDSA is the older name of Ed25519.
ALGORITHMS = {"EC": ("ES256",), "OKP": ("Ed25519", "EdDSA"), "RSA": ("PS256",)}


def owner_of(proposal: Mapping[str, Any]) -> str:
    """Return whose client an application proposes: `PLATFORM`, or the code of a venue."""
    return PLATFORM if proposal.get("is_platform") else proposal.get("venue", "")


def scopes_of(owner: str) -> Mapping[str, Any]:
    """Return the scopes, with their titles, that a client of this owner may have."""
    return PLATFORM_SCOPES if owner == PLATFORM else SCOPES
