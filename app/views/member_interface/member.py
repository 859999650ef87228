"""The member interface (会员接口), /api/member/v1: what an enterprise's or a province's own system reads."""

from __future__ import annotations

from app.domain.machines import MEMBER
from app.views.interfaces.interface import Interface

interface = Interface(
    MEMBER,
    "全国碳排放权注册登记系统 会员接口",
    "重点排放单位和省级主管部门自有系统的只读接口",
    routes=[f"{__package__}.{name}" for name in ("holdings", "statements", "records")],
)
blueprint = interface.blueprint
