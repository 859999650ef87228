"""持仓划转管理 (manual 四): transfers between registry and trading, and the transfer permission."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app.domain.kinds.transfer import (
    ExchangeRegistryToTrading,
    RegistryToTrading,
    TradingToRegistry,
)
from app.extensions import db
from app.models import (
    Application,
    TransferPermissionChange,
    Venue,
    VenueInstrument,
)
from app.operations.accounts import accounts
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security.roles import READERS, REPRESENTATIVE
from app.views.applications.choosable_lines import form_columns
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import Choosable, TransferForm
from app.views.applications.list import SETTLED, ApplicationList, usual_columns, usual_filters
from app.views.applications.switch import CHANGED_AT, CHANGED_BY, CHANGED_FILTER, SwitchPage
from app.views.chapters import TRANSFERS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter

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


STATES = {True: (_("On"), "green"), False: (_("Off"), "grey")}


class TransferPermissionView(SwitchPage):
    """划转权限 (manual 四-二): whether the trading system may start transfers to trading."""

    route_base = "/transfers/permission"
    title = _("Transfer permission")
    menu = MenuEntry(TRANSFERS, 2)
    guide = {"enterprise": "二划转权限管理", "province": "查询", "registry": "持仓划转管理"}
    grants = {READERS: "list export", REPRESENTATIVE: "switch"}
    flag, act = "allows_exchange_transfer", "account.transfer_permission"
    history, recorded = TransferPermissionChange, "is_allowed"
    states = STATES
    labels = (_("Switch the transfer permission off"), _("Switch the transfer permission on"))
    questions = (
        _("The trading system may then no longer start transfers to trading. Continue?"),
        _("The trading system may then start transfers to trading. Continue?"),
    )
    results = (_("The transfer permission is off"), _("The transfer permission is on"))
    dangerous_state = True
    columns = (
        CHANGED_AT,
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("is_allowed", _("Changed to"), kind="status", choices=STATES),
        *CHANGED_BY,
    )
    filters = (
        CHANGED_FILTER,
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    help = (
        _("On: the trading system may start transfers of your registry holdings to trading"),
        _("Off: the trading system may not; your own transfers are not affected"),
    )

    @classmethod
    def change(cls, actor: Actor, *, is_on: bool) -> None:
        """Switch it for the enterprise's registry holdings."""
        accounts.allow_exchange_transfer(
            actor.account_id or 0, actor, allowed=is_on, now=clock.now()
        )
