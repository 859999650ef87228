"""Reference data: add, change and disable values; each act is logged.

Nothing is deleted, since history refers to it.  Concurrent changes are detected by version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError

from app.domain.errors import NotFound, RuleError
from app.extensions import db, violated
from app.operations.records import log
from app.operations.records.actor import Actor


def add(model: Any, values: Mapping[str, Any], actor: Actor, *, today: date) -> Any:
    """Add a row and return it.

    Raises RuleError naming the field whose value exists already or whose day is not allowed.
    """
    row = model(**values)
    _require_days(row, None, today)
    _write(row, values)
    log.record(actor, "reference.add", subject=_subject(row), before={}, after=_logged_values(row))
    return row


def change(
    model: Any, id_: int, values: Mapping[str, Any], actor: Actor, *, version: int, today: date
) -> Any:
    """Change a row that is still at ``version``, and return it.

    Raises NotFound, and RuleError where it was changed since (code changed_meanwhile), a value
    exists already, or a day is not allowed.
    """
    row = _locked(model, id_)
    if row.version != version:
        raise RuleError(
            _("Somebody has changed this meanwhile; compare the present values, then save again"),
            code="changed_meanwhile",
        )
    before, disabled_from = _logged_values(row), row.disabled_from
    for name, value in values.items():
        setattr(row, name, value)
    if _logged_values(row) == before:
        return row
    _require_days(row, disabled_from, today)
    row.version += 1
    _write(row, values)
    log.record(
        actor, "reference.change", subject=_subject(row), before=before, after=_logged_values(row)
    )
    return row


def disable(
    model: Any, ids: Sequence[int], actor: Actor, *, today: date
) -> tuple[list[int], dict[int, str]]:
    """Disable rows from today; return the ids done, and the others' errors by id."""
    done, refused = [], {}
    for id_ in sorted(ids):
        row = _locked(model, id_)
        if row.disabled_from is not None and row.disabled_from <= today:
            refused[id_] = _("This is disabled already")
        elif row.valid_from > today:
            refused[id_] = _("This is not in force yet; change the day from which it holds")
        else:
            before = _logged_values(row)
            row.disabled_from, row.version = today, row.version + 1
            subject = _subject(row)
            log.record(
                actor,
                "reference.disable",
                subject=subject,
                before=before,
                after=_logged_values(row),
            )
            done.append(id_)
    db.session.flush()
    return done, refused


def _locked(model: Any, id_: int) -> Any:
    statement = select(model).where(model.id == id_).with_for_update(of=model)
    row = db.session.scalars(statement.execution_options(populate_existing=True)).first()
    if row is None:
        raise NotFound(_("There is no such record"))
    return row


def _require_days(row: Any, disabled_from: date | None, today: date) -> None:
    """Refuse a day in the past: applications since then may use the value."""
    if row.disabled_from == disabled_from or row.disabled_from is None:
        return
    if row.disabled_from < today or (row.valid_from and row.disabled_from < row.valid_from):
        raise RuleError(
            _("It can be disabled from today on at the earliest, and not before it holds"),
            field="disabled_from",
            code="disabled_past",
        )


def _write(row: Any, values: Mapping[str, Any]) -> None:
    """Write the row; a violated constraint becomes a RuleError at its field."""
    try:
        with db.session.begin_nested():
            db.session.add(row)
            db.session.flush()
    except IntegrityError as error:
        name = violated(error)
        field = _field_of(type(row), name, values)
        if not field:
            raise
        is_taken = getattr(error.orig, "sqlstate", "") == "23505"
        message = (
            _("This is in use already") if is_taken else _("This does not fit the other fields")
        )
        raise RuleError(message, field=field, code=name) from error


def _field_of(model: Any, constraint: str, values: Mapping[str, Any]) -> str:
    """Return the last form field that a constraint concerns, or ""."""
    table = model.__table__
    columns: list[str] = []
    for each in table.constraints:
        if (
            each.name or f"{table.name}_{'_'.join(c.name for c in each.columns)}_key"
        ) == constraint:
            columns = [column.name for column in each.columns]
    if (
        not columns
    ):  # A CHECK reports no columns; its name begins with the table's, then the column's.
        columns = [each for each in values if constraint.startswith(f"{table.name}_{each}")]
    if constraint.endswith("_dates"):
        columns = ["disabled_from"]
    named = {name.removesuffix("_id") for name in columns} | set(columns)
    fields: list[str] = [name for name in values if name in named]
    return fields[-1] if fields else ""


def _subject(row: Any) -> str:
    return f"{row.__tablename__} {getattr(row, 'code', '') or row.id}"


def _logged_values(row: Any) -> dict[str, Any]:
    """Return a row's columns for the log."""
    columns = inspect(type(row)).column_attrs
    told = {
        each.key: getattr(row, each.key) for each in columns if each.key not in ("id", "version")
    }
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in told.items()
    }
