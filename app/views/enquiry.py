"""信息查询 (manual 七): holdings, now and as they stood at any moment, and their entries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, g, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, and_, exists, func, literal, select, true

from app.domain.errors import NotFound
from app.domain.kinds import KINDS
from app.domain.moves import (
    BUCKET_TITLES,
    HELD_BUCKETS,
    REGISTRY_BUCKETS,
    STAGE_TITLES,
    TRADING_BUCKETS,
    Bucket,
)
from app.models import Account, Entry, Holding, Instrument, Movement, Posting
from app.security.scope import require_scope
from app.views.columns import Column
from app.views.conditions import Filter
from app.views.listing import Action, Conditions, ListPage, back_url

BUSINESS_TITLES = {
    **{code: kind.title for code, kind in KINDS.items()},
    "issuance": _("Issuance"),
    "day_end": _("Day-end settlement"),
}


class HoldingView(ListPage):
    """持仓查询 (manual 七-一): the seven columns, and the formula that ties them."""

    route_base = "/holdings"
    title = _("Holdings")
    key = ("account_id", "instrument_id")
    account_column = "account_id"
    stacks_actions = True
    columns = (
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("code", _("Instrument code"), kind="code"),
        Column("instrument", _("Instrument name")),
        Column("vintage", _("Vintage"), kind="code", is_shown=False),
        Column("available", _("Available in registry"), kind="quantity"),
        Column("frozen_all", _("Frozen in registry"), kind="quantity"),
        Column("reserved", _("Frozen: held by applications"), kind="quantity", is_shown=False),
        Column("frozen", _("Frozen: by authority"), kind="quantity", is_shown=False),
        Column("pending_to_trading", _("In transit from registry"), kind="quantity"),
        Column("trading", _("Held in trading"), kind="quantity"),
        Column("pending_to_registry", _("In transit from trading"), kind="quantity"),
        Column("waiting_for_trading", _("Waiting for trading"), kind="quantity"),
        Column("total", _("Total holding"), kind="quantity"),
    )
    filters = (
        Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
        Filter("instrument", _("Instrument name"), on=("instrument",)),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
        Filter(
            "as_of",
            _("As of"),
            kind="datetime",
            applies=False,
            hint=_("The holdings as they stood at that moment; empty: now"),
        ),
    )
    help = (
        _(
            "Waiting for trading: moved from registry to trading today; it is held in trading after the"
            " day-end settlement"
        ),
        _(
            "Total holding = available in registry + frozen in registry + in transit from registry"
            " + held in trading + in transit from trading"
        ),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return the holdings now, or summed up from the entries until a moment."""
        as_of = conditions.get("as_of")
        source: Any = Holding
        amounts: dict[Bucket, ColumnElement[Any]] = {
            bucket: getattr(Holding, bucket.column) for bucket in HELD_BUCKETS
        }
        if as_of is not None:
            source = _standing(as_of)
            amounts = {bucket: source.c[bucket.column] for bucket in HELD_BUCKETS}
        statement = (
            select(
                Holding.account_id,
                Holding.instrument_id,
                Account.member_no,
                Account.name.label("account"),
                Instrument.code,
                Instrument.name.label("instrument"),
                Instrument.vintage,
                *(amount.label(bucket.column) for bucket, amount in amounts.items()),
                (amounts[Bucket.RESERVED] + amounts[Bucket.FROZEN]).label("frozen_all"),
                amounts[Bucket.PENDING_TO_TRADING].label("waiting_for_trading"),
                sum(amounts.values(), start=literal(0)).label("total"),
            )
            .select_from(Holding)
            .join(Account, Account.id == Holding.account_id)
            .join(Instrument, Instrument.id == Holding.instrument_id)
            .where(Account.kind == "enterprise")
        )
        if as_of is not None:
            # The first entry decides whether a holding was there; the sums, over all entries, are
            # for the rows that are shown: a count drops this join.
            first = and_(
                Entry.account_id == Holding.account_id,
                Entry.instrument_id == Holding.instrument_id,
                Entry.seq == 1,
                Entry.at <= as_of,
            )
            statement = statement.outerjoin(source, true()).where(exists().where(first))
        return statement

    def actions(self, row: Any) -> Iterable[Action]:
        """Each holding leads to its entries on either side."""
        ids = {"account": row.account_id, "instrument": row.instrument_id}
        yield Action(_("Registry entries"), url_for("RegistryEntryView.list", **ids))
        yield Action(_("Trading entries"), url_for("TradingEntryView.list", **ids))


def _standing(moment: Any) -> Any:
    """Sum up each holding's entries until ``moment``: what it held then.  Run for shown rows alone."""
    sums = [
        func.coalesce(func.sum(Entry.delta).filter(Entry.bucket == int(bucket)), 0).label(
            bucket.column
        )
        for bucket in HELD_BUCKETS
    ]
    return (
        select(*sums)
        .where(
            Entry.account_id == Holding.account_id,
            Entry.instrument_id == Holding.instrument_id,
            Entry.at <= moment,
        )
        .correlate(Holding)
        .lateral("standing")
    )


class _EntryView(ListPage):
    """持仓流水: what changed a side of a holding: before, change, after, business, document, time."""

    key = ("account_id", "instrument_id", "seq")
    account_column = "account_id"
    buckets: tuple[Bucket, ...] = ()
    columns = (
        Column("at", _("Time"), kind="datetime"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code", is_shown=False),
        Column("account", _("Member name"), is_shown=False),
        Column("code", _("Instrument code"), kind="code", is_shown=False),
        Column("instrument", _("Instrument name")),
        Column(
            "bucket",
            _("Part of the holding"),
            choices={int(bucket): title for bucket, title in BUCKET_TITLES.items()},
        ),
        Column("before", _("Before"), kind="quantity"),
        Column("delta", _("Changed quantity"), kind="change"),
        Column("after", _("After"), kind="quantity"),
        Column("business", _("Business"), choices=BUSINESS_TITLES),
        Column("stage", _("Stage"), choices={str(k): v for k, v in STAGE_TITLES.items()}),
        Column("document", _("Document number"), kind="code"),
    )
    filters = (
        Filter("account", _("Member"), kind="number", on=("account_id",), is_hidden=True),
        Filter("instrument", _("Instrument"), kind="number", on=("instrument_id",), is_hidden=True),
        Filter("at", _("Time"), kind="datetime_range", on=("at",)),
        Filter("document", _("Document number"), kind="prefix", on=("document",)),
        Filter("business", _("Business"), kind="choice", choices=BUSINESS_TITLES),
        Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
    )
    help = (_("After of one entry is before of the next entry of the same part"),)

    def tools(self) -> Iterable[Action]:
        """The way back to the holdings that one came from."""
        holdings = back_url(url_for("HoldingView.list"))
        yield Action(_("Back"), holdings, icon="arrow-back-up", keeps_place=False)

    def check(self, conditions: Conditions) -> None:
        """Another enterprise's holding does not exist."""
        g.crumb = self.title
        account_id = conditions.get("account")
        if account_id is not None:
            try:
                require_scope(account_id, g.user)
            except NotFound:
                abort(404)

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row an entry of this side's buckets."""
        return (
            select(
                Entry.account_id,
                Entry.instrument_id,
                Entry.seq,
                Entry.at,
                Entry.bucket,
                (Entry.after - Entry.delta).label("before"),
                Entry.delta,
                Entry.after,
                Account.member_no,
                Account.name.label("account"),
                Instrument.code,
                Instrument.name.label("instrument"),
                Posting.business,
                Posting.stage,
                Posting.document,
            )
            .join(Account, Account.id == Entry.account_id)
            .join(Instrument, Instrument.id == Entry.instrument_id)
            .join(Movement, Movement.id == Entry.movement_id)
            .join(Posting, Posting.id == Movement.posting_id)
            .where(Entry.bucket.in_([int(bucket) for bucket in self.buckets]))
            .where(Account.kind == "enterprise")
        )


class RegistryEntryView(_EntryView):
    """登记持仓流水."""

    route_base = "/holdings/registry-entries"
    title = _("Registry holding entries")
    buckets = REGISTRY_BUCKETS


class TradingEntryView(_EntryView):
    """交易持仓流水."""

    route_base = "/holdings/trading-entries"
    title = _("Trading holding entries")
    buckets = TRADING_BUCKETS
