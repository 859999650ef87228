"""Reading uploaded CSV and XLSX files into rows of text, with problems by row and column."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any
from xml.parsers import expat

import openpyxl
from flask_babel import lazy_gettext as _
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.utils.cell import range_boundaries
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet._reader import WorkSheetParser
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.domain import texts
from app.domain.errors import RuleError
from app.domain.workflow import Status
from app.extensions import db
from app.models import Application, ImportFile
from app.operations.applications.archives import clean_name, ending_of, open_archive
from app.operations.imports import cells
from app.operations.imports.cells import LONGEST_TOLD, Cell, UnreadableCell
from app.operations.records.actor import Actor

LARGEST = 10 * 1024 * 1024  # bytes
MOST_ROWS = 10_000
MOST_COLUMNS = 50
LAST_LINE = (
    100_000  # Blank rows before it are skipped, however many; what stands below is not read.
)
MOST_PROBLEMS = 500  # more suggest the wrong file
# What openpyxl may parse, at 10 µs an element of cells: 10,000 rows of 12 cells, each with its own text,
# have half a million.  Others (styles, names, merged cells) take four times as long, and workbooks that
# were copied for years have some 60,000.  Bytes are bounded by `open_archive`.
MOST_ELEMENTS = 1_000_000
MOST_OTHER_ELEMENTS = 100_000
MOST_ATTRIBUTES = 100  # of an element
LONGEST_TAG = 256 * 1024  # characters; openpyxl's parser reads an unfinished one again and again
PIECE = 256 * 1024  # bytes
_OF_CELLS = frozenset(
    "row c v f is si t r rPr rFont sz color family charset scheme b i u rPh".split()
)
TOO_SMALL = 0.5  # points of a row's height, characters of a column's width
DELIMITERS = ",;\t"  # Excel's by region, and of "Unicode text"
# Hidden sheets that spreadsheet programs add.
_HOUSEKEEPING = ("WpsReserved_", "_xlws_", "_xltb_")
FORMS = ("csv", "xlsx")
CHOOSE = _("Please choose a file")
NOTES = _("How to fill in")  # the template's second sheet
# openpyxl's exceptions for malformed workbooks.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, InvalidFileException, SyntaxError, KeyError, ValueError,
    TypeError, IndexError, AttributeError, EOFError, OSError, NotImplementedError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportColumn:
    """A column of an import: its heading, and its notes in the template."""

    key: str
    title: Any
    example: str = ""
    note: Any = ""
    is_required: bool = True  # an empty cell is refused


@dataclass(frozen=True, slots=True)
class Problem:
    """An error and its place: the row as in the spreadsheet (0: the whole file).

    ``column`` is the heading for people; ``key`` and ``code`` are for machines.
    """

    row: int
    column: str
    message: Any
    key: str = field(default="", compare=False)
    code: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its number in the file, and its cells by column key; "" is empty."""

    number: int
    cells: dict[str, str]

    def __getitem__(self, key: str) -> str:
        return self.cells[key]


@dataclass(slots=True)
class Table:
    """The rows of a file; importable only without problems."""

    name: str
    sha256: str
    columns: Sequence[ImportColumn]
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    told: set[tuple[int, str]] = field(
        default_factory=set
    )  # cells without a value, of which it is said

    @property
    def is_clear(self) -> bool:
        """Tell whether there are no problems."""
        return not self.problems

    def refuse(self, row: int, key: str, message: Any, code: str = "row_refused") -> None:
        """Add a problem at a row and column; ``key`` "" is the whole row.

        Of a cell that is empty or unreadable it is enough that it is.
        """
        if len(self.problems) < MOST_PROBLEMS and (row, key) not in self.told:
            title = next((str(each.title) for each in self.columns if each.key == key), key)
            self.problems.append(Problem(row, title, message, key, code))


def read(stream: IO[bytes], filename: str, columns: Sequence[ImportColumn]) -> Table:
    """Read a CSV (UTF-8, GB 18030 or UTF-16) or XLSX file; errors are added to ``problems``.

    Each cell is read as displayed, numbers in plain digits and dates as YYYY-MM-DD; hidden cells,
    formulas, and values that their format misrepresents are refused (docs/adr/0054).
    """
    content = stream.read(LARGEST + 1)
    table = Table(clean_name(filename), hashlib.sha256(content).hexdigest(), columns)
    try:
        _take(table, _lines(table, content))
    except RuleError as error:
        table.refuse(0, "", error.message)
    if table.is_clear and not table.rows:
        table.refuse(0, "", _("The table has no rows"))
    return table


def remember(
    kind: str, table: Table, actor: Actor, now: datetime, client_id: int | None = None
) -> int:
    """Record an import, by ``client_id`` where a machine pushed it, in the transaction of its rows; return
    its id.

    Raises RuleError when a file of the same content was imported before and not all its drafts
    were withdrawn, nor the pushed table sent back.
    """
    assert table.is_clear, "a table with problems is not imported"
    earlier = _last_import(kind, table)
    is_taken_back = earlier is not None and _was_withdrawn(earlier)
    values = {
        "kind": kind,
        "name": table.name,
        "sha256": table.sha256,
        "attempt": earlier.attempt + 1 if earlier and is_taken_back else 1,
        "rows": len(table.rows),
        "imported_by": actor.member_id,
        "client_id": client_id,
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


def taken_back(import_id: int) -> str:
    """Return what stands for a file's content in the batch that takes an import back."""
    return hashlib.sha256(f"taken back: {import_id}".encode()).hexdigest()


def _was_withdrawn(file: ImportFile) -> bool:
    """Tell whether all applications of an import were withdrawn, or those that take it back approved.

    A pushed table is taken back as it is sent back: nobody submits it again.
    """
    if _statuses(file.id) == [Status.RETURNED if file.client_id else Status.WITHDRAWN]:
        return True
    opposite = db.session.scalars(
        select(ImportFile.id)
        .where(ImportFile.kind == file.kind, ImportFile.sha256 == taken_back(file.id))
        .order_by(ImportFile.attempt.desc())
    ).first()
    return opposite is not None and _statuses(opposite) == [Status.APPROVED]


def _statuses(import_id: int) -> list[str]:
    statuses = select(Application.status).where(Application.import_id == import_id).distinct()
    return list(db.session.scalars(statuses))


def template(columns: Sequence[ImportColumn], form: str) -> bytes:
    """Return a template: headings (* is required) and an example row; ``form`` is csv or xlsx."""
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
class _Line:
    """A line of a file: its number as in the spreadsheet, its cells, and what is hidden of it."""

    number: int
    cells: list[Cell]
    hidden: bool = False
    hidden_columns: frozenset[int] = frozenset()  # indexes
    merged: str = ""  # instead of cells: a merged range


def _lines(table: Table, content: bytes) -> Iterator[_Line]:
    """Yield the lines of a file, possibly without blank ones; its errors are added to the table."""
    if not content:
        raise RuleError(_("The file is empty"), code="file_empty")
    if len(content) > LARGEST:
        message = _("The file is larger than %(most)d MB", most=LARGEST // 1024 // 1024)
        raise RuleError(message, code="file_too_large")
    ending, is_zip = ending_of(table.name), content.startswith(b"PK\x03\x04")
    if ending == ".xlsx" and is_zip:
        return _lines_of_workbook(table, content)
    if ending == ".csv" and not is_zip:
        return _lines_of_text(_decoded(content))
    message = _("Only CSV and XLSX files can be imported; please save the table as one of them")
    raise RuleError(message, code="file_type")


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        decoders = [lambda: content.decode("utf-16")]
    else:
        decoders = [lambda: content.decode("utf-8-sig"), lambda: texts.from_gb18030(content)]
    for decode in decoders:
        try:
            text = decode()
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    message = _("The characters cannot be read; please save the file as CSV UTF-8 or as XLSX")
    raise RuleError(message, code="file_encoding")


def _lines_of_text(text: str) -> Iterator[_Line]:
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        for number, line in enumerate(lines, start=1):
            yield _Line(number, [cells.text(cell) if cell else "" for cell in line])
    except csv.Error as error:
        message = _("The file is no well-formed CSV; please save it anew from a spreadsheet")
        raise RuleError(message, code="file_broken") from error


def _lines_of_workbook(table: Table, content: bytes) -> Iterator[_Line]:
    with open_archive(content) as archive:
        _require_parsable(archive)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's, of what it leaves out
            # Read-only mode streams the rows instead of keeping objects.
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, keep_links=False)
            sheet = _sheet_of(table, book)
            if sheet is not None:
                yield from _lines_of_sheet(book, sheet)
            book.close()
    except _BROKEN as error:
        message = _("The file is damaged and cannot be opened")
        raise RuleError(message, code="file_broken") from error


def _require_parsable(archive: zipfile.ZipFile) -> None:
    """Refuse archives that are no plain workbook or too large to parse."""
    names = set(archive.namelist())
    if "[Content_Types].xml" not in names or "xl/vbaProject.bin" in names:
        raise RuleError(_("This is no plain XLSX workbook"), code="file_type")
    size = _Size()
    try:
        for name in names:  # all parts, since the manifest may declare any as a sheet
            with archive.open(name) as part:
                size.add(part)
    except _BROKEN as error:
        message = _("The file is damaged and cannot be opened")
        raise RuleError(message, code="file_broken") from error


class _Size:
    """What openpyxl would have to parse, of all parts together.  Raises RuleError beyond the limits."""

    def __init__(self) -> None:
        self.cells = self.others = 0

    def add(self, part: IO[bytes]) -> None:
        """Count the elements of a part; what is no XML, up to where it is none."""
        parser = expat.ParserCreate()
        parser.ordered_attributes = True
        parser.StartElementHandler = self._count
        parser.CommentHandler = self._measure
        parser.ProcessingInstructionHandler = self._measure
        parser.StartDoctypeDeclHandler = self._refuse
        with contextlib.suppress(expat.ExpatError):
            fed = 0
            while piece := part.read(PIECE):
                parser.Parse(piece)
                fed += len(piece)
                if fed - parser.CurrentByteIndex > LONGEST_TAG + PIECE:
                    self._refuse()  # It waits for the end of a tag or comment.

    def _count(self, name: str, attributes: list[str]) -> None:
        if name.rpartition(":")[2] in _OF_CELLS:
            self.cells += 1
        else:
            self.others += 1
        self._measure(*attributes)
        is_over = len(attributes) > 2 * MOST_ATTRIBUTES
        if is_over or self.cells > MOST_ELEMENTS or self.others > MOST_OTHER_ELEMENTS:
            self._refuse()

    def _measure(self, *texts: str) -> None:
        if sum(map(len, texts)) > LONGEST_TAG:
            self._refuse()

    def _refuse(self, *_arguments: Any) -> None:
        message = _(
            "The workbook holds far more than %(most)d rows need; please copy the rows into a new one",
            most=MOST_ROWS,
        )
        raise RuleError(message, code="file_too_complex")


def _sheet_of(table: Table, book: Any) -> Any:
    """Return the first visible sheet; any other with content is refused by name."""
    seen = [each for each in book.worksheets if each.sheet_state == "visible"]
    if not seen:
        table.refuse(0, "", _("Every sheet of the workbook is hidden"))
        return None
    for each in book.worksheets:
        if each is seen[0] or each.title.startswith(_HOUSEKEEPING) or _is_notes(each):
            continue
        if any(line.cells for line in _lines_of_sheet(book, each)):
            message = _(
                "The sheet %(name)s holds something, too, and only %(first)s would be read; please"
                " delete it or put everything on one sheet",
                name=each.title,
                first=seen[0].title,
            )
            if each.sheet_state != "visible":
                message = _(
                    "The hidden sheet %(name)s holds something; please delete it", name=each.title
                )
            table.refuse(0, "", message)
    return seen[0]


def _is_notes(sheet: Any) -> bool:
    """Tell whether a sheet is the template's notes, in any language."""
    return sheet.title in {str(NOTES), "填写说明", "How to fill in"}


def _lines_of_sheet(book: Any, sheet: Any) -> Iterator[_Line]:
    """Yield the non-empty rows, each cell as displayed, with what is hidden of them."""
    with sheet._get_source() as source:
        # The low-level parser: openpyxl would convert numbers with a time format to times.
        parser = WorkSheetParser(source, sheet._shared_strings, epoch=book.epoch)
        for number, found in parser.parse():
            line: list[Cell] = []
            for each in found:
                if each["value"] is None:
                    continue
                place = min(each["column"] - 1, MOST_COLUMNS)
                line.extend([""] * (place + 1 - len(line)))
                code = cells.format_of(book, each["style_id"])
                line[place] = cells.shown(each["value"], each["data_type"], code, book.epoch)
            if any(line):
                row = parser.row_dimensions.pop(str(number), {})
                yield _Line(number, line, _is_hidden(row, "ht"), _hidden_columns(parser))
        for merged in parser.merged_cells.mergeCell if parser.merged_cells else ():
            yield _Line(0, [], merged=merged.ref)  # in the XML after the rows


def _is_hidden(attributes: Mapping[str, str], size: str) -> bool:
    """Tell whether a row or column is hidden, or too small to be seen."""
    return attributes.get("hidden") in ("1", "true") or float(attributes.get(size, 1)) < TOO_SMALL


def _hidden_columns(parser: Any) -> frozenset[int]:
    return frozenset(
        place
        for each in parser.column_dimensions.values()
        if _is_hidden(each, "width")
        for place in range(int(each["min"]) - 1, min(int(each["max"]), MOST_COLUMNS))
    )


def _refuse_merged(table: Table, ref: str) -> None:
    left, top, _right, _bottom = range_boundaries(ref)
    message = _("The cells %(ref)s are merged, so it is not clear whose value it is", ref=ref)
    table.refuse(top, get_column_letter(left), message)


# From lines to rows -----------------------------------------------------------------------------


def _take(table: Table, lines: Iterator[_Line]) -> None:
    """Read the first line as headings and the others as rows."""
    first = next(lines, _Line(1, []))
    places = _places(table, first.cells if first.number == 1 else [])
    if places is None:
        return
    example = {each.key: each.example for each in table.columns}
    hidden_columns = first.hidden_columns
    for line in lines:
        if line.merged:
            _refuse_merged(table, line.merged)
        if not any(line.cells):
            continue
        if line.number > LAST_LINE or len(table.rows) == MOST_ROWS:
            break
        row = _row(table, line.number, line.cells, places)
        if line.hidden:
            _refuse_hidden_row(table, line)
        hidden_columns |= {
            place for place in line.hidden_columns if any(line.cells[place : place + 1])
        }
        if row.cells == example and any(example.values()):
            table.refuse(line.number, "", _("This is the template's example; please remove it"))
        table.rows.append(row)
    else:
        for key in [key for key, place in places.items() if place in hidden_columns]:
            table.refuse(1, key, _("This column is hidden and holds something"))
        return
    table.rows.clear()
    table.refuse(0, "", _("The table has more than %(most)d rows", most=MOST_ROWS))


def _refuse_hidden_row(table: Table, line: _Line) -> None:
    told = "，".join(each for each in line.cells if isinstance(each, str) and each)
    message = _(
        "This row is hidden, by hand or by a filter, and holds %(told)s; please show or delete it",
        told=told[:LONGEST_TOLD],
    )
    table.refuse(line.number, "", message)


def _places(table: Table, line: Sequence[Cell]) -> dict[str, int] | None:
    """Return each column's index by the headings, or None when they are wrong."""
    earlier = len(table.problems)
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
    return places if len(table.problems) == earlier else None


def _heading(text: str) -> str:
    """Normalise a heading: without star and blanks, brackets of one width."""
    return texts.folded(text).lstrip("*")


def _row(table: Table, number: int, line: Sequence[Cell], places: dict[str, int]) -> Row:
    cells = {}
    for column in table.columns:
        place = places.get(column.key, len(line))
        cell = line[place] if place < len(line) else ""
        if isinstance(cell, UnreadableCell):
            table.refuse(number, column.key, cell.message)
            table.told.add((number, column.key))
        elif not cell and column.is_required:
            table.refuse(number, column.key, _("Please fill this in"))
            table.told.add((number, column.key))
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
        # Text format keeps the digits of long codes; set on the column for rows added later.
        sheet.column_dimensions[get_column_letter(number)].number_format = "@"
    words = {True: str(_("Required")), False: str(_("Optional"))}
    notes = [
        [str(each.title), words[each.is_required], str(each.note), each.example] for each in columns
    ]
    titles = [str(each) for each in (_("Column"), _("Required"), _("Notes"), _("Example"))]
    _write_sheet(book.create_sheet(str(NOTES)), [titles, *notes])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _write_sheet(sheet: Any, lines: Iterable[Sequence[str]]) -> None:
    """Write lines under a bold, frozen heading, with fitting column widths."""
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
