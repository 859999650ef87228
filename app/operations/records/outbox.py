"""The outbox: messages are written in the act's transaction and delivered after its commit.

Operations call `send`; the rest is for the worker (app/delivery).  Delivery is at least once: where
a worker dies between sending and recording it, the message is sent again with the same reference,
by which mail servers and the gateway detect duplicates (docs/adr/0016-outbox-and-jobs.md).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import timedelta

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, insert, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from app.domain.errors import RuleError
from app.domain.texts import is_mail_address
from app.extensions import db
from app.models import MailboxMessage, OutboxAttempt, OutboxMessage

MOST_ATTEMPTS = 8
# Exponential backoff by a factor of 4: about seven hours in all.
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=2)
# Far above the time-outs of a delivery; then the worker is presumed dead.
CLAIM = timedelta(minutes=10)

_PHONE = re.compile(r"\+?[0-9]{5,20}")
_LONGEST_SUBJECT = 200
_AT_ONCE = 1000  # PostgreSQL takes 65,535 values a statement.


@dataclass(frozen=True, slots=True)
class Message:
    """A message to be sent; ``channel`` is mail or sms.

    With ``has_secret`` the body is wiped once it is delivered or given up.  A message whose
    ``dedupe_key`` exists is not written again.
    """

    channel: str
    recipient: str
    body: str
    purpose: str
    subject: str = ""
    has_secret: bool = False
    member_id: int | None = None
    account_id: int | None = None
    dedupe_key: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that only this worker may send until its claim expires."""

    id: int
    attempt: int
    channel: str
    recipient: str
    subject: str
    body: str
    purpose: str
    has_secret: bool

    @property
    def reference(self) -> str:
        """Return the id that is the same at each attempt."""
        return f"outbox-{self.id}"


def send(*messages: Message) -> int:
    """Write messages into the outbox, in the caller's transaction; return the number of new ones.

    Raises RuleError for a malformed address, before anything is written.
    """
    for message in messages:
        _require_deliverable(message)
    written = 0
    for start in range(0, len(messages), _AT_ONCE):
        rows = [asdict(message) for message in messages[start : start + _AT_ONCE]]
        found = db.session.scalars(
            upsert(OutboxMessage)
            .values(rows)
            .on_conflict_do_nothing(index_elements=["dedupe_key"])
            .returning(OutboxMessage.id)
        )
        written += len(found.all())
    return written


def is_deliverable(channel: str, address: str) -> bool:
    """Tell whether an address is well-formed."""
    if channel == "mail":
        return is_mail_address(address)
    return _PHONE.fullmatch(address) is not None


def claim(channel: str) -> Claimed | None:
    """Claim the message that has been due longest; workers never claim the same one."""
    asked = {"channel": channel, "claim": CLAIM, "most": MOST_ATTEMPTS}
    row = db.session.execute(_CLAIM, asked).one_or_none()
    return Claimed(**row._mapping) if row else None


def give_up_lost() -> int:
    """Fail messages whose last attempt has no result: the worker died while sending."""
    lost = db.session.execute(_GIVE_UP, {"most": MOST_ATTEMPTS}).all()
    for row in lost:
        _record_attempt(row.id, row.attempts, "lost", "")
    return len(lost)


def sent(message: Claimed) -> None:
    """Record a delivery; a secret body is wiped."""
    _close(message, "sent")
    _record_attempt(message.id, message.attempt, "sent", "")


def refused(message: Claimed, detail: str, result: str = "refused") -> None:
    """Record a permanent failure; a secret body is wiped."""
    _close(message, "failed")
    _record_attempt(message.id, message.attempt, result, detail)


def unavailable(message: Claimed, detail: str) -> None:
    """Record a temporary failure: schedule a retry, or give up after the last attempt."""
    if message.attempt >= MOST_ATTEMPTS:
        _close(message, "failed")
    else:
        wait = min(FIRST_WAIT * 4 ** (message.attempt - 1), LONGEST_WAIT)
        db.session.execute(
            update(OutboxMessage)
            .where(*_claim_holds(message))
            .values(state="queued", due_at=text("now() + :wait").bindparams(wait=wait))
        )
    _record_attempt(message.id, message.attempt, "unavailable", detail)


def put_in_mailbox(message: Claimed) -> None:
    """Deliver to the demonstration's mailbox; idempotent."""
    db.session.execute(
        upsert(MailboxMessage)
        .values(
            message_id=message.id,
            channel=message.channel,
            recipient=message.recipient,
            subject=message.subject,
            body=message.body,
        )
        .on_conflict_do_nothing(index_elements=["message_id"])
    )


def _require_deliverable(message: Message) -> None:
    if not is_deliverable(message.channel, message.recipient):
        raise RuleError(
            _("%(address)s is no address that can be written to", address=message.recipient[:100]),
            field="recipient",
            code="no_address",
        )
    # A line break would allow header injection.
    assert len(message.subject) <= _LONGEST_SUBJECT, "subject too long"
    assert message.subject.isprintable(), "a subject is one line"
    assert message.body, "an empty message"


def _claim_holds(message: Claimed) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that the claim has not expired and been taken over."""
    return (
        OutboxMessage.id == message.id,
        OutboxMessage.state == "sending",
        OutboxMessage.attempts == message.attempt,
    )


def _close(message: Claimed, state: str) -> None:
    values: dict[str, object] = {"state": state, "ended_at": text("clock_timestamp()")}
    if message.has_secret:
        values["body"] = None
    db.session.execute(update(OutboxMessage).where(*_claim_holds(message)).values(**values))


def _record_attempt(message_id: int, number: int, result: str, detail: str) -> None:
    db.session.execute(
        insert(OutboxAttempt).values(
            message_id=message_id, number=number, result=result, detail=detail[:300]
        )
    )


_CLAIM = text("""
    UPDATE outbox_message
       SET state = 'sending', attempts = attempts + 1, due_at = clock_timestamp() + :claim
     WHERE id = (SELECT id FROM outbox_message
                  WHERE state IN ('queued', 'sending') AND due_at <= clock_timestamp()
                    AND channel = :channel AND attempts < :most
                  ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, attempts AS attempt, channel, recipient, subject, body, purpose, has_secret
""")

_GIVE_UP = text("""
    UPDATE outbox_message
       SET state = 'failed', ended_at = clock_timestamp(),
           body = CASE WHEN has_secret THEN NULL ELSE body END
     WHERE id IN (SELECT id FROM outbox_message
                   WHERE state = 'sending' AND due_at <= clock_timestamp() AND attempts >= :most
                   FOR UPDATE SKIP LOCKED)
    RETURNING id, attempts
""")
