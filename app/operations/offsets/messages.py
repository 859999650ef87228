"""Messages of ours to the CCER registry: sent once each, ended by its signed word (rules-2026 N88).

Lock order: accounts, applications, messages, units (sql/0030/follow.sql).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import DateTime, bindparam, text, update

from app.domain.compliance.offsets import (
    ANSWER,
    CANCEL,
    CONTRADICTION,
    OUT,
    MessageState,
)
from app.domain.errors import NotAllowed, NotFound
from app.extensions import db
from app.models import Account, Application, Notice, OffsetMessage
from app.operations.compliance import attestations
from app.operations.offsets import letters
from app.operations.offsets.exchange import Outgoing, Said
from app.operations.records import log
from app.operations.records.actor import CCER, SYSTEM, Actor

logger = logging.getLogger(__name__)

ANSWER_WITHIN = timedelta(minutes=2)  # then the outcome is unknown, and queried
LONGEST_REASON = 300


def next_to_send(*, now: datetime) -> Outgoing | None:
    """Mark the next message as sent and return it: once this is committed it is sent, and only then."""
    found = db.session.scalar(_SEND, {"at": now, "answered_by": now + ANSWER_WITHIN})
    return _outgoing(found) if found else None


def next_to_query(*, now: datetime) -> Outgoing | None:
    """Return the next message whose outcome is to be queried; it is 待查 from then on."""
    found = db.session.scalar(_QUERY, {"at": now})
    return _outgoing(found) if found else None


def query_now(message_id: int, actor: Actor, *, now: datetime) -> None:
    """Let the worker query a message at once.  Raises NotFound where its outcome is not open."""
    open_one = (
        OffsetMessage.id == message_id,
        OffsetMessage.direction == OUT,
        OffsetMessage.state.in_((MessageState.SENT, MessageState.UNKNOWN)),
    )
    number = db.session.scalar(
        update(OffsetMessage).where(*open_one).values(due_at=now).returning(OffsetMessage.number)
    )
    if number is None:
        raise NotFound(_("There is no such message whose outcome is unknown"))
    log.record(actor, "offset.query", subject=number)


def release_again(message_id: int, actor: Actor, *, now: datetime) -> None:
    """Order a release once more that the CCER registry refused.  Raises NotAllowed for others."""
    if not db.session.scalar(_AGAIN, {"message": message_id, "at": now}):
        raise NotAllowed(
            _("Only the last release of a unit that was refused is ordered once more"),
            code="not_refused",
        )
    message = db.session.get_one(OffsetMessage, message_id)
    log.record(actor, "offset.release", subject=message.number, account_id=message.account_id)


def answer(message_id: int, said: Said, source: str, *, now: datetime) -> str:
    """Carry out what the CCER registry said of a message of ours; return the message's state.

    Cancellation done: the unit counts for its notice, and the year's 履约证明 is issued where nothing
    is missing any more.  Cancellation refused: its release is ordered.  An answer that contradicts an
    earlier one, or names another quantity, changes nothing and is told to the officers.
    """
    before = db.session.get_one(OffsetMessage, message_id, populate_existing=True).state
    state = db.session.scalar(
        _ANSWER,
        {
            "message": message_id,
            "outcome": str(said.outcome),
            "quantity": said.quantity,
            "source": source,
            "reason": said.reason[:LONGEST_REASON],
            "content": said.content,
            "at": now,
        },
    )
    db.session.expire_all()
    message = db.session.get_one(OffsetMessage, message_id)
    if state == CONTRADICTION:
        _tell_contradiction(message, said)
    elif state != before and state in (MessageState.DONE, MessageState.REFUSED):
        _follow(message, said, now)
    return str(state)


def _follow(message: OffsetMessage, said: Said, now: datetime) -> None:
    """Log the end of a message, certify what is fulfilled by it, and tell the officers of a refusal."""
    result = "done" if message.state == MessageState.DONE else "refused"
    log.record(
        CCER, f"offset.{message.kind}", subject=message.number, account_id=message.account_id,
        result=result, quantity=message.quantity, reason=said.reason,
    )  # fmt: skip
    if message.state == MessageState.REFUSED:
        letters.tell_officers(
            _("The CCER registry refused a message"),
            _("%(number)s was refused: %(reason)s", number=message.number, reason=said.reason),
            key=f"offset:refusal:{message.number}",
        )
    elif message.kind == CANCEL and message.unit and message.unit.application:
        notice_id = message.unit.application.notice_id
        attestations.certify_fulfilled([notice_id] if notice_id else [], SYSTEM, now)


def _tell_contradiction(message: OffsetMessage, said: Said) -> None:
    logger.error("message %s is %s, the CCER registry says %s", message.number, message.state,
                 said.outcome)  # fmt: skip
    log.record(
        CCER, "offset.contradiction", subject=message.number, account_id=message.account_id,
        result="refused", before={"state": message.state, "quantity": message.quantity},
        after={"state": str(said.outcome), "quantity": said.quantity},
    )  # fmt: skip
    letters.tell_officers(
        _("An answer of the CCER registry contradicts an earlier one"),
        _("%(number)s: the answer does not fit what was sent or said before; nothing was changed",
          number=message.number),
        key=f"offset:contradiction:{message.number}:{said.outcome}:{said.quantity}",
    )  # fmt: skip


def _outgoing(message_id: int) -> Outgoing:
    message = db.session.get_one(OffsetMessage, message_id, populate_existing=True)
    return Outgoing(message.id, message.number, message.kind, message.quantity, _says(message))


def _says(message: OffsetMessage) -> dict[str, Any]:
    """Return what a message says besides number, kind and quantity."""
    account = db.session.get_one(Account, message.account_id)
    if message.kind == ANSWER:
        assert message.binding
        return {
            "ccer_account": message.binding.ccer_account,
            "uscc": message.binding.uscc,
            "member_no": account.member_no,
            "answer": message.binding.state,
        }
    unit = message.unit
    assert unit is not None
    says = {"uscc": account.uscc, "project_no": unit.project_no, "serial": unit.serial}
    application = unit.application_id and db.session.get(Application, unit.application_id)
    if application:
        notice = application.notice_id and db.session.get(Notice, application.notice_id)
        says |= {"application": application.number, "notice": notice.number if notice else ""}
    return says


_SEND = text("SELECT send_offset_message(:at, :answered_by)").bindparams(
    bindparam("at", type_=DateTime(timezone=True)),
    bindparam("answered_by", type_=DateTime(timezone=True)),
)
_QUERY = text("SELECT query_offset_message(:at)").bindparams(
    bindparam("at", type_=DateTime(timezone=True))
)
_ANSWER = text(
    "SELECT answer_offset_message(:message, :outcome, :quantity, :source, :reason, :content, :at)"
).bindparams(bindparam("at", type_=DateTime(timezone=True)))
_AGAIN = text("SELECT order_offset_release(:message, :at)").bindparams(
    bindparam("at", type_=DateTime(timezone=True))
)
