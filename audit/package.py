"""Reading a signed day package anew: its digests, signature, counts and rows.

Money is read from yuan as whole fen; nothing here is shared with what accepted the package.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from psycopg import Connection

from audit.findings import Findings

# Verifies a detached CMS signature over the content by one of the certificates (DER); returns "", or
# why it does not hold.
Verify = Callable[[bytes, bytes, Sequence[bytes]], str]
Row = dict[str, Any]

TABLES = ("DEAL", "POS", "FUND", "TRANSFER")
_YUAN = re.compile(r"([0-9]{1,14})(?:\.([0-9]{1,2}))?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,15}", re.ASCII)
_TEXTS = {"deal_no", "dealt_at", "trade_code", "buyer", "seller", "buy_order_no", "sell_order_no",
          "member_no", "request_no", "direction"}  # fmt: skip
_MONEY = {"price", "amount", "buy_fee", "sell_fee"}


@dataclass(slots=True)
class Package:
    """A package as it is kept; ``tables`` are empty where it cannot be trusted."""

    id: int
    venue_id: int
    venue: str
    day: date
    received_at: datetime
    digest: str
    certificates: Sequence[bytes] = ()
    tables: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The venue's code and the day."""
        return f"{self.venue} {self.day.isoformat()}"


_PACKAGES = """
    SELECT p.id, p.venue_id, v.code, p.day, p.received_at, p.digest, p.file, p.certificate,
           p.trades, p.positions, p.funds, p.transfers, p.quantity, p.amount
      FROM day_package p JOIN venue v ON v.id = p.venue_id
     WHERE p.id = ANY(%s) ORDER BY p.day, p.id
"""
_CERTIFICATES = """
    SELECT certificate FROM venue_certificate
     WHERE venue_id = %s AND valid_from <= %s AND (disabled_from IS NULL OR disabled_from > %s)
"""


def read(
    connection: Connection, ids: Sequence[int], verify: Verify, findings: Findings
) -> list[Package]:
    """Return the packages in the order of their days; what is wrong with them is noted."""
    found = []
    for row in connection.execute(_PACKAGES, [list(ids)]).fetchall():
        package = Package(*row[:6])
        rows = connection.execute(_CERTIFICATES, [package.venue_id, package.day, package.day])
        package.certificates = [bytes(each) for (each,) in rows]
        if bytes(row[7]) not in package.certificates:
            findings.add("signature_invalid", package.name, "", "unknown_certificate")
        _read_file(package, bytes(row[6]), verify, findings)
        _compare_counts(package, row[8:], findings)
        found.append(package)
    return found


def _read_file(package: Package, file: bytes, verify: Verify, findings: Findings) -> None:
    findings.compare("package_altered", package.name, package.digest, sha256(file))
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            manifest = archive.read("manifest.json")
            signature = archive.read("manifest.p7s")
            contents = {table: archive.read(f"{table}.csv") for table in TABLES}
        said = json.loads(manifest)
        why = verify(manifest, signature, package.certificates)
        if why:
            findings.add("signature_invalid", package.name, "", why)
        for name, value in (("venue", package.venue), ("day", package.day.isoformat())):
            findings.compare("manifest_differs", f"{package.name} {name}", said[name], value)
        for table, content in contents.items():
            key = f"{package.name} {table}"
            stated = said["tables"][table]
            findings.compare("package_altered", key, stated["sha256"], sha256(content))
            rows = _rows(table, content)
            findings.compare("manifest_differs", f"{key} rows", stated["rows"], len(rows))
            for column in {"quantity", "amount"} & stated.keys():
                total = sum(row[column] for row in rows)
                findings.compare("manifest_differs", f"{key} {column}", stated[column], total)
            package.tables[table] = rows
    # A file that was tampered with may be anything.
    except (ValueError, KeyError, TypeError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error,
            NotImplementedError, RuntimeError) as error:  # fmt: skip
        findings.add("package_unreadable", package.name, "", type(error).__name__)
    package.tables = {table: package.tables.get(table, []) for table in TABLES}


def _compare_counts(package: Package, stated: Sequence[int], findings: Findings) -> None:
    deals = package.tables["DEAL"]
    counted = (
        *(len(package.tables[table]) for table in TABLES),
        sum(row["quantity"] for row in deals),
        sum(row["amount"] for row in deals),
    )
    names = ("trades", "positions", "funds", "transfers", "quantity", "amount")
    for name, own, kept in zip(names, counted, stated, strict=True):
        findings.compare("package_counts_differ", f"{package.name} {name}", own, kept)


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def _rows(table: str, content: bytes) -> list[Row]:
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    return [{column: _value(table, column, cell) for column, cell in row.items()} for row in reader]


def _value(table: str, column: str, cell: str) -> Any:
    if column in _TEXTS:
        return cell
    if column in _MONEY or table == "FUND":
        return fen(cell)
    if not _WHOLE.fullmatch(cell):
        raise ValueError(column)
    return int(cell)


def fen(yuan: str) -> int:
    """Return the whole fen of an amount written in yuan.  Raises ValueError."""
    found = _YUAN.fullmatch(yuan)
    if found is None:
        raise ValueError(yuan)
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
