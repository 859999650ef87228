"""What a bank said that it holds against what the books say it does (domain.md R63)."""

from __future__ import annotations

from datetime import date

from psycopg import Connection

from audit.findings import Findings

# A bank's last word of each day; a difference that two officers resolved, with its figures, is accepted.
_DIFFERING = """
    SELECT b.code, e.day, e.ours, e.theirs
      FROM (SELECT DISTINCT ON (bank_id, day) id, bank_id, day, (detail ->> 'ours')::bigint AS ours,
                   (detail ->> 'theirs')::bigint AS theirs
              FROM bank_line_event
             WHERE event = 'balance' AND day > %(after)s AND day <= %(day)s
             ORDER BY bank_id, day, id DESC) e
      JOIN settlement_bank b ON b.id = e.bank_id
     WHERE e.ours <> e.theirs
       AND NOT EXISTS (
             SELECT FROM application a
               CROSS JOIN LATERAL (SELECT v.id, v.member_id FROM application_event v
                                    WHERE v.application_id = a.id AND v.action = 'submit'
                                    ORDER BY v.id DESC LIMIT 1) s
              WHERE a.kind = 'bank_difference' AND a.status = 'approved'
                AND a.proposal ->> 'event' = e.id::text
                AND (a.proposal ->> 'ours')::bigint = e.ours
                AND (a.proposal ->> 'theirs')::bigint = e.theirs
                AND EXISTS (SELECT FROM application_event v
                             WHERE v.application_id = a.id AND v.action = 'approve' AND v.id > s.id
                               AND v.member_id <> s.member_id))
     ORDER BY 2, 1
"""


def check(connection: Connection, after: date, day: date, findings: Findings) -> None:
    """Compare balances in fen, of the days after one and up to another.

    A bank that said nothing is no difference: a lost answer does not keep a day from being sealed.
    """
    for code, of, ours, theirs in connection.execute(_DIFFERING, {"after": after, "day": day}):
        findings.add("bank_balance_differs", f"{code} {of}", theirs, ours)
