"""处罚测算 of a notice: what was missing at its deadline, and what allowances cost (rules-2026 N57, N60)."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import text

from app.domain.compliance import fines
from app.domain.compliance.fines import Frame, Market
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models.parameter import setting


def of_notice(notice_id: int, deadline: datetime, now: datetime) -> Frame | None:
    """Return the frame for what was not surrendered in time; None where nothing was missing.

    In time is what was submitted by the deadline and is approved since.
    """
    if deadline >= now:
        return None
    missing = db.session.scalar(_MISSING, {"id": notice_id, "deadline": deadline}) or 0
    if missing <= 0:
        return None
    day = deadline.astimezone(BEIJING).date()
    return fines.frame(day, missing, _market(day))


def _market(deadline: date) -> Market:
    window = int(setting(db.session, "fine_price_period"))
    begins, ends = fines.period(deadline, window)
    row = db.session.execute(_TRADED, {"begins": begins, "ends": ends}).one()
    return Market(begins, ends, row.turnover, row.quantity)


_MISSING = text("""
    SELECT n.obligation - coalesce(sum(u.surrendered) FILTER (WHERE u.submitted_at <= :deadline), 0)
      FROM notice n LEFT JOIN notice_surrender_line u ON u.notice_id = n.id
     WHERE n.id = :id AND n.withdrawn_at IS NULL GROUP BY n.id
""")
# By the instruments of the venues, so that the quotes are found by their key.
_TRADED = text("""
    SELECT coalesce(sum(q.listed_amount + q.block_amount + q.auction_amount), 0)::bigint AS turnover,
           coalesce(sum(q.listed_quantity + q.block_quantity + q.auction_quantity), 0)::bigint AS quantity
      FROM venue_instrument v
      JOIN instrument i ON i.id = v.instrument_id AND i.kind = 'allowance'
      JOIN daily_quote q ON (q.venue_id, q.instrument_id) = (v.venue_id, v.instrument_id)
     WHERE q.day BETWEEN :begins AND :ends
""")
