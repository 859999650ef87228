"""大户持仓: who holds more than its limit after a settled day, alone or with its group (rules-2026 N127)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from flask_babel import gettext as _
from sqlalchemy import Date, DateTime, bindparam, func, select, text

from app.extensions import db
from app.models import Account, LargeHolding, LargeHoldingRun, SettlementRun
from app.operations.records import addresses, log, outbox
from app.operations.records.actor import Actor
from app.operations.records.outbox import Message

PURPOSE = "large_holding"  # of its messages
_FIND = text("SELECT find_large_holdings(:day, :at)").bindparams(
    bindparam("day", type_=Date), bindparam("at", type_=DateTime(timezone=True))
)


def find_if_due(actor: Actor, *, now: datetime) -> int | None:
    """Search the last settled day, unless that was done; called periodically by the worker.

    Returns how many members are above their limits, None where there was nothing to do.
    """
    day = db.session.scalar(select(func.max(SettlementRun.day)))
    if day is None or db.session.get(LargeHoldingRun, day) is not None:
        return None
    return find(day, actor, now=now)


def find(day: date, actor: Actor, *, now: datetime) -> int | None:
    """Search a settled day for holdings above their limits, once, and tell of those that are new.

    What members hold now counts: it is called as the day is settled.  No deal is refused by it; a
    report is due on the next trading day.  Returns None where the day was searched before.
    """
    found: int | None = db.session.scalar(_FIND, {"day": day, "at": now})
    if found is None:
        return None
    log.record(actor, "large_holding.find", subject=day.isoformat(), found=found)
    run = db.session.get_one(LargeHoldingRun, day)
    rows = db.session.execute(
        select(LargeHolding, Account.name, Account.member_no)
        .join(Account, Account.id == LargeHolding.account_id)
        .where(LargeHolding.day == day, LargeHolding.since == day)
        .order_by(Account.member_no, LargeHolding.vintage)
    ).all()
    _tell([(row[0], f"{row.name}（{row.member_no}）") for row in rows], run.due_on)
    return found


def _tell(rows: Sequence[tuple[LargeHolding, str]], due_on: date | None) -> None:
    """Write to the members and to the registry's officers."""
    if not rows:
        return
    reached = addresses.of_accounts({row.account_id for row, _name in rows})
    due = due_on.isoformat() if due_on else "-"
    messages: list[Message] = []
    for row, name in rows:
        subject = _("Large holding on %(day)s", day=row.day.isoformat())
        messages += addresses.letters(
            reached[row.account_id], subject, _to_member(row, name, due),
            purpose=PURPOSE, key=_key(row), account_id=row.account_id,
        )  # fmt: skip
    body = "\n".join(_to_officers(row, name, due) for row, name in rows)
    first = rows[0][0]
    subject = _("Large holding on %(day)s", day=first.day.isoformat())
    officers = addresses.of_officers()
    messages += addresses.letters_to_members(
        officers, subject, body, purpose=PURPOSE, key=_key(first)
    )
    outbox.send(*messages)


def _key(row: LargeHolding) -> str:
    return f"{PURPOSE}:{row.day}:{row.account_id}:{row.vintage}"


def _to_member(row: LargeHolding, name: str, due: str) -> str:
    """Say what the member holds; the sum of its group to the head alone, which controls the others."""
    figures = {
        "name": name, "day": row.day.isoformat(), "vintage": row.vintage, "due": due,
        "quantity": f"{row.quantity:,}", "most": f"{row.most:,}", "total": f"{row.total:,}",
    }  # fmt: skip
    if row.quantity == row.total:
        return _(
            "%(name)s held %(quantity)s tonnes of vintage %(vintage)s on %(day)s; the limit is"
            " %(most)s tonnes. Please report by %(due)s.",
            **figures,
        )
    if row.account_id != row.head_id:
        return _(
            "%(name)s held %(quantity)s tonnes of vintage %(vintage)s on %(day)s; with the companies"
            " linked to it this is above the limit of %(most)s tonnes. Please report by %(due)s.",
            **figures,
        )
    return _(
        "%(name)s held %(quantity)s tonnes of vintage %(vintage)s on %(day)s, %(total)s tonnes with"
        " the companies linked to it; the limit is %(most)s tonnes. Please report by %(due)s.",
        **figures,
    )


def _to_officers(row: LargeHolding, name: str, due: str) -> str:
    return _(
        "%(name)s: vintage %(vintage)s, own %(quantity)s tonnes, with its group %(total)s tonnes, limit"
        " %(most)s tonnes; its report is due on %(due)s",
        name=name, vintage=row.vintage, quantity=f"{row.quantity:,}", total=f"{row.total:,}",
        most=f"{row.most:,}", due=due,
    )  # fmt: skip
