"""CCER待抵销: the mirrored units, apart from holdings, and the course of each (N81-N83)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.domain.compliance.offsets import KIND_TITLES, MESSAGE_TITLES, UNIT_TITLES, UnitState
from app.extensions import db
from app.models import Account, Application, OffsetMessage, OffsetUnit
from app.operations.offsets import units
from app.security.roles import READERS
from app.views.chapters import OFFSETS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.offsets.applications import GUIDE

YES_NO = {True: _("Yes"), False: _("No")}


class OffsetUnitView(ListPage):
    """抵销单元 with their states; nothing of them is part of 总持有量."""

    route_base = "/offset-units"
    title = _("CCER waiting for offset")
    menu = MenuEntry(OFFSETS, 1)
    guide = GUIDE
    grants = {READERS: "list export show"}
    account_column = "account_id"
    columns = (
        Column("serial", _("Serial block"), kind="code"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("project_no", _("Project number"), kind="code", is_shown=False),
        Column("project_name", _("Project")),
        Column("project_type", _("Project type"), is_shown=False),
        Column("registered_on", _("Registered on"), kind="date"),
        Column("quantity", _("Quantity"), kind="quantity"),
        Column("state", _("Status"), kind="status", choices=UNIT_TITLES),
        Column("number", _("Application number"), kind="code"),
        Column("changed_at", _("Changed at"), kind="datetime", is_shown=False),
    )
    filters = (
        Filter("state", _("Status"), kind="choice", choices=UNIT_TITLES),
        Filter("project", _("Project"), on=("project_no", "project_name")),
        Filter("number", _("Application number"), kind="prefix"),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    help = (
        _("What the CCER registry has frozen for offset is mirrored here; it is no holding, and is not"
          " part of the total holding"),
        _("It can be offset and nothing else; to have it back, ask for its release in the CCER registry"),
        _("A unit whose release is not confirmed yet stays blocked"),
    )  # fmt: skip
    empty_hint = _("CCER that the CCER registry has frozen for offset will be here")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a unit."""
        found: Select = (
            select(
                OffsetUnit.id,
                OffsetUnit.account_id,
                OffsetUnit.serial,
                Account.member_no,
                Account.name.label("account"),
                OffsetUnit.project_no,
                OffsetUnit.project_name,
                OffsetUnit.project_type,
                OffsetUnit.registered_on,
                OffsetUnit.quantity,
                OffsetUnit.state,
                Application.number,
                OffsetUnit.changed_at,
            )
            .join(Account, Account.id == OffsetUnit.account_id)
            .outerjoin(Application, Application.id == OffsetUnit.application_id)
        )
        return found

    def tools(self) -> Iterable[RowAction]:
        if self.may("write", "OffsetView"):
            yield RowAction(
                _("Application for offset by CCER"), url_for("OffsetView.new"), icon="plus",
                keeps_place=False,
            )  # fmt: skip

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("show"):
            yield RowAction(_("Details"), self.url("show", id=row.id))

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show what is known of a unit, its states and its messages."""
        source = self.rows(Conditions()).subquery()
        found: Select = select(source.c.id).where(source.c.id == id)
        if db.session.execute(self.in_scope(found, source.c)).one_or_none() is None:
            abort(404)
        unit = db.session.get_one(OffsetUnit, id)
        label, tone = UNIT_TITLES[UnitState(unit.state)]
        detail = {
            "title": self.title,
            "number": unit.serial,
            "status": {"label": label, "tone": tone},
            "actions": [],
            "sections": [{"title": _("Unit of CCER"), "items": _facts(unit)}],
            "tables": [_states(id), _messages(id)],
            "help": self.help,
            "back_url": back_url(self.url("list")),
        }
        return self.render_template("parts/detail.html", detail=detail)


def _facts(unit: OffsetUnit) -> list[tuple[Any, ...]]:
    return [
        (_("Serial block"), unit.serial, "text"),
        (_("Member number"), unit.account.member_no, "code"),
        (_("Member name"), unit.account.name, "text"),
        (_("Project number"), unit.project_no, "code"),
        (_("Project"), unit.project_name, "text"),
        (_("Project type"), unit.project_type, "text"),
        (_("Reductions from"), unit.period_from, "date"),
        (_("Reductions until"), unit.period_to, "date"),
        (_("Registered on"), unit.registered_on, "date"),
        (_("Quantity"), unit.quantity, "number", _("tonnes")),
        (_("Inside the boundary of the carbon market"), YES_NO[unit.in_ets], "text"),
        (_("Old stock, cancelled before"), YES_NO[unit.is_cancelled_before], "text"),
        (_("Received at"), unit.received_at, "datetime"),
    ]


def _tag(shown: tuple[Any, str]) -> dict[str, Any]:
    return dict(zip(("label", "tone"), shown, strict=True))


def _states(unit_id: int) -> dict[str, Any]:
    return {
        "title": _("States"),
        "columns": [
            {"label": _("Status"), "kind": "status"},
            {"label": _("Time"), "kind": "datetime"},
            {"label": _("Application number"), "kind": "code"},
        ],
        "rows": [
            [_tag(UNIT_TITLES[row.state]), row.at, row.number or ""]
            for row in units.events_of(unit_id)
        ],
    }


def _messages(unit_id: int) -> dict[str, Any]:
    found = select(OffsetMessage).where(OffsetMessage.unit_id == unit_id)
    return {
        "title": _("Messages with the CCER registry"),
        "columns": [
            {"label": _("Message number"), "kind": "code"},
            {"label": _("Kind of message"), "kind": "text"},
            {"label": _("State of the message"), "kind": "status"},
            {"label": _("Changed at"), "kind": "datetime"},
        ],
        "rows": [
            [each.number, KIND_TITLES[each.kind], _tag(MESSAGE_TITLES[each.state]), each.changed_at]
            for each in db.session.scalars(found.order_by(OffsetMessage.id))
        ],
    }
