"""司法变卖: what courts let sell at the exchange, what it brings, and the end of it (rules-2026 N103)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, g, redirect, request, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import Select
from sqlalchemy.orm import joinedload

from app.domain.kinds.sanctions.court_disposal import CourtSale as CourtSaleKind
from app.domain.kinds.sanctions.court_disposal import CourtSaleEnd
from app.domain.workflow import Line, Status
from app.extensions import db
from app.models import Application, CourtOrder, CourtSale
from app.operations.applications import engine
from app.security.scope import in_scope
from app.views.applications import form as application_form
from app.views.applications.form import Filled
from app.views.applications.list import usual_columns
from app.views.chapters import SANCTIONS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions, RowAction
from app.views.page import named_in_address
from app.views.sanctions.courts import (
    HIDDEN,
    PAPER_COLUMNS,
    TWO_OFFICERS,
    CourtForm,
    DrawingDesk,
    DrawingForm,
    FollowingDesk,
    find_order,
    following,
    order_tables,
)

_HEAD = (
    *usual_columns("number", "member_no", "account", hidden=HIDDEN),
    Column("order_number", _("Order concerned"), kind="code"),
    *PAPER_COLUMNS,
    Column("served_at", _("Time of service"), kind="datetime", is_shown=False),
    *usual_columns("instrument_codes"),
)
_TAIL = usual_columns("created_at", "status", hidden=HIDDEN)


class CourtSaleView(DrawingDesk):
    """司法变卖: bound to deals with its number; what they bring is frozen."""

    route_base = "/court-sales"
    kind = CourtSaleKind.code
    title = _("Judicial sales")
    menu = MenuEntry(SANCTIONS, 12)
    form_title = _("Sell out of a judicial freeze")
    quantity_title = _("To be sold")
    form = DrawingForm
    stacks_actions = True
    columns = (
        *_HEAD,
        Column("quantity", _("To be sold"), kind="quantity"),
        Column("sold", _("Sold"), kind="quantity"),
        Column("unsold", _("Unsold"), kind="quantity"),
        Column("proceeds", _("Proceeds frozen"), kind="money"),
        *_TAIL,
    )
    confirm = _("Once it is confirmed, the units can be sold at the exchange. Submit it?")
    help = (
        TWO_OFFICERS,
        _(
            "The exchange sells them under the number of the sale; no other deal or transfer takes any"
        ),
        _("What a deal brings, less the fee, is frozen in money for the same order"),
        _("Proceeds are released, or deducted to a receiver with an account at the same bank"),
        _("What remains unsold is frozen again once the sale is ended"),
    )
    empty_hint = _("Sales that courts order appear here")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what was sold, what it brought, and what of it is still frozen."""
        return (
            super()
            .rows(conditions)
            .outerjoin(CourtSale, CourtSale.application_id == Application.id)
            .outerjoin(CourtOrder, CourtOrder.application_id == Application.id)
            .add_columns(CourtSale.sold, CourtSale.unsold, CourtOrder.effective.label("proceeds"))
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield from super().actions(row)
        if row.stored_status == Status.APPROVED:
            yield from self._measures(row.account_id, row.id, row.unsold, row.proceeds)

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        yield from super().detail_actions(application, status)
        if application.status == Status.APPROVED:
            sale = db.session.get_one(CourtSale, application.id)
            order = db.session.get(CourtOrder, application.id)
            effective = order.effective if order else 0
            yield from self._measures(
                application.account_id, application.id, sale.unsold, effective
            )

    def _measures(
        self, account_id: int, sale: int, unsold: int | None, proceeds: int | None
    ) -> Iterable[RowAction]:
        if unsold and self.may("write", "CourtSaleEndView"):
            address = url_for("CourtSaleEndView.new", account=account_id, sale=sale)
            yield RowAction(_("End the sale"), address)
        if proceeds:
            pages = ("CourtReleaseView", "CourtAssignmentView")
            yield from following(self, account_id, sale, pages)

    def detail(self, application: Application, *arguments: Any, **how: Any) -> dict[str, Any]:
        """Add what was sold and, once something was, where its proceeds stand."""
        sale, order = db.session.get(CourtSale, application.id), find_order(application.id)
        found = super().detail(application, *arguments, **how)
        found["tables"] += [_sale_table(sale)] if sale else []
        found["tables"] += order_tables(order) if order else []
        return found


def _sale_table(sale: CourtSale) -> dict[str, Any]:
    labels = (
        _("To be sold"),
        _("Sold"),
        _("Unsold"),
        _("Frozen again"),
        _("Released, as the order ended"),
    )
    return {
        "title": _("Where the sale stands"),
        "columns": [{"label": each, "kind": "number", "unit": _("tonnes")} for each in labels],
        "rows": [[sale.quantity, sale.sold, sale.unsold, sale.returned, sale.freed]],
    }


class CourtSaleEndView(FollowingDesk):
    """变卖终止: all that is unsold is frozen again."""

    route_base = "/court-sale-ends"
    kind = CourtSaleEnd.code
    title = _("Ends of judicial sales")
    menu = MenuEntry(SANCTIONS, 13)
    form_title = _("End a judicial sale")
    quantity_title = _("Frozen again")
    new_label = _("Choose a judicial sale")
    form = CourtForm
    columns = (*_HEAD, Column("quantity", _("Frozen again"), kind="quantity"), *_TAIL)
    help = (
        TWO_OFFICERS,
        _(
            "All that is unsold is frozen under its order again, without becoming available in between"
        ),
        _("Where a deal is delivered before it is confirmed, send it back and enter it anew"),
        _("Of an order that has ended meanwhile it becomes available"),
    )
    empty_hint = _("Ends of sales appear here")

    def choose(self) -> Any:
        """Lead to the sales; nothing once the address names one."""
        return None if "sale" in request.args else redirect(url_for("CourtSaleView.list"))

    def named_order(self) -> CourtOrder:
        """Return the order of the sale that the address names."""
        order = find_order(self._sale().order_id)
        assert order is not None
        return order

    def _sale(self) -> CourtSale:
        """Return the sale of the page, or abort with 404."""
        if id_ := (request.view_args or {}).get("id"):
            sale_id = db.session.get_one(Application, id_).proposal["sale"]
        else:
            sale_id = named_in_address("sale", digits=18)
        related = [joinedload(CourtSale.application), joinedload(CourtSale.instrument)]
        sale = db.session.get(CourtSale, sale_id, options=related)
        if sale is None or not in_scope(sale.account_id, g.user):
            abort(404)
        return sale

    def _about(self, form: Any, order: Any) -> Any:
        form = super()._about(form, order)
        form.sale = self._sale()
        form.proposal |= {
            "sale": form.sale.application_id,
            "sale_number": form.sale.application.number,
        }
        return form

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Add what comes back."""
        sale = self._sale()
        return [
            *super().form_facts(account_id),
            (_("Sale concerned"), sale.application.number, "code"),
            (_("Instrument"), f"{sale.instrument.code} {sale.instrument.name}", "text"),
            (_("Unsold"), sale.unsold, "number", _("tonnes")),
        ]

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        sale = filled.form.sale
        return engine.Draft(
            kind=self.kind,
            account_id=account_id,
            lines=(Line(sale.instrument_id, sale.unsold),) if sale.unsold else (),
            request_key=application_form.request_key(),
            **filled.form.content(),
        )
