"""Keyset paging: pages by the last row seen, in either direction, equally fast at both ends."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, Select, and_, literal, or_, tuple_

from app.views.lists.conditions import Columns

SIZES = (10, 20, 50, 100)
USUAL_SIZE = 20
COUNTED = 10_000  # Rows counted, and reachable by page number; after those by 上一页 and 末页 only.
_LONGEST_CURSOR = 1000
_LARGEST = 2**63 - 1


class BadCursor(Exception):
    """A cursor that no page of ours could have linked to."""


@dataclass(frozen=True, slots=True)
class Order:
    """The labels to sort by, all in one direction; the last ones make the order total."""

    fields: tuple[str, ...]
    is_descending: bool
    is_nullable: bool = False  # The first of several fields may be empty.

    def apply(
        self, statement: Select[Any], columns: Columns, *, backwards: bool = False
    ) -> Select[Any]:
        is_descending = self.is_descending != backwards
        return statement.order_by(
            *(
                columns[name].desc() if is_descending else columns[name].asc()
                for name in self.fields
            )
        )

    def beyond(
        self, columns: Columns, values: Sequence[Any], *, backwards: bool = False
    ) -> ColumnElement[bool]:
        """Return the condition for the rows after a place, or before it.

        A row comparison, which an index answers.  NULL counts as the largest value, as PostgreSQL sorts.
        """
        is_descending = self.is_descending != backwards
        compared = [columns[name] for name in self.fields]
        if values[0] is None:
            rest = _compare(compared[1:], values[1:], is_descending)
            at_place = and_(compared[0].is_(None), rest)
            return or_(at_place, compared[0].is_not(None)) if is_descending else at_place
        behind = _compare(compared, values, is_descending)
        if self.is_nullable and not is_descending:
            return or_(behind, compared[0].is_(None))
        return behind

    def cursor(self, row: Any) -> str:
        values = [row._mapping[name] for name in self.fields]
        assert None not in (values[1:] if self.is_nullable else values), (
            f"{self.fields}: say is_nullable"
        )
        return write_cursor(values)

    def place(self, cursor: str, columns: Columns) -> list[Any]:
        """Decode a cursor.  Raises BadCursor."""
        types = [_python_type(columns[name]) for name in self.fields]
        values = read_cursor(cursor, types)
        if None in (values[1:] if self.is_nullable else values):
            raise BadCursor
        return values


@dataclass(slots=True)
class Place:
    """The page asked for: by number, after or before a cursor, or the last one."""

    size: int = USUAL_SIZE
    page: int | None = 1  # None: unknown, after more than COUNTED rows.
    after: str = ""
    before: str = ""
    is_last: bool = False
    errors: list[Any] = field(default_factory=list)

    @classmethod
    def read(cls, arguments: Mapping[str, str]) -> Place:
        """Parse a query string; never raises."""
        place = cls(after=arguments.get("after", ""), before=arguments.get("before", ""))
        place.is_last = "last" in arguments
        place._read_size(arguments.get("size", ""))
        place._read_page(arguments.get("page", "").strip())
        if place.is_last or ((place.after or place.before) and not arguments.get("page")):
            place.page = None
        return place

    @property
    def is_numbered(self) -> bool:
        """Whether the page is found by its number alone."""
        return not (self.after or self.before or self.is_last)

    def _read_size(self, text: str) -> None:
        if text in map(str, SIZES):
            self.size = int(text)
        elif text:
            sizes = "、".join(map(str, SIZES))
            self.errors.append(_("The page size must be one of %(sizes)s", sizes=sizes))

    def _read_page(self, text: str) -> None:
        if not text:
            return
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
            self.errors.append(_("The page number must be a whole number from 1"))
        elif self.is_numbered and (int(text) - 1) * self.size >= COUNTED:
            self.errors.append(
                _(
                    "One can jump to page %(page)d at most; please narrow the conditions, or use Last",
                    page=COUNTED // self.size,
                )
            )
        else:
            self.page = int(text)


def write_cursor(values: Sequence[Any]) -> str:
    plain = [
        value if value is None or isinstance(value, int | str) else _written(value)
        for value in values
    ]
    raw = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(text: str, types: Sequence[type]) -> list[Any]:
    """Decode what `write_cursor` wrote.  Raises BadCursor on anything else."""
    if len(text) > _LONGEST_CURSOR or not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise BadCursor
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise BadCursor from None
    if not isinstance(values, list) or len(values) != len(types):
        raise BadCursor
    return [_read(value, kind) for value, kind in zip(values, types, strict=True)]


def _compare(
    columns: Sequence[ColumnElement[Any]], values: Sequence[Any], is_descending: bool
) -> ColumnElement[bool]:
    given = [_bound(value, column) for column, value in zip(columns, values, strict=True)]
    if len(columns) == 1:
        return columns[0] < given[0] if is_descending else columns[0] > given[0]
    return tuple_(*columns) < tuple_(*given) if is_descending else tuple_(*columns) > tuple_(*given)


def _bound(value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Bind as the column's type, integers as bigint: the cursor may be out of the column's range."""
    return literal(value, BigInteger() if type(value) is int else column.type)


def _python_type(column: ColumnElement[Any]) -> type:
    try:
        return column.type.python_type
    except NotImplementedError:
        raise AssertionError(
            f"{column.key}: rows are sorted by it, so its type must be known"
        ) from None


def _written(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _read(value: Any, kind: type) -> Any:
    if value is None:
        return None
    if kind is int and type(value) is int and abs(value) <= _LARGEST:
        return value
    if kind is bool and type(value) is bool:
        return value
    if not isinstance(value, str) or "\x00" in value:
        raise BadCursor
    try:
        value.encode()  # A lone surrogate is valid in JSON, but not in PostgreSQL.
        if kind is datetime:
            return _aware(datetime.fromisoformat(value))
        if kind is date:
            return date.fromisoformat(value)
        if kind is Decimal and Decimal(value).is_finite():
            return Decimal(value)
    except (ValueError, InvalidOperation):
        raise BadCursor from None
    if kind is str:
        return value
    raise BadCursor


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise BadCursor
    return value
