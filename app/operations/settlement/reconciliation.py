"""对账: registry against exchange, per member and instrument, after a day's trades are delivered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text

from app.extensions import db
from app.models import DayPackage
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.settlement import stages

# Closing figures are those before what is in transit is settled.  A member that the exchange does not
# name holds nothing there.  A trade in default counts as the exchange counts it: its other party, who did
# what it owed, differs by nothing; nor does a buyer by what it owes the reserve, of which the exchange
# knows nothing; nor anybody by what a court's sale brought to trading or took from there on the day, on
# whichever side of its close the exchange counts it.  What several venues trade is compared with the sum of
# their figures, once the last of them is delivered; so is money, whichever venues members paid at.
_FIND = text("""
    WITH awaited AS (
           SELECT v.id FROM venue v
            WHERE v.valid_from <= :day AND coalesce(v.disabled_from > :day, true)
              AND EXISTS (SELECT FROM venue_certificate c
                           WHERE c.venue_id = v.id AND c.valid_from <= :day
                             AND coalesce(c.disabled_from > :day, true))
              AND v.id <> :venue
              AND NOT EXISTS (SELECT FROM day_package p JOIN settlement_stage s ON s.package_id = p.id
                               WHERE p.venue_id = v.id AND p.day = :day AND s.stage = 'delivered')),
         packages AS (SELECT id FROM day_package WHERE day = :day),
         listed AS (
           SELECT v.instrument_id FROM venue_instrument v
            WHERE v.venue_id = :venue
              AND NOT EXISTS (SELECT FROM venue_instrument o JOIN awaited ON awaited.id = o.venue_id
                               WHERE o.instrument_id = v.instrument_id AND o.valid_from <= :day
                                 AND coalesce(o.disabled_from > :day, true))),
         undelivered AS (
           SELECT t.* FROM trade t
            WHERE t.package_id IN (SELECT id FROM packages)
              AND NOT EXISTS (SELECT FROM trade_delivery d WHERE d.trade_id = t.id)),
         side AS (
           SELECT buyer_id AS account_id, instrument_id, quantity AS tonnes, -(amount + buy_fee) AS fen
             FROM undelivered
           UNION ALL
           SELECT seller_id, instrument_id, -quantity, amount - sell_fee FROM undelivered),
         sold_for_courts AS (
           SELECT o.account_id, e.instrument_id, sum(e.quantity)::bigint AS moved
             FROM court_effect e JOIN court_order o ON o.application_id = e.order_id
            WHERE e.cause IN ('sale', 'sale_return')
              AND (e.at AT TIME ZONE 'Asia/Shanghai')::date >= :day
            GROUP BY 1, 2),
         tonnes AS (
           SELECT h.account_id, h.instrument_id, h.trading AS ours, coalesce(c.moved, 0) AS moved
             FROM holding h JOIN account a ON a.id = h.account_id AND a.kind = 'enterprise'
             LEFT JOIN sold_for_courts c USING (account_id, instrument_id)
            WHERE h.instrument_id IN (SELECT instrument_id FROM listed)
              AND (h.trading > 0 OR c.moved IS NOT NULL)),
         positions AS (
           SELECT account_id, instrument_id, sum(closing)::bigint AS closing FROM reported_position
            WHERE package_id IN (SELECT id FROM packages)
              AND instrument_id IN (SELECT instrument_id FROM listed)
            GROUP BY account_id, instrument_id),
         funds AS (
           SELECT account_id, sum(closing)::bigint AS closing FROM reported_fund
            WHERE package_id IN (SELECT id FROM packages) AND NOT EXISTS (SELECT FROM awaited)
            GROUP BY account_id),
         covered AS (
           SELECT r.account_id, sum(r.amount - coalesce(p.amount, 0))::bigint AS fen
             FROM receivable r
             LEFT JOIN (SELECT receivable_id, sum(amount) AS amount FROM receivable_payment GROUP BY 1) p
               ON p.receivable_id = r.id
            WHERE r.application_id IS NOT NULL GROUP BY r.account_id),
         money AS (
           SELECT h.account_id,
                  sum(h.available + h.proceeds + h.reserved + h.frozen)::bigint
                    - coalesce(min(c.fen), 0) AS ours
             FROM holding h JOIN settlement_bank b ON b.instrument_id = h.instrument_id
             JOIN account a ON a.id = h.account_id AND a.kind = 'enterprise'
             LEFT JOIN covered c ON c.account_id = h.account_id
            GROUP BY h.account_id),
         compared AS (
           SELECT account_id, instrument_id,
                  coalesce(t.ours, 0) + coalesce(
                    (SELECT sum(s.tonnes) FROM side s
                      WHERE s.account_id = coalesce(t.account_id, r.account_id)
                        AND s.instrument_id = coalesce(t.instrument_id, r.instrument_id)), 0)::bigint
                    AS ours,
                  coalesce(r.closing, 0) AS theirs, coalesce(t.moved, 0) AS moved
             FROM tonnes t FULL JOIN positions r USING (account_id, instrument_id)
           UNION ALL
           SELECT r.account_id, NULL,
                  coalesce(m.ours, 0) + coalesce(
                    (SELECT sum(s.fen) FROM side s WHERE s.account_id = r.account_id), 0)::bigint,
                  r.closing, 0
             FROM funds r LEFT JOIN money m USING (account_id))
    INSERT INTO settlement_difference (package_id, account_id, instrument_id, ours, theirs, found_at)
    SELECT :package, account_id, instrument_id, ours, theirs, :at FROM compared
     WHERE theirs NOT IN (ours, ours + moved)
    ON CONFLICT DO NOTHING
    RETURNING account_id
""")


_LATER = text("""
    SELECT EXISTS (SELECT FROM settlement_run WHERE day >= :day)
        OR EXISTS (SELECT FROM day_package p JOIN settlement_stage s ON s.package_id = p.id
                    WHERE p.venue_id = :venue AND p.day > :day AND s.stage = 'delivered')
""")


def is_comparable(package: DayPackage) -> bool:
    """Tell whether the books still stand as the day closed: nothing later was settled."""
    later = {"day": package.day, "venue": package.venue_id}
    return not db.session.scalar(_LATER, later)


def reconcile(package: DayPackage, actor: Actor, *, now: datetime) -> int:
    """Compare a delivered day with what the exchange reported; return the number of new differences.

    An account with a difference is restricted by it until two officers have resolved it
    (docs/adr/0076).
    """
    asked = {"package": package.id, "venue": package.venue_id, "day": package.day, "at": now}
    found = db.session.execute(_FIND, asked).all()
    stages.note(package.id, "reconciled", actor, started_at=now, differences=len(found))
    if found:
        log.record(actor, "settlement.reconcile", subject=f"{package.day}", differences=len(found))
    return len(found)


def proposal_for(difference: Any) -> Mapping[str, Any]:
    """Return what the resolution of a difference names."""
    return {
        "difference": difference.id,
        "day": difference.package.day.isoformat(),
        "instrument": difference.instrument.code if difference.instrument else "CNY",
        "ours": difference.ours,
        "theirs": difference.theirs,
    }
