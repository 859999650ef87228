"""持仓流水 (manual 七-一): the entries of holdings, on the registry and the trading side."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.domain.moves import BUCKET_TITLES, REGISTRY_BUCKETS, STAGE_TITLES, TRADING_BUCKETS, Bucket
from app.models import Account, Entry, Instrument, Movement, Posting
from app.views.enquiries.holdings import HOLDING_FILTERS, OfHolding
from app.views.enquiries.lines import BUSINESS_TITLES
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions


class EntryPage(OfHolding):
    """持仓流水: what changed a side of a holding: before, change, after, business, document, time."""

    key = ("account_id", "instrument_id", "seq")
    buckets: tuple[Bucket, ...] = ()
    in_money = False
    columns: tuple[Column, ...] = (
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
        *HOLDING_FILTERS,
        Filter("at", _("Time"), kind="datetime_range", on=("at",)),
        Filter("document", _("Document number"), kind="prefix", on=("document",)),
        Filter("business", _("Business"), kind="choice", choices=BUSINESS_TITLES),
        Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
    )
    help = (_("After of one entry is before of the next entry of the same part"),)

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row an entry of this side's buckets."""
        return entries(*self.buckets).where(
            Instrument.is_of_money() if self.in_money else Instrument.is_of_tonnes()
        )


def entries(*buckets: Bucket) -> Select[Any]:
    """Return one row an entry of these buckets, of enterprises' holdings."""
    found: Select = (
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
        .where(Entry.bucket.in_([int(bucket) for bucket in buckets]))
        .where(Account.kind == "enterprise")
    )
    return found


class RegistryEntryView(EntryPage):
    """登记持仓流水."""

    route_base = "/holdings/registry-entries"
    title = _("Registry holding entries")
    buckets = REGISTRY_BUCKETS


class TradingEntryView(EntryPage):
    """交易持仓流水."""

    route_base = "/holdings/trading-entries"
    title = _("Trading holding entries")
    buckets = TRADING_BUCKETS
