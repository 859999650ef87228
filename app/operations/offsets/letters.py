"""Telling officers, and enterprises, what came of messages with the CCER registry."""

from __future__ import annotations

from app.operations.records import addresses, outbox

PURPOSE = "offset"


def tell_officers(subject: str, body: str, *, key: str) -> None:
    """Write to the registry's officers, once a key."""
    members = addresses.of_officers()
    letters = addresses.letters_to_members(members, subject, body, purpose=PURPOSE, key=key)
    outbox.send(*letters)


def tell_enterprise(account_id: int, subject: str, body: str, *, key: str) -> None:
    """Write to an enterprise, once a key."""
    reached = addresses.of_accounts([account_id])[account_id]
    letters = addresses.letters(
        reached, subject, body, purpose=PURPOSE, key=key, account_id=account_id
    )
    outbox.send(*letters)
