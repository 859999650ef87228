"""The platform interface (平台接口), /api/platform/v1: where 全国碳市场管理平台 pushes its tables."""

from __future__ import annotations

from app.domain.machines import PLATFORM
from app.views.interfaces.interface import Interface

interface = Interface(
    PLATFORM,
    "全国碳排放权注册登记系统 平台接口",
    "全国碳市场管理平台向登记系统推送核定数据的接口",
    routes=[f"{__package__}.tables"],
)
blueprint = interface.blueprint
