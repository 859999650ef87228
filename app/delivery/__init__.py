"""Delivery of the outbox: one message at a time, no network call inside a transaction."""

from __future__ import annotations

from app.delivery.mail import MailTransport
from app.delivery.mailbox import MailboxTransport
from app.delivery.sms import SmsTransport
from app.delivery.transport import DeliveryError, Refused, Transport, Unavailable
from app.extensions import transaction
from app.operations.records import outbox
from config import Settings

__all__ = ["CHANNELS", "deliver"]

MOST_AT_ONCE = 500  # then the worker checks whether it is to stop
CHANNELS = {"mail": MailTransport, "sms": SmsTransport}


def deliver(settings: Settings, channel: str) -> int:
    """Send the due messages and return their number; each is recorded in its own transaction."""
    with transaction():
        outbox.give_up_lost()
    transport, taken = _transport(settings, channel), 0
    try:
        while taken < MOST_AT_ONCE:
            with transaction():
                message = outbox.claim(channel)
            if message is None:
                break
            taken += 1
            _deliver(message, transport)
    finally:
        if transport is not None:
            transport.close()
    return taken


def _transport(settings: Settings, channel: str) -> Transport | None:
    """Return a channel's transport; None where it is switched off."""
    address = {"mail": settings.mail_url, "sms": settings.sms_url}[channel]
    if address == "off":
        return None
    return MailboxTransport() if address == "mailbox" else CHANNELS[channel](settings)


def _deliver(message: outbox.Claimed, transport: Transport | None) -> None:
    """Send a message and record the result."""
    try:
        if transport is None:
            raise Refused("")
        transport.hand_over(message)
    except Refused as error:
        with transaction():
            outbox.refused(
                message, _failure_detail(message, error), "refused" if transport else "off"
            )
    except Unavailable as error:
        with transaction():
            outbox.unavailable(message, _failure_detail(message, error))
    else:
        with transaction():
            outbox.sent(message)


def _failure_detail(message: outbox.Claimed, error: DeliveryError) -> str:
    """Return code and reply; for a secret the code alone, since the reply may quote the message."""
    return error.code if message.has_secret else f"{error.code} {error.words}".strip()
