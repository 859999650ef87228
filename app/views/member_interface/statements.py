"""结算单 as a member's own system reads them, within its row scope (docs/adr/0082)."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import tuple_

from app.domain.errors import NotFound
from app.models import DayPackage, ReportedFund
from app.operations.exchange.queries import page_of
from app.security.scope import require_scope, scoped
from app.views.interfaces import bearer
from app.views.interfaces.interface import answers, in_chinese
from app.views.interfaces.schemas import NoQuery, PageQuery
from app.views.member_interface.member import blueprint
from app.views.member_interface.paging import Query, cursor_after, place_of
from app.views.member_interface.schemas import (
    StatementPage,
    StatementQuery,
    StatementSchema,
    TradePage,
)
from app.views.settlement import figures
from app.views.settlement.trades import statement_number


@blueprint.route("/statements", methods=["GET"])
@in_chinese
@bearer.needs("statements:read")
@answers(422)
@blueprint.arguments(StatementQuery, location="query")
@blueprint.response(200, StatementPage)
def read_statements(query: Query) -> dict[str, Any]:
    """查询结算单

    按结算的先后排列；金额为成交的金额，交收的结果见各结算单。
    """
    statement = figures.statements()
    if "first" in query:
        statement = statement.where(DayPackage.day >= query["first"])
    if "last" in query:
        statement = statement.where(DayPackage.day <= query["last"])
    key = tuple_(ReportedFund.package_id, ReportedFund.account_id)
    if place := place_of("statements", query):
        statement = statement.where(key > tuple(place))
    mine = scoped(statement, ReportedFund.account_id, bearer.client()).order_by(*key)
    page = page_of(mine, query["limit"])
    cursor = None
    if page.has_more:
        last = page.rows[-1]
        cursor = cursor_after("statements", query, last.package_id, last.account_id)
    rows = [
        {
            **row._asdict(),
            "number": statement_number(row.day, row.venue, row.member_no),
            "venue_code": row.venue,
        }
        for row in page.rows
    ]
    return {"statements": rows, "next_cursor": cursor}


@blueprint.route("/statements/<number>", methods=["GET"])
@in_chinese
@bearer.needs("statements:read")
@answers(404, 422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.response(200, StatementSchema)
def read_statement(_query: Query, number: str) -> figures.Statement:
    """查询一份结算单

    交易日前后的持仓和资金，数据时点为当日交收完毕之时，此后不再变化。
    """
    return _found(number)


@blueprint.route("/statements/<number>/trades", methods=["GET"])
@in_chinese
@bearer.needs("statements:read")
@answers(404, 422)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, TradePage)
def read_statement_trades(query: Query, number: str) -> dict[str, Any]:
    """查询结算单的成交明细"""
    found = _found(number)
    route = f"statements/{found.number}"
    (after,) = place_of(route, query) or (0,)
    rows = figures.trades(found, query["limit"] + 1, after=after)
    shown, rest = rows[: query["limit"]], rows[query["limit"] :]
    cursor = cursor_after(route, query, shown[-1].id) if rest else None
    return {"trades": shown, "next_cursor": cursor}


def _found(number: str) -> figures.Statement:
    """Return a statement of the client's own.  Raises NotFound."""
    if "\x00" in number:
        raise NotFound(_("There is no such record"))
    row = figures.find(number)
    require_scope(row.account_id, bearer.client())
    return figures.statement(row)
