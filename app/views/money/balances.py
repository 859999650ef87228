"""资金查询 and 资金流水: what a participant has at a bank, and what changed it (rules-2026 N144)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, select

from app.domain.moves import Bucket
from app.models import Account, Holding, SettlementBank
from app.models.figures import open_receivable
from app.security.roles import READERS
from app.views.chapters import MONEY, MenuEntry
from app.views.enquiries.entries import EntryPage
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction

GUIDE = {"enterprise": "三资金查询", "province": "查询", "registry": "资金管理"}
PARTS = {
    Bucket.AVAILABLE: _("Withdrawable"),
    Bucket.PROCEEDS: _("Sale proceeds of the day"),
    Bucket.RESERVED: _("Held by withdrawals"),
    Bucket.FROZEN: _("Frozen by authority"),
}


# The columns of a holding's entries that are otherwise for money.
_IN_MONEY = {
    "code": Column("code", _("Code of the bank"), kind="code", is_shown=False),
    "instrument": Column("instrument", _("Money at")),
    "bucket": Column(
        "bucket",
        _("Part of the money"),
        choices={int(each): title for each, title in PARTS.items()},
    ),
    "before": Column("before", _("Before"), kind="money"),
    "delta": Column("delta", _("Changed amount"), kind="money_change"),
    "after": Column("after", _("After"), kind="money"),
}


class MoneyView(ListPage):
    """资金查询: balance, 可用, 可取, and what is held, per bank."""

    route_base = "/money"
    title = _("Money")
    menu = MenuEntry(MONEY, 1)
    guide = GUIDE
    grants = {READERS: "list export"}
    key = ("account_id", "instrument_id")
    account_column = "account_id"
    columns = (
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("code", _("Code of the bank"), kind="code", is_shown=False),
        Column("bank", _("Settlement bank")),
        Column("balance", _("Balance of money"), kind="money"),
        Column("usable", _("Usable"), kind="money"),
        Column("withdrawable", _("Withdrawable"), kind="money"),
        Column("proceeds", _("Sale proceeds of the day"), kind="money"),
        Column("held", _("Held by withdrawals"), kind="money"),
        Column("frozen", _("Frozen by authority"), kind="money"),
        Column("owed", _("Receivable"), kind="money"),
    )
    filters = (
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
        Filter("bank", _("Settlement bank"), on=("bank", "code")),
    )
    help = (
        _("Usable = withdrawable + sale proceeds of the day; it buys allowances"),
        _("Withdrawable: what can be withdrawn; proceeds of today's sales join it on the next"
          " trading day"),
        _("Balance = usable + held by withdrawals + frozen by authority"),
        _("A receivable is paid first out of what comes in; until then nothing is withdrawn and no"
          " other bank is bound"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a participant and bank."""
        usable = Holding.available + Holding.proceeds
        found: Select = (
            select(
                Holding.account_id,
                Holding.instrument_id,
                Account.member_no,
                Account.name.label("account"),
                SettlementBank.code,
                SettlementBank.name.label("bank"),
                (usable + Holding.reserved + Holding.frozen).label("balance"),
                usable.label("usable"),
                Holding.available.label("withdrawable"),
                Holding.proceeds,
                Holding.reserved.label("held"),
                Holding.frozen,
                func.coalesce(open_receivable.c.owed, 0).label("owed"),
            )
            .outerjoin(
                open_receivable,
                (open_receivable.c.account_id == Holding.account_id)
                & (open_receivable.c.instrument_id == Holding.instrument_id),
            )
            .join(Account, Account.id == Holding.account_id)
            .join(SettlementBank, SettlementBank.instrument_id == Holding.instrument_id)
            .where(Account.kind == "enterprise")
        )
        return found

    def actions(self, row: Any) -> Iterable[RowAction]:
        """Each leads to its entries."""
        ids = {"account": row.account_id, "instrument": row.instrument_id}
        yield RowAction(_("Entries of money"), url_for("MoneyEntryView.list", **ids))


class MoneyEntryView(EntryPage):
    """资金流水: before, change and after, in yuan."""

    route_base = "/money/entries"
    title = _("Entries of money")
    menu = MenuEntry(MONEY, 2)
    guide = GUIDE
    buckets = tuple(PARTS)
    in_money = True
    columns = tuple(_IN_MONEY.get(each.key, each) for each in EntryPage.columns)

    def tools(self) -> Iterable[RowAction]:
        """It has its own place in the menu."""
        return ()
