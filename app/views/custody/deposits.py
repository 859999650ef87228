"""存管申请 (manual 六-一): deposits, with what was returned of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, case, null, select

from app.domain.kinds.custody import CustodyDeposit
from app.domain.workflow import Status
from app.extensions import db
from app.models import Account, Application, ApplicationLine, Instrument
from app.models.figures import line_draw
from app.operations.records.catalogue import CUSTODY_TYPES
from app.views.applications.choosable_lines import form_columns
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import PLEASE_CHOOSE, LinesForm, OfferedField
from app.views.applications.list import SHOWN_STATUSES, of_line_draw, usual_columns, usual_filters
from app.views.chapters import CUSTODY, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions

TYPE_FILTER = Filter(
    "type", _("Custody type"), kind="choice", on=("category",), choices=CUSTODY_TYPES
)


_FIGURES = {
    "drawn": _("Returned quantity"),
    "pending": _("Quantity being returned"),
    "remaining": _("Quantity left in custody"),
}


class DepositForm(LinesForm):
    """存管申请."""

    category = OfferedField(_("Custody type"), CUSTODY_TYPES, PLEASE_CHOOSE)


def returned(figure: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a figure of `line_draw` over an approved deposit's lines."""
    return case((Application.status == Status.APPROVED, of_line_draw(figure)), else_=null())


class CustodyDepositView(ApplicationDesk):
    """存管申请: the list with what was returned of each deposit, and 新增."""

    route_base = "/custody-deposits"
    kind = CustodyDeposit.code
    title = _("Custody deposits")
    menu = MenuEntry(CUSTODY, 1)
    guide = {"enterprise": "一存管返还", "province": "查询", "registry": "存管返还管理"}
    form_title = _("Custody deposit application")
    form = DepositForm
    quantity_title = _("Deposit quantity")
    form_columns = form_columns(_("Deposit quantity"))
    columns: tuple[Column, ...] = (
        *usual_columns("number", "member_no", "account"),
        Column("category", _("Custody type"), choices=CUSTODY_TYPES),
        # The figures need the room.
        *usual_columns("instrument_codes", "instruments", hidden=("instruments",)),
        Column("quantity", _("Deposit quantity"), kind="quantity"),
        Column("returned", _("Returned quantity"), kind="quantity"),
        Column("in_return", _("Quantity being returned"), kind="quantity"),
        Column("left", _("Quantity left in custody"), kind="quantity"),
        *usual_columns("created_at", "status"),
    )
    filters = (*usual_filters(), TYPE_FILTER)
    help = (
        _("For mergers, splits and restructurings: the registry keeps the allowances for a while"),
        _("Several instruments can be chosen; each quantity is at most what is available of it"),
        _("While it is under review the quantity is held; if it is sent back the quantity returns"),
        _("What is in custody can be neither surrendered nor traded; it is returned to linked"
          " enterprises, in one or several parts"),
        _("Save keeps a draft that can be changed, saved again and submitted"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what was returned, what is being returned, and what is left."""
        return (
            super()
            .rows(conditions)
            .add_columns(
                returned(line_draw.c.drawn).label("returned"),
                returned(line_draw.c.pending).label("in_return"),
                returned(line_draw.c.remaining).label("left"),
            )
        )

    def next_step(self, application: Application) -> Any:
        """Say who reviews it."""
        return gettext("The registry reviews it; the quantity is held until then")

    def detail(self, application: Application, status: str = "", **how: Any) -> dict[str, Any]:
        """Show of an approved deposit what was returned, by whom asked, and what is left."""
        shown = super().detail(application, status, **how)
        if application.status == Status.APPROVED:
            draws = _draws_on(application.id)
            _add_figures(shown["lines"], {row.line_id: row for row in draws})
            shown["tables"].append(_table_of([row for row in draws if row.id]))
        return shown


def _draws_on(application_id: int) -> Sequence[Any]:
    """Return the figures of a deposit's lines, each with the returns that draw on it or once without."""
    returns = (
        select(
            ApplicationLine.id.label("line_of_return"),
            ApplicationLine.source_line_id,
            ApplicationLine.quantity,
            Application.id,
            Application.number,
            Application.submitted_at,
            Application.status,
            Account.name,
            Instrument.code,
        )
        .join(Application, Application.id == ApplicationLine.application_id)
        .join(Account, Account.id == ApplicationLine.account_id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .where(Application.status != Status.DRAFT)
        .subquery("returns")
    )
    return db.session.execute(
        select(*(line_draw.c[each] for each in ("line_id", *_FIGURES)), returns)
        .select_from(line_draw)
        .outerjoin(returns, returns.c.source_line_id == line_draw.c.line_id)
        .where(line_draw.c.application_id == application_id)
        .order_by(returns.c.line_of_return)
    ).all()


def _add_figures(lines: dict[str, Any], figures: dict[int, Any]) -> None:
    """Add to the table of lines what was returned of each, what is being returned and what is left."""
    columns = [{"label": each, "kind": "number", "unit": _("tonnes")} for each in _FIGURES.values()]
    lines["columns"] += columns
    for row, id_ in zip(lines["rows"], sorted(figures), strict=True):
        row += [getattr(figures[id_], each) for each in _FIGURES]


def _table_of(returns: Sequence[Any]) -> dict[str, Any]:
    return {
        "title": _("Returns of this deposit"),
        "columns": [
            {"label": _("Application number"), "kind": "link"},
            {"label": _("Receiving enterprise"), "kind": "text"},
            {"label": _("Instrument code"), "kind": "code"},
            {"label": _("Quantity to return"), "kind": "number", "unit": _("tonnes")},
            {"label": _("Submitted at"), "kind": "datetime"},
            {"label": _("Status"), "kind": "status"},
        ],
        "rows": [
            [
                {"label": row.number, "url": url_for("CustodyReturnView.show", id=row.id)},
                row.name,
                row.code,
                row.quantity,
                row.submitted_at,
                dict(zip(("label", "tone"), SHOWN_STATUSES[row.status], strict=True)),
            ]
            for row in returns
        ],
    }
