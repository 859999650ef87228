"""履约通知书 and 业务申请 as a member's own system reads them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, Row, Select, case, literal, or_, select, true
from sqlalchemy.orm import aliased

from app.domain.errors import NotFound
from app.domain.kinds import KINDS
from app.domain.trading_day import BEIJING
from app.domain.workflow import Action, Status
from app.extensions import db
from app.models import (
    Account,
    Application,
    ApplicationEvent,
    ApplicationLine,
    Instrument,
    Member,
    Notice,
    Venue,
)
from app.operations.exchange.queries import page_of
from app.operations.people.machine_sign_in import Client
from app.security.roles import PROVINCE, REPRESENTATIVE, ROLES
from app.security.scope import scoped, scoped_applications
from app.views.applications import receivers
from app.views.applications.list import IS_THERE, SHOWN_STATUS
from app.views.compliance.obligations import notices
from app.views.interfaces import bearer
from app.views.interfaces.interface import answers, in_chinese
from app.views.interfaces.schemas import NoQuery
from app.views.member_interface.member import blueprint
from app.views.member_interface.paging import Query, cursor_after, place_of
from app.views.member_interface.schemas import (
    ApplicationPage,
    ApplicationQuery,
    ApplicationSchema,
    NoticePage,
    NoticeQuery,
    NoticeSchema,
)

_NUMBER = re.compile(r"[A-Za-z0-9-]{1,40}", re.ASCII)


@blueprint.route("/notices", methods=["GET"])
@in_chinese
@bearer.needs("notices:read")
@answers(422)
@blueprint.arguments(NoticeQuery, location="query")
@blueprint.response(200, NoticePage)
def read_notices(query: Query) -> dict[str, Any]:
    """查询履约通知书

    应履约量、已履约量和状态，均为当前数据；已撤销的一并列出。
    """
    statement = scoped(notices(), Notice.account_id, bearer.client()).order_by(Notice.id)
    if "member_no" in query:
        statement = statement.where(Account.member_no == query["member_no"])
    if "year" in query:
        statement = statement.where(Notice.year == query["year"])
    if "sector" in query:
        statement = statement.where(Notice.sector == query["sector"])
    if place := place_of("notices", query):
        statement = statement.where(Notice.id > place[0])
    page = page_of(statement, query["limit"])
    cursor = cursor_after("notices", query, page.rows[-1].id) if page.has_more else None
    return {"notices": page.rows, "next_cursor": cursor}


@blueprint.route("/notices/<number>", methods=["GET"])
@in_chinese
@bearer.needs("notices:read")
@answers(404, 422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.response(200, NoticeSchema)
def read_notice(_query: Query, number: str) -> Row[Any]:
    """查询一份履约通知书"""
    mine = scoped(notices(), Notice.account_id, bearer.client())
    return _one(mine.where(Notice.number == _checked(number)))


def _checked(number: str) -> str:
    if not _NUMBER.fullmatch(number):
        raise NotFound(_("There is no such record"))
    return number


def _one(statement: Select[Any]) -> Row[Any]:
    row = db.session.execute(statement).one_or_none()
    if row is None:
        raise NotFound(_("There is no such record"))
    return row


@blueprint.route("/applications", methods=["GET"])
@in_chinese
@bearer.needs("applications:read")
@answers(422)
@blueprint.arguments(ApplicationQuery, location="query")
@blueprint.response(200, ApplicationPage)
def read_applications(query: Query) -> dict[str, Any]:
    """查询业务申请

    按申请的先后排列，带明细和办理过程；只列会员在系统页面上可以查询的业务，不含已删除的草稿。
    配额发放、冻结、收缴等由主管部门或管理机构办理的，只列已通过的，不带办理过程、事由和意见。
    """
    who = bearer.client()
    statement = _asked_for(_applications(who), query)
    if place := place_of("applications", query):
        statement = statement.where(Application.id > place[0])
    page = page_of(statement.order_by(Application.id), query["limit"])
    cursor = cursor_after("applications", query, page.rows[-1].id) if page.has_more else None
    return {"applications": _with_course(page.rows, who), "next_cursor": cursor}


@blueprint.route("/applications/<number>", methods=["GET"])
@in_chinese
@bearer.needs("applications:read")
@answers(404, 422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.response(200, ApplicationSchema)
def read_application(_query: Query, number: str) -> dict[str, Any]:
    """查询一项业务申请"""
    who = bearer.client()
    row = _one(_applications(who).where(Application.number == _checked(number)))
    return _with_course([row], who)[0]


def _applications(who: Client) -> Select[Any]:
    """Return what the pages show: some kinds whole, of those enquired after what was approved."""
    is_whole = Application.kind.in_(_kinds_of(who, "can_show"))
    is_enquired = Application.kind.in_(_kinds_of(who, "can_list"))
    statement = (
        select(
            Application.id,
            is_whole.label("is_whole"),
            Application.number,
            Application.kind,
            Account.member_no,
            Account.name.label("member_name"),
            SHOWN_STATUS.label("state"),
            Notice.number.label("notice_number"),
            Application.reason,
            Application.refusal,
            Application.created_at,
            Application.submitted_at,
            Application.settles_on,
        )
        .join(Account, Account.id == Application.account_id)
        .outerjoin(Notice, Notice.id == Application.notice_id)
        .where(IS_THERE, is_whole | (is_enquired & (Application.status == Status.APPROVED)))
    )
    return scoped_applications(statement, Application.id, Application.account_id, who)


def _kinds_of(who: Client, permission: str) -> set[str]:
    """Return the kinds on whose pages the member's people hold a permission."""
    granted = ROLES[REPRESENTATIVE if who.account_id else PROVINCE].permissions()
    return {
        page.kind
        for page in current_app.extensions["pages"].values()
        if getattr(page, "kind", "") in KINDS
        and (permission, page.class_permission_name) in granted
    }


def _asked_for(statement: Select[Any], query: Query) -> Select[Any]:
    conditions = []
    if "member_no" in query:
        conditions.append(Account.member_no == query["member_no"])
    if "kind" in query:
        conditions.append(Application.kind == query["kind"])
    if "state" in query:
        conditions.append(literal(query["state"]) == SHOWN_STATUS)
    if "first" in query:
        first = datetime.combine(query["first"], time(), tzinfo=BEIJING)
        conditions.append(Application.created_at >= first)
    if "last" in query:
        after = datetime.combine(query["last"] + timedelta(days=1), time(), tzinfo=BEIJING)
        conditions.append(Application.created_at < after)
    return statement.where(*conditions)


def _with_course(rows: Sequence[Row[Any]], who: Client) -> list[dict[str, Any]]:
    """Add lines and events, in two statements for all of them."""
    ids = [row.id for row in rows]
    lines, events = _by_application(_lines(ids, who)), _by_application(_events(ids, who))
    return [
        {
            **row._asdict(),
            "kind_title": str(KINDS[row.kind].title),
            "lines": lines[row.id],
            "events": events[row.id],
        }
        | ({} if row.is_whole else {"events": [], "reason": "", "refusal": ""})
        for row in rows
    ]


def _by_application(statement: Select[Any]) -> dict[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in db.session.execute(statement):
        found[row.application_id].append(row)
    return found


def _lines(ids: Sequence[int], who: Client) -> Select[Any]:
    receiver, shown = aliased(Account), receivers.lines_shown(who.account_id)
    is_money = Instrument.is_of_money()
    return (
        select(
            ApplicationLine.application_id,
            Instrument.code.label("instrument_code"),
            case((is_money, None), else_=ApplicationLine.quantity).label("quantity"),
            case((is_money, ApplicationLine.quantity)).label("amount_fen"),
            Venue.code.label("venue_code"),
            # That of money is the registry's own account.
            case((is_money, None), else_=receiver.member_no).label("receiver_no"),
        )
        .join(Application, Application.id == ApplicationLine.application_id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .outerjoin(Venue, Venue.id == ApplicationLine.venue_id)
        .outerjoin(receiver, receiver.id == ApplicationLine.account_id)
        .where(ApplicationLine.application_id.in_(ids), true() if shown is None else shown)
        .order_by(ApplicationLine.application_id, ApplicationLine.id)
    )


def _events(ids: Sequence[int], who: Client) -> Select[Any]:
    """Return the events; a receiver sees neither drafts nor comments of others (docs/adr/0037)."""
    is_open: ColumnElement[bool] = true()
    if who.account_id is not None:
        is_open = Application.account_id == who.account_id
    is_own = Member.account_id == who.account_id if who.account_id is not None else true()
    return (
        select(
            ApplicationEvent.application_id,
            ApplicationEvent.at,
            ApplicationEvent.action,
            ApplicationEvent.member_name.label("by"),
            ApplicationEvent.status.label("state"),
            case((or_(is_open, is_own), ApplicationEvent.comment), else_="").label("comment"),
        )
        .join(Application, Application.id == ApplicationEvent.application_id)
        .outerjoin(Member, Member.id == ApplicationEvent.member_id)
        .where(
            ApplicationEvent.application_id.in_(ids),
            or_(is_open, ApplicationEvent.action != Action.SAVE),
        )
        .order_by(ApplicationEvent.application_id, ApplicationEvent.id)
    )
