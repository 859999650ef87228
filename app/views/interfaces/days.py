"""A day's settlement: the package handed in, its result, the exchange's confirmation, what was delivered."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import date
from typing import Any

from flask import request
from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.errors import NotFound
from app.domain.kinds.settlement import TradeSettlement
from app.domain.workflow import Status
from app.extensions import db, transaction
from app.models import Application, DayPackage, SettlementConfirmation
from app.operations.records import clock
from app.operations.settlement import clearing, delivery, package_file, packages
from app.pki.canonical import canonical
from app.security.problems import Fault, Problem, clean
from app.views.interfaces import bearer, cursors
from app.views.interfaces.bodies import read_body
from app.views.interfaces.exchange import blueprint
from app.views.interfaces.interface import answers, in_chinese
from app.views.interfaces.schemas import NoQuery, PageQuery
from app.views.interfaces.settlement_schemas import (
    ConfirmationSchema,
    DayStateSchema,
    TradePage,
)

Item = Mapping[str, Any]
_ZIP = {
    "required": True,
    "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
}


@blueprint.route("/days/<day>", methods=["PUT"])
@in_chinese
@bearer.needs("settlement:write")
@answers(400, 404, 409, 413, 415, 422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.doc(requestBody=_ZIP)
@blueprint.response(200, DayStateSchema)
def hand_in_day(_query: Item, day: str) -> dict[str, Any]:
    """提交日终数据包

    整体接收或整体拒绝，拒绝时逐条列出错误（表、行、列）。同一文件重复提交不产生变化，返回当前状态。
    """
    venue_id, content = bearer.client().venue_id, _zip_body()
    try:
        with transaction():
            kept = packages.receive(
                content, bearer.asker().actor, now=clock.now(), venue_id=venue_id, day=_day(day)
            )
    except packages.PackageRefused as refused:
        with transaction():
            digest = hashlib.sha256(content).hexdigest()
            packages.note_refusal(digest, refused.faults, bearer.asker().actor, now=clock.now())
        raise Problem(422, [_fault(each) for each in refused.faults]) from refused
    return _state(db.session.get_one(DayPackage, kept.id))


@blueprint.route("/days/<day>", methods=["GET"])
@in_chinese
@bearer.needs("settlement:read")
@answers(404, 422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.response(200, DayStateSchema)
def read_day(_query: Item, day: str) -> dict[str, Any]:
    """查询交易日的结算状态和待确认的结果

    result_text 为须签名确认的文本，以其 UTF-8 字节签名。
    """
    return _state(packages.package_of(bearer.client().venue_id, _day(day)))


@blueprint.route("/days/<day>/confirmation", methods=["POST"])
@in_chinese
@bearer.needs("settlement:write")
@answers(400, 404, 409, 413, 415, 422)
@blueprint.arguments(NoQuery, location="query")
@blueprint.arguments(ConfirmationSchema)
@blueprint.response(200, DayStateSchema)
def confirm_day(_query: Item, body: Item, day: str) -> dict[str, Any]:
    """确认结算结果

    signature 为对 result_text 的 CMS 分离签名（base64）。重复确认不产生变化。
    """
    package = packages.package_of(bearer.client().venue_id, _day(day))
    found = db.session.scalar(
        select(Application).where(
            Application.kind == TradeSettlement.code,
            Application.number == body["settlement"],
            Application.proposal["package"].astext == str(package.id),
        )
    )
    if found is None:
        raise NotFound(_("There is no such settlement"), field="settlement")
    try:
        signature = base64.b64decode(body["signature"], validate=True)
    except binascii.Error as error:
        detail = _("The signature is written in base64")
        raise Problem(422, [Fault("signature_malformed", detail, "signature")]) from error
    with transaction():
        clearing.confirm(
            found.id,
            signature,
            now=clock.now(),
            venue_id=bearer.client().venue_id,
            actor=bearer.asker().actor,
        )
    return _state(package)


@blueprint.route("/days/<day>/trades", methods=["GET"])
@in_chinese
@bearer.needs("settlement:read")
@answers(404, 422)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, TradePage)
def read_trades(query: Item, day: str) -> dict[str, Any]:
    """查询逐笔交收结果"""
    package = packages.package_of(bearer.client().venue_id, _day(day))
    place = cursors.read("trades", query.get("cursor"))
    rows = delivery.outcomes(package.id, after=place[0] if place else 0, most=query["limit"] + 1)
    shown, rest = rows[: query["limit"]], rows[query["limit"] :]
    cursor = cursors.write("trades", shown[-1].id) if rest else None
    return {"trades": shown, "next_cursor": cursor}


def _zip_body() -> bytes:
    if request.mimetype != "application/zip":
        detail = _(
            "Content-Type is application/zip; %(typed)s was read", typed=clean(request.mimetype)
        )
        raise Problem(415, [Fault("wrong_type", detail, "Content-Type")])
    return read_body(request, most=package_file.LARGEST)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise NotFound(_("There is no package of %(day)s", day=clean(text)), field="day") from error


def _fault(each: package_file.Fault) -> Fault:
    place = f"{each.table}[{each.row}].{each.column}" if each.row else each.table or each.column
    read = _("; %(value)s was read", value=clean(each.value)) if each.value else ""
    return Fault(each.code, f"{each.message}{read}", place)


def _state(package: DayPackage) -> dict[str, Any]:
    settlement = db.session.scalar(
        select(Application)
        .where(
            Application.kind == TradeSettlement.code,
            Application.proposal["package"].astext == str(package.id),
            Application.status.in_((Status.IN_REVIEW, Status.APPROVED)),
        )
        .order_by(Application.id.desc())
        .limit(1)
    )
    found: dict[str, Any] = {
        "day": package.day,
        "digest": package.digest,
        "state": "received",
        "warnings": [
            {"code": each["code"], "field": f"{each['table']}[{each['row']}].{each['column']}",
             "detail": each["message"]}
            for each in package.warnings
        ],
        "settlement": None, "result_digest": None, "result_text": None,
        "delivered": None, "short": None,
    }  # fmt: skip
    if settlement is not None:
        text = canonical(clearing.result_of(settlement.proposal)).decode()
        found |= {
            "settlement": settlement.number,
            "result_digest": settlement.proposal["result"],
            "result_text": text,
            "state": _named(settlement),
        }
    counts = delivery.counts(package.id)
    if counts:
        found |= {"state": "delivered", **counts}
    return found


def _named(settlement: Application) -> str:
    if settlement.status == Status.APPROVED:
        return "approved"
    confirmed = select(SettlementConfirmation.id).where(
        SettlementConfirmation.application_id == settlement.id,
        SettlementConfirmation.result_digest == settlement.proposal["result"],
    )
    return "confirmed" if db.session.scalar(confirmed) else "awaits_confirmation"
