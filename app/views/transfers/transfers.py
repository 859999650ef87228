"""持仓划转管理 (manual 四): transfers between registry and trading, and the transfer permission."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flask import abort, flash, g, redirect, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.domain.errors import RuleError
from app.domain.kinds.transfer import (
    ExchangeRegistryToTrading,
    RegistryToTrading,
    TradingToRegistry,
)
from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    Member,
    TransferPermissionChange,
    Venue,
    VenueInstrument,
)
from app.operations.accounts import accounts
from app.operations.records import clock
from app.security.roles import READERS, REPRESENTATIVE
from app.views.applications.choosable_lines import form_columns
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import Choosable, TransferForm
from app.views.applications.list import SETTLED, ApplicationList, usual_columns, usual_filters
from app.views.chapters import TRANSFERS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction
from app.views.page import current_actor

CUT_OFF_RULES = (
    _("Please submit transfers before 15:00 of a trading day"),
    _(
        "Allowances submitted today cannot be traded today; they can be traded on the next trading day"
    ),
)


# 划转: where a transfer goes, and the day whose day-end carries it there.
TRANSFER_COLUMNS = (
    *usual_columns("number", "member_no", "account", "instrument_codes", "instruments"),
    Column("quantity", _("Transfer quantity"), kind="quantity"),
    Column("venue", _("Trading venue")),
    Column("created_at", _("Applied at"), kind="datetime"),
    Column("settles_on", _("Settles on"), kind="date"),
    *usual_columns("status"),
)


class RegistryToTradingView(ApplicationDesk):
    """登记发起登记转交易 (manual 四-一)."""

    route_base = "/transfers/registry-to-trading"
    kind = RegistryToTrading.code
    title = _("Registry to trading, started by the registry side")
    menu = MenuEntry(TRANSFERS, 1)
    guide = {"enterprise": "一登记转交易持仓划转", "province": "查询", "registry": "持仓划转管理"}
    form_title = _("Registry transfer application")
    form = TransferForm
    can_save_draft = False
    accepts_attachments = False
    columns = TRANSFER_COLUMNS
    quantity_title = _("Transfer quantity")
    filters = usual_filters(
        "draft",
        "in_review",
        "pending_settlement",
        SETTLED,
        "returned",
        "withdrawn",
        with_settles_on=True,
    )
    help = (
        *CUT_OFF_RULES,
        _("The quantity must not be above what is available in the registry"),
        _("A submitted transfer can be withdrawn until the day-end settlement"),
    )
    form_columns = (
        *form_columns(_("Transfer quantity")),
        {"label": _("Trading venue"), "kind": "field", "is_required": True},
    )

    def offered(self, account_id: int) -> list[Choosable]:
        """Return what the enterprise holds, with the venues that trade it."""
        today = clock.now().date()
        venues: dict[int, list[tuple[int, str]]] = {}
        for instrument_id, venue_id, name in db.session.execute(
            select(VenueInstrument.instrument_id, Venue.id, Venue.name)
            .join(Venue, Venue.id == VenueInstrument.venue_id)
            .where(Venue.in_force(today), VenueInstrument.in_force(today))
            .order_by(Venue.id)
        ):
            venues.setdefault(instrument_id, []).append((venue_id, name))
        return [
            replace(
                each,
                venues=tuple(venues.get(each.instrument_id, ())),
                refusal=each.refusal
                or ("" if each.instrument_id in venues else _("No trade code at any venue")),
            )
            for each in super().offered(account_id)
        ]

    def next_step(self, application: Application) -> Any:
        """Say when it can be traded."""
        if application.settles_on is None:
            return ""
        return gettext(
            "After the day-end settlement of %(day)s it is held in trading and can be traded on the"
            " next trading day",
            day=application.settles_on.isoformat(),
        )


# The venue is the one that asked; the reason needs its place.
STARTED_BY_EXCHANGE = (
    *(
        Column("venue", _("Trading venue"), is_shown=False) if each.key == "venue" else each
        for each in TRANSFER_COLUMNS
    ),
    Column("refusal", _("Reason for the refusal")),
)


class _StartedByExchange(ApplicationList):
    columns = STARTED_BY_EXCHANGE
    quantity_title = _("Transfer quantity")
    filters = usual_filters("pending_settlement", SETTLED, "refused", with_settles_on=True)


class ExchangeRegistryToTradingView(_StartedByExchange):
    """交易发起登记转交易 (manual 四-四): a query screen."""

    route_base = "/transfers/exchange-registry-to-trading"
    kind = ExchangeRegistryToTrading.code
    title = _("Registry to trading, started by the trading side")
    menu = MenuEntry(TRANSFERS, 4)
    guide = {
        "enterprise": "四交易发起登记转交易记录查询",
        "province": "查询",
        "registry": "持仓划转管理",
    }
    grants = {READERS: "list export show"}
    help = (
        _("Transfers that the trading system started, refused ones included"),
        _("The trading system can start them only while the transfer permission is on"),
    )


class TradingToRegistryView(_StartedByExchange):
    """交易发起交易转登记 (manual 四-三): a query screen."""

    route_base = "/transfers/trading-to-registry"
    kind = TradingToRegistry.code
    title = _("Trading to registry, started by the trading side")
    menu = MenuEntry(TRANSFERS, 3)
    guide = {
        "enterprise": "三交易发起交易转登记记录查询",
        "province": "查询",
        "registry": "持仓划转管理",
    }
    grants = {READERS: "list export show"}
    help = (
        _("Transfers that the trading system started, refused ones included"),
        _("What is taken out of trading today is available in the registry after the day-end"),
    )


class TransferPermissionView(ListPage):
    """划转权限 (manual 四-二): the switch, and the history of its changes."""

    route_base = "/transfers/permission"
    title = _("Transfer permission")
    menu = MenuEntry(TRANSFERS, 2)
    guide = {"enterprise": "二划转权限管理", "province": "查询", "registry": "持仓划转管理"}
    grants = {READERS: "list export", REPRESENTATIVE: "switch"}
    account_column = "account_id"
    columns = (
        Column("changed_at", _("Changed at"), kind="datetime"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column(
            "is_allowed",
            _("Changed to"),
            kind="status",
            choices={True: (_("On"), "green"), False: (_("Off"), "grey")},
        ),
        Column("changed_by", _("Changed by")),
        Column("ip", _("IP address"), kind="code"),
    )
    filters = (
        Filter("changed", _("Changed on"), kind="date_range", on=("changed_at",)),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    help = (
        _("On: the trading system may start transfers of your registry holdings to trading"),
        _("Off: the trading system may not; your own transfers are not affected"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return every switch."""
        return (
            select(
                TransferPermissionChange.id,
                TransferPermissionChange.account_id,
                TransferPermissionChange.changed_at,
                TransferPermissionChange.is_allowed,
                TransferPermissionChange.ip,
                Account.member_no,
                Account.name.label("account"),
                Member.first_name.label("changed_by"),
            )
            .join(Account, Account.id == TransferPermissionChange.account_id)
            .join(Member, Member.id == TransferPermissionChange.changed_by)
        )

    def state(self) -> tuple[Any, str] | None:
        """Say whether the enterprise's is on; officers see many."""
        if g.user.account_id is None:
            return None
        account = db.session.get_one(Account, g.user.account_id)
        return (_("On"), "green") if account.allows_exchange_transfer else (_("Off"), "grey")

    def tools(self) -> Iterable[RowAction]:
        """The switch: it names the state that it leads to."""
        if not self.may("switch"):
            return
        account = db.session.get_one(Account, g.user.account_id)
        is_on = account.allows_exchange_transfer
        yield RowAction(
            _("Switch the transfer permission off")
            if is_on
            else _("Switch the transfer permission on"),
            url_for(f"{self.endpoint}.switch", to="off" if is_on else "on"),
            method="post",
            confirm=gettext(
                "The trading system may then no longer start transfers to trading. Continue?"
            )
            if is_on
            else gettext("The trading system may then start transfers to trading. Continue?"),
            icon="toggle-right" if is_on else "toggle-left",
            is_dangerous=not is_on,
        )

    @expose("/switch/<to>", methods=["POST"])
    @has_access
    @permission_name("switch")
    def switch(self, to: str) -> Any:
        """Switch it on or off."""
        if to not in ("on", "off") or g.user.account_id is None:
            abort(404)
        actor = current_actor()
        try:
            with transaction():
                accounts.allow_exchange_transfer(
                    g.user.account_id, actor, allowed=to == "on", now=clock.now()
                )
        except RuleError as error:
            flash(str(error), "warning")
        else:
            flash(
                gettext("The transfer permission is on")
                if to == "on"
                else gettext("The transfer permission is off"),
                "success",
            )
        return redirect(url_for(f"{self.endpoint}.list"))
