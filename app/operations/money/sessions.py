"""When money may leave: not between a day's opening and the delivery of its trades (docs/adr/0077)."""

from __future__ import annotations

from datetime import date, datetime, time

from sqlalchemy import Date, bindparam, text

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.operations.records import calendar

OPENING = time(9, 30)

# Venues that send packages, having a certificate in force, and whose trades of a day are not delivered
# to the end.
_UNDELIVERED = text("""
    SELECT EXISTS (
      SELECT FROM venue v
       WHERE EXISTS (SELECT FROM venue_certificate c
                      WHERE c.venue_id = v.id AND c.valid_from <= :day
                        AND coalesce(c.disabled_from > :day, true))
         AND v.valid_from <= :day AND coalesce(v.disabled_from > :day, true)
         AND NOT EXISTS (SELECT FROM day_package p
                           JOIN settlement_stage s ON s.package_id = p.id AND s.stage = 'delivered'
                          WHERE p.venue_id = v.id AND p.day = :day))
""").bindparams(bindparam("day", type_=Date))


def may_pay_out(now: datetime) -> bool:
    """Tell whether the trades of the last session are delivered, or no package of it is due."""
    day = _last_session(now)
    return day is None or not db.session.scalar(_UNDELIVERED, {"day": day})


def _last_session(now: datetime) -> date | None:
    """Return the last trading day that has opened, None before the calendar's first."""
    local = now.astimezone(BEIJING)
    if local.time() >= OPENING and calendar.is_trading_day(local.date()):
        return local.date()
    try:
        return calendar.last_trading_day(local.date())
    except RuleError:
        return None
