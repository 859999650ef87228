"""存管返还申请 (manual 六-一): returns from custody to linked enterprises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, g, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, select
from sqlalchemy.orm import aliased

from app.domain.kinds.custody import CustodyDeposit, CustodyReturn
from app.domain.workflow import line_key
from app.models import Account, Application, ApplicationLine
from app.security.scope import in_scope
from app.views.applications.choosable_lines import lines_left
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import Choosable, Filled, LinesForm
from app.views.applications.list import usual_columns, usual_filters
from app.views.chapters import CUSTODY, MenuEntry
from app.views.custody.links import named, receivers_of
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction

DEPOSIT_COLUMNS: tuple[dict[str, Any], ...] = (
    {"label": _("Deposit number"), "kind": "code"},
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Deposit quantity"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Quantity left in custody"), "kind": "number", "unit": _("tonnes")},
)


class ReturnForm(LinesForm):
    """存管返还申请: a row for every deposit and receiver; those without a quantity are left out."""

    may_leave_blank = True


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
        *usual_filters(),
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
        linked = named(receivers_of(account_id))
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
