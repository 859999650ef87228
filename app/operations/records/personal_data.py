"""Personal data: the log of reading them in clear, and the rotation of keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flask_appbuilder import Model
from sqlalchemy import Column, MetaData, Table, Text, select, type_coerce, update

from app.extensions import db
from app.models import encrypted
from app.models.encrypted import Encrypted
from app.operations.records import log
from app.operations.records.actor import Actor


def record_reading(
    actor: Actor, fields: Sequence[str], *, subject: str, account_id: int | None = None
) -> None:
    """Log that the actor reads these fields in clear; the caller shows them once, and commits.

    The names of the fields are logged, not their values.
    """
    log.record(
        actor,
        "personal_data.read",
        subject=subject,
        account_id=account_id,
        fields=sorted(fields),
    )


def rotate(batch: int = 1000, metadata: MetaData | None = None) -> int:
    """Re-encrypt values of older keys, in all tables; return the number of values.

    One batch of one column; repeat until it returns 0, committing in between.  Append-only tables
    are left out, so their keys must remain configured.
    """
    for table, column in encrypted_columns(metadata):
        changed = _rotate_column(table, column, batch)
        if changed:
            return changed
    return 0


def encrypted_columns(metadata: MetaData | None = None) -> Iterator[tuple[Table, Column[str]]]:
    """Yield every encrypted column of the schema."""
    for table in (metadata or Model.metadata).sorted_tables:
        for column in table.columns:
            if isinstance(column.type, Encrypted):
                yield table, column


def _rotate_column(table: Table, column: Column[str], batch: int) -> int:
    context = column.type.context  # type: ignore[attr-defined]
    ring = encrypted.keys()
    keys = list(table.primary_key.columns)
    raw = type_coerce(column, Text)
    current = f"{encrypted.VERSION}:{ring.suite}:{ring.current}:"
    rows = db.session.execute(
        select(*keys, raw.label("stored"))
        .where(raw.is_not(None), ~raw.startswith(current, autoescape=True))
        .limit(batch)
        .with_for_update()
    ).all()
    for row in rows:
        fresh = encrypted.encrypt(encrypted.decrypt(row.stored, context), context)
        db.session.execute(
            update(table)
            .where(*(key == value for key, value in zip(keys, row, strict=False)))
            .values({column: type_coerce(fresh, Text)})
        )
    return len(rows)
