"""The demonstration's own mailbox, in place of people's."""

from __future__ import annotations

from app.extensions import transaction
from app.operations.records import outbox


class MailboxTransport:
    """Keeps messages where the demonstration shows them."""

    def hand_over(self, message: outbox.Claimed) -> None:
        """Put it there."""
        with transaction():
            outbox.put_in_mailbox(message)

    def close(self) -> None:
        """Nothing is held."""
