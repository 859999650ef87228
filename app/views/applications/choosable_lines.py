"""What the picker of a form offers: holdings of an account, or the rest of its earlier documents."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import TableClause, select

from app.domain.workflow import Status
from app.extensions import db
from app.models import Application, ApplicationLine, Holding, Instrument
from app.models.figures import line_draw
from app.views.applications.form import Choosable


def holdings_of(account_id: int) -> list[Choosable]:
    """Return every instrument that an account holds, money aside, with the available quantity."""
    rows = db.session.execute(
        select(Instrument.id, Instrument.code, Instrument.name, Holding.available)
        .join(Instrument, Instrument.id == Holding.instrument_id)
        .where(Holding.account_id == account_id, Instrument.is_of_tonnes())
        .order_by(Instrument.code)
    )
    return [
        Choosable(
            row.id,
            row.code,
            row.name,
            row.available,
            refusal="" if row.available else _("Nothing available"),
        )
        for row in rows
    ]


def lines_left(
    account_id: int, kind: str, *conditions: Any, told: Any = None, parts: TableClause | None = None
) -> list[Choosable]:
    """Return the approved lines of a kind that are not drawn completely.

    Each shows the number of its application, and what is ``told`` of it (usually its document's number),
    beside the instrument.  Of what several accounts have a part of, ``parts`` is the view of them.
    """
    draws = line_draw if parts is None else parts
    owner = Application.account_id if parts is None else parts.c.account_id
    rows = db.session.execute(
        select(
            ApplicationLine.id,
            ApplicationLine.instrument_id,
            Application.number,
            (Application.document_no if told is None else told).label("told"),
            Instrument.code,
            Instrument.name,
            draws.c.quantity,
            draws.c.remaining,
        )
        .join(Application, Application.id == ApplicationLine.application_id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .join(draws, draws.c.line_id == ApplicationLine.id)
        .where(
            owner == account_id,
            Application.kind == kind,
            Application.status == Status.APPROVED,
            *conditions,
        )
        .order_by(ApplicationLine.id)
    )
    return [
        Choosable(
            row.instrument_id,
            row.code,
            row.name,
            row.remaining,
            refusal="" if row.remaining > 0 else _("Nothing left"),
            source_line_id=row.id,
            cells=tuple(zip(_source_cells(row), _SOURCE_KINDS, strict=True)),
            picked_cells=_source_cells(row),
        )
        for row in rows
    ]


_SOURCE_KINDS = ("code", "code", "code", "text", "number", "number")
SOURCE_COLUMNS: tuple[dict[str, Any], ...] = (
    {"label": _("Application number"), "kind": "code"},
    {"label": _("Number of the authority document"), "kind": "code"},
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Original quantity"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Quantity left"), "kind": "number", "unit": _("tonnes")},
)


HELD_COLUMNS: tuple[dict[str, Any], ...] = (
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Available quantity"), "kind": "number", "unit": _("tonnes")},
)


def form_columns(
    quantity: Any, of: tuple[dict[str, Any], ...] = HELD_COLUMNS
) -> tuple[dict[str, Any], ...]:
    """Return the columns of a form's lines, the quantity to enter last."""
    entered = {"label": quantity, "kind": "quantity", "unit": _("tonnes"), "is_required": True}
    return (*of, entered)


def _source_cells(row: Any) -> tuple[Any, ...]:
    return (row.number, row.told, row.code, row.name, row.quantity, row.remaining)
