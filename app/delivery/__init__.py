"""Messages on their way out: one at a time, nothing external inside a transaction."""

from __future__ import annotations

from app.delivery.transport import NotTaken, Refused, Transport, Unavailable, transports
from app.extensions import transaction
from app.operations import outbox
from config import Settings

__all__ = ["deliver"]

MOST_AT_ONCE = 500  # Then the worker gets to look whether it is to stop.


def deliver(settings: Settings) -> int:
    """Send what is due and return how many messages were taken; each ends in its own transaction."""
    with transaction():
        outbox.give_up_lost()
    taken = 0
    with transports(settings) as ways:
        while taken < MOST_AT_ONCE:
            with transaction():
                message = outbox.claim()
            if message is None:
                break
            taken += 1
            _deliver(message, ways[message.channel])
    return taken


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
