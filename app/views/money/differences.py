"""资金差异: what a bank's file or balance shows and the books do not, and how two officers resolved it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, redirect, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, case, cast, literal, select

from app.domain.banks import DIRECTIONS
from app.domain.kinds.settlement import BankDifference
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.models import Application, SettlementBank
from app.models.figures import bank_difference
from app.operations.money import files
from app.security.roles import AUDITOR, OFFICERS
from app.views.applications.form import ProposalForm
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import MONEY, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction
from app.views.page import named_in_address

STATES = {"open": (_("Unresolved"), "red"), "resolved": (_("Resolved"), "green")}
WHAT = {"unmatched": _("Transfer that fits nothing of ours"), "balance": _("Balance")}
GUIDE = {"registry": "资金差异", "administration": "结算的查询"}


class BankDifferenceView(ListPage):
    """资金差异: unmatched rows of banks' day files, and balances that differ at signing out."""

    route_base = "/money/differences"
    title = _("Differences with banks")
    menu = MenuEntry(MONEY, 8)
    guide = GUIDE
    grants = {f"{OFFICERS} {AUDITOR}": "list export"}
    shown_filters = 4
    empty_hint = _("Banks and books agree")
    account_column = None  # Of banks; what fits no order of ours belongs to no account.
    columns = (
        Column("day", _("Date"), kind="date"),
        Column("bank", _("Settlement bank")),
        Column("event", _("Difference"), choices=WHAT),
        Column("bank_serial", _("Serial of the bank"), kind="code"),
        Column("serial", _("Our serial"), kind="code", is_shown=False),
        Column("direction", _("Direction"), choices=DIRECTIONS),
        Column("amount", _("Amount"), kind="money"),
        Column("ours", _("Registry, money"), kind="money"),
        Column("theirs", _("Bank's money"), kind="money"),
        Column("reason", _("Reason")),
        Column("state", _("State"), kind="status", choices=STATES),
        Column("at", _("Found at"), kind="datetime", is_shown=False),
    )
    filters = (
        Filter("day", _("Date"), kind="date_range"),
        Filter("bank", _("Settlement bank"), on=("bank", "code")),
        Filter("event", _("Difference"), kind="choice", choices=WHAT),
        Filter("state", _("State"), kind="choice", choices=STATES),
        Filter("serial", _("Serial"), kind="prefix", on=("bank_serial", "serial")),
    )
    help = (
        _(
            "Rows of a bank's file of the day that fit no transfer of ours; nothing was booked by them"
        ),
        _("Two officers state the cause; wrong books are corrected by a business of their own"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a difference."""
        found, detail = bank_difference.c, bank_difference.c.detail
        return select(
            found.id,
            found.day,
            found.event,
            found.at,
            SettlementBank.code,
            SettlementBank.name.label("bank"),
            *(
                detail[name].astext.label(name)
                for name in ("bank_serial", "serial", "direction", "reason")
            ),
            *(
                cast(detail[name].astext, BigInteger).label(name)
                for name in ("amount", "ours", "theirs")
            ),
            case((found.is_resolved, literal("resolved")), else_=literal("open")).label("state"),
        ).join(SettlementBank, SettlementBank.id == found.bank_id)

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("write", "BankDifferenceResolutionView") and row.state == "open":
            address = url_for("BankDifferenceResolutionView.new", difference=row.id)
            yield RowAction(_("Resolve"), address)


class BankDifferenceResolutionView(OfficerDesk):
    """资金差异处理, by two officers."""

    route_base = "/money/difference-resolutions"
    kind = BankDifference.code
    title = _("Resolutions of differences with banks")
    menu = MenuEntry(MONEY, 9)
    guide = {"registry": "资金差异"}
    form_title = _("Resolve a difference with a bank")
    form = ProposalForm
    new_label = _("Choose a difference")
    columns = (
        *usual_columns("number"),
        Column("day", _("Date")),
        Column("bank", _("Settlement bank")),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    help = (
        _(
            "State why the bank and the books differ and what became of it; another officer confirms it"
        ),
        _("Wrong books are corrected by a business of their own, not by this"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add day and bank."""
        named = (Application.proposal[name].astext.label(name) for name in ("day", "bank"))
        return super().rows(conditions).add_columns(*named)

    def choose(self) -> Any:
        """Lead to the differences; nothing once the address names one."""
        return (
            None if "difference" in request.args else redirect(url_for("BankDifferenceView.list"))
        )

    def account_id(self) -> int:
        return ISSUANCE_ACCOUNT_ID

    def new_form(self, account_id: int) -> Any:
        form = self.form()
        form.proposal = _named_difference()
        return form

    def title_of(self, form: Any) -> Any:
        """Name the day and the bank."""
        return gettext(
            "Resolve the difference of %(day)s with %(bank)s",
            day=form.proposal["day"],
            bank=form.proposal["bank"],
        )

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        return []


def _named_difference() -> dict[str, Any]:
    return files.proposal_for(named_in_address("difference")) or abort(404)
