"""持仓 and 持仓流水 as a member's own system reads them, each list of one instant; and who it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Select, func, literal, or_, select, text, tuple_

from app.domain.moves import HELD_BUCKETS, REGISTRY_BUCKETS, TRADING_BUCKETS
from app.domain.regions import PROVINCES
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Account, Entry, Holding, Instrument, MachineClient, MachineKey
from app.operations.exchange.queries import page_of
from app.operations.ledger import snapshots
from app.operations.ledger.snapshots import Instant
from app.operations.records import clock
from app.security.problems import Fault, Problem
from app.security.scope import scoped
from app.views.enquiries.entries import entries
from app.views.enquiries.lines import BUSINESS_TITLES
from app.views.interfaces import bearer
from app.views.interfaces.interface import answers, in_chinese
from app.views.interfaces.schemas import NoQuery
from app.views.member_interface.member import blueprint
from app.views.member_interface.paging import Query, cursor_after, place_of
from app.views.member_interface.schemas import (
    EntryPage,
    EntryQuery,
    HoldingPage,
    HoldingQuery,
    MeSchema,
)

USUAL_DAYS, MOST_DAYS = 30, 366
CURSOR_LIVES = timedelta(hours=1)  # What has moved since is taken back: it must not be much.
_BUCKETS_OF = {
    "": HELD_BUCKETS,
    "registry": REGISTRY_BUCKETS,
    "trading": TRADING_BUCKETS,
}
_NAMES = {int(bucket): bucket.column for bucket in HELD_BUCKETS}


@blueprint.route("/me", methods=["GET"])
@in_chinese
@bearer.needs()
@answers(422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.response(200, MeSchema)
def read_me(_query: Query) -> dict[str, Any]:
    """查询本凭证

    所属会员、权限范围和有效期。
    """
    who = bearer.client()
    row = db.session.execute(
        select(MachineKey.ends_on, Account.member_no, Account.name)
        .join(MachineClient, MachineClient.id == MachineKey.client_id)
        .outerjoin(Account, Account.id == MachineClient.account_id)
        .where(MachineClient.id == who.id)
    ).one()
    return {
        "credential": who.code,
        "name": who.name,
        "scopes": who.scopes,
        "ends_on": row.ends_on,
        "member_kind": "enterprise" if who.account_id else "province",
        "member_no": row.member_no,
        "member_name": row.name or str(PROVINCES.get(who.province or "", who.province)),
        "as_of": clock.now(),
    }


@blueprint.route("/holdings", methods=["GET"])
@in_chinese
@bearer.needs("holdings:read")
@answers(422)
@blueprint.arguments(HoldingQuery, location="query")
@blueprint.response(200, HoldingPage)
def read_holdings(query: Query) -> dict[str, Any]:
    """查询持仓

    as_of 为持仓的时点；同一次查询的各页（cursor）为同一时点，其间的变动不计。cursor 一小时内有效。
    各量均为零的不列。
    """
    moment, after = _begun("holdings", query, nothing=(0, 0))
    statement = _restricted(_holdings(moment), query)
    key = tuple_(Holding.account_id, Holding.instrument_id)
    mine = scoped(statement, Holding.account_id, bearer.client())
    page = page_of(mine.where(key > after).order_by(*key), query["limit"])
    cursor = None
    if page.has_more:
        last = page.rows[-1]
        place = (moment.at.isoformat(), moment.snapshot, last.account_id, last.instrument_id)
        cursor = cursor_after("holdings", query, *place)
    return {"holdings": page.rows, "as_of": moment.at, "next_cursor": cursor}


def _begun(route: str, query: Query, nothing: tuple[int, ...]) -> tuple[Instant, tuple[int, ...]]:
    """Return the instant of a list, and the key that its page begins after."""
    place = place_of(route, query)
    now = clock.now()
    db.session.rollback()  # A snapshot begins with the transaction.
    snapshots.begin_snapshot()
    if not place:
        return snapshots.current_instant(now), nothing
    at, snapshot, *after = place
    moment = Instant(datetime.fromisoformat(at), snapshot)
    if not timedelta(0) <= now - moment.at <= CURSOR_LIVES:
        detail = _("This cursor is over: begin with the first page")
        raise Problem(422, [Fault("cursor_over", detail, "cursor")])
    return moment, tuple(after)


def _holdings(moment: Instant) -> Select[Any]:
    change = snapshots.changes_since(moment)
    amounts = {
        bucket.column: getattr(Holding, bucket.column) - func.coalesce(change.c[bucket.column], 0)
        for bucket in HELD_BUCKETS
    }
    return (
        select(
            Holding.account_id,
            Holding.instrument_id,
            Account.member_no,
            Account.name.label("member_name"),
            Instrument.code.label("instrument_code"),
            Instrument.name.label("instrument_name"),
            Instrument.vintage,
            *(amount.label(name) for name, amount in amounts.items()),
            sum(amounts.values(), start=literal(0)).label("total"),
        )
        .join(Account, Account.id == Holding.account_id)
        .join(Instrument, Instrument.id == Holding.instrument_id)
        .outerjoin(
            change,
            (change.c.account_id == Holding.account_id)
            & (change.c.instrument_id == Holding.instrument_id),
        )
        .where(
            Account.kind == "enterprise",
            Instrument.is_of_tonnes(),
            or_(*(amount != 0 for amount in amounts.values())),
        )
    )


def _restricted(statement: Select[Any], query: Query) -> Select[Any]:
    if "member_no" in query:
        statement = statement.where(Account.member_no == query["member_no"])
    if "instrument_code" in query:
        statement = statement.where(Instrument.code == query["instrument_code"])
    return statement


@blueprint.route("/holdings/entries", methods=["GET"])
@in_chinese
@bearer.needs("holdings:read")
@answers(422)
@blueprint.arguments(EntryQuery, location="query")
@blueprint.response(200, EntryPage)
def read_entries(query: Query) -> dict[str, Any]:
    """查询持仓流水

    按会员、标的和流水次序排列；各页为同一时点，cursor 一小时内有效。省级主管部门须填写 member_no。
    """
    who = bearer.client()
    if who.account_id is None and "member_no" not in query:
        detail = _("A province asks for the entries of one enterprise: member_no is missing")
        raise Problem(422, [Fault("required", detail, "member_no")])
    moment, place = _begun("entries", query, nothing=(0, 0, 0, 0, 0))
    first, last = _period(query, moment.at)
    if any(place):
        first, last = date.fromordinal(place[0]), date.fromordinal(place[1])
    statement = _restricted(entries(*_BUCKETS_OF[query.get("side", "")]), query).where(
        Instrument.is_of_tonnes(),
        Entry.at >= _midnight(first),
        Entry.at < _midnight(last + timedelta(days=1)),
        text("pg_visible_in_snapshot(movement.recorded_xid, CAST(:snapshot AS pg_snapshot))")
        .bindparams(snapshot=moment.snapshot),
    )  # fmt: skip
    key = tuple_(Entry.account_id, Entry.instrument_id, Entry.seq)
    mine = scoped(statement, Entry.account_id, who).where(key > place[2:])
    page = page_of(mine.order_by(*key), query["limit"])
    cursor = None
    if page.has_more:
        end = page.rows[-1]
        told = (moment.at.isoformat(), moment.snapshot, first.toordinal(), last.toordinal())
        cursor = cursor_after("entries", query, *told, end.account_id, end.instrument_id, end.seq)
    rows = [_entry(row) for row in page.rows]
    return {
        "entries": rows, "first": first, "last": last, "as_of": moment.at, "next_cursor": cursor,
    }  # fmt: skip


def _period(query: Query, now: datetime) -> tuple[date, date]:
    last: date = query.get("last") or now.astimezone(BEIJING).date()
    first: date = query.get("first") or last - timedelta(days=USUAL_DAYS)
    if not timedelta(0) <= last - first < timedelta(days=MOST_DAYS):
        detail = _(
            "to is not before from, and at most %(most)s days are asked for at once; %(first)s to"
            " %(last)s was read",
            most=MOST_DAYS,
            first=first,
            last=last,
        )
        raise Problem(422, [Fault("wrong_day", detail, "to")])
    return first, last


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=BEIJING)


def _entry(row: Any) -> Mapping[str, Any]:
    return {
        **row._asdict(),
        "instrument_code": row.code,
        "bucket": _NAMES[row.bucket],
        "business_title": str(BUSINESS_TITLES.get(row.business, row.business)),
    }
