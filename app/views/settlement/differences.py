"""对账差异: where registry and exchange disagree, and how two officers resolved it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, redirect, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, func, literal, select
from sqlalchemy.orm import joinedload

from app.domain.kinds.settlement import DifferenceResolution as Resolution
from app.extensions import db
from app.models import (
    Account,
    Application,
    DayPackage,
    DifferenceResolution,
    Instrument,
    SettlementDifference,
)
from app.operations.settlement import reconciliation
from app.security.roles import AUDITOR, OFFICERS
from app.views.applications.form import ProposalForm
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import SETTLEMENT, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction
from app.views.page import named_in_address

STATES = {"open": (_("Unresolved"), "red"), "resolved": (_("Resolved"), "green")}
MEASURES = {"tonnes": _("Tonnes"), "money": _("Money (yuan)")}


class DifferenceView(ListPage):
    """对账差异, of tonnes and of money; an account with an open one is barred from debits."""

    route_base = "/settlement-differences"
    title = _("Differences with the exchange")
    menu = MenuEntry(SETTLEMENT, 7)
    guide = {"registry": "交易结算", "administration": "结算的查询"}
    grants = {f"{OFFICERS} {AUDITOR}": "list export"}
    account_column = "account_id"
    columns = (
        Column("day", _("Trading day"), kind="date"),
        Column("member_no", _("Member number"), kind="code"),
        Column("account", _("Member name")),
        Column("instrument", _("Instrument"), kind="code"),
        Column("ours", _("Registry"), kind="quantity"),
        Column("theirs", _("Exchange"), kind="quantity"),
        Column("our_money", _("Registry, money"), kind="money"),
        Column("their_money", _("Exchange, money"), kind="money"),
        Column("state", _("State"), kind="status", choices=STATES),
        Column("found_at", _("Found at"), kind="datetime"),
    )
    filters = (
        Filter("day", _("Trading day"), kind="date_range", on=("day",)),
        Filter("member", _("Member"), on=("member_no", "account")),
        Filter(
            "state", _("State"), kind="choice", choices={key: STATES[key][0] for key in STATES},
            on=("state",),
        ),
    )  # fmt: skip
    help = (
        _("Compared after a day's trades are delivered, before what is in transit is settled"),
        _("Transfers and other debits of the account are refused until two officers resolved it"),
        _("The resolution states the reason; wrong books are corrected by a business of their own"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a difference."""
        of_tonnes = SettlementDifference.instrument_id.is_not(None)
        figures = {
            "ours": (of_tonnes, SettlementDifference.ours),
            "theirs": (of_tonnes, SettlementDifference.theirs),
            "our_money": (~of_tonnes, SettlementDifference.ours),
            "their_money": (~of_tonnes, SettlementDifference.theirs),
        }
        return (
            select(
                SettlementDifference.id,
                SettlementDifference.account_id,
                DayPackage.day,
                Account.member_no,
                Account.name.label("account"),
                func.coalesce(Instrument.code, literal("CNY")).label("instrument"),
                *(case((holds, value)).label(name) for name, (holds, value) in figures.items()),
                case(
                    (DifferenceResolution.difference_id.is_(None), literal("open")),
                    else_=literal("resolved"),
                ).label("state"),
                SettlementDifference.found_at,
            )
            .join(DayPackage, DayPackage.id == SettlementDifference.package_id)
            .join(Account, Account.id == SettlementDifference.account_id)
            .outerjoin(Instrument, Instrument.id == SettlementDifference.instrument_id)
            .outerjoin(
                DifferenceResolution,
                DifferenceResolution.difference_id == SettlementDifference.id,
            )
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("write", "DifferenceResolutionView") and row.state == "open":
            address = url_for("DifferenceResolutionView.new", difference=row.id)
            yield RowAction(_("Resolve"), address)


class DifferenceResolutionView(OfficerDesk):
    """差异处理, by two officers."""

    route_base = "/difference-resolutions"
    kind = Resolution.code
    title = _("Resolutions of differences")
    menu = MenuEntry(SETTLEMENT, 8)
    guide = {"registry": "交易结算"}
    form_title = _("Resolve a difference")
    form = ProposalForm
    new_label = _("Choose a difference")
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("day", _("Trading day")),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    help = (
        _("State why the figures differed and what became of it; another officer confirms it"),
        _("Then the account's debits are accepted again"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the day of the difference."""
        day = Application.proposal["day"].astext.label("day")
        return super().rows(conditions).add_columns(day)

    def choose(self) -> Any:
        """Lead to the differences; nothing once the address names one."""
        return None if "difference" in request.args else redirect(url_for("DifferenceView.list"))

    def account_id(self) -> int:
        return _named_difference().account_id

    def new_form(self, account_id: int) -> Any:
        form = self.form()
        form.proposal = dict(reconciliation.proposal_for(_named_difference()))
        return form

    def title_of(self, form: Any) -> Any:
        """Name the day and the instrument."""
        return gettext(
            "Resolve the difference of %(day)s, %(instrument)s",
            day=form.proposal["day"],
            instrument=form.proposal["instrument"],
        )


def _named_difference() -> SettlementDifference:
    about = (joinedload(SettlementDifference.package), joinedload(SettlementDifference.instrument))
    id_ = named_in_address("difference")
    return db.session.get(SettlementDifference, id_, options=about) or abort(404)
