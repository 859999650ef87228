"""Records of the exchange interface about a day's settlement."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields

from app.views.interfaces.schemas import FaultSchema, Paged, Record, Text

STATES = ("received", "awaits_confirmation", "confirmed", "approved", "delivered")


class ConfirmationSchema(Record):
    """The exchange's confirmation of a result."""

    settlement = Text(
        required=True, most=30, pattern="[A-Z0-9]+", describes="结算编号，取自交易日的状态"
    )
    signature = Text(
        required=True,
        most=100_000,
        pattern="[A-Za-z0-9+/=]+",
        describes="对 result_text 的 CMS 分离签名，base64",
    )


class DayStateSchema(ma.Schema):
    """How far a day's settlement is."""

    day = fields.Date(required=True)
    digest = fields.String(required=True, metadata={"description": "数据包的 SHA-256"})
    state = fields.String(
        required=True,
        metadata={
            "enum": list(STATES),
            "description": "received 待初审；awaits_confirmation 待交易机构确认；confirmed 待复审；"
            "approved 交收中；delivered 已交收",
        },
    )
    warnings = fields.List(fields.Nested(FaultSchema), required=True)
    settlement = fields.String(required=True, allow_none=True)
    result_digest = fields.String(required=True, allow_none=True)
    result_text = fields.String(required=True, allow_none=True)
    delivered = fields.Integer(required=True, allow_none=True)
    short = fields.Integer(required=True, allow_none=True)


class OutcomeSchema(ma.Schema):
    """What became of a deal."""

    deal_no = fields.String(required=True)
    state = fields.String(required=True, metadata={"enum": ["pending", "delivered", "default"]})
    delivered_at = fields.DateTime(required=True, allow_none=True)
    missing_tonnes = fields.Integer(required=True)
    missing_fen = fields.Integer(required=True)


class TradePage(Paged):
    """A page of outcomes, in the order of the deals."""

    trades = fields.List(fields.Nested(OutcomeSchema), required=True)
