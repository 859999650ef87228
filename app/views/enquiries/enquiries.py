"""信息查询 (manual 七): holdings, now and as they stood at any moment, and their entries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, g, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.orm import aliased

from app.domain.errors import NotFound
from app.domain.kinds import KINDS
from app.domain.kinds.base import Hold
from app.domain.moves import (
    BUCKET_TITLES,
    HELD_BUCKETS,
    REGISTRY_BUCKETS,
    STAGE_TITLES,
    TRADING_BUCKETS,
    Bucket,
)
from app.domain.workflow import Action, Status
from app.models import (
    Account,
    Application,
    ApplicationEvent,
    ApplicationLine,
    Entry,
    Holding,
    Instrument,
    Movement,
    Posting,
)
from app.models.figures import line_draw
from app.operations.records.catalogue import CONFISCATION_REASONS, FREEZE_REASONS, ISSUANCE_TYPES
from app.security.roles import READERS
from app.security.scope import require_scope
from app.views.applications.list import SHOWN_STATUSES
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.sanctions.sanctions import DOCUMENT_COLUMNS, EXPIRY, UNTIL_COLUMN, expiry

BUSINESS_TITLES = {
    **{code: kind.title for code, kind in KINDS.items()},
    "issuance": _("Issuance"),
    "day_end": _("Day-end settlement"),
}


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
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("code", _("Instrument code"), kind="code"),
        Column("instrument", _("Instrument name")),
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
        _("What is frozen leads to the applications and documents that hold it"),
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

    def actions(self, row: Any) -> Iterable[RowAction]:
        """Each holding leads to its entries on either side."""
        ids = {"account": row.account_id, "instrument": row.instrument_id}
        yield RowAction(_("Registry entries"), url_for("RegistryEntryView.list", **ids))
        yield RowAction(_("Trading entries"), url_for("TradingEntryView.list", **ids))


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


def _require_account(conditions: Conditions) -> None:
    """Answer 404 for an account outside the member's scope."""
    account_id = conditions.get("account")
    if account_id is not None:
        try:
            require_scope(account_id, g.user)
        except NotFound:
            abort(404)


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

    def tools(self) -> Iterable[RowAction]:
        """The way back to the holdings that one came from."""
        holdings = back_url(url_for("HoldingView.list"))
        yield RowAction(_("Back"), holdings, icon="arrow-back-up", keeps_place=False)

    def check(self, conditions: Conditions) -> None:
        """Another enterprise's holding does not exist."""
        _require_account(conditions)

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row an entry of this side's buckets."""
        entries: Select = (
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
        return entries


class RegistryEntryView(_EntryView):
    """登记持仓流水."""

    route_base = "/holdings/registry-entries"
    title = _("Registry holding entries")
    guide = {"enterprise": "一持仓信息查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    buckets = REGISTRY_BUCKETS


class TradingEntryView(_EntryView):
    """交易持仓流水."""

    route_base = "/holdings/trading-entries"
    title = _("Trading holding entries")
    guide = {"enterprise": "一持仓信息查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    buckets = TRADING_BUCKETS


# What was done to holdings: one row a line of an approved application -------------------------

LINE_COLUMNS = (
    Column("member_no", _("Member number"), is_of_others=True, kind="code"),
    Column("account", _("Member name"), is_of_others=True),
    Column("code", _("Instrument code"), kind="code"),
    Column("instrument", _("Instrument name")),
)
LINE_FILTERS = (
    Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
    Filter("instrument", _("Instrument name"), on=("instrument",)),
    Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
)


class _LineView(ListPage):
    """The lines of one kind of application that were approved; nothing can be done here."""

    kind: str
    account_column = "account_id"

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a line."""
        handled = (
            select(func.max(ApplicationEvent.at))
            .where(
                ApplicationEvent.application_id == Application.id,
                ApplicationEvent.action == Action.APPROVE,
            )
            .scalar_subquery()
        )
        return _lines(handled.label("handled_at")).where(
            Application.kind == self.kind, Application.status == Status.APPROVED
        )


def _lines(*more: Any) -> Select[Any]:
    """Return lines with their application, account and instrument."""
    lines: Select = (
        select(
            ApplicationLine.id,
            Application.account_id,
            Account.member_no,
            Account.name.label("account"),
            Instrument.id.label("instrument_id"),
            Instrument.code,
            Instrument.name.label("instrument"),
            Instrument.vintage,
            ApplicationLine.quantity,
            Application.number,
            Application.kind,
            Application.category,
            Application.document_no,
            Application.authority,
            Application.starts_on,
            Application.ends_on,
            Application.submitted_at,
            Application.status,
            *more,
        )
        .join(Application, Application.id == ApplicationLine.application_id)
        .join(Account, Account.id == Application.account_id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
    )
    return lines


class IssuanceEnquiryView(_LineView):
    """配额发放查询 (manual 三; domain.md 11.16)."""

    route_base = "/enquiries/issuances"
    title = _("Issuance enquiry")
    menu = MenuEntry(ENQUIRIES, 1)
    guide = {"enterprise": "三配额发放查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    kind = "issuance"
    columns = (
        *LINE_COLUMNS,
        Column("vintage", _("Compliance year"), kind="code"),
        Column("category", _("Issuance type"), choices=ISSUANCE_TYPES),
        Column("quantity", _("Issued quantity"), kind="quantity"),
        Column("handled_at", _("Issued at"), kind="datetime"),
        Column(
            "status",
            _("Status"),
            kind="status",
            choices={str(Status.APPROVED): (_("Issued"), "green")},
        ),
        Column("number", _("Application number"), kind="code", is_shown=False),
    )
    filters = (
        *LINE_FILTERS,
        Filter("year", _("Compliance year"), kind="number", on=("vintage",)),
        Filter("type", _("Issuance type"), kind="choice", on=("category",), choices=ISSUANCE_TYPES),
        Filter("handled", _("Issued at"), kind="date_range", on=("handled_at",)),
    )
    help = (_("Every issue to the account; what was issued stands in the holdings at once"),)


HANDLED_COLUMNS = (
    Column("handled_at", _("Handled at"), kind="datetime"),
    Column("number", _("Application number"), kind="code", is_shown=False),
)
DOCUMENT_FILTERS = (
    LINE_FILTERS[0],
    Filter("document", _("Number of the authority document"), on=("document_no",)),
    Filter("handled", _("Handled at"), kind="date_range", on=("handled_at",)),
    *LINE_FILTERS[1:],
    Filter("authority", _("Deciding authority"), on=("authority",)),
)
SOURCE_COLUMN = Column("source_document", _("Document drawn from"), kind="code")
READ_ONLY = _("Entered by the registry upon the authority's document; it cannot be cancelled here")


def _given_back() -> ColumnElement[Any]:
    """Return what approved documents gave back of a line; for the rows shown alone."""
    return (
        select(line_draw.c.drawn)
        .where(line_draw.c.line_id == ApplicationLine.id)
        .correlate(ApplicationLine)
        .scalar_subquery()
    )


class _TakenView(_LineView):
    """What documents took, and what is left of it."""

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what was given back and what is left."""
        left = ApplicationLine.quantity - _given_back()
        return (
            super()
            .rows(conditions)
            .add_columns(
                _given_back().label("given_back"),
                left.label("left"),
                expiry(left).label("expiry"),
            )
        )


class _GivenBackView(_LineView):
    """What documents gave back, and of which document."""

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the document that it was drawn from."""
        source, taken = aliased(ApplicationLine), aliased(Application)
        document = (
            select(taken.document_no)
            .join(source, source.application_id == taken.id)
            .where(source.id == ApplicationLine.source_line_id)
            .scalar_subquery()
        )
        return super().rows(conditions).add_columns(document.label("source_document"))


class FreezeEnquiryView(_TakenView):
    """冻结查询 (manual 七-二-1)."""

    route_base = "/enquiries/freezes"
    title = _("Freeze enquiry")
    menu = MenuEntry(ENQUIRIES, 3)
    guide = {"enterprise": "二冻结解冻查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    kind = "freeze"
    columns = (
        *LINE_COLUMNS,
        Column("quantity", _("Frozen quantity"), kind="quantity"),
        Column("given_back", _("Unfrozen quantity"), kind="quantity"),
        Column("left", _("Still frozen"), kind="quantity"),
        *DOCUMENT_COLUMNS,
        UNTIL_COLUMN,
        Column("expiry", _("Expiry"), kind="status", choices=EXPIRY),
        Column("category", _("Type"), choices=FREEZE_REASONS),
        *HANDLED_COLUMNS,
    )
    filters = (
        *DOCUMENT_FILTERS,
        Filter("type", _("Type"), kind="choice", on=("category",), choices=FREEZE_REASONS),
        Filter("expiry", _("Expiry"), kind="choice", choices=EXPIRY),
    )
    help = (READ_ONLY, _("A freeze that has ended still holds until it is lifted by a document"))


class UnfreezeEnquiryView(_GivenBackView):
    """解冻查询 (manual 七-二-2)."""

    route_base = "/enquiries/unfreezes"
    title = _("Unfreeze enquiry")
    menu = MenuEntry(ENQUIRIES, 4)
    guide = {"enterprise": "二冻结解冻查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    kind = "unfreeze"
    columns = (
        *LINE_COLUMNS,
        Column("quantity", _("Unfrozen quantity"), kind="quantity"),
        *DOCUMENT_COLUMNS,
        SOURCE_COLUMN,
        *HANDLED_COLUMNS,
    )
    filters = DOCUMENT_FILTERS
    help = (READ_ONLY,)


class ConfiscationEnquiryView(_TakenView):
    """收缴查询 (manual 七-三-1)."""

    route_base = "/enquiries/confiscations"
    title = _("Confiscation enquiry")
    menu = MenuEntry(ENQUIRIES, 5)
    guide = {"enterprise": "三收缴退还查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    kind = "confiscation"
    columns = (
        *LINE_COLUMNS,
        Column("quantity", _("Confiscated quantity"), kind="quantity"),
        Column("given_back", _("Refunded quantity"), kind="quantity"),
        Column("left", _("Still confiscated"), kind="quantity"),
        *DOCUMENT_COLUMNS,
        Column("category", _("Type"), choices=CONFISCATION_REASONS),
        *HANDLED_COLUMNS,
    )
    filters = (
        *DOCUMENT_FILTERS,
        Filter("type", _("Type"), kind="choice", on=("category",), choices=CONFISCATION_REASONS),
    )
    help = (READ_ONLY,)


class ConfiscationRefundEnquiryView(_GivenBackView):
    """收缴退还查询 (manual 七-三-2)."""

    route_base = "/enquiries/confiscation-refunds"
    title = _("Confiscation refund enquiry")
    menu = MenuEntry(ENQUIRIES, 6)
    guide = {"enterprise": "三收缴退还查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    kind = "confiscation_refund"
    columns = (
        *LINE_COLUMNS,
        Column("quantity", _("Refunded quantity"), kind="quantity"),
        *DOCUMENT_COLUMNS,
        SOURCE_COLUMN,
        *HANDLED_COLUMNS,
    )
    filters = DOCUMENT_FILTERS
    help = (READ_ONLY,)


# What makes up 登记冻结量 ---------------------------------------------------------------------


def _holding(bucket: Bucket, *, is_approved: bool) -> ColumnElement[bool]:
    """Return whether an application is in that state, and of a kind whose tonnes are in the bucket then.

    A transfer is under review only while it waits for a second operator, and is reserved meanwhile.
    """
    codes = [
        code
        for code, kind in KINDS.items()
        if Hold(is_approved, bucket, 1) in kind.holds
        or Hold(is_approved, bucket, 1, at_receiver=True) in kind.holds
        or (bucket is Bucket.RESERVED and kind.settles_at_day_end)
    ]
    status = Status.APPROVED if is_approved else Status.IN_REVIEW
    return and_(Application.kind.in_(codes), Application.status == status)


class FrozenPartView(ListPage):
    """登记冻结量 of a holding by its reasons: applications under review and authorities' documents."""

    route_base = "/holdings/frozen"
    title = _("What is frozen")
    guide = {"enterprise": "一持仓信息查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    account_column = "account_id"
    columns = (
        *LINE_COLUMNS,
        Column(
            "part",
            _("Reason"),
            choices={
                "reserved": _("Held by an application"),
                "frozen": _("Frozen by an authority"),
            },
        ),
        Column("kind", _("Business"), choices=BUSINESS_TITLES),
        Column("number", _("Application number"), kind="code"),
        Column("held", _("Quantity held"), kind="quantity"),
        Column("document_no", _("Number of the authority document"), kind="code"),
        Column("authority", _("Deciding authority")),
        Column("ends_on", _("In force until"), kind="date"),
        Column("submitted_at", _("Submitted at"), kind="datetime"),
        Column("status", _("Status"), kind="status", choices=SHOWN_STATUSES),
    )
    filters = (
        Filter("account", _("Member"), kind="number", on=("account_id",), is_hidden=True),
        Filter("instrument", _("Instrument"), kind="number", on=("instrument_id",), is_hidden=True),
        Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
        Filter("number", _("Application number"), kind="prefix", on=("number",)),
        Filter("document", _("Number of the authority document"), on=("document_no",)),
    )
    help = (
        _(
            "An application holds its quantity while it is under review; returned or withdrawn it frees it"
        ),
        _("A freeze holds what is left of it until it is lifted by a document"),
    )

    def tools(self) -> Iterable[RowAction]:
        """The way back to the holdings that one came from."""
        holdings = back_url(url_for("HoldingView.list"))
        yield RowAction(_("Back"), holdings, icon="arrow-back-up", keeps_place=False)

    def check(self, conditions: Conditions) -> None:
        """Another enterprise's holding does not exist."""
        _require_account(conditions)

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a line that holds something now."""
        held = ApplicationLine.quantity - _given_back()
        reserved = _holding(Bucket.RESERVED, is_approved=False)
        asked = _holding(Bucket.FROZEN, is_approved=False)
        kept = and_(_holding(Bucket.FROZEN, is_approved=True), held > 0)
        part = case((or_(asked, kept), literal("frozen")), else_=literal("reserved"))
        return _lines(held.label("held"), part.label("part")).where(or_(reserved, asked, kept))
