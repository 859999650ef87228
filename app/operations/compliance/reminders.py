"""提醒: reminders of unfulfilled 履约通知书 by mail and text message, in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import update

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Notice
from app.operations.compliance.notices import LockedNotice, NoticeOutcome, lock, record
from app.operations.records import addresses, outbox
from app.operations.records.actor import Actor
from app.operations.records.catalogue import SECTORS
from app.operations.records.outbox import Message


def remind(notice_ids: Sequence[int], actor: Actor, *, now: datetime) -> NoticeOutcome:
    """Send reminders with obligation, gap and deadline.

    Refused: fulfilled notices, those reminded today, accounts without any address.
    """
    outcome, messages, behind = NoticeOutcome(), {}, {}
    notices = lock(notice_ids, actor, outcome, now)
    reached_by = addresses.of_accounts({each.account_id for each in notices})
    today = now.astimezone(BEIJING).date()
    for notice in notices:
        reminded = notice.reminded_at
        if not notice.gap:
            why = _("The obligation is fulfilled")
        elif reminded and reminded.astimezone(BEIJING).date() == today:
            why = _("Was reminded today already")
        elif not reached_by.get(notice.account_id):
            why = _("The account has no e-mail address and no telephone")
        else:
            reached = reached_by[notice.account_id]
            messages[notice.id] = _reminder(notice, reached, today.isoformat())
            behind[notice.id] = notice
            continue
        outcome.refused[notice.id] = RuleError(why, code="not_reminded")
    outcome.refused |= _send(messages)
    outcome.done = [id_ for id_ in behind if id_ not in outcome.refused]
    if outcome.done:
        told = [behind[id_] for id_ in outcome.done]
        db.session.execute(
            update(Notice).where(Notice.id.in_(outcome.done)).values(reminded_at=now)
        )
        details = [{"gap": each.gap, "messages": len(messages[each.id])} for each in told]
        record("notice.remind", told, actor, details, "")
    return outcome


def _reminder(notice: LockedNotice, reached: Sequence[tuple[str, str]], day: str) -> list[Message]:
    body = _(
        "Compliance notice %(number)s for %(year)s, %(sector)s: %(obligation)s tonnes are due, %(gap)s"
        " tonnes are still missing. Please surrender them before %(deadline)s.",
        number=notice.number,
        year=notice.year,
        sector=SECTORS.get(notice.sector, notice.sector),
        obligation=f"{notice.obligation:,}",
        gap=f"{notice.gap:,}",
        deadline=f"{notice.deadline.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
    )
    return [
        Message(
            channel,
            address,
            body,
            "compliance_reminder",
            subject=_("Reminder: compliance for %(year)s", year=notice.year)
            if channel == "mail"
            else "",
            account_id=notice.account_id,
            dedupe_key=f"reminder:{notice.id}:{day}:{channel}:{number}",
        )
        for number, (channel, address) in enumerate(reached)
    ]


def _send(messages: Mapping[int, Sequence[Message]]) -> dict[int, RuleError]:
    """Write all messages into the outbox; return the errors by notice."""
    every = [message for each in messages.values() for message in each]
    try:
        with db.session.begin_nested():
            outbox.send(*every)
        return {}
    except RuleError:
        pass
    refused = {}
    for id_, each in messages.items():  # singly, so that one malformed address fails alone
        try:
            outbox.send(*each)
        except RuleError as error:
            refused[id_] = error
    return refused
