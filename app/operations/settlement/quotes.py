"""每日行情 of a venue's instruments, as they are made public (rules-2026 N148)."""

from __future__ import annotations

from sqlalchemy import text

from app.domain.trades import Method, closing_price
from app.extensions import db
from app.models import DayPackage

_DAY = text("""
    SELECT v.instrument_id, max(t.price) AS high, min(t.price) AS low,
           array_agg(t.price) FILTER (WHERE t.method = :listed) AS prices,
           array_agg(t.quantity) FILTER (WHERE t.method = :listed) AS quantities,
           coalesce(sum(t.quantity) FILTER (WHERE t.method = :listed), 0)::bigint AS listed_quantity,
           coalesce(sum(t.amount) FILTER (WHERE t.method = :listed), 0)::bigint AS listed_amount,
           coalesce(sum(t.quantity) FILTER (WHERE t.method = :block), 0)::bigint AS block_quantity,
           coalesce(sum(t.amount) FILTER (WHERE t.method = :block), 0)::bigint AS block_amount,
           coalesce(sum(t.quantity) FILTER (WHERE t.method = :auction), 0)::bigint AS auction_quantity,
           coalesce(sum(t.amount) FILTER (WHERE t.method = :auction), 0)::bigint AS auction_amount
      FROM venue_instrument v
      LEFT JOIN trade t ON t.instrument_id = v.instrument_id AND t.package_id = :package
     WHERE v.venue_id = :venue AND v.valid_from <= :day AND coalesce(v.disabled_from > :day, true)
     GROUP BY v.instrument_id
    HAVING count(t.id) > 0
        OR EXISTS (SELECT FROM daily_quote q WHERE q.venue_id = :venue
                      AND q.instrument_id = v.instrument_id AND q.day < :day)
""").bindparams(**{method.name.lower(): int(method) for method in Method})
_PREVIOUS = text("""
    SELECT DISTINCT ON (instrument_id) instrument_id, close FROM daily_quote
     WHERE venue_id = :venue AND day < :day ORDER BY instrument_id, day DESC
""")
_WRITE = text("""
    INSERT INTO daily_quote (venue_id, instrument_id, day, close, high, low, listed_quantity,
                             listed_amount, block_quantity, block_amount, auction_quantity,
                             auction_amount)
    VALUES (:venue, :instrument_id, :day, :close, :high, :low, :listed_quantity, :listed_amount,
            :block_quantity, :block_amount, :auction_quantity, :auction_amount)
    ON CONFLICT DO NOTHING
""")


def write(package: DayPackage) -> None:
    """Write the day's quotes, once: total = listed + block + auction; no deals keep the last close."""
    at = {"venue": package.venue_id, "day": package.day}
    previous = dict(db.session.execute(_PREVIOUS, at).all())
    for row in db.session.execute(_DAY, {**at, "package": package.id}).mappings().all():
        values = dict(row)
        listed = zip(values.pop("prices") or (), values.pop("quantities") or (), strict=True)
        before = previous.get(row["instrument_id"], 0)
        close = closing_price(listed, before) or row["high"]
        db.session.execute(_WRITE, {**at, **values, "close": close})
