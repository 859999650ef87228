"""Sealing a day: its totals are written under a digest that includes the day before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date

from psycopg import Connection
from psycopg.types.json import Jsonb

from audit import totals
from audit.totals import Sealed, Totals


def digest_of(
    previous: bytes, day: date, first: int, beyond: int, movements: int,
    packages: Mapping[str, str], balances: Totals,
) -> bytes:  # fmt: skip
    """Return the SHA-256 over the previous digest, the day, its packages and all totals."""
    stated = [day.isoformat(), first, beyond, movements, sorted(packages.items())]
    chained = hashlib.sha256(previous)
    chained.update(json.dumps(stated, ensure_ascii=False, separators=(",", ":")).encode())
    for (account, instrument, bucket), balance in sorted(balances.items()):
        chained.update(f"\n{account}:{instrument}:{bucket}:{balance}".encode())
    return chained.digest()


def digest_again(sealed: Sealed, balances: Totals) -> bytes:
    """Return the digest of a sealed day, computed anew."""
    return digest_of(
        sealed.previous, sealed.day, sealed.from_xid, sealed.to_xid, sealed.movements,
        sealed.packages, balances,
    )  # fmt: skip


def write(connection: Connection, sealed: Sealed, before: Totals, balances: Totals) -> None:
    """Write a day and the totals that changed on it; the database refuses one that does not follow."""
    changed = totals.changes(before, balances)
    connection.execute(
        "INSERT INTO audit_day (day, is_opening, from_xid, to_xid, movements, changes, packages,"
        " previous, digest) VALUES (%s, %s, %s::text::xid8, %s::text::xid8, %s, %s, %s, %s, %s)",
        [sealed.day, sealed.is_opening, str(sealed.from_xid), str(sealed.to_xid), sealed.movements,
         len(changed), Jsonb(sealed.packages), sealed.previous, sealed.digest],
    )  # fmt: skip
    with connection.cursor().copy(
        "COPY audit_total (day, account_id, instrument_id, bucket, balance) FROM STDIN"
    ) as copy:
        for row in changed:
            copy.write_row((sealed.day, *row))
