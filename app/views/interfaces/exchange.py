"""The exchange interface (交易接口), /api/exchange/v1."""

from __future__ import annotations

from app.domain.machines import EXCHANGE
from app.views.interfaces.interface import Interface

interface = Interface(
    EXCHANGE,
    "全国碳排放权注册登记系统 交易接口",
    "交易端与登记系统之间的接口",
    routes=[f"{__package__}.{name}" for name in ("transfers", "reading", "days")],
)
blueprint = interface.blueprint
