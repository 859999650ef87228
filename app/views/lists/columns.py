"""The columns of a list page: how a value is rendered on screen and in an exported file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from flask_babel import lazy_gettext as _
from markupsafe import escape
from sqlalchemy import (
    ColumnElement,
    DateTime,
    Numeric,
    String,
    case,
    cast,
    func,
    literal,
    null,
    type_coerce,
)
from sqlalchemy.types import NullType

from app.domain.money import yuan
from app.domain.trading_day import BEIJING

NOTHING = "-"
TONNES, YUAN = _("tonnes"), _("yuan")
_KINDS = ("text", "code", "quantity", "change", "number", "money", "money_change", "datetime", "date",
          "status", "boolean")  # fmt: skip
_UNITS = {"quantity": TONNES, "change": TONNES, "money": YUAN, "money_change": YUAN}
_CLASSES = {
    "quantity": "num",
    "change": "num",
    "number": "num",
    "money": "num",
    "money_change": "num",
    "datetime": "nowrap time",
    "date": "nowrap",
}
_CLASSES |= {"code": "code", "status": "nowrap", "boolean": "nowrap"}
# The first characters of a formula, and what a spreadsheet skips before them.
_FORMULA_STARTS = "=+-@\t\r\n＝＋－＠"
_SKIPPED = " \u00a0\u3000\ufeff\u200b"
_SUSPICIOUS = sorted(ord(character) for character in _FORMULA_STARTS + _SKIPPED)
_FORMULA = f"^[{_SKIPPED}]*[=+@\t\r\n＝＋－＠-]"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``key`` is the label of the page's rows that it shows.

    ``kind``: text, code (left-aligned, never grouped), quantity (tonnes, unless ``unit`` says
    otherwise), change (a signed quantity), number, money (fen, shown in yuan), money_change (signed),
    datetime, date, status, boolean.  ``choices`` maps stored values to a title, or to (title, tone)
    with a tone of grey, amber, green, red, blue.
    ``is_sortable`` needs an index on (column, the page's key); a sortable column that may be NULL must
    say ``is_nullable``.  ``link`` returns the address of a row's cell.  A code that ``is_long`` may
    wrap anywhere.
    """

    key: str
    title: Any
    kind: str = "text"
    is_sortable: bool = False
    is_shown: bool = True  # By default.
    is_of_others: bool = (
        False  # Tells one member's rows from another's: not for 本单位, who has one.
    )
    is_nullable: bool = False
    choices: Mapping[Any, Any] = field(default_factory=dict)
    unit: Any = ""
    link: Callable[[Any], str | None] | None = None
    is_long: bool = False

    def __post_init__(self) -> None:
        assert self.kind in _KINDS, f"{self.key}: unknown kind of column {self.kind}"
        # A lazy text cannot be evaluated before there is a catalogue.
        if self.kind in _UNITS and isinstance(self.unit, str) and not self.unit:
            object.__setattr__(self, "unit", _UNITS[self.kind])

    @property
    def css(self) -> str:
        """The CSS classes that align it; the title of a choice does not wrap."""
        if self.is_long:
            return f"{_CLASSES[self.kind]} long-code"
        return _CLASSES.get(self.kind, "nowrap" if self.choices else "")

    @property
    def heading(self) -> str:
        """Title and unit in one text, for a file's header."""
        return f"{self.title}（{self.unit}）" if self.unit else str(self.title)

    @property
    def starts_descending(self) -> bool:
        """Whether the first click sorts descending: people look for the latest and the most."""
        return self.kind in (*_UNITS, "number", "datetime", "date")

    def cell(self, row: Any) -> Cell:
        value = row._mapping[self.key]
        url = self.link(row) if self.link else None
        if value is None or value == "":
            return Cell(NOTHING, self.css, url=url)
        if self.choices:
            title, tone = _words(self.choices.get(value, str(value)))
            return Cell(str(title), self.css, tone=tone if self.kind == "status" else "", url=url)
        text = _WRITTEN[self.kind](value)
        css = f"{self.css} codes" if self.kind == "code" and "、" in text else self.css
        return Cell(text, css, url=url)

    def in_file(self, value: ColumnElement[Any], *, has_types: bool = False) -> ColumnElement[Any]:
        """Return the SQL expression that writes the value into a file.

        Files are written by the database (performance.md 7): titles of codes, local times, and no cell
        that a spreadsheet would evaluate, unless the file ``has_types``.
        """
        safe = without_formula if self.kind != "code" else without_number
        guarded = _unchanged if has_types else safe
        if self.choices:
            whens = {_plain(key): str(_words(title)[0]) for key, title in self.choices.items()}
            return case(whens, value=value, else_=guarded(cast(value, String)))
        if self.kind in ("money", "money_change"):
            return func.round(cast(value, Numeric) / 100, 2, type_=Numeric(18, 2))
        if self.kind == "boolean":
            return case((value.is_(None), null()), (value, str(_("Yes"))), else_=str(_("No")))
        if self.kind == "datetime" and isinstance(value.type, DateTime):
            local = func.timezone(BEIJING.key, value)
            return func.date_trunc("second", local, type_=DateTime())
        if isinstance(value.type, NullType) and self.kind in ("text", "code"):
            value = cast(value, String)  # The type of string_agg, for one, is unknown.
        return guarded(value) if isinstance(value.type, String) else value


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    css: str = ""
    tone: str = ""
    url: str | None = None

    @property
    def html(self) -> str:
        """The cell as a table draws it; in Python, since a page has hundreds."""
        content: str = escape(self.text)
        if self.tone:
            content = f'<span class="tag tag-{self.tone}">{content}</span>'
        if self.url:
            content = f'<a href="{escape(self.url)}">{content}</a>'
        return f'<td class="{self.css}">{content}</td>' if self.css else f"<td>{content}</td>"


def without_formula(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Put ' before a text that a spreadsheet would evaluate, also after leading spaces.

    Comparing the code of the first character is cheap and decides nearly always; the regular
    expression runs for the rest.
    """
    value = type_coerce(value, String)
    first = func.ascii(value)
    is_suspicious = first.in_([literal(code) for code in _SUSPICIOUS])
    is_formula = value.regexp_match(_FORMULA)
    return case((is_suspicious & is_formula, literal("'").concat(value)), else_=value)


def without_number(code: ColumnElement[Any]) -> ColumnElement[Any]:
    """Put a tab before a code of digits alone, which a spreadsheet would take for a number.

    A number loses leading zeros and every digit after the fifteenth.  The tab is invisible and is
    trimmed on import (docs/adr/0056).
    """
    code = type_coerce(code, String)
    is_number = func.ascii(code).between(literal(48), literal(57)) & (
        func.ltrim(code, "0123456789") == ""
    )
    return case((is_number, literal("\t").concat(code)), else_=without_formula(code))


def spreadsheet_text(text: str, *, is_code: bool = False) -> str:
    """Return a text for a file that the program writes, guarded as the database guards lists."""
    if re.match(_FORMULA, text):
        return f"'{text}"
    return f"\t{text}" if is_code and text.isascii() and text.isdigit() else text


def _unchanged(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return value


def _plain(key: Any) -> Any:
    """Return a stored value as the driver knows it: the value of an enumeration member."""
    return key.value if isinstance(key, Enum) else key


def _words(title: Any) -> tuple[Any, str]:
    return title if isinstance(title, tuple) else (title, "grey")


def _local(value: datetime) -> str:
    assert value.tzinfo is not None, "times are stored with their zone"
    return value.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


_WRITTEN: dict[str, Callable[[Any], str]] = {
    "text": str,
    "code": str,
    "quantity": lambda value: f"{value:,}",
    "change": lambda value: f"{value:+,}" if value else "0",
    "number": lambda value: f"{value:,}",
    "money": yuan,
    "money_change": lambda value: f"+{yuan(value)}" if value > 0 else yuan(value),
    "datetime": _local,
    "date": lambda value: value.isoformat(),
    "status": str,
    "boolean": lambda value: str(_("Yes") if value else _("No")),
}
