"""Arrays as parameters of set-based statements, encoded as PostgreSQL array literals.

The driver adapts arrays item by item in Python; for 10,000 rows of a dozen columns that takes as
long as the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Numeric,
    SmallInteger,
    String,
    any_,
    bindparam,
    text,
)
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import UserDefinedType


class _Column(UserDefinedType[Sequence[Any]]):
    """An array type; `spell` encodes one value."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, name: str, spell: Callable[[Any], str]) -> None:
        self.name, self.spell = name, spell

    def get_col_spec(self, **_options: Any) -> str:
        return f"{self.name}[]"

    def bind_processor(self, _dialect: Any) -> Callable[[Sequence[Any] | None], str | None]:
        """Return the encoder."""
        spell = self.spell

        def write(values: Sequence[Any] | None) -> str | None:
            if values is None:
                return None
            items = ["NULL" if value is None else spell(value) for value in values]
            return "{" + ",".join(items) + "}"

        return write


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_COLUMNS = {
    BigInteger: _Column("bigint", str),
    Integer: _Column("integer", str),
    SmallInteger: _Column("smallint", str),
    Date: _Column("date", str),
    DateTime: _Column("timestamptz", lambda moment: f'"{moment.isoformat()}"'),
    Numeric: _Column("numeric", str),
    String: _Column("text", _quoted),
}


def among(
    column: InstrumentedAttribute[Any] | ColumnElement[Any], values: Sequence[Any]
) -> ColumnElement[bool]:
    """Return whether a column is one of many values, which are one parameter however many there are."""
    return column == any_(bindparam(None, values, type_=_COLUMNS[type(column.type)]))


def typed(statement: str, **types: Any) -> TextClause:
    """Return a statement whose named parameters are lists of the given types."""
    return text(statement).bindparams(
        *(bindparam(name, type_=_COLUMNS[type_]) for name, type_ in types.items())
    )
