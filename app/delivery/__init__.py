"""Messages on their way out: one at a time, nothing external inside a transaction."""

from __future__ import annotations

from app.delivery.mail import MailTransport
from app.delivery.mailbox import MailboxTransport
from app.delivery.sms import SmsTransport
from app.delivery.transport import NotTaken, Refused, Transport, Unavailable
from app.extensions import transaction
from app.operations.records import outbox
from config import Settings

__all__ = ["CHANNELS", "deliver"]

MOST_AT_ONCE = 500  # Then the worker gets to look whether it is to stop.
CHANNELS = {"mail": MailTransport, "sms": SmsTransport}


def deliver(settings: Settings, channel: str) -> int:
    """Send what is due and return how many messages were taken; each ends in its own transaction."""
    with transaction():
        outbox.give_up_lost()
    way, taken = _way(settings, channel), 0
    try:
        while taken < MOST_AT_ONCE:
            with transaction():
                message = outbox.claim(channel)
            if message is None:
                break
            taken += 1
            _deliver(message, way)
    finally:
        if way is not None:
            way.close()
    return taken


def _way(settings: Settings, channel: str) -> Transport | None:
    """Return a channel's way out; None where it is switched off."""
    address = {"mail": settings.mail_url, "sms": settings.sms_url}[channel]
    if address == "off":
        return None
    return MailboxTransport() if address == "mailbox" else CHANNELS[channel](settings)


def _deliver(message: outbox.Claimed, way: Transport | None) -> None:
    """Hand a message over, then write down what became of it."""
    try:
        if way is None:
            raise Refused("")
        way.hand_over(message)
    except Refused as error:
        with transaction():
            outbox.refused(message, _said(message, error), "refused" if way else "off")
    except Unavailable as error:
        with transaction():
            outbox.unavailable(message, _said(message, error))
    else:
        with transaction():
            outbox.sent(message)


def _said(message: outbox.Claimed, error: NotTaken) -> str:
    """What the other side said may hold what it was sent: of a secret only its number is kept."""
    return error.code if message.has_secret else f"{error.code} {error.words}".strip()
