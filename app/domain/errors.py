"""What can be wrong with a request, worded for the person at the keyboard."""

from __future__ import annotations

from typing import Any


class RuleError(Exception):
    """A rule of the registry refuses the act; nothing has changed.

    ``code`` names the rule for machines and for the rule table; ``field`` names the form field
    (or ``lines.<instrument_id>.quantity``) that the message belongs to, where there is one.
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
    """The person may not do this to this object now."""

    code = "not_allowed"


class NotFound(RuleError):
    """There is no such object within the person's row scope."""

    code = "not_found"


class OutsideTradingHours(RuleError):
    """Transfers are accepted only before the cut-off of a trading day (manual 四-一)."""

    code = "outside_trading_hours"


class InsufficientQuantity(RuleError):
    """More is asked for than the pocket holds, in tonnes."""

    code = "insufficient_quantity"
