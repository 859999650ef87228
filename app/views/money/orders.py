"""出入金记录: transfers at banks with their serials; officers see what is 待查 and query it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flask import abort, flash, redirect
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.domain.banks import DIRECTIONS, ORDER_TITLES, STARTERS, OrderState
from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    BankAnswer,
    BankBooking,
    BankOrder,
    BankOrderChange,
    Receivable,
    SettlementBank,
)
from app.operations.money import orders
from app.operations.records import clock
from app.security.roles import OFFICERS, READERS
from app.views.chapters import MONEY, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.money.applying import MONEY_GUIDE, SERIALS
from app.views.page import current_actor

SOURCES = {
    "answer": _("Answer to the transfer"),
    "query": _("Answer to a query"),
    "notice": _("Notice of the bank"),
    "file": _("The bank's file"),
}
OCCASIONS = {"late": _("Late success"), "reversal": _("Reversal")}


class BankOrderView(ListPage):
    """出入金记录, and of each what the bank said of it."""

    route_base = "/money/transfers"
    title = _("Transfers at banks")
    menu = MenuEntry(MONEY, 5)
    guide = MONEY_GUIDE
    grants = {READERS: "list export show", OFFICERS: "query"}
    account_column = "account_id"
    columns = (
        Column("created_at", _("Time"), kind="datetime"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("number", _("Application number"), kind="code"),
        Column("direction", _("Direction"), choices=DIRECTIONS),
        Column("started_by", _("Started by"), choices=STARTERS),
        Column("bank", _("Settlement bank")),
        Column("amount", _("Amount"), kind="money"),
        Column("state", _("State at the bank"), kind="status", choices=ORDER_TITLES),
        *SERIALS,
        Column("changed_at", _("Changed at"), kind="datetime", is_shown=False),
    )
    filters = (
        Filter("state", _("State at the bank"), kind="choice", on=("state",), choices=ORDER_TITLES),
        Filter("direction", _("Direction"), kind="choice", choices=DIRECTIONS),
        Filter("created", _("Time"), kind="date_range", on=("created_at",)),
        Filter("serial", _("Serial"), kind="prefix", on=("serial", "bank_serial")),
        Filter("number", _("Application number"), kind="prefix", on=("number",)),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    help = (
        _("Outcome unknown: the bank's answer is missing; the transfer is queried and never sent"
          " again"),
        _("What the bank carried out late is booked from its file of the day"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row an order."""
        found: Select = (
            select(
                BankOrder.id,
                Application.account_id,
                BankOrder.created_at,
                Account.member_no,
                Account.name.label("account"),
                Application.number,
                BankOrder.direction,
                BankOrder.started_by,
                SettlementBank.name.label("bank"),
                BankOrder.amount,
                BankOrder.state,
                BankOrder.serial,
                BankOrder.bank_serial,
                BankOrder.platform_serial,
                BankOrder.changed_at,
            )
            .join(Application, Application.id == BankOrder.application_id)
            .join(Account, Account.id == Application.account_id)
            .join(SettlementBank, SettlementBank.id == BankOrder.bank_id)
        )
        return found

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("show"):
            yield RowAction(_("Details"), self.url("show", id=row.id))
        if row.state in (OrderState.SENT, OrderState.UNKNOWN) and self.may("query"):
            yield RowAction(_("Query"), self.url("query", id=row.id), method="post")

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show an order's serials, its states, and what the bank said."""
        row = self._in_scope(id)
        label, tone = ORDER_TITLES[OrderState(row.state)]
        actions = [
            {"label": each.label, "url": each.url, "method": each.method, "confirm": "", "tone": ""}
            for each in self.actions(row)
            if each.method == "post"
        ]
        detail = {
            "title": self.title,
            "number": row.serial,
            "status": {"label": label, "tone": tone},
            "actions": actions,
            "sections": [{"title": _("Transfer"), "items": _facts(row)}],
            "tables": [_states(id), _answers(id), *_bookings(id)],
            "help": self.help,
            "back_url": back_url(self.url("list")),
        }
        return self.render_template("parts/detail.html", detail=detail)

    @expose("/<int:id>/query", methods=["POST"])
    @has_access
    @permission_name("query")
    def query(self, id: int) -> Any:
        """查询: let the worker ask the bank at once."""
        row = self._in_scope(id)
        try:
            with transaction():
                orders.query_now(row.id, current_actor(), now=clock.now())
        except RuleError as error:
            flash(str(error), "danger")
        else:
            flash(gettext("Transfer %(serial)s is queried now", serial=row.serial), "success")
        return redirect(self.url("show", id=id))

    def _in_scope(self, id_: int) -> Any:
        """Return a row in the member's scope, or abort with 404."""
        source = self.rows(Conditions()).subquery()
        found: Select = select(source).where(source.c.id == id_)
        row = db.session.execute(self.in_scope(found, source.c)).one_or_none()
        return row or abort(404)


def _facts(row: Any) -> list[tuple[Any, ...]]:
    return [
        (_("Member number"), row.member_no, "code"),
        (_("Member name"), row.account, "text"),
        (_("Application number"), row.number, "code"),
        (_("Direction"), DIRECTIONS[row.direction], "text"),
        (_("Started by"), STARTERS[row.started_by], "text"),
        (_("Settlement bank"), row.bank, "text"),
        (_("Amount"), row.amount, "money", _("yuan")),
        (_("Our serial"), row.serial, "code"),
        (_("Serial of the bank"), row.bank_serial, "code"),
        (_("Serial of the platform"), row.platform_serial, "code"),
        (_("Time"), row.created_at, "datetime"),
    ]


def _table(title: Any, columns: Sequence[tuple[Any, str]], rows: Iterable[Any]) -> dict[str, Any]:
    return {
        "title": title,
        "columns": [
            {"label": label, "kind": kind, "unit": _("yuan") if kind == "money" else ""}
            for label, kind in columns
        ],
        "rows": list(rows),
    }


def _tag(state: str) -> dict[str, Any]:
    return dict(zip(("label", "tone"), ORDER_TITLES[OrderState(state)], strict=True))


def _states(id_: int) -> dict[str, Any]:
    found = select(BankOrderChange).where(BankOrderChange.order_id == id_)
    return _table(
        _("States"),
        ((_("State at the bank"), "status"), (_("Time"), "datetime")),
        (
            [_tag(each.state), each.at]
            for each in db.session.scalars(found.order_by(BankOrderChange.id))
        ),
    )


def _answers(id_: int) -> dict[str, Any]:
    found = select(BankAnswer).where(BankAnswer.order_id == id_)
    return _table(
        _("What the bank said"),
        (
            (_("Time"), "datetime"),
            (_("Way"), "text"),
            (_("Outcome"), "status"),
            (_("Reason"), "text"),
        ),
        (
            [each.received_at, SOURCES[each.source], _tag(each.outcome), each.reason]
            for each in db.session.scalars(found.order_by(BankAnswer.id))
        ),
    )


def _bookings(id_: int) -> Iterable[dict[str, Any]]:
    rows = db.session.execute(
        select(BankBooking, Receivable.amount)
        .outerjoin(Receivable, Receivable.booking_id == BankBooking.id)
        .where(BankBooking.order_id == id_)
        .order_by(BankBooking.id)
    ).all()
    if rows:
        yield _table(
            _("Corrections"),
            (
                (_("Time"), "datetime"),
                (_("Business"), "text"),
                (_("Moved amount"), "money"),
                (_("Receivable"), "money"),
            ),
            ([each.at, OCCASIONS[each.occasion], each.amount, owed or 0] for each, owed in rows),
        )
