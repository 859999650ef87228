"""核定数据表: pushed, what became of them, and which rows the registry computes otherwise (N03, N04)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Response, request
from flask_babel import gettext as _

from app.domain.errors import NotFound
from app.domain.workflow import Status
from app.extensions import transaction
from app.operations.exchange import answers as kept
from app.operations.exchange.queries import page_of
from app.operations.imports import platform_tables, tables
from app.operations.imports.platform_tables import Pushed, RowsRefused
from app.operations.records import clock
from app.security.problems import Fault, Problem, clean
from app.views.interfaces import bearer, cursors
from app.views.interfaces.bodies import read_body
from app.views.interfaces.interface import answers, in_chinese
from app.views.interfaces.schemas import NoQuery, TransferHeaders
from app.views.platform_interface.platform import blueprint
from app.views.platform_interface.schemas import (
    DifferencePage,
    DifferenceQuery,
    PushSchema,
    TablePage,
    TableQuery,
    TableSchema,
)

Item = Mapping[str, Any]
_SHOWN = TableSchema()


@blueprint.route("/tables", methods=["POST"])
@in_chinese
@bearer.needs("figures:write", limit="MACHINE_TABLES_PER_MINUTE")
@answers(400, 409, 413, 415, 422)
@blueprint.arguments(TransferHeaders, location="headers")
@blueprint.arguments(NoQuery, location="query")
@blueprint.arguments(PushSchema)
@blueprint.response(200, TableSchema)
def push_table(headers: Item, _query: Item, body: Item) -> Response:
    """推送核定数据表

    一个年度、行业和环节的机组行与企业合计行。整体接收或整体拒绝，拒绝时逐行列出错误（rows[0] 为第 1 行）。
    接收后由登记机构审核，通过后生效；与登记系统计算结果不一致的行照样接收，见 differences。
    """
    if not 1 <= len(body["rows"]) <= tables.MOST_ROWS:
        detail = _("A table has 1 to %(most)s rows; %(typed)s were read",
                   most=f"{tables.MOST_ROWS:,}", typed=f"{len(body['rows']):,}")  # fmt: skip
        raise Problem(422, [Fault("wrong_length", detail, "rows")])
    said = b"POST /tables\n" + read_body(request, most=tables.LARGEST)
    with transaction():
        answered = kept.once(
            bearer.client().id, headers["key"], said, lambda: (200, _received(Pushed(**body)))
        )
    again = {"Idempotency-Replayed": "true"} if answered.is_again else {}
    return Response(answered.text, answered.status, again, mimetype="application/json")


def _received(pushed: Pushed) -> str:
    """Receive a table, and return the answer's JSON.  Raises Problem 422 with the faults of its rows."""
    actor, client_id = bearer.asker().actor, bearer.client().id
    try:
        number = platform_tables.receive(pushed, actor, client_id, now=clock.now())
    except RowsRefused as refused:
        faults = [
            Fault(each.code, str(each.message), platform_tables.place_of(each))
            for each in refused.problems
        ]
        raise Problem(422, list(dict.fromkeys(faults))) from refused
    return json.dumps(_SHOWN.dump(_state(_found(number))), ensure_ascii=False)


@blueprint.route("/tables", methods=["GET"])
@in_chinese
@bearer.needs("figures:read")
@answers(422)
@blueprint.arguments(TableQuery, location="query")
@blueprint.response(200, TablePage)
def list_tables(query: Item) -> dict[str, Any]:
    """查询推送的数据表

    按接收的次序排列。
    """
    place = cursors.read("tables", query.get("cursor"))
    state = Status(query["state"]) if "state" in query else None
    page = page_of(
        platform_tables.pushed_tables(state, after=place[0] if place else 0), query["limit"]
    )
    cursor = cursors.write("tables", page.rows[-1].id) if page.has_more else None
    return {"tables": [_state(row) for row in page.rows], "next_cursor": cursor}


@blueprint.route("/tables/<number>", methods=["GET"])
@in_chinese
@bearer.needs("figures:read")
@answers(404, 422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.response(200, TableSchema)
def read_table(_query: Item, number: str) -> dict[str, Any]:
    """查询一张数据表的状态"""
    return _state(_found(number))


@blueprint.route("/tables/<number>/differences", methods=["GET"])
@in_chinese
@bearer.needs("figures:read")
@answers(404, 422)
@blueprint.arguments(DifferenceQuery, location="query")
@blueprint.response(200, DifferencePage)
def read_differences(query: Item, number: str) -> dict[str, Any]:
    """查询一张数据表中不一致的行

    按数据表的次序排列，可只查一家企业。
    """
    place = cursors.read("differences", query.get("cursor"))
    page = page_of(
        platform_tables.differences(
            _found(number).import_id,
            after=place[0] if place else 0,
            member_no=query.get("member_no", ""),
        ),
        query["limit"],
    )
    cursor = cursors.write("differences", page.rows[-1].id) if page.has_more else None
    return {"differences": page.rows, "next_cursor": cursor}


def _found(number: str) -> Any:
    row = platform_tables.find(number) if "\x00" not in number else None
    if row is None:
        raise NotFound(_("There is no table %(number)s", number=clean(number)), field="number")
    return row


def _state(row: Any) -> dict[str, Any]:
    said = row.proposal
    return {
        "number": row.number,
        "state": row.status,
        "reason": row.comment,
        "received_at": row.submitted_at,
        "decided_at": row.decided_at,
        "document_no": row.document_no,
        "documented_on": row.starts_on,
        **{name: said[name] for name in ("year", "sector", "stage", "rows", "enterprises")},
        "differing_rows": said["differing"],
        "differing_enterprises": said["differing_enterprises"],
    }
