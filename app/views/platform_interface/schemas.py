"""Fields and records of the platform interface."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields

from app.domain.compliance.figures import BASES, STAGES
from app.domain.moves import LARGEST_REQUEST
from app.domain.workflow import Status
from app.operations.applications.engine import LONGEST_DOCUMENT_NO
from app.operations.imports import tables
from app.operations.imports.figure_import import LONGEST_REMARK, LONGEST_UNIT
from app.views.interfaces.interface import instant
from app.views.interfaces.schemas import (
    MEMBER_NO,
    SECTOR_CODE,
    Choice,
    Day,
    Paged,
    PageQuery,
    Record,
    Text,
    Whole,
)

STATES = (str(Status.IN_REVIEW), str(Status.APPROVED), str(Status.RETURNED))
_STATES = "in_review 待审核，approved 已通过，returned 已退回"
LONGEST_NAME = 200


def _decimal(describes: str, **more: Any) -> Text:
    """Return a field of a number with up to six decimals, as text: a binary fraction would round it."""
    found = f"{describes}，文本，至多 13 位整数和 6 位小数"
    return Text(most=20, pattern=r"[0-9]{1,13}(\.[0-9]{1,6})?", describes=found, **more)


class RowSchema(Record):
    """A row: of a unit, or of an enterprise as a whole."""

    member_no = Text(required=True, describes="会员编号", **MEMBER_NO)
    name = Text(required=True, most=LONGEST_NAME, describes="企业名称，与开户登记一致")
    unit = Text(
        least=0, most=LONGEST_UNIT, load_default="",
        describes="机组（生产线、工序）编号；企业合计行为空，每家企业须有一行",
    )  # fmt: skip
    verified = _decimal("经核查排放量（吨）；预分配时为上一年度的", required=True)
    share = _decimal("预分配比例（%），仅预分配；低于方案比例的须填备注", allow_none=True)
    basis = Choice(*BASES, describes="配额计算情形，核定时必填", allow_none=True)
    power = _decimal("发电量（MWh）", allow_none=True)
    heat = _decimal("供热量（GJ）", allow_none=True)
    power_benchmark = _decimal("发电基准值（t/MWh）", allow_none=True)
    heat_benchmark = _decimal("供热基准值（t/GJ）", allow_none=True)
    load_factor = _decimal(  # `load` is a method of schemas.
        "负荷（出力）系数（%）", data_key="load", attribute="load", allow_none=True
    )
    intensity = _decimal("单位产品碳排放量", allow_none=True)
    balance = _decimal("行业平衡值", allow_none=True)
    quantity = Whole(
        least=0, most=LARGEST_REQUEST, allow_none=True, describes="配额量（吨）；核查变更不填"
    )
    remark = Text(least=0, most=LONGEST_REMARK, load_default="", describes="备注")


class PushSchema(Record):
    """A table of one year, sector and stage."""

    largest = tables.LARGEST  # bytes of the body, as of a file

    year = Whole(least=2000, most=2199, required=True, describes="履约年度")
    sector = Text(required=True, describes="行业代码，如 power", **SECTOR_CODE)
    stage = Choice(
        *STAGES, required=True,
        describes="环节：pre_allocation 预分配（表 1），approved 核定（表 2），verification 核查变更",
    )  # fmt: skip
    document_no = Text(
        required=True, most=LONGEST_DOCUMENT_NO, describes="省级主管部门文件的文号（纸质文件另送）"
    )
    documented_on = Day(required=True, describes="文件日期，不晚于当天")
    rows = fields.List(
        fields.Nested(RowSchema),
        required=True,
        metadata={
            "minItems": 1, "maxItems": tables.MOST_ROWS, "description": "1 至 10000 行",
        },
    )  # fmt: skip


def _text(describes: str, **more: Any) -> fields.String:
    return fields.String(required=True, metadata={"description": describes}, **more)


def _whole(describes: str, **more: Any) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": describes}, **more)


class _Instant(fields.String):
    """An instant, in Beijing time."""

    def _serialize(self, value: Any, attr: Any, obj: Any, **more: Any) -> Any:
        return None if value is None else instant(value)


class TableSchema(ma.Schema):
    """A table and what became of it."""

    number = _text("登记系统的编号")
    state = fields.String(
        required=True, metadata={"enum": list(STATES), "description": f"状态：{_STATES}"}
    )
    reason = _text("退回的原因；其他状态为审核意见，可为空")
    received_at = _Instant(
        required=True, metadata={"format": "date-time", "description": "接收时间"}
    )
    decided_at = _Instant(
        required=True, allow_none=True,
        metadata={"format": "date-time", "description": "审核时间，待审核为 null"},
    )  # fmt: skip
    year = _whole("履约年度")
    sector = _text("行业代码")
    stage = fields.String(required=True, metadata={"enum": list(STAGES), "description": "环节"})
    document_no = _text("文件的文号")
    documented_on = fields.Date(required=True, metadata={"description": "文件日期"})
    rows = _whole("行数")
    enterprises = _whole("企业数")
    differing_rows = _whole("与登记系统计算结果不一致的行数")
    differing_enterprises = _whole("有不一致的企业数；通过后更正前，这些企业暂停发放该年度配额")


class TablePage(Paged):
    """A page of tables."""

    tables = fields.List(fields.Nested(TableSchema), required=True)


class DifferenceSchema(ma.Schema):
    """A row that the registry computes otherwise."""

    member_no = _text("会员编号")
    name = _text("企业名称")
    unit = _text("机组（生产线、工序）编号，企业合计行为空")
    quantity = _whole("推送的配额量（吨）")
    expected = _whole("登记系统计算的配额量（吨）")
    difference = _whole("推送减计算（吨）")


class DifferencePage(Paged):
    """A page of the rows that differ."""

    differences = fields.List(fields.Nested(DifferenceSchema), required=True)


class TableQuery(PageQuery):
    """Conditions of the list of tables."""

    state = Choice(*STATES, describes=f"状态：{_STATES}")


class DifferenceQuery(PageQuery):
    """Conditions of the list of differences."""

    member_no = Text(describes="会员编号", **MEMBER_NO)
