"""Business time: the wall clock in production, an adjustable clock in demo and tests."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from flask import current_app, g, has_request_context
from flask_babel import gettext as _
from sqlalchemy import ScalarSelect, select
from sqlalchemy.dialects.postgresql import insert

from app.domain.errors import NotAllowed
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import BusinessClock
from app.operations.records import log
from app.operations.records.actor import Actor

MORNING = time(10, 0)


def now() -> datetime:
    """Return the business time, in Beijing.  Where adjustable, one query per request."""
    return (datetime.now(UTC) + _offset()).astimezone(BEIJING)


def shown(moment: Any) -> Any:
    """Return a time of the machine, or a column of such times, by the business clock.

    Sessions, logs and letters are dated by the machine.  A demonstration's page shows them by the clock
    in its header: what happened ten minutes ago is ten minutes before its time (docs/adr/0070).
    """
    ahead = _offset()
    return moment + ahead if ahead and moment is not None else moment


def set_to(moment: datetime, actor: Actor) -> datetime:
    """Set the demonstration's clock to ``moment`` (aware); it runs on from there.

    Raises NotAllowed in production.
    """
    if not has_own_clock():
        raise NotAllowed(_("The clock follows real time in production and cannot be moved"))
    assert moment.tzinfo is not None
    _store(moment - datetime.now(UTC))
    log.record(actor, "clock.set", subject=f"{moment.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}")
    return now()


def start_at(moment: datetime) -> None:
    """Set the clock of a new demonstration; an existing one is unchanged."""
    if has_own_clock() and db.session.get(BusinessClock, 1) is None:
        _store(moment - datetime.now(UTC))


def has_own_clock() -> bool:
    """Tell whether the business clock is adjustable."""
    return bool(current_app.config["HAS_OWN_CLOCK"])


def stored() -> ScalarSelect[timedelta]:
    """Return how far the adjustable clock is ahead, as a column for any statement."""
    return select(BusinessClock.ahead).scalar_subquery()


def keep(ahead: timedelta | None) -> None:
    """Keep the result of `stored` for the rest of this request."""
    if has_request_context():
        g.clock_ahead = ahead or timedelta(0)


def _offset() -> timedelta:
    if not has_own_clock():
        return timedelta(0)
    if has_request_context():
        if "clock_ahead" not in g:
            g.clock_ahead = _stored()
        return g.clock_ahead
    return _stored()


def _stored() -> timedelta:
    return db.session.scalar(select(BusinessClock.ahead)) or timedelta(0)


def _store(ahead: timedelta) -> None:
    clock = insert(BusinessClock).values(id=1, ahead=ahead)
    db.session.execute(
        clock.on_conflict_do_update(index_elements=["id"], set_={"ahead": clock.excluded.ahead})
    )
    if has_request_context():
        g.pop("clock_ahead", None)
