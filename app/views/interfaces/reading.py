"""What machines read besides transfers: members, positions, the calendar and what is tradable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from flask_babel import gettext as _

from app.domain.errors import NotFound
from app.domain.money import plain_yuan
from app.extensions import db
from app.operations.exchange import queries
from app.operations.ledger import snapshots
from app.operations.records import calendar, clock
from app.security.problems import Fault, Problem
from app.views.interfaces import bearer, cursors
from app.views.interfaces.exchange import blueprint
from app.views.interfaces.interface import answers, in_chinese, instant
from app.views.interfaces.schemas import (
    CalendarQuery,
    CourtSalePage,
    DayPage,
    FundPage,
    MemberSchema,
    NoQuery,
    PageQuery,
    PositionPage,
    PositionQuery,
    TradablePage,
)

Query = Mapping[str, Any]
_MONEY = ("available", "proceeds", "frozen")


@blueprint.route("/members/<member_no>", methods=["GET"])
@in_chinese
@bearer.needs("members:read")
@answers(404, 422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.response(200, MemberSchema)
def read_member(_query: Query, member_no: str) -> dict[str, Any]:
    """查询会员的状态、划转权限和限制"""
    row = queries.member(member_no) if "\x00" not in member_no else None
    if row is None:
        raise NotFound(_("There is no account %(code)s", code=member_no), field="member_no")
    return {
        **row._asdict(),
        "status": "restricted" if row.is_restricted else "normal",
        "restrictions": ["debits"] if row.is_restricted else [],
        "as_of": instant(clock.now()),
    }


@blueprint.route("/positions", methods=["GET"])
@in_chinese
@bearer.needs("positions:read")
@answers(422)
@blueprint.arguments(PositionQuery, location="query")
@blueprint.response(200, PositionPage)
def read_positions(query: Query) -> dict[str, Any]:
    """查询持仓，供对账

    as_of 为持仓的时点；同一次查询的各页（cursor）为同一时点，其间的变动不计。三个数量均为零的不列。
    """
    place = cursors.read("positions", query.get("cursor"))
    venue_id, now = bearer.client().venue_id, clock.now()
    db.session.rollback()  # A snapshot begins with the transaction.
    snapshots.begin_snapshot()
    if place:
        at, snapshot, account, instrument, member_no = place
        moment = snapshots.Instant(datetime.fromisoformat(at), snapshot)
    else:
        moment = snapshots.current_instant(now)
        account, instrument, member_no = 0, 0, query.get("member_no", "")
    if query.get("member_no", member_no) != member_no:
        detail = _("The cursor belongs to other conditions")
        raise Problem(422, [Fault("cursor_unknown", detail, "member_no")])
    page = queries.positions(venue_id, moment, (account, instrument), member_no, query["limit"])
    cursor = None
    if page.has_more:
        last = page.rows[-1]
        told = (moment.at.isoformat(), moment.snapshot, last.account_id, last.instrument_id)
        cursor = cursors.write("positions", *told, member_no)
    return {"positions": page.rows, "as_of": instant(moment.at), "next_cursor": cursor}


@blueprint.route("/funds", methods=["GET"])
@in_chinese
@bearer.needs("funds:read")
@answers(422)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, FundPage)
def read_funds(query: Query) -> dict[str, Any]:
    """查询参与者的资金，供交易前的资金控制

    已绑定银行账户的会员各一行，单位元；余额为零的也列出。
    """
    place = cursors.read("funds", query.get("cursor"))
    page = queries.funds(place[0] if place else "", query["limit"])
    found = [
        {**row._asdict(), **{name: plain_yuan(getattr(row, name)) for name in _MONEY}}
        for row in page.rows
    ]
    cursor = cursors.write("funds", page.rows[-1].member_no) if page.has_more else None
    return {"funds": found, "as_of": instant(clock.now()), "next_cursor": cursor}


@blueprint.route("/court-sales", methods=["GET"])
@in_chinese
@bearer.needs("positions:read")
@answers(422)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, CourtSalePage)
def read_court_sales(query: Query) -> dict[str, Any]:
    """查询为法院变卖的配额

    未售出的各一行。只能由卖方委托编号（sell_order_no）为变卖编号的成交卖出，其他成交和划转不能动用。
    """
    place = cursors.read("court_sales", query.get("cursor"))
    day = calendar.next_trading_day(clock.now().date())
    venue_id = bearer.client().venue_id
    page = queries.court_sales(venue_id, day, place[0] if place else 0, query["limit"])
    cursor = cursors.write("court_sales", page.rows[-1].id) if page.has_more else None
    return {"sales": page.rows, "as_of": instant(clock.now()), "next_cursor": cursor}


@blueprint.route("/calendar", methods=["GET"])
@in_chinese
@bearer.needs("calendar:read")
@answers(422)
@blueprint.arguments(CalendarQuery, location="query")
@blueprint.response(200, DayPage)
def read_calendar(query: Query) -> dict[str, Any]:
    """查询交易日历"""
    first = query.get("first") or clock.now().date()
    last = query.get("last") or first + timedelta(days=366)
    if last < first:
        detail = _("to is not before from; %(first)s to %(last)s was read", first=first, last=last)
        raise Problem(422, [Fault("wrong_day", detail, "to")])
    if place := cursors.read("calendar", query.get("cursor")):
        first = max(first, date.fromisoformat(place[0]) + timedelta(days=1))
    page = queries.calendar_days(first, last, query["limit"])
    cursor = cursors.write("calendar", page.rows[-1].day.isoformat()) if page.has_more else None
    return {"days": page.rows, "next_cursor": cursor}


@blueprint.route("/tradable", methods=["GET"])
@in_chinese
@bearer.needs("calendar:read")
@answers(409, 422)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, TradablePage)
def read_tradable(query: Query) -> dict[str, Any]:
    """查询下一交易日可交易的标的

    标的编码与本交易端交易代码的对照。
    """
    who = bearer.client()
    place = cursors.read("tradable", query.get("cursor"))
    day = calendar.next_trading_day(clock.now().date())
    if place:
        day = date.fromisoformat(place[0])
    page = queries.tradable(who.venue_id, day, place[1] if place else "", query["limit"])
    told = (day.isoformat(), page.rows[-1].instrument_code) if page.has_more else ()
    return {
        "day": day,
        "venue_code": who.venue_code,
        "instruments": page.rows,
        "next_cursor": cursors.write("tradable", *told) if told else None,
    }
