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
# knows nothing.
_FIND = text("""
    WITH undelivered AS (
           SELECT t.* FROM trade t
            WHERE t.package_id = :package
              AND NOT EXISTS (SELECT FROM trade_delivery d WHERE d.trade_id = t.id)),
         side AS (
           SELECT buyer_id AS account_id, instrument_id, quantity AS tonnes, -(amount + buy_fee) AS fen
             FROM undelivered
           UNION ALL
           SELECT seller_id, instrument_id, -quantity, amount - sell_fee FROM undelivered),
         tonnes AS (
           SELECT h.account_id, h.instrument_id, h.trading AS ours
             FROM holding h JOIN account a ON a.id = h.account_id AND a.kind = 'enterprise'
             JOIN venue_instrument v ON v.instrument_id = h.instrument_id AND v.venue_id = :venue
            WHERE h.trading > 0),
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
                  coalesce(r.closing, 0) AS theirs
             FROM tonnes t
             FULL JOIN (SELECT * FROM reported_position WHERE package_id = :package) r
            USING (account_id, instrument_id)
           UNION ALL
           SELECT r.account_id, NULL,
                  coalesce(m.ours, 0) + coalesce(
                    (SELECT sum(s.fen) FROM side s WHERE s.account_id = r.account_id), 0)::bigint,
                  r.closing
             FROM reported_fund r LEFT JOIN money m USING (account_id)
            WHERE r.package_id = :package)
    INSERT INTO settlement_difference (package_id, account_id, instrument_id, ours, theirs, found_at)
    SELECT :package, account_id, instrument_id, ours, theirs, :at FROM compared
     WHERE ours <> theirs
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
    found = db.session.execute(
        _FIND, {"package": package.id, "venue": package.venue_id, "at": now}
    ).all()
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
