"""履约日历: the dates of plans and ministry, and reminders of them to who must act (rules-2026 N06)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import (
    ColumnElement,
    Date,
    Select,
    cast,
    func,
    insert,
    literal,
    select,
    text,
    true,
    union_all,
)

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import (
    Account,
    AccountSector,
    Application,
    ApplicationLine,
    CalendarRun,
    Instrument,
    MinistryDate,
    Notice,
    plans_on,
)
from app.operations.compliance.notices import surrender_figures
from app.operations.records import addresses, log, outbox
from app.operations.records.actor import Actor
from app.operations.records.catalogue import EVERY_SECTOR, SECTORS
from app.operations.records.parameters import value_on

ENTERPRISE, PROVINCE, REGISTRY = "enterprise", "province", "registry"
PARTIES = {
    ENTERPRISE: _("Emitting enterprise"),
    PROVINCE: _("Provincial authority"),
    REGISTRY: _("Registry"),
}
# What a plan's date is about, and who must act.
ITEMS = {
    "pre_allocate_by": (_("Pre-allocation"), PROVINCE),
    "approve_by": (_("Approval of the allowances"), PROVINCE),
    "issue_by": (_("Issue of the approved allowances"), REGISTRY),
    "offset_by": (_("Applications for CCER"), ENTERPRISE),
    "surrender_by": (_("Surrender"), ENTERPRISE),
}
MINISTRY = "ministry"
PURPOSE = "compliance_calendar"  # of its messages
STEPS = ("calendar_reminder_first", "calendar_reminder_second", "calendar_reminder_third")


def dates(day: date) -> Select[Any]:
    """Return every date of the plans and of the ministry in force on a day, one row each.

    ``title`` is the ministry's own; of a plan's date ``item`` says what it is about.
    """
    plan = plans_on(day)
    parts: list[Any] = [
        select(
            (plan.c.id * 10 + number).label("id"),
            plan.c.year,
            plan.c.sector,
            literal(item).label("item"),
            literal("").label("title"),
            _day_of(plan.c[item]).label("due_on"),
            literal(party).label("party"),
            plan.c.source,
        ).where(plan.c[item].is_not(None))
        for number, (item, (_title, party)) in enumerate(ITEMS.items())
    ]
    parts.append(
        select(
            (-MinistryDate.id).label("id"),
            MinistryDate.year,
            MinistryDate.sector,
            literal(MINISTRY).label("item"),
            MinistryDate.title,
            MinistryDate.due_on,
            MinistryDate.party,
            MinistryDate.source,
        ).where(MinistryDate.in_force(day))
    )
    every = union_all(*parts).subquery("calendar_date")
    return select(*every.c)


def _day_of(column: Any) -> ColumnElement[date]:
    if isinstance(column.type, Date):
        return column
    return cast(func.timezone(BEIJING.key, column), Date)


def reminder_days(day: date) -> list[int]:
    """Return how many days before a date reminders are sent; 0 stands for none."""
    values = (value_on(name, day) for name in STEPS)
    return [value for value in values if isinstance(value, int)]


# Reminders ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Due:
    """A date that comes near: the step is the number of days before it that the reminder is of."""

    row: Any
    days: int
    step: int

    @property
    def title(self) -> str:
        about, _party = ITEMS.get(self.row.item, (self.row.title, ""))
        return str(about)

    @property
    def key(self) -> str:
        """What a reminder is sent once for; a date that is moved is another one."""
        row = self.row
        item = f"{row.item}{-row.id}" if row.item == MINISTRY else row.item
        return f"calendar:{item}:{row.year}:{row.sector}:{row.due_on}:{self.step}"


def remind_if_due(actor: Actor, *, now: datetime) -> int | None:
    """Remind who must act of the dates that come near, once a business day; called by the worker.

    30, 7 and 1 days before each date (parameters).  A step missed, because nobody looked that day, is
    made up for by the next run before the date.  Returns how many messages were written, None where
    the day was looked at before.
    """
    today = now.astimezone(BEIJING).date()
    db.session.execute(text("SELECT pg_advisory_xact_lock(7260084)"))
    if db.session.get(CalendarRun, today) is not None:
        return None
    steps = sorted(reminder_days(today))
    sent = 0
    for row in db.session.execute(dates(today)):
        days = (row.due_on - today).days
        step = next((each for each in steps if each and 0 <= days <= each), None)
        if step is not None:
            sent += _remind(_Due(row, days, step), today)
    run = {"day": today, "sent": sent, "ran_at": now}
    db.session.execute(insert(CalendarRun).values(run))
    if sent:
        log.record(actor, "calendar.remind", subject=today.isoformat(), messages=sent)
    return sent


def _remind(due: _Due, today: date) -> int:
    subject, body = _written(due)
    party = due.row.party
    if party == ENTERPRISE:
        reached = addresses.of_accounts(_enterprises(due, today))
        found = [
            each
            for id_, several in reached.items()
            for each in addresses.letters(
                several, subject, body, key=f"{due.key}:a{id_}", account_id=id_, purpose=PURPOSE
            )
        ]
        return outbox.send(*found)
    if party == PROVINCE:
        members = addresses.of_provinces(_provinces(due, today))
    elif due.row.item == MINISTRY or _lacking(due, today, ("approved",), decided=True):
        members = addresses.of_officers()
    else:
        members = []
    return outbox.send(
        *addresses.letters_to_members(members, subject, body, key=due.key, purpose=PURPOSE)
    )


def _enterprises(due: _Due, today: date) -> set[int]:
    """Return who has not surrendered all yet; of the ministry's dates everybody in the sector."""
    row = due.row
    if row.item == MINISTRY:
        return set(db.session.scalars(_in_sector(row.sector, today)))
    figures = surrender_figures()
    owing = (
        select(Notice.account_id)
        .join(figures, true())
        .where(
            Notice.year == row.year,
            Notice.sector == row.sector,
            Notice.withdrawn_at.is_(None),
            figures.c.surrendered < Notice.obligation,
        )
    )
    return set(db.session.scalars(owing))


def _provinces(due: _Due, today: date) -> set[str]:
    """Return the provinces with an enterprise of the sector for which nothing was submitted yet."""
    if due.row.item == MINISTRY:
        accounts: Any = _in_sector(due.row.sector, today)
    else:
        types = ("pre_allocation",) if due.row.item == "pre_allocate_by" else ("approved",)
        accounts = _lacking(due, today, types)
    rows = select(Account.province).distinct().where(Account.id.in_(accounts))
    return {province for province in db.session.scalars(rows) if province}


def _lacking(
    due: _Due, today: date, types: Sequence[str], *, decided: bool = False
) -> Sequence[int]:
    """Return the enterprises of the sector without an issue of the year's vintage of these types."""
    statuses = ("approved",) if decided else ("in_review", "approved")
    issued = (
        select(Application.account_id)
        .join(ApplicationLine, ApplicationLine.application_id == Application.id)
        .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
        .where(
            Application.kind == "issuance",
            Application.category.in_(types),
            Application.status.in_(statuses),
            Instrument.vintage == due.row.year,
        )
    )
    mine = _in_sector(due.row.sector, today)
    return db.session.scalars(mine.where(AccountSector.account_id.not_in(issued))).all()


def _in_sector(sector: str, today: date) -> Select[Any]:
    """Select the enterprises of a sector today."""
    ends = AccountSector.ends_on
    found = (
        select(AccountSector.account_id)
        .distinct()
        .where(AccountSector.starts_on <= today, ends.is_(None) | (ends > today))
    )
    return found if sector == EVERY_SECTOR else found.where(AccountSector.sector == sector)


def _written(due: _Due) -> tuple[str, str]:
    """Return subject and body of a reminder."""
    row = due.row
    sector = SECTORS[row.sector] if row.sector in SECTORS else gettext("all sectors")
    named = {"title": due.title, "year": row.year, "sector": sector, "due_on": row.due_on}
    subject = gettext("%(title)s for %(year)s, %(sector)s: due on %(due_on)s", **named)
    body = gettext(
        "%(title)s for %(year)s, %(sector)s is due on %(due_on)s, in %(days)s days. Please see the"
        " compliance calendar.",
        days=due.days,
        **named,
    )
    return subject, body
