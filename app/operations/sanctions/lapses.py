"""期满解除 and 到期提醒: judicial freezes end by themselves when nobody renews them (rules-2026 N98)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Date, DateTime, Integer, bindparam, text

from app.domain.money import written
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import parameter
from app.operations.records import addresses, log, outbox
from app.operations.records.actor import Actor

AT_ONCE = 200  # reminders a transaction
PURPOSE = "court_order"


@dataclass(frozen=True, slots=True)
class Ended:
    """Orders of an account that ended by themselves: how many, and what they had frozen."""

    account_id: int
    orders: int
    effective: int


_DUE = text("""
    SELECT account_id FROM court_order_due WHERE ends_on < :today
     GROUP BY account_id ORDER BY account_id LIMIT 1
""").bindparams(bindparam("today", type_=Date))
_LAPSE = text("SELECT * FROM lapse_court_orders(:account, :today, :at)").bindparams(
    bindparam("account", type_=Integer),
    bindparam("today", type_=Date),
    bindparam("at", type_=DateTime(timezone=True)),
)
_ABOUT = text("""
    SELECT c.application_id, c.account_id, c.effective, c.queued, c.ends_on, a.number, a.authority,
           a.document_no, a.proposal ->> 'contact' AS contact, a.proposal ->> 'case_no' AS case_no,
           coalesce(i.kind = 'money', false) AS is_money, n.name, n.member_no
      FROM court_order c JOIN application a ON a.id = c.application_id
      JOIN account n ON n.id = c.account_id
      LEFT JOIN instrument i ON i.id = c.instrument_id
     WHERE c.application_id = ANY(:orders) ORDER BY c.application_id
""")
# Of two runs at once one writes the row, and only it goes on.
_REMIND = text("""
    INSERT INTO court_reminder (order_id, ends_on, at)
    SELECT d.application_id, d.ends_on, :at FROM court_order_due d
     WHERE d.ends_on BETWEEN :today AND :until
       AND NOT EXISTS (SELECT FROM court_reminder r
                        WHERE r.order_id = d.application_id AND r.ends_on = d.ends_on)
     ORDER BY d.application_id LIMIT :most
    ON CONFLICT DO NOTHING RETURNING order_id
""").bindparams(
    bindparam("today", type_=Date),
    bindparam("until", type_=Date),
    bindparam("at", type_=DateTime(timezone=True)),
)


def lapse_next(actor: Actor, *, now: datetime) -> Ended | None:
    """End the orders of one account whose last day has passed; None where there are none.

    Called again until then, a transaction each, by a job from 00:00 on.  What an order had frozen goes
    to those behind it, or becomes available, with an entry (期满解除) whose number the posting names.
    The holder and the officers are told, and the log keeps the court's contact.  Idempotent.
    """
    today = now.astimezone(BEIJING).date()
    account_id = db.session.scalar(_DUE, {"today": today})
    if account_id is None:
        return None
    entries = (
        db.session.execute(_LAPSE, {"account": account_id, "today": today, "at": now})
        .mappings()
        .all()
    )
    about = {row.application_id: row for row in _about([each["order_id"] for each in entries])}
    for each in entries:
        row = about[each["order_id"]]
        log.record(
            actor,
            "court_order.lapse",
            subject=each["number"],
            account_id=account_id,
            order=row.number,
            court=row.authority,
            contact=row.contact,
            effective=each["effective"],
            queued=each["queued"],
        )
        figures = _figures(row) | {
            "effective": written(each["effective"], is_money=row.is_money),
            "entry": each["number"],
        }
        body = _(
            "The judicial freeze %(document)s of %(court)s against %(name)s ended on %(day)s and was not"
            " renewed. What it had frozen, %(effective)s, was released with entry %(entry)s, as far as no"
            " other court's order takes it.",
            **figures,
        )
        _tell(row, _("A judicial freeze has ended"), body, f"court_lapse:{row.application_id}")
    return Ended(account_id, len(entries), sum(each["effective"] for each in entries))


def remind(actor: Actor, *, now: datetime) -> int:
    """Tell holders and officers of orders that end soon, each end once; returns how many, at most 200."""
    today = now.astimezone(BEIJING).date()
    days = parameter.settings(db.session)["court_reminder_days"]
    asked = {"today": today, "until": today + timedelta(days=days), "at": now, "most": AT_ONCE}
    orders = db.session.scalars(_REMIND, asked).all()
    for row in _about(orders) if orders else ():
        body = _(
            "The judicial freeze %(document)s of %(court)s against %(name)s ends on %(day)s. Unless the"
            " court renews it before, it ends by itself. Contact of the court: %(contact)s.",
            **_figures(row),
        )
        key = f"court_reminder:{row.application_id}:{row.ends_on}"
        _tell(row, _("A judicial freeze ends soon"), body, key)
        log.record(
            actor, "court_order.remind", subject=row.number, account_id=row.account_id,
            ends_on=row.ends_on.isoformat(), contact=row.contact,
        )  # fmt: skip
    return len(orders)


def _about(orders: Sequence[int]) -> Sequence[Any]:
    return db.session.execute(_ABOUT, {"orders": list(orders)}).all()


def _figures(row: Any) -> dict[str, str]:
    day: date = row.ends_on
    return {
        "document": row.document_no,
        "court": row.authority,
        "contact": row.contact,
        "name": f"{row.name}（{row.member_no}）",
        "day": day.isoformat(),
    }


def _tell(row: Any, subject: str, body: str, key: str) -> None:
    """Write to the holder and to the registry's officers."""
    reached = addresses.of_accounts({row.account_id})[row.account_id]
    outbox.send(
        *addresses.letters(
            reached, subject, body, purpose=PURPOSE, key=key, account_id=row.account_id
        ),
        *addresses.letters_to_members(
            addresses.of_officers(), subject, body, purpose=PURPOSE, key=key
        ),
    )
