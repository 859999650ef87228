"""存管返还管理 (manual 六-一): deposits, the links that the registry makes, and returns from custody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flask import abort, g, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, null, select
from sqlalchemy.orm import aliased

from app.domain.kinds.custody import CustodyDeposit, CustodyLink, CustodyReturn
from app.domain.workflow import Status, line_key
from app.extensions import db
from app.models import (
    Account,
    Application,
    ApplicationLine,
    ApplicationParty,
    Instrument,
)
from app.models import (
    CustodyLink as Link,
)
from app.models.figures import line_draw
from app.operations.records.catalogue import CUSTODY_TYPES
from app.security.roles import READERS
from app.security.scope import in_scope
from app.views.applications.choosable_lines import form_columns, lines_left
from app.views.applications.desk import ApplicationDesk
from app.views.applications.enterprises_field import EnterprisesField
from app.views.applications.form import (
    ApplicationForm,
    Choosable,
    Filled,
    LinesForm,
    OfferedField,
    Required,
)
from app.views.applications.list import (
    SHOWN_STATUSES,
    usual_columns,
    usual_filters,
)
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import CUSTODY, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction

STATUSES = ("draft", "in_review", "approved", "returned", "withdrawn")
TYPE_FILTER = Filter(
    "type", _("Custody type"), kind="choice", on=("category",), choices=CUSTODY_TYPES
)


class DepositForm(LinesForm):
    """存管申请."""

    category = OfferedField(_("Custody type"), CUSTODY_TYPES, _("Please choose"))


class ReturnForm(LinesForm):
    """存管返还申请: a row for every deposit and receiver; those without a quantity are left out."""

    may_leave_blank = True


class LinkForm(ApplicationForm):
    """关联对方重点排放单位."""

    receivers = EnterprisesField(_("Enterprises to link"), [Required()])

    def content(self) -> dict[str, Any]:
        """Name the enterprises that are ticked."""
        return {**super().content(), "receivers": tuple(self.receivers.data)}


# What became of deposits ------------------------------------------------------------------------


def returned(figure: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a figure of `line_draw` over a deposit's lines; for the rows shown alone."""
    total = (
        select(cast(func.coalesce(func.sum(figure), 0), BigInteger))
        .where(line_draw.c.application_id == Application.id)
        .correlate(Application)
        .scalar_subquery()
    )
    return case((Application.status == Status.APPROVED, total), else_=null())


def receivers_of(account_id: int) -> list[Account]:
    """Return the enterprises that an account is linked with."""
    return db.session.get_one(Account, account_id).receivers


def _named(accounts: Iterable[Account]) -> str:
    return "、".join(f"{each.name}（{each.member_no}）" for each in accounts)


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
    filters = (*usual_filters(*STATUSES), TYPE_FILTER)
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

    def detail_lines(self, application: Application) -> dict[str, Any] | None:
        """Show of an approved deposit what was returned and what is left, a line each."""
        shown = super().detail_lines(application)
        if shown is None or application.status != Status.APPROVED:
            return shown
        titles = (
            _("Returned quantity"),
            _("Quantity being returned"),
            _("Quantity left in custody"),
        )
        columns = [{"label": each, "kind": "number", "unit": _("tonnes")} for each in titles]
        figures = db.session.execute(
            select(line_draw.c.drawn, line_draw.c.pending, line_draw.c.remaining)
            .where(line_draw.c.application_id == application.id)
            .order_by(line_draw.c.line_id)
        )
        rows = [[*row, *drawn] for row, drawn in zip(shown["rows"], figures, strict=True)]
        return {**shown, "columns": [*shown["columns"], *columns], "rows": rows}

    def detail_tables(self, application: Application, **how: Any) -> list[dict[str, Any]]:
        """Add the returns that draw on it."""
        found = super().detail_tables(application, **how)
        if application.status == Status.APPROVED:
            found.append(_table_of(_returns_of(application.id)))
        return found


def _returns_of(application_id: int) -> Sequence[Any]:
    source, drawing = aliased(ApplicationLine), aliased(Application)
    return db.session.execute(
        select(
            drawing.id,
            drawing.number,
            Account.name,
            Instrument.code,
            ApplicationLine.source_line_id,
            ApplicationLine.quantity,
            drawing.submitted_at,
            drawing.status,
        )
        .select_from(ApplicationLine)
        .join(source, source.id == ApplicationLine.source_line_id)
        .join(drawing, drawing.id == ApplicationLine.application_id)
        .join(Account, Account.id == ApplicationLine.account_id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .where(source.application_id == application_id, drawing.status != Status.DRAFT)
        .order_by(ApplicationLine.id)
    ).all()


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


# Links ------------------------------------------------------------------------------------------


class CustodyLinkView(OfficerDesk):
    """关联对方重点排放单位: who may receive what an enterprise has in custody, by two officers."""

    route_base = "/custody-links"
    kind = CustodyLink.code
    title = _("Links of enterprises")
    menu = MenuEntry(CUSTODY, 2)
    guide = {"registry": "存管返还管理"}
    form_title = _("Link an enterprise with others")
    form = LinkForm
    columns: tuple[Column, ...] = (
        *usual_columns("number", "member_no", "account"),
        Column("receivers", _("Linked enterprises")),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *(each for each in usual_filters(*STATUSES) if each.name != "instrument"),
        Filter("receiver", _("Linked enterprise"), on=("receivers",)),
    )
    help = (
        _("Links the enterprise that deposits with those that may receive what it has in custody"),
        _(
            "One officer enters the link, another confirms it; then the enterprise can apply for returns"
        ),
        _("An enterprise without an account is opened first"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the other enterprises."""
        other = aliased(Account)
        names = (
            select(func.string_agg(other.name + "（" + other.member_no + "）", "、"))
            .join(ApplicationParty, ApplicationParty.account_id == other.id)
            .where(ApplicationParty.application_id == Application.id)
            .correlate(Application)
            .scalar_subquery()
        )
        return super().rows(conditions).add_columns(names.label("receivers"))

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Show what it is linked with already."""
        linked = _named(receivers_of(account_id)) or gettext("None")
        return [*super().form_facts(account_id), (_("Linked already"), linked, "text")]

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Tick the enterprises that were chosen."""
        chosen = [each.account_id for each in application.parties]
        return {**super().typed_before(application), "receivers": chosen}


class LinkedEnterpriseView(ListPage):
    """The links in force: an enterprise sees whom it may return to."""

    route_base = "/linked-enterprises"
    title = _("Linked enterprises")
    guide = {"enterprise": "一存管返还", "province": "查询", "registry": "存管返还管理"}
    grants = {READERS: "list export"}
    key = ("account_id", "receiver_id")
    account_column = "account_id"
    columns = (
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("receiver_no", _("Member number of the linked enterprise"), kind="code"),
        Column("receiver", _("Linked enterprise")),
        Column("linked_at", _("Linked at"), kind="datetime"),
    )
    filters = (
        Filter("receiver", _("Linked enterprise"), on=("receiver_no", "receiver")),
        Filter("linked", _("Linked on"), kind="date_range", on=("linked_at",)),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    help = (
        _("The registry links an enterprise with those that may receive what it has in custody"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a link."""
        receiver = aliased(Account)
        statement: Select = (
            select(
                Link.account_id,
                Link.receiver_id,
                Account.member_no,
                Account.name.label("account"),
                receiver.member_no.label("receiver_no"),
                receiver.name.label("receiver"),
                Link.linked_at,
            )
            .join(Account, Account.id == Link.account_id)
            .join(receiver, receiver.id == Link.receiver_id)
        )
        return statement


# Returns ----------------------------------------------------------------------------------------

DEPOSIT_COLUMNS: tuple[dict[str, Any], ...] = (
    {"label": _("Deposit number"), "kind": "code"},
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Deposit quantity"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Quantity left in custody"), "kind": "number", "unit": _("tonnes")},
)


class CustodyReturnView(ApplicationDesk):
    """存管返还申请: what is in custody is distributed over linked enterprises, each of which agrees."""

    route_base = "/custody-returns"
    beneath = ("LinkedEnterpriseView",)
    kind = CustodyReturn.code
    title = _("Returns from custody")
    menu = MenuEntry(CUSTODY, 3)
    guide = {"enterprise": "一存管返还", "province": "查询", "registry": "存管返还管理"}
    form_title = _("Return from custody application")
    form = ReturnForm
    quantity_title = _("Quantity to return")
    picker_title = _("Choose deposits")
    picker_columns = DEPOSIT_COLUMNS
    form_columns = (
        DEPOSIT_COLUMNS[0],
        DEPOSIT_COLUMNS[1],
        DEPOSIT_COLUMNS[2],
        DEPOSIT_COLUMNS[4],
        {"label": _("Receiving enterprise"), "kind": "text"},
        {"label": _("Quantity to return"), "kind": "quantity", "unit": _("tonnes")},
    )
    filters = (
        *usual_filters(*STATUSES),
        Filter("receiver", _("Receiving enterprise"), on=("receivers",)),
    )
    columns: tuple[Column, ...] = (
        *usual_columns("number", "member_no", "account", "instrument_codes", "instruments"),
        Column("receivers", _("Receiving enterprise")),
        Column("quantity", _("Quantity to return"), kind="quantity"),
        *usual_columns("created_at", "status"),
    )
    help = (
        _("The registry links your enterprise with the receiving ones first"),
        _("A deposit may be returned in parts and to several enterprises, never above what is left"),
        _("Rows without a quantity are left out"),
        _("Every receiving enterprise reviews the application, then the registry; if any of them sends"
          " it back, it can be changed and submitted again, and all of them are asked anew"),
        _("Save keeps a draft that can be changed, saved again and submitted"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add who receives."""
        receiver, line = aliased(Account), aliased(ApplicationLine)
        names = (
            select(func.string_agg(receiver.name.distinct(), "、"))
            .select_from(line)
            .join(receiver, receiver.id == line.account_id)
            .where(line.application_id == Application.id)
            .correlate(Application)
            .scalar_subquery()
        )
        return super().rows(conditions).add_columns(names.label("receivers"))

    def tools(self) -> Iterable[RowAction]:
        """Beside 新增, whom one is linked with."""
        yield from super().tools()
        yield RowAction(_("Linked enterprises"), url_for("LinkedEnterpriseView.list"), icon="link")

    def found(self, id_: int) -> tuple[Application, str]:
        """A receiver meets the application in its 待办, not among its own."""
        application, status = super().found(id_)
        if not in_scope(application.account_id, g.user):
            abort(404)
        return application, status

    def offered(self, account_id: int) -> list[Choosable]:
        """Return what is left of every deposit, once for each linked enterprise."""
        receivers = receivers_of(account_id)
        return [
            _offer(deposit, receiver)
            for deposit in lines_left(account_id, CustodyDeposit.code)
            for receiver in receivers
        ]

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Say whom one is linked with, or what is to be done first."""
        linked = _named(receivers_of(account_id))
        return [(_("Linked enterprises"), linked or gettext("None"), "text")]

    def obstacle(self, filled: Filled, account_id: int) -> str:
        """Say why there is nothing to choose."""
        if not all(each.refusal for each in filled.offered.values()):
            return ""
        if not receivers_of(account_id):
            return gettext(
                "Your enterprise is not linked with any other yet. The registry links you with the"
                " receiving enterprises upon your documents; please ask it to, then apply"
            )
        return gettext("Nothing is left in custody that could be returned")

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Show every linked enterprise beside each deposit again, those without a quantity too."""
        found = super().typed_before(application)
        typed = {line["choice"]: line for line in found["lines"]}
        for line in application.lines:
            for receiver in receivers_of(application.account_id):
                key = line_key(line.instrument_id, line.source_line_id, receiver.id)
                typed.setdefault(key, {"choice": key, "quantity": ""})
        found["lines"] = [typed[key] for key in sorted(typed, key=_by_source)]
        return found

    def next_step(self, application: Application) -> Any:
        """Say whose turn it is."""
        names = "、".join(
            dict.fromkeys(line.account.name for line in application.lines if line.account)
        )
        return gettext("%(names)s review it first, then the registry", names=names)


def _offer(deposit: Choosable, receiver: Account) -> Choosable:
    number, _document, code, name, quantity, left = deposit.picked_cells
    kinds = ("code", "code", "text", "number", "text")
    return Choosable(
        deposit.instrument_id,
        code,
        name,
        left,
        refusal=deposit.refusal,
        source_line_id=deposit.source_line_id,
        account_id=receiver.id,
        group=line_key(deposit.instrument_id, deposit.source_line_id, None),
        cells=tuple(zip((number, code, name, left, receiver.name), kinds, strict=True)),
        picked_cells=(number, code, name, quantity, left),
    )


def _by_source(key: str) -> tuple[int, ...]:
    return tuple(int(part) for part in key.removeprefix("s").split("-"))
