"""What came into being: tonnes by issues, their reversals and carry-overs alone, money by what banks took in
and paid out.
"""

from __future__ import annotations

from psycopg import Connection

from audit.findings import Findings
from audit.names import Names

_TONNES = """
    WITH moved AS (
           SELECT m.instrument_id,
                  sum(CASE WHEN m.from_bucket = 12 THEN m.quantity ELSE -m.quantity END)::bigint AS tonnes
             FROM movement m JOIN instrument i ON i.id = m.instrument_id
             LEFT JOIN posting p ON p.id = m.posting_id
            WHERE m.recorded_xid >= %(first)s::xid8 AND i.kind <> 'money'
              AND p.business IS DISTINCT FROM 'carry_over_grant'  -- audit/businesses.py
              AND (m.from_bucket = 12) <> (m.to_bucket = 12)
            GROUP BY 1),
         approved AS (
           SELECT l.instrument_id,
                  sum(CASE a.kind WHEN 'issuance' THEN l.quantity ELSE -l.quantity END)::bigint AS tonnes
             FROM application a JOIN application_line l ON l.application_id = a.id
            WHERE a.kind IN ('issuance', 'issuance_reversal') AND a.status = 'approved'
              AND EXISTS (SELECT FROM application_event e
                           WHERE e.application_id = a.id AND e.action = 'approve'
                             AND e.status = 'approved' AND e.recorded_xid >= %(first)s::xid8)
            GROUP BY 1)
    SELECT instrument_id, coalesce(approved.tonnes, 0), coalesce(moved.tonnes, 0)
      FROM moved FULL JOIN approved USING (instrument_id)
     WHERE moved.tonnes IS DISTINCT FROM approved.tonnes ORDER BY 1
"""
_MONEY = """
    SELECT m.instrument_id, p.business, min(m.posting_id),
           sum(CASE WHEN m.from_bucket = 12 THEN m.quantity ELSE -m.quantity END)::bigint
      FROM movement m JOIN instrument i ON i.id = m.instrument_id
      LEFT JOIN posting p ON p.id = m.posting_id
     WHERE m.recorded_xid >= %s::xid8 AND i.kind = 'money'
       AND (m.from_bucket = 12) <> (m.to_bucket = 12)
       AND coalesce(p.business, '') NOT IN ('trade', 'deposit', 'withdrawal', 'bank_correction', 'receivable')
     GROUP BY 1, 2 ORDER BY 3
"""
# Legs across banks: what one bank takes over another gives up.
_ACROSS = """
    SELECT coalesce(sum(CASE WHEN m.from_bucket = 12 THEN m.quantity ELSE -m.quantity END), 0)::bigint
      FROM movement m JOIN posting p ON p.id = m.posting_id
     WHERE m.recorded_xid >= %s::xid8 AND p.business = 'trade'
       AND (m.from_bucket = 12) <> (m.to_bucket = 12)
"""


def check(connection: Connection, first: int, names: Names, findings: Findings) -> None:
    """Compare what was issued since a transaction with what was approved since then, by instrument.

    Tonnes, and fen at the banks; a mint outside of a day is among what the next check compares.
    """
    for instrument, approved, moved in connection.execute(_TONNES, {"first": str(first)}):
        findings.add("issued_differs", names.instrument(instrument), approved, moved)
    for instrument, business, posting, moved in connection.execute(_MONEY, [str(first)]):
        key = f"{names.instrument(instrument)} {business}, posting {posting}"
        findings.add("money_from_nowhere", key, 0, moved)
    row = connection.execute(_ACROSS, [str(first)]).fetchone()
    assert row
    findings.compare("banks_differ", "trade", 0, row[0])
