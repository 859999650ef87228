"""What codes stand for: members, instruments, trade codes and banks, read from the registry's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection

from audit.package import Package

ISSUER = 1  # the national issuance account, and the banks' side of money
FEES = 2  # 结算费用
RESERVE = 3  # 结算风险准备金


@dataclass(frozen=True, slots=True)
class Names:
    """Members and instruments by id, and how each is called."""

    members: Mapping[int, str]
    accounts: Mapping[str, int]
    instruments: Mapping[int, str]
    money: frozenset[int]  # instruments in fen

    def pocket(self, account: int, instrument: int, bucket: int) -> str:
        """Return how a pocket is called in a finding."""
        member = self.members.get(account, f"#{account}")
        return f"{member} {self.instrument(instrument)} {bucket_name(bucket)}"

    def instrument(self, instrument: int) -> str:
        """Return an instrument's code."""
        return self.instruments.get(instrument, f"#{instrument}")


# The buckets by their numbers in `movement`, 1 for the first; columns of `holding`.
BUCKETS = ("available", "reserved", "frozen", "pending_to_trading", "trading", "pending_to_registry",
           "custody", "in_return", "surrendered", "cancelled", "confiscated", "issued",
           "proceeds", "recalled")  # fmt: skip
(AVAILABLE, RESERVED, FROZEN, PENDING_TO_TRADING, TRADING, PENDING_TO_REGISTRY, CUSTODY, IN_RETURN,
 SURRENDERED, CANCELLED, CONFISCATED, ISSUED, PROCEEDS, RECALLED) = range(1, 15)  # fmt: skip


def bucket_name(bucket: int) -> str:
    """Return the column of a bucket."""
    return BUCKETS[bucket - 1] if 1 <= bucket <= len(BUCKETS) else f"#{bucket}"


def read(connection: Connection) -> Names:
    """Read all members and instruments."""
    rows = connection.execute("SELECT id, member_no, kind FROM account").fetchall()
    instruments = connection.execute("SELECT id, code, kind FROM instrument").fetchall()
    return Names(
        members={account: number for account, number, _kind in rows},
        accounts={number: account for account, number, kind in rows if kind == "enterprise"},
        instruments={each: code for each, code, _kind in instruments},
        money=frozenset(each for each, _code, kind in instruments if kind == "money"),
    )


def trade_codes(connection: Connection, package: Package) -> dict[str, int]:
    """Return the instruments that a venue traded on the package's day, by trade code."""
    rows = connection.execute(
        "SELECT trade_code, instrument_id FROM venue_instrument WHERE venue_id = %s"
        " AND valid_from <= %s AND (disabled_from IS NULL OR disabled_from > %s)",
        [package.venue_id, package.day, package.day],
    )
    return dict(rows.fetchall())


def banks(connection: Connection, package: Package) -> dict[int, int]:
    """Return the money's instrument of each account, as it was bound when the package came."""
    rows = connection.execute(
        "SELECT b.account_id, s.instrument_id FROM bank_binding b"
        " JOIN settlement_bank s ON s.id = b.bank_id"
        " WHERE b.bound_at <= %s AND (b.ended_at IS NULL OR b.ended_at > %s)",
        [package.received_at, package.received_at],
    )
    return dict(rows.fetchall())
