"""违约: trades that were not covered, their notices, and how the reserve covered a buyer (domain.md R58)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import redirect, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, literal, select

from app.domain.kinds.money.reserve import DefaultCover
from app.domain.moves import RESERVE_ACCOUNT_ID
from app.models import Account, Application, DayPackage, Trade, TradeDefault, TradeDelivery
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.settlement import defaults
from app.security.roles import AUDITOR, READERS
from app.views.applications import form as application_form
from app.views.applications.form import Filled, ProposalForm
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import SETTLEMENT, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction
from app.views.page import named_in_address

STATES = {
    "notified": (_("Notice runs"), "amber"),
    "overdue": (_("Overdue"), "red"),
    "delivered": (_("Delivered since"), "green"),
}
GUIDE = {
    "enterprise": "违约",
    "registry": "违约处理",
    "province": "查询",
    "administration": "结算的查询",
}


class DefaultView(ListPage):
    """违约: a member sees its own, which is its notice; the registry covers a buyer's once it is overdue."""

    route_base = "/settlement-defaults"
    title = _("Defaults")
    menu = MenuEntry(SETTLEMENT, 12)
    guide = GUIDE
    grants = {f"{READERS} {AUDITOR}": "list export"}
    account_column = "account_id"
    empty_hint = _("Every trade was covered")
    columns = (
        Column("day", _("Trading day"), kind="date"),
        Column("deal_no", _("Deal number"), kind="code"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("missing_tonnes", _("Missing"), kind="quantity"),
        Column("missing_fen", _("Missing money"), kind="money"),
        Column("due_at", _("To be made good by"), kind="datetime"),
        Column("state", _("State"), kind="status", choices=STATES),
        Column("found_at", _("Found at"), kind="datetime", is_shown=False),
    )
    filters = (
        Filter("day", _("Trading day"), kind="date_range", on=("day",)),
        Filter("deal_no", _("Deal number"), kind="prefix", on=("deal_no",)),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
        Filter("state", _("State"), kind="choice", choices=STATES),
    )
    help = (
        _("A trade that its buyer or seller cannot cover is not delivered; those beside it are"),
        _("Whoever lacks something has until the next opening to make it good; the trade is delivered then"),
        _("After that the settlement reserve may pay what a buyer lacks; the buyer owes it to the reserve"
          " and withdraws nothing before it is paid"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a trade that was in default."""
        state = case(
            (TradeDelivery.trade_id.is_not(None), literal("delivered")),
            (TradeDefault.due_at <= clock.now(), literal("overdue")),
            else_=literal("notified"),
        )
        columns: list[Any] = [
            TradeDefault.id,
            TradeDefault.account_id,
            DayPackage.day,
            Trade.deal_no,
            Account.member_no,
            Account.name.label("account"),
            TradeDefault.missing_tonnes,
            TradeDefault.missing_fen,
            TradeDefault.due_at,
            TradeDefault.found_at,
            state.label("state"),
        ]
        return (
            select(*columns)
            .join(Trade, Trade.id == TradeDefault.trade_id)
            .join(DayPackage, DayPackage.id == Trade.package_id)
            .join(Account, Account.id == TradeDefault.account_id)
            .outerjoin(TradeDelivery, TradeDelivery.trade_id == Trade.id)
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        if row.state == "overdue" and row.missing_fen and self.may("write", "DefaultCoverView"):
            yield RowAction(_("Cover"), url_for("DefaultCoverView.new", default=row.id))


class DefaultCoverView(OfficerDesk):
    """违约垫付, by two officers."""

    route_base = "/default-covers"
    kind = DefaultCover.code
    title = _("Covers of defaults")
    menu = MenuEntry(SETTLEMENT, 13)
    guide = {"registry": "违约处理"}
    form_title = _("Cover a default out of the reserve")
    form = ProposalForm
    new_label = _("Choose a default")
    quantity_title = _("Amount")
    columns = (
        *usual_columns("number"),
        Column("day", _("Trading day")),
        Column("deal_no", _("Deal number"), kind="code"),
        Column("buyer_no", _("Member number"), kind="code"),
        Column("buyer", _("Buyer in default")),
        Column("amount", _("Amount"), kind="money"),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    help = (
        _("The amount is what the buyer lacks now; another officer confirms it"),
        _("Then the trade is delivered, the account is restricted, and what comes in pays the reserve first"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the deal and its buyer."""
        named = ("day", "deal_no", "buyer_no", "buyer")
        proposed = (Application.proposal[name].astext.label(name) for name in named)
        return super().rows(conditions).add_columns(*proposed)

    def choose(self) -> Any:
        """Lead to the defaults; nothing once the address names one."""
        return None if "default" in request.args else redirect(url_for("DefaultView.list"))

    def account_id(self) -> int:
        return RESERVE_ACCOUNT_ID

    def new_form(self, account_id: int) -> Any:
        form = self.form()
        form.proposal = {"default": named_in_address("default")}
        return form

    def title_of(self, form: Any) -> Any:
        """Name the deal and its buyer."""
        row = defaults.find(form.proposal["default"])
        return gettext(
            "Cover the default of %(member)s in deal %(deal)s of %(day)s",
            member=row.member,
            deal=row.deal_no,
            day=row.day.isoformat(),
        )

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return what the buyer lacks now, and what the reserve has; on the way to a new one."""
        if "default" not in request.args:
            return []
        row = defaults.find(named_in_address("default"))
        return [
            (_("Settlement bank"), row.bank, "text"),
            (_("Missing now"), max(row.missing, 0), "money", _("yuan")),
            (_("Reserve"), row.reserve, "money", _("yuan")),
        ]

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        reason = (filled.form.reason.data or "").strip()
        key = application_form.request_key()
        return defaults.draft(filled.form.proposal["default"], key, reason=reason)
