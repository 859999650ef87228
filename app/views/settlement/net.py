"""净买卖统计: what each member bought and sold of an instrument over a period (rules-2026 N68, N150)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import Select, literal, select

from app.domain.trading_day import BEIJING
from app.models import Account, Instrument
from app.operations.records import clock
from app.operations.settlement import sides
from app.security.roles import AUDITOR, READERS
from app.views.chapters import SETTLEMENT, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction
from app.views.settlement.trades import market_link


class NetView(ListPage):
    """净买卖统计: one row a member and instrument, of a period of trading days."""

    route_base = "/trades/net"
    title = _("Net bought and sold")
    menu = MenuEntry(SETTLEMENT, 9)
    guide = {
        "enterprise": "净买卖统计",
        "province": "净买卖统计",
        "registry": "净买卖统计",
        "administration": "结算的查询",
    }
    grants = {f"{READERS} {AUDITOR}": "list export"}
    key = ("account_id", "instrument_id")
    account_column = "account_id"
    shown_filters = 4
    columns = (
        Column("period", _("Period"), kind="code"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("code", _("Instrument code"), kind="code"),
        Column("instrument", _("Instrument"), is_shown=False),
        Column("vintage", _("Vintage"), kind="code"),
        Column("bought", _("Bought"), kind="quantity"),
        Column("sold", _("Sold"), kind="quantity"),
        Column("net_bought", _("Net bought"), kind="change"),
        Column("bought_for", _("Bought for"), kind="money"),
        Column("sold_for", _("Sold for"), kind="money"),
        Column("fees", _("Fees"), kind="money", is_shown=False),
        Column("net_amount", _("Net amount"), kind="money_change"),
        Column("undelivered_bought", _("Bought, not delivered"), kind="quantity", is_shown=False),
        Column("undelivered_sold", _("Sold, not delivered"), kind="quantity", is_shown=False),
    )
    filters = (
        Filter(
            "day",
            _("Trading day"),
            kind="date_range",
            applies=False,
            hint=_("Empty: the current calendar year"),
        ),
        Filter("code", _("Instrument code"), kind="prefix"),
        Filter("vintage", _("Vintage"), kind="number"),
        Filter("member", _("Member"), on=("member_no", "account"), is_of_others=True),
    )
    help = (
        _("Trades count on their trading day, once they are delivered; trades in default do not count"),
        _("Transfers between registry and trading, custody, freezes and surrenders are no sales"),
        _("Net bought = bought - sold, below zero where more was sold;"
          " net amount = sold for - bought for - fees"),
    )  # fmt: skip
    empty_hint = _("Nothing was traded in this period")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a member and instrument."""
        first, last = period_of(conditions)
        net = sides.net(first, last).subquery("net")
        return (
            select(
                net,
                literal(f"{first or ''}—{last or ''}").label("period"),
                Account.member_no,
                Account.name.label("account"),
                Instrument.code,
                Instrument.name.label("instrument"),
                Instrument.vintage,
                (net.c.bought - net.c.sold).label("net_bought"),
                (net.c.sold_for - net.c.bought_for - net.c.fees).label("net_amount"),
            )
            .join(Account, Account.id == net.c.account_id)
            .join(Instrument, Instrument.id == net.c.instrument_id)
        )

    def tools(self) -> Iterable[RowAction]:
        yield market_link()


def period_of(conditions: Conditions) -> tuple[date | None, date | None]:
    """Return the first and last trading day asked for, of which one may be open; else this year's."""
    typed = conditions.get("day")
    if typed is None:
        year = clock.now().astimezone(BEIJING).year
        return date(year, 1, 1), date(year, 12, 31)
    first, last = (end.date() if isinstance(end, datetime) else end for end in typed)
    return first, last
