"""What the ways out have in common, and which of them an installation uses."""

from __future__ import annotations

from typing import Protocol

from app.operations.records.outbox import Claimed


class NotTaken(Exception):
    """The other side did not take a message: its code, and what it said."""

    def __init__(self, code: str, words: str = "") -> None:
        self.code, self.words = code, words
        super().__init__(code)


class Refused(NotTaken):
    """It will never take this one."""


class Unavailable(NotTaken):
    """It may take it later."""


class Transport(Protocol):
    """One way out."""

    def hand_over(self, message: Claimed) -> None:
        """Send a message.  Raises Refused or Unavailable; else the other side has taken it."""

    def close(self) -> None:
        """Let go of connections."""
