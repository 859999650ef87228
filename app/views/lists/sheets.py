"""Tables of statements, the same for a page, a PDF and a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.money import plain_yuan, yuan
from app.domain.trading_day import BEIJING
from app.views.lists.columns import spreadsheet_text


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of a statement, for page and files; columns are (label, kind, unit)."""

    title: Any
    columns: Sequence[tuple[Any, str, Any]]
    rows: Sequence[Sequence[Any]]

    def shown(self) -> dict[str, Any]:
        """Return it as a page shows it (parts/cells.html)."""
        columns = [
            {"label": str(label), "kind": kind, "unit": str(unit)}
            for label, kind, unit in self.columns
        ]
        kinds = [kind for _label, kind, _unit in self.columns]
        rows = [[shown_value(*each) for each in zip(row, kinds, strict=True)] for row in self.rows]
        return {"title": str(self.title), "columns": columns, "rows": rows}

    def lines(self) -> list[list[str]]:
        """Return it as a file has it, headings first."""
        headings = [
            f"{label}（{unit}）" if unit else str(label) for label, _k, unit in self.columns
        ]
        kinds = [kind for _label, kind, _unit in self.columns]
        rows = [[plain_value(*each) for each in zip(row, kinds, strict=True)] for row in self.rows]
        return [headings, *rows]


def shown_value(value: Any, kind: str) -> Any:
    """Return a figure as a page and a PDF have it."""
    if value is None:
        return ""
    if kind == "money":
        return yuan(value)
    if kind == "status":
        title, tone = value
        return {"label": str(title), "tone": tone}
    if kind == "datetime":
        return f"{value.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
    return value if kind in ("number", "date") else str(value)


def plain_value(value: Any, kind: str) -> str:
    """Return a figure as a file has it: plain numbers, no formula."""
    if value is None:
        return ""
    if kind == "money":
        return plain_yuan(value)
    if kind == "status":
        return str(value[0])
    shown = str(shown_value(value, kind))
    return spreadsheet_text(shown, is_code=kind == "code") if kind in ("text", "code") else shown
