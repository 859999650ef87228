"""XLSX files of lists: one sheet, written row by row in bounded memory, each cell of its own type."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import IO, Any

from rustpy_xlsxwriter import Format, write_worksheet, write_worksheets

from app.views.lists.columns import Column

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MOST_ROWS = 1_048_575  # A sheet has 1,048,576 rows; one is the header.
LONGEST_TEXT = 32_767  # of a cell
EXACT = 2**53  # A spreadsheet's numbers are doubles, exact up to here.
NUMBERS = ("quantity", "change", "number", "money", "money_change")
_FORMATS = {
    "quantity": "#,##0",
    "change": "+#,##0;-#,##0;0",
    "number": "#,##0",
    "money": "#,##0.00",
    "money_change": "+#,##0.00;-#,##0.00;0.00",
    "datetime": "yyyy-mm-dd hh:mm:ss",
    "date": "yyyy-mm-dd",
}
_TEXT = "@"  # The number format for text: it stays text when edited.
_WIDTHS = {"datetime": 20, "date": 12, "quantity": 16, "change": 16, "number": 12, "code": 20}
_USUAL_WIDTH, _WIDEST = 22, 48
_NOT_IN_A_NAME = re.compile(r"[\[\]:*?/\\]")


def write(title: str, columns: Sequence[Column], rows: Iterable[tuple[Any, ...]]) -> IO[bytes]:
    """Return the file, positioned at its start; closing it deletes it.

    Numbers must be numbers, times datetimes without zone; None makes an empty cell.
    """
    keys = _distinct([column.heading for column in columns])
    file = tempfile.NamedTemporaryFile(suffix=".xlsx")  # noqa: SIM115 - the caller closes it.
    try:
        write_worksheet(
            _records(keys, columns, rows),
            file.name,
            sheet_name=_sheet_name(title),
            freeze_row=1,
            bold_headers=True,
            column_widths=[_width(column) for column in columns],
            column_formats=_formats(columns),
            # No "number stored as text" warnings on codes.
            ignore_errors=[
                key for key, each in zip(keys, columns, strict=True) if each.kind not in NUMBERS
            ],
        )
    except BaseException:
        file.close()
        raise
    return file


Table = tuple[str, Sequence[Column], Sequence[tuple[Any, ...]]]  # title, columns, rows


def write_sheets(tables: Sequence[Table]) -> bytes:
    """Return a small file with a sheet a table; titles are all different."""
    named = [(_sheet_name(title), columns, rows) for title, columns, rows in tables]
    file = io.BytesIO()
    write_worksheets(
        [
            (name, list(_records(_distinct([each.heading for each in columns]), columns, rows)))
            for name, columns, rows in named
        ],
        file,
        bold_headers=True,
        column_widths={name: [_width(each) for each in columns] for name, columns, _rows in named},
        column_formats={name: _formats(columns) for name, columns, _rows in named},
    )
    return file.getvalue()


def _sheet_name(title: str) -> str:
    return _NOT_IN_A_NAME.sub(" ", title)[:31].strip("' ") or "1"


def _formats(columns: Sequence[Column]) -> list[Format]:
    return [Format().set_num_format(_FORMATS.get(each.kind, _TEXT)) for each in columns]


def _records(
    keys: Sequence[str], columns: Sequence[Column], rows: Iterable[tuple[Any, ...]]
) -> Iterator[dict[str, Any]]:
    numbers = [key for key, each in zip(keys, columns, strict=True) if each.kind in NUMBERS]
    is_empty = True
    for row in rows:
        is_empty = False
        record = dict(zip(keys, row, strict=True))
        for key in numbers:
            value = record[key]
            if value is not None and not -EXACT <= value <= EXACT:
                record[key] = str(value)
            elif isinstance(value, Decimal):
                record[key] = float(value)  # Exact to the fen below 2**53 / 100 yuan.
        for key, value in record.items():
            if type(value) is str and len(value) > LONGEST_TEXT:
                record[key] = value[:LONGEST_TEXT]
        yield record
    if is_empty:  # The header is read off the first record.
        yield dict.fromkeys(keys)


def _width(column: Column) -> float:
    """Return a width for the heading and usual values: a Chinese character counts twice."""
    heading = sum(2 if ord(character) > 0xFF else 1 for character in column.heading) + 2
    return min(max(heading, _WIDTHS.get(column.kind, _USUAL_WIDTH)), _WIDEST)


def _distinct(headings: Sequence[str]) -> list[str]:
    """Make duplicate headings distinct, since they are the keys of records."""
    seen: dict[str, int] = {}
    for heading in headings:
        seen[heading] = seen.get(heading, 0) + 1
    counts: dict[str, int] = {}
    found = []
    for heading in headings:
        counts[heading] = counts.get(heading, 0) + 1
        found.append(f"{heading} {counts[heading]}" if seen[heading] > 1 else heading)
    return found
