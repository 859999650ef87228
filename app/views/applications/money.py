"""How the pages of applications show money: yuan where tonnes would stand, and the bank account."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flask_babel import lazy_gettext as _

from app.operations.applications.banking import KINDS_OF_MONEY
from app.views.lists.columns import TONNES, YUAN

UNITS = {"number": TONNES, "money": YUAN}  # by kind of cell


def measure(kind: str) -> tuple[str, Any]:
    """Return the kind of cell and the unit in which a kind of instrument is measured."""
    return ("money", YUAN) if kind == "money" else ("number", TONNES)


def by_measure(
    rows: Iterable[Any], kind_of: Callable[[Any], str]
) -> Iterator[tuple[str, list[Any]]]:
    """Yield the rows of tonnes and then those of money, each under a kind of instrument."""
    found = list(rows)
    for kind in ("allowance", "money"):
        mine = [row for row in found if (kind_of(row) == "money") is (kind == "money")]
        if mine:
            yield kind, mine


def reader(*, is_money: bool) -> Callable[[Any], Any]:
    """Return what reads a line's quantity in a column of tonnes or of money."""
    return lambda line: line.quantity if (line.instrument.kind == "money") is is_money else None


def bank_table(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bank account that an application is about; only its last digits are shown."""
    return {
        "title": _("Bank account"),
        "columns": [{"label": _("Field")}, {"label": _("Value")}],
        "rows": [
            [_("Settlement bank"), proposal.get("bank_name", "")],
            [_("Account holder"), proposal.get("holder_name", "")],
            [_("Last digits of the account"), proposal.get("account_ending", "")],
        ],
    }


__all__ = ["KINDS_OF_MONEY", "UNITS", "bank_table", "by_measure", "measure", "reader"]
