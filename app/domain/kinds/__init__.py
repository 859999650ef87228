"""The catalogue of kinds: an application of any kind lives one life, a kind is data."""

from app.domain.kinds.base import Facts, Kind
from app.domain.kinds.transfer import (
    ExchangeRegistryToTrading,
    RegistryToTrading,
    TradingToRegistry,
)

KINDS: dict[str, Kind] = {
    kind.code: kind() for kind in (RegistryToTrading, TradingToRegistry, ExchangeRegistryToTrading)
}

__all__ = ["KINDS", "Facts", "Kind"]
