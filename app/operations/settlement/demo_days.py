"""The demonstration's trading days: asked for on its page, carried out stage by stage beside the server.

There are none outside the demonstration: nobody asks for one there, nor looks for what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import func, select, text

from app.domain.errors import NotAllowed, RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Job, SettlementRun
from app.operations.applications import jobs
from app.operations.records import calendar
from app.operations.records.actor import Actor

KIND = "demo_day"
# In the order in which a day is settled (docs/adr/0076): the exchange confirms before the second review.
STAGES = {
    "trade": lazy_gettext("Trading"),
    "package": lazy_gettext("Day package"),
    "first_review": lazy_gettext("First review"),
    "confirmation": lazy_gettext("Confirmation by the exchange"),
    "second_review": lazy_gettext("Second review"),
    "delivery": lazy_gettext("Delivery against payment"),
    "reconciliation": lazy_gettext("Reconciliation"),
    "day_end": lazy_gettext("Day-end settlement"),
    "new_day": lazy_gettext("New trading day"),
}
_LOCK = text("SELECT pg_advisory_xact_lock(7260019)")


@dataclass(frozen=True, slots=True)
class Ended:
    """A stage that ended: when by the business clock, how long it took, and what came of it."""

    stage: str
    at: datetime
    seconds: float
    said: str


@dataclass(frozen=True, slots=True)
class DemoDay:
    """A day as it was asked for, and how far it is; ``error`` says what stopped it."""

    id: int
    day: date
    state: str
    ended: Sequence[Ended]
    error: str
    changed_at: datetime  # by the machine's clock

    @property
    def is_open(self) -> bool:
        """Tell whether it waits or runs."""
        return self.state in jobs.OPEN_STATES

    @property
    def stage(self) -> str:
        """Return the stage that comes next, "" after the last one."""
        return (*STAGES, "")[len(self.ended)]


def require_demonstration() -> None:
    """Raise NotAllowed where there is no demonstration with an exchange of its own."""
    if not current_app.config["HAS_DEMO_MARKET"]:
        raise NotAllowed(_("Only the demonstration has trading days of its own"))


def latest() -> DemoDay | None:
    """Return the day that was asked for last."""
    row = db.session.scalar(select(Job).where(Job.kind == KIND).order_by(Job.id.desc()).limit(1))
    return _read(row) if row else None


def next_day(now: datetime) -> date:
    """Return the day that a request now is for: the first trading day from today on that is not settled."""
    day = now.astimezone(BEIJING).date()
    last = db.session.scalar(select(func.max(SettlementRun.day)))
    if last is not None and day <= last:
        day = last + timedelta(days=1)
    return day if calendar.is_trading_day(day) else calendar.next_trading_day(day)


def ask(actor: Actor, *, now: datetime) -> DemoDay:
    """Ask for the next trading day; what failed is taken up again where it stood.

    Raises NotAllowed outside the demonstration, and RuleError while another day runs.
    """
    require_demonstration()
    db.session.execute(_LOCK)  # Two clicks at once ask for one day.
    running = latest()
    if running is not None and running.is_open:
        raise RuleError(
            _("Trading day %(day)s is running already", day=running.day), code="demo_day_running"
        )
    day = next_day(now)
    title = _("Trading day %(day)s", day=day)
    arguments = {"day": day.isoformat()}
    job_id = jobs.start(KIND, arguments, actor, total=len(STAGES), now=now, title=title)
    return _read(db.session.get_one(Job, job_id))


def running() -> DemoDay | None:
    """Return the day that waits or runs."""
    found = latest()
    return found if found is not None and found.is_open else None


def note(job_id: int, stage: str, said: str, *, seconds: float, now: datetime) -> None:
    """Note that a stage ended now, having taken so long; nothing where another worker has."""
    job = db.session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    if job.state not in jobs.OPEN_STATES or list(STAGES)[job.position] != stage:
        return
    ended = {"at": now.isoformat(), "seconds": round(seconds, 1), "said": said}
    job.result = {**job.result, stage: ended}
    job.position = job.done = job.position + 1
    job.changed_at = func.clock_timestamp()
    if job.position == job.total:
        job.state, job.ended_at = "done", now
    db.session.flush()


def _read(job: Job) -> DemoDay:
    ended = [
        Ended(stage, datetime.fromisoformat(found["at"]), found["seconds"], found["said"])
        for stage, found in ((name, job.result.get(name)) for name in STAGES)
        if found is not None
    ]
    day = date.fromisoformat(job.arguments["day"])
    return DemoDay(job.id, day, job.state, ended, job.error, job.changed_at)
