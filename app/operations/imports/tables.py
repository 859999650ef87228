"""Tables as files: an uploaded CSV or XLSX read into rows of text, with every problem by its place."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import IO, Any

import openpyxl
from flask_babel import lazy_gettext as _
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.domain.errors import RuleError
from app.domain.workflow import Status
from app.extensions import db
from app.models import Application, ImportFile
from app.operations.applications.archives import clean_name, ending_of, open_archive
from app.operations.records.actor import Actor

LARGEST = 10 * 1024 * 1024  # bytes
MOST_ROWS = 10_000
MOST_COLUMNS = 50
LAST_LINE = 100_000  # Blank rows are skipped, but not without end.
LONGEST_CELL = 1_000
MOST_PROBLEMS = 500  # Whoever has more of them has the wrong file.
EXACT = 2**53  # XLSX keeps numbers as doubles.
FORMS = ("csv", "xlsx")
CHOOSE = _("Please choose a file")
# What a workbook made by no spreadsheet program makes openpyxl stumble over.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, InvalidFileException, SyntaxError, KeyError, ValueError,
    TypeError, IndexError, AttributeError, EOFError, OSError, NotImplementedError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportColumn:
    """A column of an import: its heading in the file, and what the template says of it."""

    key: str
    title: Any
    example: str = ""
    note: Any = ""
    is_required: bool = True  # Whether a row without it is refused.


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: the row as a spreadsheet numbers it (0: the whole file)."""

    row: int
    column: str
    message: Any


@dataclass(frozen=True, slots=True)
class Row:
    """A row of text: its number in the file, and its cells by the columns' keys; "" is empty."""

    number: int
    cells: dict[str, str]

    def __getitem__(self, key: str) -> str:
        return self.cells[key]


@dataclass(slots=True)
class Table:
    """What was read; it may be imported only while there are no problems."""

    name: str
    sha256: str
    columns: Sequence[ImportColumn]
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_clear(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def refuse(self, row: int, key: str, message: Any) -> None:
        """Add a problem at a row's column; ``key`` "" is for the row as a whole."""
        if len(self.problems) < MOST_PROBLEMS:
            title = next((str(each.title) for each in self.columns if each.key == key), key)
            self.problems.append(Problem(row, title, message))


def read(stream: IO[bytes], filename: str, columns: Sequence[ImportColumn]) -> Table:
    """Read a CSV (UTF-8 or GB18030) or XLSX file; what is wrong with it stands in ``problems``.

    Numbers become plain digits and dates YYYY-MM-DD; a formula is refused, whatever its result.
    """
    content = stream.read(LARGEST + 1)
    table = Table(clean_name(filename), hashlib.sha256(content).hexdigest(), columns)
    try:
        _take(table, _lines(content, table.name))
    except RuleError as error:
        table.refuse(0, "", error.message)
    if table.is_clear and not table.rows:
        table.refuse(0, "", _("The table has no rows"))
    return table


def remember(kind: str, table: Table, actor: Actor, now: datetime) -> int:
    """Note that a file is imported, in the same transaction as what it brings; returns its id.

    Raises RuleError when the same file was imported before (by its content, not by its name) and
    not all of what it brought was withdrawn.
    """
    assert table.is_clear, "a table with problems is not imported"
    earlier = _last_import(kind, table)
    is_taken_back = earlier is not None and _was_withdrawn(earlier.id)
    values = {
        "kind": kind,
        "name": table.name,
        "sha256": table.sha256,
        "attempt": earlier.attempt + 1 if earlier and is_taken_back else 1,
        "rows": len(table.rows),
        "imported_by": actor.member_id,
        "imported_at": now,
    }
    statement = insert(ImportFile).values(values).on_conflict_do_nothing().returning(ImportFile.id)
    id_ = db.session.scalar(statement)
    if id_ is not None:
        return id_
    earlier = _last_import(kind, table)
    assert earlier is not None
    message = _(
        "This very file was imported before, as %(name)s (No. %(id)s); nothing was imported",
        name=earlier.name,
        id=earlier.id,
    )
    raise RuleError(message, field="file", code="import_seen_before")


def _last_import(kind: str, table: Table) -> ImportFile | None:
    return db.session.scalars(
        select(ImportFile)
        .where(ImportFile.kind == kind, ImportFile.sha256 == table.sha256)
        .order_by(ImportFile.attempt.desc())
    ).first()


def _was_withdrawn(import_id: int) -> bool:
    """Tell whether a file brought applications, and all of them were withdrawn."""
    statuses = select(Application.status).where(Application.import_id == import_id).distinct()
    return list(db.session.scalars(statuses)) == [Status.WITHDRAWN]


def template(columns: Sequence[ImportColumn], form: str) -> bytes:
    """Return a file to fill in: headings (* is required) and an example row; ``form`` is csv or xlsx."""
    assert form in FORMS
    headings = [("*" if each.is_required else "") + str(each.title) for each in columns]
    example = [each.example for each in columns]
    if form == "xlsx":
        return _workbook(columns, headings, example)
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows([headings, example])
    return b"\xef\xbb\xbf" + buffer.getvalue().encode()


# From bytes to lines of cells -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Refused:
    """A cell that cannot be read, with what is wrong with it."""

    message: Any


_Cell = str | _Refused


def _lines(content: bytes, name: str) -> Iterator[list[_Cell]]:
    """Yield the lines of a file, blank ones too, so that they can be counted."""
    if not content:
        raise RuleError(_("The file is empty"), code="file_empty")
    if len(content) > LARGEST:
        message = _("The file is larger than %(most)d MB", most=LARGEST // 1024 // 1024)
        raise RuleError(message, code="file_too_large")
    ending, is_zip = ending_of(name), content.startswith(b"PK\x03\x04")
    if ending == ".xlsx" and is_zip:
        return _lines_of_workbook(content)
    if ending == ".csv" and not is_zip:
        return _lines_of_text(_decoded(content))
    message = _("Only CSV and XLSX files can be imported; please save the table as one of them")
    raise RuleError(message, code="file_type")


def _decoded(content: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    message = _("The characters cannot be read; please save the file as CSV UTF-8 or as XLSX")
    raise RuleError(message, code="file_encoding")


def _lines_of_text(text: str) -> Iterator[list[_Cell]]:
    try:
        for line in csv.reader(io.StringIO(text, newline=""), strict=True):
            yield [_text(cell) for cell in line]
    except csv.Error as error:
        message = _("The file is no well-formed CSV; please save it anew from a spreadsheet")
        raise RuleError(message, code="file_broken") from error


def _lines_of_workbook(content: bytes) -> Iterator[list[_Cell]]:
    with open_archive(content) as archive:
        names = set(archive.namelist())
    if "[Content_Types].xml" not in names or "xl/vbaProject.bin" in names:
        raise RuleError(_("This is no plain XLSX workbook"), code="file_type")
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, keep_links=False)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # What it says of its own size may be wrong.
        for line in sheet.iter_rows(max_col=MOST_COLUMNS + 1):
            yield [_value(cell) for cell in line]
        book.close()
    except _BROKEN as error:
        message = _("The file is damaged and cannot be opened")
        raise RuleError(message, code="file_broken") from error


def _value(cell: Any) -> _Cell:
    """Return what a spreadsheet's cell says, as a person would type it."""
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "f":
        return _Refused(_("This is a formula; please enter its value"))
    if cell.data_type == "e":
        return _Refused(_("This is a spreadsheet's error value"))
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return _number(value)
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S").removesuffix(" 00:00:00")
        case date():
            return value.isoformat()
        case _:
            return _text(str(value))


def _number(value: float) -> _Cell:
    if not math.isfinite(value) or abs(value) > EXACT:
        return _Refused(_("The number has lost digits; please format the column as text"))
    return str(int(value)) if value == int(value) else repr(value)


def _text(value: str) -> _Cell:
    text = unicodedata.normalize("NFC", value).strip()
    if text.startswith(("=", "＝")):
        return _Refused(_("This is a formula; please enter its value"))
    if len(text) > LONGEST_CELL:
        return _Refused(_("This is longer than %(most)d characters", most=LONGEST_CELL))
    if any(unicodedata.category(each) in ("Cc", "Cs") and each not in "\t\r\n" for each in text):
        return _Refused(_("This holds characters that cannot be typed; please write it anew"))
    return text


# From lines to rows -----------------------------------------------------------------------------


def _take(table: Table, lines: Iterator[list[_Cell]]) -> None:
    """Take the first line as headings and the others as rows."""
    places = _places(table, next(lines, []))
    if places is None:
        return
    example = {each.key: each.example for each in table.columns}
    for number, line in enumerate(lines, start=2):
        if not any(line) and number <= LAST_LINE:
            continue
        if number > LAST_LINE or len(table.rows) == MOST_ROWS:
            break
        row = _row(table, number, line, places)
        if row.cells == example and any(example.values()):
            table.refuse(number, "", _("This is the template's example; please remove it"))
        table.rows.append(row)
    else:
        return
    table.rows.clear()
    table.refuse(0, "", _("The table has more than %(most)d rows", most=MOST_ROWS))


def _places(table: Table, line: Sequence[_Cell]) -> dict[str, int] | None:
    """Return where each column stands by the headings, or None when they are wrong."""
    headings = [_heading(cell if isinstance(cell, str) else "?") for cell in line]
    while headings and not headings[-1]:
        headings.pop()
    known = {_heading(str(each.title)): each.key for each in table.columns}
    if len(headings) > MOST_COLUMNS:
        table.refuse(1, "", _("The table has more than %(most)d columns", most=MOST_COLUMNS))
        return None
    places: dict[str, int] = {}
    for place, heading in enumerate(headings):
        key = known.get(heading)
        if key is None:
            name = heading or get_column_letter(place + 1)
            table.refuse(1, name, _("The template has no such column"))
        elif key in places:
            table.refuse(1, key, _("This column stands there twice"))
        else:
            places[key] = place
    for column in table.columns:
        if column.is_required and column.key not in places:
            table.refuse(1, column.key, _("This column is missing"))
    return places if table.is_clear else None


def _heading(text: str) -> str:
    """Return a heading as it is compared: without star and blanks, brackets of one width."""
    return "".join(unicodedata.normalize("NFKC", text).lstrip("*").split())


def _row(table: Table, number: int, line: Sequence[_Cell], places: dict[str, int]) -> Row:
    cells = {}
    for column in table.columns:
        place = places.get(column.key, len(line))
        cell = line[place] if place < len(line) else ""
        if isinstance(cell, _Refused):
            table.refuse(number, column.key, cell.message)
        elif not cell and column.is_required:
            table.refuse(number, column.key, _("Please fill this in"))
        cells[column.key] = cell if isinstance(cell, str) else ""
    if any(line[max(places.values(), default=-1) + 1 :]):
        table.refuse(number, "", _("There is something beyond the last column"))
    return Row(number, cells)


# The template -----------------------------------------------------------------------------------


def _workbook(
    columns: Sequence[ImportColumn], headings: Sequence[str], example: Sequence[str]
) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = str(_("Data"))
    _write_sheet(sheet, [headings, example])
    for number in range(1, len(columns) + 1):
        # As text a long code keeps its digits; rows that are filled in later follow the column.
        sheet.column_dimensions[get_column_letter(number)].number_format = "@"
    words = {True: str(_("Required")), False: str(_("Optional"))}
    notes = [
        [str(each.title), words[each.is_required], str(each.note), each.example] for each in columns
    ]
    titles = [str(each) for each in (_("Column"), _("Required"), _("Notes"), _("Example"))]
    _write_sheet(book.create_sheet(str(_("How to fill in"))), [titles, *notes])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _write_sheet(sheet: Any, lines: Iterable[Sequence[str]]) -> None:
    """Write lines of text under a bold, frozen heading, each column as wide as it needs."""
    for number, line in enumerate(lines, start=1):
        for place, text in enumerate(line, start=1):
            cell = sheet.cell(number, place, text)
            cell.data_type, cell.number_format = "s", "@"
            cell.alignment = Alignment(vertical="center")
            if number == 1:
                cell.font = Font(bold=True)
                cell.fill = PatternFill("solid", fgColor="E6EFFB")
            column = sheet.column_dimensions[get_column_letter(place)]
            wanted = sum(2 if ord(each) > 0xFF else 1 for each in text) + 4
            column.width = min(max(column.width or 0, wanted, 14), 60)
    sheet.freeze_panes = "A2"
