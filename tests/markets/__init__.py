"""A market for tests: banks, participants with tonnes and money, a venue that signs its packages."""

from tests.markets.market import DAY, EVENING, MORNING, Market, VenueKey

__all__ = ["DAY", "EVENING", "MORNING", "Market", "VenueKey"]
