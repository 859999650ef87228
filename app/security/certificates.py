"""The seam of the second step: what sign-in still asks for after the right password."""

from __future__ import annotations

from typing import Any

from flask import current_app


def second_step(member_id: int) -> Any:
    """Return the response that asks for the member's certificate, or None where none is asked for."""
    assert current_app.config["CERT_LOGIN"] == "off", "certificates are not built yet"
    return None
