"""Fields and records of the member interface."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from app.domain.kinds import KINDS
from app.domain.machines import MEMBER_SCOPES
from app.domain.moves import HELD_BUCKETS
from app.domain.workflow import Action
from app.views.applications.list import SHOWN_STATUSES
from app.views.compliance.obligations import STATES
from app.views.interfaces.interface import instant
from app.views.interfaces.schemas import (
    CODE,
    MEMBER_NO,
    SECTOR_CODE,
    Choice,
    Day,
    Paged,
    PageQuery,
    Text,
    WholeInAddress,
)
from app.views.settlement.trades import DEFAULT, DELIVERED, SIDES

MOST_APPLICATIONS = 100
SIDES_OF_HOLDINGS = ("registry", "trading")


class Moment(fields.String):
    """An instant, in Beijing time."""

    def __init__(self, describes: str = "", **more: Any) -> None:
        super().__init__(
            required=True, metadata={"format": "date-time", "description": describes}, **more
        )

    def _serialize(self, value: Any, attr: Any, obj: Any, **more: Any) -> Any:
        return None if value is None else instant(value)


def _text(describes: str = "", **more: Any) -> fields.String:
    return fields.String(required=True, metadata={"description": describes}, **more)


def _tonnes(describes: str = "", **more: Any) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": f"{describes}（吨）"}, **more)


def _fen(attribute: str, describes: str = "") -> fields.Integer:
    return fields.Integer(
        required=True, attribute=attribute, metadata={"description": f"{describes}（分）"}
    )


def _word(describes: str, *words: str, **more: Any) -> fields.String:
    found = {"description": describes, "enum": [*words, *([None] if more else [])]}
    return fields.String(required=True, metadata=found, **more)


class MeSchema(ma.Schema):
    """Who signs in with this credential, and what it may read."""

    credential = _text("凭证代码，即 client_id")
    name = _text("凭证名称")
    scopes = fields.List(
        fields.String(metadata={"enum": list(MEMBER_SCOPES)}),
        required=True,
        metadata={"description": "本次令牌的权限范围"},
    )
    ends_on = fields.Date(required=True, metadata={"description": "凭证有效期止"})
    member_kind = _word("会员类型", "enterprise", "province")
    member_no = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "会员编号；省级主管部门为 null"},
    )
    member_name = _text("单位名称，或省份名称")
    as_of = Moment()


_BUCKETS = {
    "available": "登记可用量",
    "reserved": "登记冻结量：业务占用",
    "frozen": "登记冻结量：有权机关冻结",
    "pending_to_trading": "登记待划转量",
    "trading": "交易持有量",
    "pending_to_registry": "交易待划转量",
}
HoldingSchema = ma.Schema.from_dict(
    {
        "member_no": _text("会员编号"),
        "member_name": _text("会员名称"),
        "instrument_code": _text("标的编码"),
        "instrument_name": _text("标的名称"),
        "vintage": fields.Integer(required=True, metadata={"description": "配额年度"}),
        **{bucket.column: _tonnes(_BUCKETS[bucket.column]) for bucket in HELD_BUCKETS},
        "total": _tonnes("总持有量"),
    },
    name="HoldingSchema",
)


class HoldingPage(Paged):
    """A page of holdings, all pages of one instant."""

    holdings = fields.List(fields.Nested(HoldingSchema), required=True)
    as_of = Moment("持仓的时点，各页相同")


class EntrySchema(ma.Schema):
    """One line of 持仓流水."""

    at = Moment("时间")
    member_no = _text("会员编号")
    instrument_code = _text("标的编码")
    seq = fields.Integer(required=True, metadata={"description": "该持仓的流水次序，从 1 起无间断"})
    bucket = _word("所在量", *_BUCKETS)
    before = _tonnes("变动前")
    delta = _tonnes("变动数量，减少为负")
    after = _tonnes("变动后")
    business = _text("业务代码")
    business_title = _text("业务")
    document = _text("单据编号")


class EntryPage(Paged):
    """A page of entries."""

    entries = fields.List(fields.Nested(EntrySchema), required=True)
    first = fields.Date(required=True, data_key="from")
    last = fields.Date(required=True, data_key="to")
    as_of = Moment("流水截至的时点，各页相同")


class StatementSummary(ma.Schema):
    """A statement in the list: amounts as dealt."""

    number = _text("结算单编号")
    day = fields.Date(required=True, metadata={"description": "交易日"})
    venue_code = _text("交易端")
    bought_fen = _fen("bought", "买入金额")
    sold_fen = _fen("sold", "卖出金额")
    fees_fen = _fen("fees", "手续费")
    settled_at = Moment("结算时间")


class StatementPage(Paged):
    """A page of statements, by day."""

    statements = fields.List(fields.Nested(StatementSummary), required=True)


class PositionSchema(ma.Schema):
    """Tonnes of an instrument in trading, before and after the day."""

    instrument_code = _text("标的编码", attribute="code")
    instrument_name = _text("标的名称", attribute="name")
    opening = _tonnes("期初")
    bought = _tonnes("买入")
    sold = _tonnes("卖出")
    other = _tonnes("划入划出")
    closing = _tonnes("期末")


class MoneySchema(ma.Schema):
    """Money at a bank, before and after the day."""

    name = _text("资金账户")
    opening_available_fen = _fen("opening_available", "期初可用")
    opening_proceeds_fen = _fen("opening_proceeds", "期初卖出所得")
    bought_fen = _fen("bought", "买入")
    sold_fen = _fen("sold", "卖出")
    fees_fen = _fen("fees", "手续费")
    other_fen = _fen("other", "出入金")
    available_fen = _fen("available", "期末可用")
    proceeds_fen = _fen("proceeds", "期末卖出所得")


class StatementSchema(ma.Schema):
    """A statement: the ledger's figures at the instant when the day's delivery ended."""

    number = _text("结算单编号")
    member_no = _text("会员编号")
    member_name = _text("会员名称", attribute="account")
    venue_code = _text("交易端", attribute="venue")
    day = fields.Date(required=True, metadata={"description": "交易日"})
    as_of = Moment("数据时点")
    deadline = Moment("异议截止时间")
    trades_delivered = fields.Integer(
        required=True, attribute="delivered", metadata={"description": "已交收笔数"}
    )
    trades_undelivered = fields.Integer(
        required=True, attribute="undelivered", metadata={"description": "未交收笔数"}
    )
    bought_fen = _fen("bought", "买入金额")
    sold_fen = _fen("sold", "卖出金额")
    fees_fen = _fen("fees", "手续费")
    positions = fields.List(fields.Nested(PositionSchema), required=True)
    money = fields.List(fields.Nested(MoneySchema), required=True)


class TradeSchema(ma.Schema):
    """The member's side of a trade."""

    deal_no = _text("成交编号")
    dealt_at = Moment("成交时间")
    method = fields.Integer(
        required=True,
        metadata={"enum": [10, 20, 21], "description": "10 挂牌，20 大宗，21 单向竞价"},
    )
    instrument_code = _text("标的编码", attribute="code")
    side = _word("买卖方向", *SIDES)
    quantity = _tonnes("成交量")
    price_fen = _fen("price", "每吨价格")
    amount_fen = _fen("amount", "成交金额")
    fee_fen = _fen("fee", "手续费")
    state = _word("交收", DELIVERED, DEFAULT)


class TradePage(Paged):
    """A page of a statement's trades."""

    trades = fields.List(fields.Nested(TradeSchema), required=True)


class NoticeSchema(ma.Schema):
    """A compliance notice with what was surrendered for it."""

    number = _text("履约通知书编号")
    year = fields.Integer(required=True, metadata={"description": "履约年度"})
    sector = _text("行业代码")
    member_no = _text("会员编号")
    member_name = _text("会员名称", attribute="account")
    obligation = _tonnes("应履约量")
    pending = _tonnes("待审核履约量")
    surrendered = _tonnes("已履约量")
    remaining = _tonnes("剩余应履约量")
    gap = _tonnes("缺口")
    deadline = Moment("截止时间")
    issued_at = Moment("下发时间")
    state = _word("状态", *STATES)
    state_since = Moment(
        "逾期未足额的起始时间，或逾期后足额的时间；其他状态为 null", allow_none=True
    )


class NoticePage(Paged):
    """A page of notices."""

    notices = fields.List(fields.Nested(NoticeSchema), required=True)


class LineSchema(ma.Schema):
    """A line: tonnes, or of a bank's money fen."""

    instrument_code = _text("标的编码")
    quantity = fields.Integer(
        required=True, allow_none=True, metadata={"description": "数量（吨）；资金为 null"}
    )
    amount_fen = fields.Integer(
        required=True, allow_none=True, metadata={"description": "金额（分）；吨数为 null"}
    )
    venue_code = fields.String(required=True, allow_none=True)
    receiver_no = fields.String(
        required=True, allow_none=True, metadata={"description": "接收单位的会员编号"}
    )


class EventSchema(ma.Schema):
    """What was done to an application."""

    at = Moment("时间")
    action = _word("操作", *(str(each) for each in Action))
    by = _text("办理人")
    state = _text("办理后的状态")
    comment = _text("审核意见")


class ApplicationSchema(ma.Schema):
    """An application with its lines and its course."""

    number = _text("申请编号")
    kind = _word("业务代码", *KINDS)
    kind_title = _text("业务")
    member_no = _text("会员编号")
    member_name = _text("会员名称")
    state = _word("状态", *SHOWN_STATUSES)
    notice_number = fields.String(required=True, allow_none=True)
    reason = _text("申请原因")
    refusal = _text("拒绝的原因")
    created_at = Moment("申请时间")
    submitted_at = Moment("提交时间", allow_none=True)
    settles_on = fields.Date(required=True, allow_none=True)
    lines = fields.List(fields.Nested(LineSchema), required=True)
    events = fields.List(fields.Nested(EventSchema), required=True)


class ApplicationPage(Paged):
    """A page of applications."""

    applications = fields.List(fields.Nested(ApplicationSchema), required=True)


class HoldingQuery(PageQuery):
    """Conditions of the list of holdings."""

    member_no = Text(describes="会员编号", **MEMBER_NO)
    instrument_code = Text(describes="标的编码", **CODE)


class EntryQuery(HoldingQuery):
    """Conditions of the list of entries."""

    first = Day(data_key="from", describes="起始日，默认截止日前 30 天")
    last = Day(data_key="to", describes="截止日，默认今天；一次至多 366 天")
    side = Choice(*SIDES_OF_HOLDINGS, describes="registry 登记持仓流水，trading 交易持仓流水")


class StatementQuery(PageQuery):
    """Conditions of the list of statements."""

    first = Day(data_key="from", describes="交易日起")
    last = Day(data_key="to", describes="交易日止")


class NoticeQuery(PageQuery):
    """Conditions of the list of notices."""

    member_no = Text(describes="会员编号", **MEMBER_NO)
    year = WholeInAddress(least=2000, most=2199, describes="履约年度")
    sector = Text(describes="行业代码", **SECTOR_CODE)


class ApplicationQuery(PageQuery):
    """Conditions of the list of applications."""

    limit = WholeInAddress(
        least=1, most=MOST_APPLICATIONS, load_default=50, describes="每页条数，1 至 100"
    )
    member_no = Text(describes="会员编号", **MEMBER_NO)
    kind = Choice(*KINDS, describes="业务代码")
    state = Choice(*SHOWN_STATUSES, describes="状态")
    first = Day(data_key="from", describes="申请日起")
    last = Day(data_key="to", describes="申请日止")
