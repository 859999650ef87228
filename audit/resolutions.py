"""Differences with the exchange that two officers resolved, by the figures that they signed for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from psycopg import Connection

MONEY = "CNY"
# The last submission and the last approval, by two people; what was sent back in between counts for nothing.
_RESOLVED = """
    SELECT a.account_id, a.proposal ->> 'instrument', (a.proposal ->> 'ours')::bigint,
           (a.proposal ->> 'theirs')::bigint
      FROM application a
     CROSS JOIN LATERAL (SELECT v.id, v.member_id FROM application_event v
                          WHERE v.application_id = a.id AND v.action = 'submit'
                          ORDER BY v.id DESC LIMIT 1) s
     WHERE a.kind = 'difference_resolution' AND a.status = 'approved' AND a.proposal ->> 'day' = %s
       AND EXISTS (SELECT FROM application_event v
                    WHERE v.application_id = a.id AND v.action = 'approve' AND v.id > s.id
                      AND v.member_id <> s.member_id)
"""


@dataclass(frozen=True, slots=True)
class Resolutions:
    """What was resolved of a day: (account, instrument's code or CNY, our figure, the exchange's)."""

    figures: frozenset[tuple[int, str, int, int]]

    def accepts(self, account: int, code: str, ours: int, theirs: int) -> bool:
        """Tell whether two officers resolved this difference, with these figures."""
        return (account, code, ours, theirs) in self.figures


def read(connection: Connection, day: date) -> Resolutions:
    """Read the resolutions of a day's differences."""
    return Resolutions(frozenset(connection.execute(_RESOLVED, [day.isoformat()]).fetchall()))
