"""What the ways out have in common, and which of them an installation uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from app.operations.outbox import Claimed
from config import Settings


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


@contextlib.contextmanager
def transports(settings: Settings) -> Iterator[dict[str, Transport | None]]:
    """Lend the way of each channel; None is a channel that is switched off."""
    from app.delivery.mail import MailTransport
    from app.delivery.mailbox import MailboxTransport
    from app.delivery.sms import SmsTransport

    ways: dict[str, Transport | None] = {"mail": None, "sms": None}
    for channel, address in (("mail", settings.mail_url), ("sms", settings.sms_url)):
        if address == "mailbox":
            ways[channel] = MailboxTransport()
        elif address != "off":
            make = MailTransport if channel == "mail" else SmsTransport
            ways[channel] = make(settings)
    try:
        yield ways
    finally:
        for way in ways.values():
            if way is not None:
                way.close()
