"""The conditions of a list page: what may be asked, what a request asks, and what is wrong with it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, DateTime, literal, or_
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from app.domain.texts import narrow
from app.domain.trading_day import BEIJING
from app.models.account import has_part

LONGEST = 100  # Characters in one condition; far above every code and name.
_LARGEST = 2**63 - 1  # PostgreSQL's bigint.
_YEARS = range(1900, 3000)  # Beyond these a date is a slip, and arithmetic on it may overflow.
_DAY = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
_MOMENT = re.compile(_DAY.pattern + r"[ T]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")

Columns = ReadOnlyColumnCollection[str, Any]  # The labels of a page's SELECT.


class Wrong(Exception):
    """What was typed cannot be used; the argument says why."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition of the query form.

    ``kind``: text (part of a name), prefix (the beginning of a code), exact, number, choice, date,
    datetime, and the ranges date_range, datetime_range, quantity_range, which read ``name_from`` and
    ``name_to``.  ``on`` names the labels of the page's rows that it compares, any of which may match.
    ``condition`` replaces the comparison; ``applies=False`` leaves the value to ``rows()``.
    """

    name: str
    title: Any
    kind: str = "text"
    on: tuple[str, ...] = ()
    choices: Mapping[Any, Any] | Callable[[], Mapping[Any, Any]] = field(default_factory=dict)
    condition: Callable[[Columns, Any], ColumnElement[bool]] | None = None
    applies: bool = True
    is_hidden: bool = False  # Kept in the address, not shown in the form.
    is_of_others: bool = False  # Not offered to 本单位, who has one member's rows alone.
    placeholder: Any = ""
    hint: Any = ""

    def __post_init__(self) -> None:
        assert self.kind in _READERS, f"{self.name}: unknown kind of filter {self.kind}"

    @property
    def is_range(self) -> bool:
        """Whether it has two ends."""
        return self.kind.endswith("_range")

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names that it reads from the address."""
        return (f"{self.name}_from", f"{self.name}_to") if self.is_range else (self.name,)

    def offered(self) -> dict[str, tuple[Any, Any]]:
        """Return stored value and title of each choice, by how the address writes it."""
        choices = self.choices() if callable(self.choices) else self.choices
        return {_option(value): (value, _title(title)) for value, title in choices.items()}

    def clause(self, columns: Columns, value: Any) -> ColumnElement[bool]:
        """Return the SQL condition that the rows must meet."""
        if self.condition is not None:
            return self.condition(columns, value)
        compare = _COMPARISONS[self.kind]
        return or_(*(compare(columns[label], value) for label in self.on or (self.name,)))


@dataclass(slots=True)
class Conditions:
    """What a request asks: the values that can be used, the texts typed, the messages per field."""

    filters: tuple[Filter, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, filters: tuple[Filter, ...], arguments: Mapping[str, str]) -> Conditions:
        """Read the conditions of an address; nothing that is typed there raises."""
        asked = cls(filters=filters)
        for each in filters:
            asked._read(each, arguments)
        return asked

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a condition, or the default where it is not asked."""
        return self.values.get(name, default)

    def refuse(self, name: str, message: Any) -> None:
        """Say what is wrong with a condition; the page shows it there, and no rows."""
        self.errors.setdefault(name, message)

    def clauses(self, columns: Columns) -> Iterator[ColumnElement[bool]]:
        """Yield the SQL conditions on the page's rows."""
        for each in self.filters:
            if each.applies and each.name in self.values:
                yield each.clause(columns, self.values[each.name])

    def _read(self, each: Filter, arguments: Mapping[str, str]) -> None:
        ends = []
        for parameter in each.parameters:
            text = arguments.get(parameter, "").strip()
            if text:
                self.texts[parameter] = text
            try:
                ends.append(_READERS[each.kind](each, _plain(text)) if text else None)
            except Wrong as wrong:
                self.errors[parameter] = wrong.args[0]
                ends.append(None)
        if not each.is_range:
            if ends[0] is not None:
                self.values[each.name] = ends[0]
        elif any(end is not None for end in ends):
            self.values[each.name] = _range(each, ends, self)


def _plain(text: str) -> str:
    """Return the text, unless it is too long or holds what no field of ours can hold."""
    if len(text) > LONGEST:
        raise Wrong(
            _("At most %(limit)d characters; %(count)d were typed", limit=LONGEST, count=len(text))
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise Wrong(_("This holds characters that cannot be typed; please write it anew"))
    return text


def _equal(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return column == _bound(value)


def _bound(value: Any) -> Any:
    """Bind whole numbers as the largest kind, so that none is too large for a small column."""
    return literal(value, BigInteger()) if type(value) is int else value


def _text(_filter: Filter, text: str) -> str:
    return text


def _number(_filter: Filter, text: str) -> int:
    digits = text.replace(",", "")
    if not re.fullmatch(r"-?[0-9]{1,19}", digits) or abs(int(digits)) > _LARGEST:
        raise Wrong(_("A whole number is needed, such as 100"))
    return int(digits)


def _choice(each: Filter, text: str) -> Any:
    offered = each.offered()
    if text not in offered:
        raise Wrong(_("This is not one of the choices; please choose anew"))
    return offered[text][0]


def _date(_filter: Filter, text: str) -> date:
    match = _DAY.fullmatch(text)
    try:
        day = date(*(int(part) for part in match.groups())) if match else None
    except ValueError:
        day = None
    if day is None or day.year not in _YEARS:
        raise Wrong(_("This is not a date; write it as YYYY-MM-DD, such as 2021-05-19"))
    return day


def _moments(each: Filter, text: str) -> tuple[datetime, datetime]:
    """Return where the day, minute or second that was typed begins, and where the next one begins."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        day = _date(each, text)
        begin = datetime(day.year, day.month, day.day, tzinfo=BEIJING)
        return begin, begin + timedelta(days=1)
    year, month, day_of_month, hour, minute, second = (int(part or 0) for part in match.groups())
    wrong = _("This is not a time; write it as YYYY-MM-DD HH:mm:ss, such as 2021-05-19 15:00:00")
    if year not in _YEARS:
        raise Wrong(wrong)
    try:
        begin = datetime(year, month, day_of_month, hour, minute, second, tzinfo=BEIJING)
    except ValueError:
        raise Wrong(wrong) from None
    return begin, begin + timedelta(seconds=1 if match[6] else 60)


def _moment(each: Filter, text: str) -> datetime:
    """Return the last instant of what was typed: a day stands for its end, so that it is included."""
    return _moments(each, text)[1] - timedelta(microseconds=1)


def _range(each: Filter, ends: list[Any], asked: Conditions) -> tuple[Any, Any]:
    """Return first and last as values that can be compared; the last is included."""
    first, last = ends
    if each.kind in ("date_range", "datetime_range"):
        first, last = first and first[0], last and last[1] - timedelta(microseconds=1)
    if first is not None and last is not None and first > last:
        asked.errors[each.parameters[1]] = _("The end lies before the beginning")
    return first, last


def _between(column: ColumnElement[Any], ends: tuple[Any, Any]) -> ColumnElement[bool]:
    """Compare with both ends included; a column of days is compared by day."""
    first, last = ends
    if isinstance(first or last, datetime) and not isinstance(column.type, DateTime):
        first, last = first and first.date(), last and last.date()
    if first is None:
        return column <= _bound(last)
    return column >= _bound(first) if last is None else column.between(_bound(first), _bound(last))


def _on_day(column: ColumnElement[Any], day: date) -> ColumnElement[bool]:
    if not isinstance(column.type, DateTime):
        return column == day
    begin = datetime(day.year, day.month, day.day, tzinfo=BEIJING)
    return column.between(begin, begin + timedelta(days=1, microseconds=-1))


def like_literally(text: str) -> str:
    """Escape what LIKE reads as a wildcard; the backslash is PostgreSQL's own escape character."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _option(value: Any) -> str:
    """Write a stored value for an address."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _title(title: Any) -> Any:
    """Return the words of a choice, which may stand beside a tone."""
    return title[0] if isinstance(title, tuple) else title


_READERS: dict[str, Callable[[Filter, str], Any]] = {
    "text": _text,
    "prefix": _text,
    "exact": _text,
    "number": _number,
    "choice": _choice,
    "date": _date,
    "datetime": _moment,
    "date_range": _moments,
    "datetime_range": _moments,
    "quantity_range": _number,
}
_COMPARISONS: dict[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    "text": has_part,
    "prefix": lambda column, value: column.like(f"{like_literally(narrow(value))}%"),
    "exact": _equal,
    "number": _equal,
    "choice": _equal,
    "date": _on_day,
    "datetime": lambda column, value: column <= value,
    "date_range": _between,
    "datetime_range": _between,
    "quantity_range": _between,
}
