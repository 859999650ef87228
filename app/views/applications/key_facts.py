"""What an application about a machine client's key says, as facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.machines import SCOPES


def key_facts(proposal: Mapping[str, Any]) -> list[tuple[Any, Any, str]]:
    """Return client and key of a proposal as facts."""
    key = proposal.get("jwk", {})
    scopes = "、".join(str(SCOPES.get(each, each)) for each in proposal.get("scopes", ()))
    shown = (
        (_("Client code"), proposal.get("client"), "code"),
        (_("Client name"), proposal.get("name"), "text"),
        (_("Trading venue"), proposal.get("venue"), "code"),
        (_("Scopes"), scopes, "text"),
        (_("Key id"), proposal.get("kid"), "code"),
        (_("Key type"), " ".join(key[name] for name in ("kty", "crv") if name in key), "text"),
        (_("Key thumbprint"), proposal.get("thumbprint"), "code"),
        (_("Client certificate (SHA-256, base64url)"), proposal.get("certificate"), "code"),
    )
    return [fact for fact in shown if fact[1]]
