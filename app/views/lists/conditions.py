"""The conditions of a list page: which filters it has, what a request asks for, and what is invalid."""

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

LONGEST = 100  # Characters in one condition; every code and name is shorter.
_LARGEST = 2**63 - 1  # PostgreSQL's bigint.
_YEARS = range(1900, 3000)  # Outside, a date is a typing error, and arithmetic on it may overflow.
_DAY = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})")
_MOMENT = re.compile(_DAY.pattern + r"[ T]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")

Columns = ReadOnlyColumnCollection[str, Any]  # The labels of a page's SELECT.


class InvalidCondition(Exception):
    """A typed value is invalid; the argument is the message."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One field of the query form.

    ``kind``: text (part of a name), prefix (of a code), exact, number, choice, date, datetime, and the
    ranges date_range, datetime_range, quantity_range, which read ``name_from`` and ``name_to``.  ``on``
    names the labels that it compares, any of which may match.  ``condition`` replaces the comparison;
    ``applies=False`` leaves the value to ``rows()``.
    """

    name: str
    title: Any
    kind: str = "text"
    on: tuple[str, ...] = ()
    choices: Mapping[Any, Any] | Callable[[], Mapping[Any, Any]] = field(default_factory=dict)
    condition: Callable[[Columns, Any], ColumnElement[bool]] | None = None
    applies: bool = True
    is_hidden: bool = False  # Kept in the address, not shown in the form.
    is_of_others: bool = False  # Hidden from 本单位, which has a single account.
    placeholder: Any = ""
    hint: Any = ""

    def __post_init__(self) -> None:
        assert self.kind in _READERS, f"{self.name}: unknown kind of filter {self.kind}"

    @property
    def is_range(self) -> bool:
        return self.kind.endswith("_range")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Its names in the query string."""
        return (f"{self.name}_from", f"{self.name}_to") if self.is_range else (self.name,)

    def offered(self) -> dict[str, tuple[Any, Any]]:
        """Return stored value and title of each choice, keyed as in the query string."""
        choices = self.choices() if callable(self.choices) else self.choices
        return {_option(value): (value, _title(title)) for value, title in choices.items()}

    def clause(self, columns: Columns, value: Any) -> ColumnElement[bool]:
        if self.condition is not None:
            return self.condition(columns, value)
        compare = _COMPARISONS[self.kind]
        return or_(*(compare(columns[label], value) for label in self.on or (self.name,)))


@dataclass(slots=True)
class Conditions:
    """The conditions of a request: valid values, texts as typed, errors by field."""

    filters: tuple[Filter, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, filters: tuple[Filter, ...], arguments: Mapping[str, str]) -> Conditions:
        """Parse a query string; never raises."""
        conditions = cls(filters=filters)
        for each in filters:
            conditions._read(each, arguments)
        return conditions

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def refuse(self, name: str, message: Any) -> None:
        """Add an error at a condition; the page then shows no rows."""
        self.errors.setdefault(name, message)

    def clauses(self, columns: Columns) -> Iterator[ColumnElement[bool]]:
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
            except InvalidCondition as wrong:
                self.errors[parameter] = wrong.args[0]
                ends.append(None)
        if not each.is_range:
            if ends[0] is not None:
                self.values[each.name] = ends[0]
        elif any(end is not None for end in ends):
            self.values[each.name] = _range(each, ends, self)


def _plain(text: str) -> str:
    """Return the text.  Raises InvalidCondition where it is too long or has control characters."""
    if len(text) > LONGEST:
        raise InvalidCondition(
            _("At most %(limit)d characters; %(count)d were typed", limit=LONGEST, count=len(text))
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise InvalidCondition(
            _("This holds characters that cannot be typed; please write it anew")
        )
    return text


def _equal(column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return column == _bound(value)


def _bound(value: Any) -> Any:
    """Bind integers as bigint, so that none is out of range for a small column."""
    return literal(value, BigInteger()) if type(value) is int else value


def _text(_filter: Filter, text: str) -> str:
    return text


def _number(_filter: Filter, text: str) -> int:
    digits = text.replace(",", "")
    if not re.fullmatch(r"-?[0-9]{1,19}", digits) or abs(int(digits)) > _LARGEST:
        raise InvalidCondition(_("A whole number is needed, such as 100"))
    return int(digits)


def _choice(each: Filter, text: str) -> Any:
    offered = each.offered()
    if text not in offered:
        raise InvalidCondition(_("This is not one of the choices; please choose anew"))
    return offered[text][0]


def _date(_filter: Filter, text: str) -> date:
    match = _DAY.fullmatch(text)
    try:
        day = date(*(int(part) for part in match.groups())) if match else None
    except ValueError:
        day = None
    if day is None or day.year not in _YEARS:
        raise InvalidCondition(_("This is not a date; write it as YYYY-MM-DD, such as 2021-05-19"))
    return day


def _moments(each: Filter, text: str) -> tuple[datetime, datetime]:
    """Return the start of the day, minute or second that was typed, and the start of the next."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        day = _date(each, text)
        begin = datetime(day.year, day.month, day.day, tzinfo=BEIJING)
        return begin, begin + timedelta(days=1)
    year, month, day_of_month, hour, minute, second = (int(part or 0) for part in match.groups())
    wrong = _("This is not a time; write it as YYYY-MM-DD HH:mm:ss, such as 2021-05-19 15:00:00")
    if year not in _YEARS:
        raise InvalidCondition(wrong)
    try:
        begin = datetime(year, month, day_of_month, hour, minute, second, tzinfo=BEIJING)
    except ValueError:
        raise InvalidCondition(wrong) from None
    return begin, begin + timedelta(seconds=1 if match[6] else 60)


def _moment(each: Filter, text: str) -> datetime:
    """Return the last instant of the day, minute or second that was typed."""
    return _moments(each, text)[1] - timedelta(microseconds=1)


def _range(each: Filter, ends: list[Any], conditions: Conditions) -> tuple[Any, Any]:
    """Return both ends as comparable values; the last is included."""
    first, last = ends
    if each.kind in ("date_range", "datetime_range"):
        first, last = first and first[0], last and last[1] - timedelta(microseconds=1)
    if first is not None and last is not None and first > last:
        conditions.errors[each.parameters[1]] = _("The end lies before the beginning")
    return first, last


def _between(column: ColumnElement[Any], ends: tuple[Any, Any]) -> ColumnElement[bool]:
    """Compare with both ends included; a date column by day."""
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


def escape_like(text: str) -> str:
    """Escape LIKE's wildcards; backslash is PostgreSQL's default escape character."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _option(value: Any) -> str:
    """Encode a stored value for an address."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _title(title: Any) -> Any:
    """Return the title of a choice, which may come with a tone."""
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
    "prefix": lambda column, value: column.like(f"{escape_like(narrow(value))}%"),
    "exact": _equal,
    "number": _equal,
    "choice": _equal,
    "date": _on_day,
    "datetime": lambda column, value: column <= value,
    "date_range": _between,
    "datetime_range": _between,
    "quantity_range": _between,
}
