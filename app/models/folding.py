"""The SQL counterpart of `texts.folded`: a name as it is searched, kept beside the one registered."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, literal_column
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import coercions, roles
from sqlalchemy.sql.elements import Label

from app.domain.texts import FOLDS_FROM, FOLDS_TO, folded

# Columns of ASCII letters and digits, kept as they are compared.
CODES = frozenset({"member_no", "uscc", "code"})


def folded_sql(column: str) -> str:
    """Return the expression that a generated column is made by."""
    # As PostgreSQL writes it back, so that schema and model can be compared.
    return f"translate(NORMALIZE({column}, NFKC), '{FOLDS_FROM}'::text, '{FOLDS_TO}'::text)"


def has_part(
    column: ColumnElement[Any] | InstrumentedAttribute[Any], typed: str
) -> ColumnElement[bool]:
    """Return the condition that a name, code or text holds what was typed, both of them folded.

    A column with a folded one beside it (``name_folded``) is searched there.
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
