"""CCER登记往来: messages with the CCER registry; officers query what is open (N88)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, flash, redirect
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, select

from app.domain.compliance.offsets import (
    DIRECTIONS,
    EVENT_TITLES,
    KIND_TITLES,
    MESSAGE_TITLES,
    OUT,
    RELEASE,
    SOURCES,
    MessageState,
)
from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Account, OffsetBinding, OffsetMessage, OffsetMessageEvent, OffsetUnit
from app.operations.offsets import messages
from app.operations.records import clock
from app.security.roles import OFFICERS
from app.views.chapters import OFFSETS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import current_actor

OPEN = (MessageState.SENT, MessageState.UNKNOWN)


class OffsetMessageView(ListPage):
    """Messages of both sides with their states."""

    route_base = "/offset-messages"
    title = _("Messages with the CCER registry")
    menu = MenuEntry(OFFSETS, 4)
    guide = {"registry": "ccer抵销"}
    grants = {OFFICERS: "list export show query"}
    account_column = "account_id"
    columns = (
        Column("created_at", _("Time"), kind="datetime"),
        Column("direction", _("Direction"), choices=DIRECTIONS),
        Column("number", _("Message number"), kind="code"),
        Column("kind", _("Kind of message"), choices=KIND_TITLES),
        Column("member_no", _("Member number"), kind="code", is_shown=False),
        Column("account", _("Member name")),
        Column("subject", _("Unit or CCER account"), kind="code"),
        Column("quantity", _("Quantity"), kind="quantity"),
        Column("state", _("State of the message"), kind="status", choices=MESSAGE_TITLES),
        Column("reason", _("Reason"), is_shown=False),
        Column("changed_at", _("Changed at"), kind="datetime", is_shown=False),
    )
    filters = (
        Filter("state", _("State of the message"), kind="choice", choices=MESSAGE_TITLES),
        Filter("kind", _("Kind of message"), kind="choice", choices=KIND_TITLES),
        Filter("direction", _("Direction"), kind="choice", choices=DIRECTIONS),
        Filter("created", _("Time"), kind="date_range", on=("created_at",)),
        Filter("number", _("Message number"), kind="prefix"),
        Filter("member", _("Member"), on=("member_no", "account")),
    )
    help = (
        _("Outcome unknown: the answer is missing; the message is queried by its number and never sent"
          " as a new one"),
        _("A message that comes again has one effect; with another content it is refused and told to"
          " the officers"),
        _("The line to the CCER registry is set up by the operator of this system (CCER_LINE)"),
    )  # fmt: skip
    empty_hint = _("Messages with the CCER registry will be here")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a message."""
        found: Select = (
            select(
                OffsetMessage.id,
                OffsetMessage.account_id,
                OffsetMessage.created_at,
                OffsetMessage.direction,
                OffsetMessage.number,
                OffsetMessage.kind,
                Account.member_no,
                Account.name.label("account"),
                func.coalesce(OffsetUnit.serial, OffsetBinding.ccer_account, "").label("subject"),
                OffsetMessage.quantity,
                OffsetMessage.state,
                OffsetMessage.reason,
                OffsetMessage.changed_at,
            )
            .outerjoin(Account, Account.id == OffsetMessage.account_id)
            .outerjoin(OffsetUnit, OffsetUnit.id == OffsetMessage.unit_id)
            .outerjoin(OffsetBinding, OffsetBinding.id == OffsetMessage.binding_id)
        )
        return found

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("show"):
            yield RowAction(_("Details"), self.url("show", id=row.id))
        if row.direction == OUT and self.may("query"):
            if row.state in OPEN:
                yield RowAction(_("Query"), self.url("query", id=row.id), method="post")
            if row.state == MessageState.REFUSED and row.kind == RELEASE:
                yield RowAction(
                    _("Order the release again"), self.url("again", id=row.id), method="post"
                )

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show what passed about a message."""
        row = self._in_scope(id)
        label, tone = MESSAGE_TITLES[MessageState(row.state)]
        actions = [
            {"label": each.label, "url": each.url, "method": each.method, "confirm": "", "tone": ""}
            for each in self.actions(row)
            if each.method == "post"
        ]
        detail = {
            "title": self.title,
            "number": row.number,
            "status": {"label": label, "tone": tone},
            "actions": actions,
            "sections": [{"title": _("Message"), "items": _facts(row)}],
            "tables": [_events(id)],
            "help": self.help,
            "back_url": back_url(self.url("list")),
        }
        return self.render_template("parts/detail.html", detail=detail)

    @expose("/<int:id>/query", methods=["POST"])
    @has_access
    @permission_name("query")
    def query(self, id: int) -> Any:
        """查询: let the worker ask the CCER registry at once."""
        message = gettext("Message %(number)s is queried now", number=self._in_scope(id).number)
        return self._carry_out(id, messages.query_now, message)

    @expose("/<int:id>/again", methods=["POST"])
    @has_access
    @permission_name("query")
    def again(self, id: int) -> Any:
        """Order a release once more that the CCER registry refused."""
        self._in_scope(id)
        return self._carry_out(id, messages.release_again, gettext("The release is ordered again"))

    def _carry_out(self, id_: int, act: Any, done: str) -> Any:
        try:
            with transaction():
                act(id_, current_actor(), now=clock.now())
        except RuleError as error:
            flash(str(error), "danger")
        else:
            flash(done, "success")
        return redirect(self.url("show", id=id_))

    def _in_scope(self, id_: int) -> Any:
        """Return a row in the member's scope, or abort with 404."""
        source = self.rows(Conditions()).subquery()
        found: Select = select(source).where(source.c.id == id_)
        row = db.session.execute(self.in_scope(found, source.c)).one_or_none()
        return row or abort(404)


def _facts(row: Any) -> list[tuple[Any, ...]]:
    return [
        (_("Direction"), DIRECTIONS[row.direction], "text"),
        (_("Message number"), row.number, "code"),
        (_("Kind of message"), KIND_TITLES[row.kind], "text"),
        (_("Member number"), row.member_no, "code"),
        (_("Member name"), row.account, "text"),
        (_("Unit or CCER account"), row.subject, "code"),
        (_("Quantity"), row.quantity, "number", _("tonnes")),
        (_("Reason"), row.reason, "text"),
        (_("Time"), row.created_at, "datetime"),
    ]


def _events(id_: int) -> dict[str, Any]:
    found = select(OffsetMessageEvent).where(OffsetMessageEvent.message_id == id_)
    return {
        "title": _("What passed"),
        "columns": [
            {"label": _("Time"), "kind": "datetime"},
            {"label": _("Outcome"), "kind": "status"},
            {"label": _("Way"), "kind": "text"},
            {"label": _("Reason"), "kind": "text"},
        ],
        "rows": [
            [
                each.at,
                dict(zip(("label", "tone"), EVENT_TITLES[each.what], strict=True)),
                SOURCES[each.source],
                each.reason,
            ]
            for each in db.session.scalars(found.order_by(OffsetMessageEvent.id))
        ],
    }
