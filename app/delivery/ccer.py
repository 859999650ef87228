"""The exchange with the CCER registry: nothing is asked of it inside a transaction.

Each step commits what it is about to do, asks, and commits what was said.  A message is sent after its
row says so; whoever dies in between leaves one that is queried by its number, never sent as a new one.
"""

from __future__ import annotations

import logging

from sqlalchemy.exc import DBAPIError

from app.delivery.ccer_line import CcerLine, HttpCcerLine, LineError
from app.extensions import db, transaction
from app.operations.offsets import comparison, incoming, messages
from app.operations.offsets.exchange import MessageState, Outgoing, RuleError, Said
from app.operations.records import clock
from config import Settings

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 500  # messages a run, then the worker checks whether it is to stop


def exchange(settings: Settings) -> None:
    """Exchange with the CCER registry where its line is set up."""
    if not settings.ccer_line:
        return
    line = HttpCcerLine(settings.ccer_line, settings.ccer_key, settings.ccer_public_key)
    try:
        exchange_with(line)
    except (RuleError, DBAPIError):
        logger.exception("the CCER registry's messages cannot be worked through")
        db.session.rollback()


def exchange_with(line: CcerLine) -> None:
    """Do everything that is due; what is not answered is done at the next run."""
    try:
        _take_incoming(line)
        _send(line)
        _query(line)
        _compare(line)
    except LineError as error:
        logger.warning("CCER registry: %s", error)


def _take_incoming(line: CcerLine) -> None:
    for item in line.incoming():
        with transaction():
            reply = incoming.receive(item, now=clock.now())
        line.acknowledge(item, reply)


def _send(line: CcerLine) -> None:
    for _each in range(MOST_AT_ONCE):
        with transaction():
            message = messages.next_to_send(now=clock.now())
        if message is None:
            return
        try:
            said = line.send(message)
        except LineError as error:
            # It may have been carried out; the others are not sent to whom does not answer.
            _answered(message, Said(MessageState.UNKNOWN, "", reason=str(error)), "answer")
            return
        _answered(message, said, "answer")


def _query(line: CcerLine) -> None:
    """Query what is open; a message that never arrived is sent again as it is, under its number."""
    for _each in range(MOST_AT_ONCE):
        with transaction():
            message = messages.next_to_query(now=clock.now())
        if message is None:
            return
        said = line.query(message)
        if said.is_missing:
            said = line.send(message)
        _answered(message, said, "query")


def _answered(message: Outgoing, said: Said, source: str) -> None:
    with transaction():
        messages.answer(message.id, said, source, now=clock.now())


def _compare(line: CcerLine) -> None:
    """Compare once a day, and when an officer asks."""
    with transaction():
        now = clock.now()
        asked = comparison.due(now=now)
    if asked is None:
        return
    theirs = line.statement(comparison.day_of(now))
    with transaction():
        comparison.compare(asked, theirs, now=clock.now())
