"""Errors of requests, with messages for users."""

from __future__ import annotations

from typing import Any


class RuleError(Exception):
    """A rule refuses the request; nothing has changed.

    ``code`` identifies the rule (docs/rules.md); ``field`` the form field of the message, e.g.
    ``lines.<instrument_id>.quantity``, or "".
    """

    code = "rule"

    def __init__(self, message: Any, *, field: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.code = code or self.code

    def __str__(self) -> str:
        return str(self.message)


class NotAllowed(RuleError):
    """The member may not do this to this object now."""

    code = "not_allowed"


class NotFound(RuleError):
    """No such object exists within the member's row scope."""

    code = "not_found"


class OutsideTradingHours(RuleError):
    """Transfers are accepted only before the cut-off of a trading day (manual 四-一)."""

    code = "outside_trading_hours"


class InsufficientQuantity(RuleError):
    """The quantity exceeds the pocket's balance."""

    code = "insufficient_quantity"
