"""Writing the file of a day package, as an exchange does (docs/interfaces/exchange.md)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

COLUMNS = {
    "DEAL": ("deal_no", "dealt_at", "method", "trade_code", "buyer", "seller", "price", "quantity",
             "amount", "buy_fee", "sell_fee", "buy_order_no", "sell_order_no"),
    "POS": ("member_no", "trade_code", "opening", "moved_in", "moved_out", "bought", "sold", "closing"),
    "FUND": ("member_no", "opening", "paid_in", "paid_out", "bought", "sold", "fees", "closing"),
    "TRANSFER": ("request_no", "direction", "member_no", "trade_code", "quantity"),
}  # fmt: skip
Rows = Mapping[str, Sequence[Sequence[Any]]]


def write(venue: str, day: date, rows: Rows, sign: Callable[[bytes], bytes]) -> bytes:
    """Return a package: ``sign`` makes the CMS signature over the manifest's bytes."""
    tables = {table: _csv(columns, rows.get(table, ())) for table, columns in COLUMNS.items()}
    manifest = json.dumps(
        {
            "version": 1,
            "venue": venue,
            "day": day.isoformat(),
            "tables": {
                table: {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    **_sums(table, rows.get(table, ())),
                }
                for table, content in tables.items()
            },
        },
        indent=1,
    ).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (
            ("manifest.json", manifest),
            ("manifest.p7s", sign(manifest)),
            *((f"{table}.csv", content) for table, content in tables.items()),
        ):
            archive.writestr(zipfile.ZipInfo(name, (2021, 7, 16, 0, 0, 0)), content)
    return written.getvalue()


def manifest_of(content: bytes) -> dict[str, Any]:
    """Return the manifest of a package."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found: dict[str, Any] = json.loads(archive.read("manifest.json"))
        return found


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return written.getvalue().encode()


def _sums(table: str, rows: Sequence[Sequence[Any]]) -> dict[str, int]:
    columns = COLUMNS[table]
    sums = {"rows": len(rows)}
    if "quantity" in columns:
        place = columns.index("quantity")
        sums["quantity"] = sum(int(row[place]) for row in rows)
    if "amount" in columns:
        place = columns.index("amount")
        sums["amount"] = sum(int(Decimal(row[place]) * 100) for row in rows)
    return sums
