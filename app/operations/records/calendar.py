"""The trading calendar: reading, seeding and editing it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import chinese_calendar
from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING, TradingMoment
from app.extensions import db
from app.models import SettlementRun, TradingDay
from app.operations.records import log
from app.operations.records.actor import Actor

# Prepared once, since every submission runs it.
_MOMENT = text("""
    SELECT coalesce((SELECT is_trading FROM trading_day WHERE day = :day), false),
           EXISTS (SELECT FROM settlement_run WHERE day >= :day),
           (SELECT value FROM parameter
             WHERE name = 'transfer_cut_off' AND effective_from <= :day
             ORDER BY effective_from DESC, id DESC LIMIT 1),
           (SELECT min(day) FROM trading_day WHERE day > :day AND is_trading)
""")
_SHARE = text("SELECT pg_advisory_xact_lock_shared(7260002)")
_STOP = text("SELECT pg_advisory_xact_lock(7260002)")

FIRST_DAY = date(2021, 1, 1)
PROVISIONAL_NOTE = "暂定，以国务院办公厅放假通知为准"


def cut_off(day: date) -> time:
    """Return a day's cut-off, before which transfers are accepted (domain.md 11.1)."""
    stored = db.session.execute(_MOMENT, {"day": day}).one()[2]
    return _hour(stored)


def _hour(stored: str | None) -> time:
    return current_app.config["TRANSFER_CUT_OFF"] if stored is None else time.fromisoformat(stored)


def moment_at(now: datetime) -> TradingMoment:
    """Return a time with its day's entry in the calendar and whether the day is settled."""
    day = now.astimezone(BEIJING).date()
    is_trading, is_closed, stored, next_day = db.session.execute(_MOMENT, {"day": day}).one()
    return TradingMoment(now, is_trading, _hour(stored), is_closed, next_day)


def next_trading_day(after: date) -> date:
    """Return the first trading day later than ``after``.  Raises RuleError past the calendar's end."""
    day = db.session.scalar(
        select(func.min(TradingDay.day)).where(TradingDay.day > after, TradingDay.is_trading)
    )
    if day is None:
        raise RuleError(_("The trading calendar ends; no trading day after %(day)s", day=after))
    return day


def working_day_after(day: date, count: int) -> date:
    """Return the ``count``-th working day after a day.  Raises RuleError past the calendar's end.

    The exchange trades on working days, so its calendar counts them.
    """
    later = select(TradingDay.day).where(TradingDay.day > day, TradingDay.is_trading)
    found = db.session.scalar(later.order_by(TradingDay.day).offset(count - 1).limit(1))
    if found is None:
        raise RuleError(_("The trading calendar ends; no trading day after %(day)s", day=day))
    return found


def last_trading_day(before: date) -> date:
    """Return the last trading day earlier than ``before``.  Raises RuleError where there is none."""
    day = db.session.scalar(
        select(func.max(TradingDay.day)).where(TradingDay.day < before, TradingDay.is_trading)
    )
    if day is None:
        raise RuleError(_("No trading day before %(day)s in the calendar", day=before))
    return day


def is_trading_day(day: date) -> bool:
    """Tell whether the exchange trades on ``day``."""
    return bool(db.session.scalar(select(TradingDay.is_trading).where(TradingDay.day == day)))


def change_day(day: date, *, is_trading: bool, note: str, actor: Actor) -> None:
    """Open or close a day for trading.

    Raises RuleError for a day outside the calendar, and for a day already settled.
    """
    row = db.session.get(TradingDay, day, with_for_update=True)
    if row is None:
        raise RuleError(_("The day %(day)s is not in the calendar", day=day), field="day")
    if db.session.scalar(select(SettlementRun.day).where(SettlementRun.day >= day).limit(1)):
        raise RuleError(_("%(day)s has been settled and cannot be changed", day=day), field="day")
    before = {"is_trading": row.is_trading, "note": row.note}
    row.is_trading, row.note, row.changed_by = is_trading, note.strip(), actor.member_id
    log.record(
        actor,
        "calendar.change",
        subject=day.isoformat(),
        before=before,
        after={"is_trading": is_trading, "note": row.note},
    )


def share_transfers() -> None:
    """Take the shared transfer lock: the day-end waits until this transaction ends."""
    db.session.execute(_SHARE)


def stop_transfers() -> None:
    """Take the exclusive transfer lock: waits for running transfers and blocks new ones."""
    db.session.execute(_STOP)


def seed(until: date | None = None, connection: Connection | None = None) -> int:
    """Add missing days up to ``until``, and correct provisional ones; return the days written.

    Weekends never trade, make-up working weekends included; holidays come from a maintained
    library, years it does not know are provisional.  Edited days, and days up to the last settled
    one, are left unchanged.  ``connection`` is the schema owner's, where only the owner may seed.
    """
    last = until or date(max(chinese_calendar.constants.workdays).year + 1, 12, 31)
    days = [FIRST_DAY + timedelta(n) for n in range((last - FIRST_DAY).days + 1)]
    wanted = insert(TradingDay)
    closed = select(func.coalesce(func.max(SettlementRun.day), FIRST_DAY)).scalar_subquery()
    written = (connection or db.session).execute(
        wanted.on_conflict_do_update(
            index_elements=["day"],
            set_={"is_trading": wanted.excluded.is_trading, "note": wanted.excluded.note},
            where=TradingDay.changed_by.is_(None)
            & (TradingDay.day > closed)
            & (TradingDay.note != wanted.excluded.note),
        ).returning(TradingDay.day),
        [_row(day) for day in days],
    )
    return len(written.all())


def _row(day: date) -> dict[str, object]:
    known = day.year <= max(chinese_calendar.constants.workdays).year
    if day.weekday() >= 5:
        return {"day": day, "is_trading": False, "note": "周末"}
    if not known:
        new_year = (day.month, day.day) == (1, 1)
        return {
            "day": day,
            "is_trading": not new_year,
            "note": "元旦" if new_year else PROVISIONAL_NOTE,
        }
    on_holiday, name = chinese_calendar.get_holiday_detail(day)
    note = HOLIDAY_NAMES.get(name or "", name or "") if on_holiday else ""
    return {"day": day, "is_trading": not on_holiday, "note": note}


HOLIDAY_NAMES = {
    "New Year's Day": "元旦",
    "Spring Festival": "春节",
    "Tomb-sweeping Day": "清明节",
    "Labour Day": "劳动节",
    "Dragon Boat Festival": "端午节",
    "Mid-autumn Festival": "中秋节",
    "National Day": "国庆节",
}
