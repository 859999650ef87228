"""Fields and records of the exchange interface: what is read, with its faults, and what is answered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import marshmallow as ma
from flask_babel import gettext as _
from marshmallow import fields

from app.domain.moves import LARGEST_REQUEST
from app.operations.exchange.queries import STATES
from app.operations.exchange.trading import KIND_OF_DIRECTION, LONGEST_REQUEST_NO
from app.security.problems import Fault, clean

MOST_TRANSFERS = 1000
MOST_ROWS = 1000
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2199, 12, 31)


def _refuse(code: str, detail: str) -> ma.ValidationError:
    return ma.ValidationError([Fault(code, detail)])


class _Field(fields.Field):
    """A field whose faults are `Fault`s; ``read_only`` values are taken and left aside on writing."""

    def __init__(self, *, describes: str, **more: Any) -> None:
        metadata = {"description": describes, **more.pop("metadata", {})}
        super().__init__(metadata=metadata, **more)

    def make_error(self, key: str, **values: Any) -> ma.ValidationError:
        """Return the fault of a missing field or of null."""
        if key == "required":
            return _refuse("required", _("%(field)s is missing", field=self.name))
        if key == "null":
            return _refuse("null", _("%(field)s cannot be null", field=self.name))
        return _refuse("invalid", _("%(field)s is not valid", field=self.name))


class Text(_Field, fields.String):
    """A text of characters that can be stored, within a length and of a pattern."""

    def __init__(self, *, most: int, least: int = 1, pattern: str = "", **more: Any) -> None:
        self.least, self.most, self.pattern = least, most, pattern
        found = {"minLength": least, "maxLength": most, **more.pop("metadata", {})}
        if pattern:
            found["pattern"] = f"^{pattern}$"
        super().__init__(metadata=found, **more)

    def _deserialize(self, value: Any, attr: Any, data: Any, **more: Any) -> str:
        if not isinstance(value, str):
            detail = _(
                "%(field)s is a text; %(typed)s was read", field=self.name, typed=clean(value)
            )
            raise _refuse("wrong_type", detail)
        if not self.least <= len(value) <= self.most:
            detail = _(
                "%(field)s has %(least)s to %(most)s characters; %(typed)s were read",
                field=self.name, least=self.least, most=self.most, typed=len(value),
            )  # fmt: skip
            raise _refuse("wrong_length", detail)
        is_fit = re.fullmatch(self.pattern, value) if self.pattern else value.isprintable()
        if not is_fit:
            detail = _(
                "%(field)s has characters that are not accepted; %(typed)s was read",
                field=self.name, typed=clean(value),
            )  # fmt: skip
            raise _refuse("wrong_characters", detail)
        return value


class Choice(_Field, fields.String):
    """One of a few words."""

    def __init__(self, *words: str, **more: Any) -> None:
        self.words = words
        super().__init__(metadata={"enum": list(words)}, **more)

    def _deserialize(self, value: Any, attr: Any, data: Any, **more: Any) -> str:
        if not isinstance(value, str) or value not in self.words:
            detail = _(
                "%(field)s is one of %(words)s; %(typed)s was read",
                field=self.name, words="、".join(self.words), typed=clean(value),
            )  # fmt: skip
            raise _refuse("unknown_value", detail)
        return value


class Whole(_Field, fields.Integer):
    """An integer within limits: a number in JSON, ASCII digits in an address."""

    def __init__(self, *, least: int, most: int, **more: Any) -> None:
        self.least, self.most = least, most
        super().__init__(metadata={"minimum": least, "maximum": most}, **more)

    def _deserialize(self, value: Any, attr: Any, data: Any, **more: Any) -> int:
        number = self._number(value)
        if number is None or not self.least <= number <= self.most:
            detail = _(
                "%(field)s is a whole number from %(least)s to %(most)s; %(typed)s was read",
                field=self.name, least=f"{self.least:,}", most=f"{self.most:,}", typed=clean(value),
            )  # fmt: skip
            raise _refuse("out_of_range" if number is not None else "wrong_type", detail)
        return number

    def _number(self, value: Any) -> int | None:
        if isinstance(value, bool):
            return None
        if isinstance(value, float):
            return int(value) if value.is_integer() else None
        return value if isinstance(value, int) else None


class WholeInAddress(Whole):
    """The same, of a query string."""

    def _number(self, value: Any) -> int | None:
        return int(value) if re.fullmatch(r"[0-9]{1,18}", str(value), re.ASCII) else None


class Day(_Field, fields.Date):
    """A day, YYYY-MM-DD."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **more: Any) -> date:
        found = None
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            try:
                found = date.fromisoformat(value)
            except ValueError:
                found = None
        if found is None or not FIRST_DAY <= found <= LAST_DAY:
            detail = _(
                "%(field)s is a day from %(first)s to %(last)s (YYYY-MM-DD); %(typed)s was read",
                field=self.name, first=FIRST_DAY, last=LAST_DAY, typed=clean(value),
            )  # fmt: skip
            raise _refuse("wrong_day", detail)
        return found


class Record(ma.Schema):
    """The base of what is read: unknown fields are faults."""

    class Meta:
        """Fields in the order of their declaration."""

        unknown = ma.RAISE

    error_messages: Any = {
        "unknown": Fault("unknown_field", ""),
        "type": Fault("wrong_type", ""),
    }


def faults_of(messages: Any, place: str = "") -> Iterator[Fault]:
    """Yield the faults of marshmallow's messages, each with its place."""
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            if isinstance(key, int):
                yield from faults_of(value, f"{place}[{key}]")
            elif key == "_schema":
                yield from faults_of(value, place)
            else:
                name = clean(key)
                yield from faults_of(value, f"{place}.{name}" if place else name)
        return
    for each in messages if isinstance(messages, list) else [messages]:
        if not isinstance(each, Fault):
            yield Fault("invalid", str(each), place)
        elif each.code == "unknown_field":
            yield Fault(each.code, _("%(field)s is not a field here", field=place), place)
        elif not each.detail:
            yield Fault(each.code, _("%(field)s is an object", field=place or "JSON"), place)
        else:
            yield Fault(each.code, each.detail, place)


# Records -------------------------------------------------------------------------------------------

REQUEST_NO: dict[str, Any] = {"most": LONGEST_REQUEST_NO, "pattern": "[A-Za-z0-9._:-]+"}
MEMBER_NO: dict[str, Any] = {"most": 20, "pattern": "[A-Za-z0-9-]+"}
CODE: dict[str, Any] = {"most": 20, "pattern": "[A-Za-z0-9-]+"}
SECTOR_CODE: dict[str, Any] = {"most": 20, "pattern": "[a-z][a-z0-9_]+"}


def _aside(kind: str, describes: str, **more: Any) -> fields.Raw:
    """Return a field of answers, which is left aside where a record that was read is written again."""
    found = {"type": kind, "readOnly": True, "description": describes, **more}
    return fields.Raw(metadata=found, allow_none=True)


_TONNES = {
    name: {"type": "integer"}
    for name in ("available", "pending_to_trading", "trading", "pending_to_registry")
}
_REFUSAL = {name: {"type": "string"} for name in ("code", "field", "detail")}


class FaultSchema(ma.Schema):
    """One fault."""

    code = fields.String(required=True, metadata={"description": "代码"})
    field = fields.String(required=True, metadata={"description": "字段，空为整个请求"})
    detail = fields.String(required=True, metadata={"description": "说明（中文）"})


class ProblemSchema(ma.Schema):
    """RFC 9457."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    errors = fields.List(fields.Nested(FaultSchema), required=True)


class TransferSchema(Record):
    """A transfer that the trading side starts; what is readOnly is left aside on writing."""

    request_no = Text(
        required=True, describes="本接入方的请求编号，每个编号只办理一次", **REQUEST_NO
    )
    direction = Choice(*KIND_OF_DIRECTION, required=True, describes="in 登记转交易，out 交易转登记")
    member_no = Text(required=True, describes="会员编号", **MEMBER_NO)
    instrument_code = Text(describes="标的编码；与 trade_code 至少填一项", **CODE)
    trade_code = Text(describes="交易代码，按本交易端的对照换算为标的", allow_none=True, **CODE)
    quantity = Whole(least=1, most=LARGEST_REQUEST, required=True, describes="数量（吨）")
    venue_code = Text(describes="交易端代码，须为本接入方所属", **CODE)
    number = _aside("string", "登记系统的申请编号，未能建立申请的为空")
    state = _aside("string", f"状态：{'、'.join(STATES)}", enum=[*STATES, None])
    settles_on = _aside("string", "在该交易日日终划转", format="date")
    created_at = _aside("string", "受理时间", format="date-time")
    refusal = _aside("object", "拒绝的原因", properties=_REFUSAL)
    balances = _aside("object", "办理后该会员该标的的余额（吨）", properties=_TONNES)


class TransferListSchema(Record):
    """A list of transfers, each carried out or refused by itself."""

    transfers = fields.List(
        fields.Nested(TransferSchema),
        required=True,
        metadata={"minItems": 1, "maxItems": MOST_TRANSFERS, "description": "1 至 1000 条"},
    )


class Paged(ma.Schema):
    """What every list says of its pages."""

    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "下一页的 cursor，null 为最后一页"}
    )


class TransferResults(ma.Schema):
    """The result of each transfer, in the order of the request."""

    transfers = fields.List(fields.Nested(TransferSchema), required=True)
    as_of = fields.String(required=True, metadata={"format": "date-time"})


class TransferPage(Paged):
    """A page of transfers."""

    transfers = fields.List(fields.Nested(TransferSchema), required=True)


class MemberSchema(ma.Schema):
    """A member, as the trading side needs to know it."""

    member_no = fields.String(required=True)
    name = fields.String(required=True)
    status = fields.String(required=True, metadata={"enum": ["normal", "restricted"]})
    allows_exchange_transfer = fields.Boolean(
        required=True, metadata={"description": "划转权限：是否允许交易端发起登记转交易"}
    )
    restrictions = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "debits：账户受限，不得转出登记账户"},
    )
    opened_on = fields.Date(required=True)
    as_of = fields.String(required=True, metadata={"format": "date-time"})


class PositionSchema(ma.Schema):
    """What a member holds of an instrument on the trading side, in tonnes."""

    member_no = fields.String(required=True)
    instrument_code = fields.String(required=True)
    trade_code = fields.String(required=True)
    pending_to_trading = fields.Integer(required=True)
    trading = fields.Integer(required=True)
    pending_to_registry = fields.Integer(required=True)


class PositionPage(Paged):
    """A page of positions, all pages of one instant."""

    positions = fields.List(fields.Nested(PositionSchema), required=True)
    as_of = fields.String(required=True, metadata={"format": "date-time"})


class FundSchema(ma.Schema):
    """What a participant has at its settlement bank, in yuan with two decimals."""

    member_no = fields.String(required=True)
    bank_code = fields.String(required=True)
    available = fields.String(required=True, metadata={"description": "可用，可买入、可取"})
    proceeds = fields.String(required=True, metadata={"description": "今日卖出所得，可买入"})
    frozen = fields.String(required=True, metadata={"description": "冻结，含出金在途"})


class FundPage(Paged):
    """A page of participants' money."""

    funds = fields.List(fields.Nested(FundSchema), required=True)
    as_of = fields.String(required=True, metadata={"format": "date-time"})


class CourtSaleSchema(ma.Schema):
    """What a court lets sell of a member's, in tonnes."""

    number = fields.String(
        required=True, metadata={"description": "变卖编号，成交的 sell_order_no 填写此编号"}
    )
    member_no = fields.String(required=True)
    instrument_code = fields.String(required=True)
    trade_code = fields.String(required=True)
    unsold = fields.Integer(
        required=True, metadata={"description": "未售出量，已计入持仓的 trading"}
    )


class CourtSalePage(Paged):
    """A page of sales for courts."""

    sales = fields.List(fields.Nested(CourtSaleSchema), required=True)
    as_of = fields.String(required=True, metadata={"format": "date-time"})


class DaySchema(ma.Schema):
    """A day of the trading calendar."""

    day = fields.Date(required=True)
    is_trading = fields.Boolean(required=True)
    note = fields.String(required=True)


class DayPage(Paged):
    """A page of the calendar."""

    days = fields.List(fields.Nested(DaySchema), required=True)


class TradableSchema(ma.Schema):
    """An instrument with its trade code at the client's venue."""

    instrument_code = fields.String(required=True)
    trade_code = fields.String(required=True)
    name = fields.String(required=True)
    vintage = fields.Integer(required=True)
    kind = fields.String(required=True, metadata={"enum": ["allowance"]})


class TradablePage(Paged):
    """What can be traded on the next trading day."""

    day = fields.Date(required=True)
    venue_code = fields.String(required=True)
    instruments = fields.List(fields.Nested(TradableSchema), required=True)


class PageQuery(Record):
    """Where a page begins, and how long it is."""

    cursor = Text(most=2000, pattern="[A-Za-z0-9._-]+", describes="上一页给出的 next_cursor")
    limit = WholeInAddress(
        least=1, most=MOST_ROWS, load_default=100, describes="每页条数，1 至 1000"
    )


class TransferQuery(PageQuery):
    """Conditions of the list of transfers."""

    state = Choice(*STATES, describes="状态")
    direction = Choice(*KIND_OF_DIRECTION, describes="方向")
    member_no = Text(describes="会员编号", **MEMBER_NO)


class PositionQuery(PageQuery):
    """Conditions of the list of positions."""

    member_no = Text(describes="会员编号", **MEMBER_NO)


class CalendarQuery(PageQuery):
    """The days asked for."""

    first = Day(data_key="from", describes="起始日，默认今天")
    last = Day(data_key="to", describes="截止日，默认起始日后一年")


class NoQuery(Record):
    """No parameters."""


class TransferHeaders(ma.Schema):
    """Headers of a request that acts; others are none of ours."""

    class Meta:
        """Requests have many headers."""

        unknown = ma.EXCLUDE

    key = Text(
        data_key="Idempotency-Key", required=True, most=100, pattern="[!-~]+",
        describes="同一请求重发时用同一个值；同值而内容不同的被拒绝",
    )  # fmt: skip
