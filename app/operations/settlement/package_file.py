"""The file of a day package: a ZIP of CSV tables, a manifest that counts and adds them up, and its CMS.

Names and columns are ours (rules-2026 N140): everything outside sits behind `READERS`, by version.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _

from app.domain.errors import RuleError
from app.domain.money import fen
from app.domain.moves import LARGEST_REQUEST
from app.domain.trading_day import BEIJING
from app.operations.applications.archives import BROKEN_PARTS

LARGEST = 16 * 1024 * 1024  # bytes of the ZIP
LARGEST_UNPACKED = 128 * 1024 * 1024
MANIFEST, SIGNATURE = "manifest.json", "manifest.p7s"
MOST_FAULTS = 1_000
MOST_ROWS = 200_000  # of one table

COLUMNS = {
    "DEAL": ("deal_no", "dealt_at", "method", "trade_code", "buyer", "seller", "price", "quantity",
             "amount", "buy_fee", "sell_fee", "buy_order_no", "sell_order_no"),
    "POS": ("member_no", "trade_code", "opening", "moved_in", "moved_out", "bought", "sold", "closing"),
    "FUND": ("member_no", "opening", "paid_in", "paid_out", "bought", "sold", "fees", "closing"),
    "TRANSFER": ("request_no", "direction", "member_no", "trade_code", "quantity"),
}  # fmt: skip
_TONNES = {"quantity", "opening", "moved_in", "moved_out", "bought", "sold", "closing"}
_WHOLE = re.compile(r"[0-9]{1,15}", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9_-]{1,20}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a package: table and row (the first below the heading is 1), column, code."""

    table: str
    row: int
    column: str
    code: str
    message: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its number, and its values (tonnes and fen as integers)."""

    number: int
    values: dict[str, Any]

    def __getitem__(self, column: str) -> Any:
        return self.values[column]


@dataclass(slots=True)
class PackageFile:
    """A package as it was read, with every fault of its form."""

    digest: str
    manifest: bytes = b""
    signature: bytes = b""
    version: int = 0
    venue: str = ""
    day: date | None = None
    tables: dict[str, list[Row]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(
        self, code: str, message: str, *, table: str = "", row: int = 0, column: str = "",
        value: object = "",
    ) -> None:  # fmt: skip
        """Note a fault; beyond MOST_FAULTS they are counted no more."""
        if len(self.faults) < MOST_FAULTS:
            said = (_storable(message)[:300], _storable(str(value))[:60])
            self.faults.append(Fault(table, row, column, code, *said))


def _storable(text: str) -> str:
    """Return a text without what the database cannot keep."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def read(content: bytes) -> PackageFile:
    """Read a package; what cannot be read is among its faults."""
    found = PackageFile(hashlib.sha256(content).hexdigest())
    parts = _unpacked(content, found)
    if found.faults:
        return found
    found.manifest, found.signature = parts.pop(MANIFEST), parts.pop(SIGNATURE)
    manifest = _manifest(found)
    if found.faults:
        return found
    READERS[found.version](manifest, parts, found)
    return found


def _unpacked(content: bytes, found: PackageFile) -> dict[str, bytes]:
    wanted = {MANIFEST, SIGNATURE, *(f"{table}.csv" for table in COLUMNS)}
    if len(content) > LARGEST:
        limit = LARGEST // 1024 // 1024
        found.fault("too_large", _("A package has at most %(limit)s MB", limit=limit))
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if sorted(entry.filename for entry in entries) != sorted(wanted):
                names = ", ".join(sorted(entry.filename for entry in entries))
                message = _(
                    "A package consists of exactly %(names)s", names="、".join(sorted(wanted))
                )
                found.fault("files_wrong", message, value=names)
                return {}
            if sum(entry.file_size for entry in entries) > LARGEST_UNPACKED:
                found.fault("too_large", _("The package is too large once unpacked"))
                return {}
            return {entry.filename: _part(archive, entry) for entry in entries}
    except (*BROKEN_PARTS, RuntimeError):  # It is encrypted.
        found.fault("not_a_zip", _("The file is not a ZIP archive that can be read"))
        return {}


def _part(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        content = file.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise zipfile.BadZipFile
    return content


def _manifest(found: PackageFile) -> dict[str, Any]:
    try:
        manifest = json.loads(found.manifest.decode())
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("tables"), dict):
        found.fault("manifest_malformed", _("The manifest is not a JSON object with its tables"))
        return {}
    version, venue, day = (manifest.get(name) for name in ("version", "venue", "day"))
    if type(version) is int and version in READERS:
        found.version = version
    else:
        known = "、".join(map(str, READERS))
        message = _("The version of a package is one of %(known)s", known=known)
        found.fault("version_unknown", message, column="version", value=version)
    if isinstance(venue, str) and _CODE.fullmatch(venue):
        found.venue = venue
    try:
        found.day = date.fromisoformat(day) if isinstance(day, str) else None
    except ValueError:
        found.day = None
    if found.day is None:
        message = _("The day is written as YYYY-MM-DD")
        found.fault("day_malformed", message, column="day", value=day)
    return manifest


def _read_first_version(
    manifest: dict[str, Any], parts: dict[str, bytes], found: PackageFile
) -> None:
    for table in COLUMNS:
        said = manifest["tables"].get(table)
        if not isinstance(said, dict) or not _SHA256.fullmatch(str(said.get("sha256"))):
            message = _("The manifest lacks the table's digest, rows and sums")
            found.fault("table_missing", message, table=table)
            continue
        content = parts[f"{table}.csv"]
        if hashlib.sha256(content).hexdigest() != said["sha256"]:
            message = _("The table's digest is another one than the manifest's")
            found.fault("digest_differs", message, table=table)
            continue
        rows = found.tables[table] = list(_rows(table, content, found))
        for name, counted in _sums(table, rows).items():
            if type(said.get(name)) is not int or said[name] != counted:
                message = _("The manifest says otherwise than the table's rows add up to %(counted)s",
                            counted=counted)  # fmt: skip
                found.fault("sum_differs", message, table=table, column=name, value=said.get(name))


READERS: dict[int, Callable[[dict[str, Any], dict[str, bytes], PackageFile], None]] = {
    1: _read_first_version,
}


def _sums(table: str, rows: Sequence[Row]) -> dict[str, int]:
    """Return what the manifest says of a table: rows, and sums in tonnes and fen."""
    sums = {"rows": len(rows)}
    if table in ("DEAL", "TRANSFER"):
        sums["quantity"] = sum(row["quantity"] or 0 for row in rows)
    if table == "DEAL":
        sums["amount"] = sum(row["amount"] or 0 for row in rows)
    return sums


def _rows(table: str, content: bytes, found: PackageFile) -> Iterator[Row]:
    columns = COLUMNS[table]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start)
        found.fault("not_utf8", _("The table is not UTF-8"), table=table, row=row)
        return
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        heading = next(lines, [])
        if tuple(heading) != columns:
            message = _("The columns are %(columns)s, in this order", columns=",".join(columns))
            found.fault("columns_wrong", message, table=table, value=",".join(heading))
            return
        for number, cells in enumerate(lines, 1):
            if number > MOST_ROWS:
                message = _("A table has at most %(most)s rows", most=f"{MOST_ROWS:,}")
                found.fault("too_many_rows", message, table=table, row=number)
                return
            if len(cells) != len(columns):
                message = _("A row has %(count)d cells", count=len(columns))
                found.fault("cells_wrong", message, table=table, row=number, value=len(cells))
                continue
            yield _row(table, number, dict(zip(columns, cells, strict=True)), found)
    except csv.Error as error:
        message = _("The table is not CSV that can be read")
        found.fault("not_csv", message, table=table, row=number + 1, value=error)


def _row(table: str, number: int, cells: dict[str, str], found: PackageFile) -> Row:
    values: dict[str, Any] = {}
    for column, cell in cells.items():
        try:
            values[column] = _value(table, column, cell, found.day)
        except RuleError as error:
            found.fault(error.code, str(error), table=table, row=number, column=column, value=cell)
            values[column] = None
    return Row(number, values)


def _value(table: str, column: str, cell: str, day: date | None) -> Any:
    if column in ("price", "amount"):
        return fen(cell)
    if column in ("buy_fee", "sell_fee") or (table == "FUND" and column != "member_no"):
        return fen(cell, may_be_zero=True)
    if column in _TONNES:
        return _tonnes(cell, least=1 if column == "quantity" else 0)
    if column == "method":
        return _one_of(cell, {"10": 10, "20": 20, "21": 21})
    if column == "direction":
        return _one_of(cell, {"in": "in", "out": "out"})
    if column == "dealt_at":
        return _moment(cell, day)
    optional = column in ("buy_order_no", "sell_order_no")
    return _text(cell, longest=60 if column == "request_no" else 40, is_optional=optional)


def _tonnes(cell: str, *, least: int) -> int:
    if not _WHOLE.fullmatch(cell) or not least <= int(cell) <= LARGEST_REQUEST:
        raise RuleError(
            _("Tonnes are whole numbers from %(least)d to %(most)s in plain digits",
              least=least, most=f"{LARGEST_REQUEST:,}"),
            code="tonnes_malformed",
        )  # fmt: skip
    return int(cell)


def _one_of(cell: str, known: dict[str, Any]) -> Any:
    if cell not in known:
        message = _("This is one of %(known)s", known="、".join(known))
        raise RuleError(message, code="value_unknown")
    return known[cell]


def _moment(cell: str, day: date | None) -> datetime:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = _("A time is written as 2026-11-20T10:00:00+08:00")
        raise RuleError(message, code="time_malformed")
    if day is not None and not _is_of(moment, day):
        raise RuleError(
            _("The time is of another day than the package"), code="time_of_another_day"
        )
    return moment


def _is_of(moment: datetime, day: date) -> bool:
    try:
        return moment.astimezone(BEIJING).date() == day
    except OverflowError:  # the year 1
        return False


def _text(cell: str, *, longest: int, is_optional: bool) -> str:
    if len(cell) > longest or not cell.isprintable() or not (cell.strip() or is_optional):
        message = _("This is a text of 1 to %(longest)d characters", longest=longest)
        raise RuleError(message, code="text_malformed")
    return cell
