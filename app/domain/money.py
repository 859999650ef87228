"""Money in whole fen: read from what people and machines write in yuan, and shown in yuan."""

from __future__ import annotations

import re
from decimal import Decimal

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError

LARGEST_AMOUNT = 10**15  # fen: ten trillion yuan, above the value of all allowances
_YUAN = re.compile(r"[0-9]{1,14}(\.[0-9]{1,2})?", re.ASCII)


def fen(typed: str | None, *, field: str = "amount", may_be_zero: bool = False) -> int:
    """Read an amount in yuan, at most two decimals, as whole fen.

    Raises RuleError for anything else (a sign, separators, three decimals, full-width digits).
    """
    text = (typed or "").strip()
    if not text:
        raise RuleError(_("Enter an amount in yuan"), field=field, code="amount_missing")
    if not _YUAN.fullmatch(text):
        raise RuleError(
            _(
                "An amount is written in yuan with at most two decimals, in plain digits 0-9"
                " (no sign, no separators): %(typed)s",
                typed=text[:30],
            ),
            field=field,
            code="amount_malformed",
        )
    found = int(Decimal(text) * 100)
    if found == 0 and not may_be_zero:
        raise RuleError(_("The amount must be at least 0.01 yuan"), field=field, code="amount_zero")
    if found > LARGEST_AMOUNT:
        raise RuleError(
            _("The amount is above the limit of %(limit)s yuan", limit=yuan(LARGEST_AMOUNT)),
            field=field,
            code="amount_too_large",
        )
    return found


def yuan(amount: int) -> str:
    """Return fen as yuan for people: 1,234,567.80."""
    return f"{Decimal(amount) / 100:,.2f}"


def written(quantity: int, *, is_money: bool) -> str:
    """Return a line's quantity in a sentence: tonnes, or yuan where it is money in fen."""
    if is_money:
        return str(_("%(amount)s yuan", amount=yuan(quantity)))
    return str(_("%(count)s tonnes", count=f"{quantity:,}"))


def plain_yuan(amount: int) -> str:
    """Return fen as yuan for files and machines: 1234567.80."""
    return f"{Decimal(amount) / 100:.2f}"
