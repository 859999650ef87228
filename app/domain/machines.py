"""机器接入: what a machine client may do at which interface, and how one is named."""

from __future__ import annotations

import re

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
# The interfaces by name, which is that of their addresses and of their tokens' realm.
EXCHANGE, MEMBER = "exchange", "member"
INTERFACES = {EXCHANGE: SCOPES, MEMBER: MEMBER_SCOPES}
ALL_SCOPES = SCOPES | MEMBER_SCOPES
# How a client may sign (RFC 7518, RFC 9864), by type of its key; EdDSA is the older name of Ed25519.
ALGORITHMS = {"EC": ("ES256",), "OKP": ("Ed25519", "EdDSA"), "RSA": ("PS256",)}
