"""The demonstration's mailbox, instead of real delivery."""

from __future__ import annotations

from app.extensions import transaction
from app.operations.records import outbox


class MailboxTransport:
    """Stores messages for the demonstration's mailbox page."""

    def hand_over(self, message: outbox.Claimed) -> None:
        """Store the message."""
        with transaction():
            outbox.put_in_mailbox(message)

    def close(self) -> None:
        """Do nothing."""
