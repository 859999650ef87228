"""持仓查询 (manual 七-一): holdings, now and as they stood at any moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, g, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    select,
    true,
)

from app.domain.errors import NotFound
from app.domain.kinds import KINDS
from app.domain.kinds.pledge import AS_NOTE, Pledge, PledgeNote
from app.domain.moves import HELD_BUCKETS, Bucket
from app.domain.workflow import Status
from app.extensions import db
from app.models import (
    Account,
    Application,
    ApplicationLine,
    CourtEffect,
    CourtHold,
    CourtOrder,
    Entry,
    Holding,
    Instrument,
)
from app.models.parameter import setting
from app.security.roles import READERS
from app.security.scope import require_scope
from app.views.applications.list import approved_at
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.enquiries.lines import LINE_COLUMNS, LINE_FILTERS
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url


def what_is_pledged(row: Any) -> str:
    """Return the address of the pledges of a holding."""
    about = {"account": row.account_id, "instrument": row.instrument_id}
    return url_for("PledgeRegisterView.list", **about)


def what_holds(row: Any) -> str:
    """Return the address of what makes up the 登记冻结量 of a holding."""
    return url_for("FrozenPartView.list", account=row.account_id, instrument=row.instrument_id)


class HoldingView(ListPage):
    """持仓查询 (manual 七-一): the seven columns, and the formula that ties them."""

    route_base = "/holdings"
    beneath = ("RegistryEntryView", "TradingEntryView", "FrozenPartView")
    title = _("Holdings")
    menu = MenuEntry(ENQUIRIES, 2)
    guide = {"enterprise": "一持仓信息查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    key = ("account_id", "instrument_id")
    account_column = "account_id"
    stacks_actions = True
    columns = (
        *LINE_COLUMNS,
        Column("vintage", _("Vintage"), kind="code", is_shown=False),
        Column("available", _("Available in registry"), kind="quantity"),
        Column(
            "frozen_all",
            _("Frozen in registry"),
            kind="quantity",
            link=lambda row: what_holds(row) if row.frozen_all else None,
        ),
        Column("reserved", _("Frozen: held by applications"), kind="quantity", is_shown=False),
        Column("frozen", _("Frozen: by authority"), kind="quantity", is_shown=False),
        Column("judicial", _("Of which frozen by courts"), kind="quantity", is_shown=False),
        Column(
            "pledged",
            _("Of which pledged"),
            kind="quantity",
            is_shown=False,
            link=lambda row: what_is_pledged(row) if row.pledged else None,
        ),
        Column(
            "noted",
            _("Pledge noted"),
            kind="quantity",
            is_shown=False,
            link=lambda row: what_is_pledged(row) if row.noted else None,
        ),
        Column("pending_to_trading", _("In transit from registry"), kind="quantity"),
        Column("trading", _("Held in trading"), kind="quantity"),
        Column("pending_to_registry", _("In transit from trading"), kind="quantity"),
        Column("waiting_for_trading", _("Waiting for trading"), kind="quantity"),
        Column("total", _("Total holding"), kind="quantity"),
    )
    filters = (
        *LINE_FILTERS,
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
        _("What is frozen leads to the applications and documents that hold it"),
        _(
            "What is noted as pledged is part of the holding and can be used; what is pledged is frozen"
        ),
    )

    def is_usual(self, column: Column) -> bool:
        """Show what is noted as pledged while pledges are notes: nothing else would tell of them."""
        if column.key == "noted":
            return bool(setting(db.session, "pledge_mode") == AS_NOTE)
        return super().is_usual(column)

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
                _judicial(as_of).label("judicial"),
                _pledged(Pledge.code, as_of).label("pledged"),
                _pledged(PledgeNote.code, as_of).label("noted"),
                amounts[Bucket.PENDING_TO_TRADING].label("waiting_for_trading"),
                sum(amounts.values(), start=literal(0)).label("total"),
            )
            .select_from(Holding)
            .join(Account, Account.id == Holding.account_id)
            .join(Instrument, Instrument.id == Holding.instrument_id)
            .where(Account.kind == "enterprise", Instrument.is_of_tonnes())
        )
        return statement if as_of is None else _as_of(statement, source, as_of)

    def actions(self, row: Any) -> Iterable[RowAction]:
        """Each holding leads to its entries on either side."""
        ids = {"account": row.account_id, "instrument": row.instrument_id}
        yield RowAction(_("Registry entries"), url_for("RegistryEntryView.list", **ids))
        yield RowAction(_("Trading entries"), url_for("TradingEntryView.list", **ids))
        if row.total and self.may("show", "TrailView"):
            number = f"{row.member_no}-{row.code}"
            yield RowAction(_("Trail"), url_for("TrailView.show", number=number))


def _as_of(statement: Select[Any], standing: Any, moment: Any) -> Select[Any]:
    """Restrict holdings to those that were there at a moment, and add how they stood.

    The first entry decides whether a holding was there; the sums, over all entries, are for the rows
    that are shown: a count drops this join.
    """
    first = and_(
        Entry.account_id == Holding.account_id,
        Entry.instrument_id == Holding.instrument_id,
        Entry.seq == 1,
        Entry.at <= moment,
    )
    return statement.outerjoin(standing, true()).where(exists().where(first))


def _pledged(kind: str, moment: Any) -> ColumnElement[Any]:
    """Return what of a holding is pledged in a way, now or at a moment; for the rows shown alone."""
    drawing = [code for code, each in KINDS.items() if each.draws_on == kind]
    refunding = [code for code, each in KINDS.items() if each.draws_on in drawing]
    sign = case((Application.kind.in_([kind, *refunding]), 1), else_=-1)
    found = (
        select(func.coalesce(func.sum(ApplicationLine.quantity * sign), 0).cast(BigInteger))
        .join(Application, Application.id == ApplicationLine.application_id)
        .where(
            Application.account_id == Holding.account_id,
            Application.kind.in_([kind, *drawing, *refunding]),
            Application.status == Status.APPROVED,
            ApplicationLine.instrument_id == Holding.instrument_id,
        )
        .correlate(Holding)
    )
    if moment is not None:
        found = found.where(approved_at() <= moment)
    return found.scalar_subquery()


def _judicial(moment: Any) -> ColumnElement[Any]:
    """Return what courts have frozen of a holding, now or at a moment; for the rows shown alone."""
    of: Any = CourtHold if moment is None else CourtEffect
    found = (
        select(func.coalesce(func.sum(of.quantity), 0).cast(BigInteger))
        .join(CourtOrder, CourtOrder.application_id == of.order_id)
        .where(
            CourtOrder.account_id == Holding.account_id, of.instrument_id == Holding.instrument_id
        )
        .correlate(Holding)
    )
    return (found if moment is None else found.where(of.at <= moment)).scalar_subquery()


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


# By the holding that one came from.
HOLDING_FILTERS = (
    Filter("account", _("Member"), kind="number", on=("account_id",), is_hidden=True),
    Filter("instrument", _("Instrument"), kind="number", on=("instrument_id",), is_hidden=True),
)


class OfHolding(ListPage):
    """What belongs to one holding: reached from it, with a way back."""

    guide = {"enterprise": "一持仓信息查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    account_column = "account_id"

    def tools(self) -> Iterable[RowAction]:
        """The way back to the holdings that one came from."""
        holdings = back_url(url_for("HoldingView.list"))
        yield RowAction(_("Back"), holdings, icon="arrow-back-up", keeps_place=False)

    def check(self, conditions: Conditions) -> None:
        """Another enterprise's holding does not exist."""
        account_id = conditions.get("account")
        if account_id is not None:
            try:
                require_scope(account_id, g.user)
            except NotFound:
                abort(404)
