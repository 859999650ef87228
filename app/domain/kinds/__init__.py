"""The catalogue of kinds: an application of any kind lives one life, a kind is data."""

from app.domain.kinds.base import Facts, Kind
from app.domain.kinds.transfer import (
    ExchangeRegistryToTrading,
    RegistryToTrading,
    TradingToRegistry,
)
from app.domain.kinds.voluntary_cancellation import VoluntaryCancellation

KINDS: dict[str, Kind] = {
    kind.code: kind()
    for kind in (
        RegistryToTrading,
        TradingToRegistry,
        ExchangeRegistryToTrading,
        VoluntaryCancellation,
    )
}

__all__ = ["KINDS", "Facts", "Kind"]
