"""The interface of transports, and their errors."""

from __future__ import annotations

from typing import Protocol

from app.operations.records.outbox import Claimed


class DeliveryError(Exception):
    """A message was not accepted: the other side's code and reply."""

    def __init__(self, code: str, words: str = "") -> None:
        self.code, self.words = code, words
        super().__init__(code)


class Refused(DeliveryError):
    """The message is refused permanently."""


class Unavailable(DeliveryError):
    """The failure may be temporary."""


class Transport(Protocol):
    """A channel's delivery."""

    def hand_over(self, message: Claimed) -> None:
        """Send a message.  Raises Refused or Unavailable; returns once it is accepted."""

    def close(self) -> None:
        """Close the connections."""
