"""Transfers that the trading side starts, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, request
from flask_babel import gettext as _

from app.domain.errors import NotFound
from app.extensions import db, transaction
from app.models import MachineRequest
from app.operations.exchange import answers as kept
from app.operations.exchange import queries, trading
from app.operations.exchange.trading import KIND_OF_DIRECTION, Answer, TransferRequest
from app.operations.records import clock
from app.operations.records.columns import among
from app.security.problems import Fault, Problem
from app.views.interfaces import bearer, cursors
from app.views.interfaces.bodies import read_body
from app.views.interfaces.exchange import blueprint
from app.views.interfaces.interface import answers, in_chinese, instant
from app.views.interfaces.schemas import (
    MOST_TRANSFERS,
    NoQuery,
    TransferHeaders,
    TransferListSchema,
    TransferPage,
    TransferQuery,
    TransferResults,
    TransferSchema,
)

Item = Mapping[str, Any]
_BALANCES = ("available", "pending_to_trading", "trading", "pending_to_registry")


@blueprint.route("/transfers", methods=["POST"])
@in_chinese
@bearer.needs("transfers:write")
@answers(400, 409, 413, 415, 422)
@blueprint.arguments(TransferHeaders, location="headers")
@blueprint.arguments(NoQuery, location="query")
@blueprint.arguments(TransferListSchema)
@blueprint.response(200, TransferResults)
def start_transfers(headers: Item, _query: Item, body: Item) -> Response:
    """发起划转：一条或多条

    每条各自办理，结果按请求的次序逐条返回；一条被拒绝不影响其他。余额为整个请求办理之后的余额。
    """
    items = body["transfers"]
    requests = _requests(items)
    said = b"POST /transfers\n" + read_body(request)
    with transaction():
        answered = kept.once(
            bearer.client().id, headers["key"], said, lambda: (200, _carried_out(requests))
        )
    again = {"Idempotency-Replayed": "true"} if answered.is_again else {}
    return Response(answered.text, answered.status, again, mimetype="application/json")


def _requests(items: Sequence[Item]) -> list[TransferRequest]:
    """Return the requests of a list.  Raises Problem 422 with every fault that the fields do not show."""
    if not 1 <= len(items) <= MOST_TRANSFERS:
        detail = _("A list has 1 to %(most)s transfers; %(typed)s were read",
                   most=MOST_TRANSFERS, typed=len(items))  # fmt: skip
        raise Problem(422, [Fault("wrong_length", detail, "transfers")])
    venue = bearer.client().venue_code
    traded = queries.trade_codes(bearer.client().venue_id, clock.now().date())
    faults: list[Fault] = []
    requests = []
    for place, item in enumerate(items):
        found: list[Fault] = []
        code = _instrument_of(item, traded, found)
        if item.get("venue_code", venue) != venue:
            detail = _("This client belongs to venue %(venue)s; %(typed)s was read",
                       venue=venue, typed=item["venue_code"])  # fmt: skip
            found.append(Fault("venue_differs", detail, "venue_code"))
        faults += [
            Fault(each.code, each.detail, f"transfers[{place}].{each.field}") for each in found
        ]
        named = {name: item[name] for name in ("request_no", "direction", "member_no", "quantity")}
        requests.append(TransferRequest(**named, instrument_code=code, venue_code=venue))
    if faults:
        raise Problem(422, faults)
    return requests


def _instrument_of(item: Item, traded: Sequence[Any], faults: list[Fault]) -> str:
    """Return the instrument code of an item, by its trade code where it names that alone."""
    code, trade_code = item.get("instrument_code", ""), item.get("trade_code") or ""
    named = [row.instrument_code for row in traded if row.trade_code == trade_code]
    if not code and not trade_code:
        detail = _("Either instrument_code or trade_code is needed")
        faults.append(Fault("required", detail, "instrument_code"))
    elif trade_code and not named:
        detail = _("Venue %(venue)s has no trade code %(code)s in force",
                   venue=bearer.client().venue_code, code=trade_code)  # fmt: skip
        faults.append(Fault("trade_code_unknown", detail, "trade_code"))
    elif not code and len(named) > 1:
        detail = _("Trade code %(code)s stands for several instruments (%(named)s): name one",
                   code=trade_code, named="、".join(named[:5]))  # fmt: skip
        faults.append(Fault("trade_code_ambiguous", detail, "trade_code"))
    elif code and trade_code and code not in named:
        detail = _("Trade code %(code)s does not stand for %(instrument)s at this venue",
                   code=trade_code, instrument=code)  # fmt: skip
        faults.append(Fault("trade_code_differs", detail, "trade_code"))
    return code or (named[0] if named else "")


def _carried_out(requests: Sequence[TransferRequest]) -> str:
    """Carry out requests, and return the answer's JSON."""
    asker, now = bearer.asker(), clock.now()
    results = trading.receive_transfers(requests, now=now, asker=asker)
    made = {row.request_no: row for row in _rows([each.request_no for each in requests])}
    held = queries.balances_named((each.member_no, each.instrument_code) for each in requests)
    found = [
        _result(each, result, made.get(each.request_no) if result.number else None,
                held.get((each.member_no, each.instrument_code)))
        for each, result in zip(requests, results, strict=True)
    ]  # fmt: skip
    return json.dumps({"transfers": found, "as_of": instant(now)}, ensure_ascii=False)


def _rows(request_nos: Sequence[str]) -> Sequence[Any]:
    """Return the client's transfers of these numbers, in no order: its index would be walked for one."""
    wanted = queries.transfers(bearer.client().id).order_by(None)
    return db.session.execute(wanted.where(among(MachineRequest.request_no, request_nos))).all()


def _result(asked: TransferRequest, result: Answer, row: Any, held: Any) -> dict[str, Any]:
    """Return what became of one request: the record that is read back, or why there is none."""
    if row is not None:
        return _shown(row, held)
    refusal = {"code": result.code, "field": result.field, "detail": result.refusal}
    return {
        "request_no": asked.request_no,
        "direction": asked.direction,
        "member_no": asked.member_no,
        "instrument_code": asked.instrument_code,
        "trade_code": None,
        "quantity": asked.quantity,
        "venue_code": asked.venue_code,
        "number": result.number,
        "state": result.status,
        "settles_on": None,
        "created_at": None,
        "refusal": refusal,
        "balances": _balances(held),
    }


def _shown(row: Any, held: Any) -> dict[str, Any]:
    """Return a transfer as it is read back."""
    refusal = None
    if row.refusal:
        refusal = {"code": row.refusal_code, "field": row.refusal_field, "detail": row.refusal}
    return {
        "request_no": row.request_no,
        "direction": queries.DIRECTION_OF_KIND[row.kind],
        "member_no": row.member_no,
        "instrument_code": row.instrument_code,
        "trade_code": row.trade_code,
        "quantity": row.quantity,
        "venue_code": row.venue_code,
        "number": row.number,
        "state": row.state,
        "settles_on": row.settles_on and row.settles_on.isoformat(),
        "created_at": instant(row.created_at),
        "refusal": refusal,
        "balances": _balances(held),
    }


def _balances(held: Any) -> dict[str, int] | None:
    return {name: getattr(held, name) for name in _BALANCES} if held else None


@blueprint.route("/transfers/<request_no>", methods=["GET"])
@in_chinese
@bearer.needs("transfers:read")
@answers(404, 422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.response(200, TransferSchema)
def read_transfer(_query: Item, request_no: str) -> Response:
    """查询一条划转

    读回的记录可以原样再次发送，仍只办理一次。
    """
    rows = _rows([request_no]) if "\x00" not in request_no else []
    if not rows:
        raise NotFound(_("This client has no transfer of this number"), field="request_no")
    (row,) = rows
    held = queries.balances([(row.account_id, row.instrument_id)])
    return _json(_shown(row, held.get((row.account_id, row.instrument_id))))


@blueprint.route("/transfers", methods=["GET"])
@in_chinese
@bearer.needs("transfers:read")
@answers(422)
@blueprint.arguments(TransferQuery, location="query")
@blueprint.response(200, TransferPage)
def read_transfers(query: Item) -> Response:
    """查询本接入方的划转

    按受理的先后排列，分页。
    """
    after = cursors.read("transfers", query.get("cursor"))
    statement = queries.transfers(bearer.client().id)
    statement = queries.restricted(
        statement,
        after=after[0] if after else 0,
        state=query.get("state", ""),
        kind=KIND_OF_DIRECTION.get(query.get("direction", ""), ""),
        member_no=query.get("member_no", ""),
    )
    page = queries.page_of(statement, query["limit"])
    held = queries.balances((row.account_id, row.instrument_id) for row in page.rows)
    found = [_shown(row, held.get((row.account_id, row.instrument_id))) for row in page.rows]
    cursor = cursors.write("transfers", page.rows[-1].id) if page.has_more else None
    return _json({"transfers": found, "next_cursor": cursor})


def _json(found: Any) -> Response:
    text = json.dumps(found, ensure_ascii=False)
    return Response(text, mimetype="application/json")
