"""The SQL counterpart of `texts.folded`, for generated columns and searches."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, literal_column
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import coercions, roles
from sqlalchemy.sql.elements import Label

from app.domain.texts import FOLDS_FROM, FOLDS_TO, folded

# Columns of ASCII letters and digits, stored folded.
CODES = frozenset({"member_no", "uscc", "code"})


def folded_sql(column: str) -> str:
    """Return the expression of a generated column."""
    # In the form PostgreSQL reports it, so that schema and model compare equal.
    return f"translate(NORMALIZE({column}, NFKC), '{FOLDS_FROM}'::text, '{FOLDS_TO}'::text)"


def has_part(
    column: ColumnElement[Any] | InstrumentedAttribute[Any], typed: str
) -> ColumnElement[bool]:
    """Return the condition that a name, code or text contains ``typed``, both folded.

    Uses the column's generated counterpart (``name_folded``) where there is one.
    """
    sought = folded(typed)
    found: Any = coercions.expect(roles.ExpressionElementRole, column)
    found = found.element if isinstance(found, Label) else found
    name = getattr(found, "name", "")
    table = getattr(found, "table", None)
    stored = table.c.get(f"{name}_folded") if table is not None else None
    if stored is not None:
        return stored.contains(sought, autoescape=True)
    if table is not None and name in CODES:
        return found.contains(sought, autoescape=True)
    text = func.normalize(cast(found, Text), literal_column("NFKC"))
    return func.translate(text, FOLDS_FROM, FOLDS_TO).contains(sought, autoescape=True)
