"""Tables as files: what is read, what is refused, and positions of errors."""

from __future__ import annotations

import io
import zipfile

import openpyxl
import pytest
from sqlalchemy import func, select

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models.files import ImportFile
from app.operations.imports import tables
from app.operations.imports.tables import ImportColumn, Problem
from app.operations.records import clock
from app.operations.records.actor import SYSTEM

COLUMNS = (
    ImportColumn("member_no", "会员编号", "21042300007", "十一位数字"),
    ImportColumn("quantity", "数量（吨）", "1000"),
    ImportColumn("note", "备注", is_required=False),
)


@pytest.fixture(autouse=True)
def _context(app):
    """Messages are put into words."""


def read(content: bytes, name: str = "配额.csv"):
    return tables.read(io.BytesIO(content), name, COLUMNS)


def workbook(*lines, **cells) -> bytes:
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    for place, value in cells.items():
        book.active[place] = value
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def values(table) -> list[list[str]]:
    assert table.problems == []
    return [list(row.cells.values()) for row in table.rows]


def problems(table) -> list[tuple[int, str, str]]:
    return [(each.row, each.column, str(each.message)) for each in table.problems]


TEXT = "会员编号,数量（吨）,备注\n21042300001,1000,\n\n21042300002,2000,核定\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("gb18030"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("会员编号,", "*会员编号 ,").replace("（吨）", "(吨)").encode(),
    ],
)
def test_a_csv_is_read_in_every_usual_encoding(content):
    table = read(content)

    assert values(table) == [["21042300001", "1000", ""], ["21042300002", "2000", "核定"]]
    assert [row.number for row in table.rows] == [2, 4]  # As a spreadsheet numbers them.


def test_columns_may_stand_in_any_order_and_optional_ones_be_missing():
    table = read("数量（吨）,会员编号\n5,甲\n".encode())

    assert table.rows[0].cells == {"member_no": "甲", "quantity": "5", "note": ""}


def test_a_workbook_is_read_as_a_person_would_type_it():
    head = [each.title for each in COLUMNS]
    table = read(workbook(head, [21042300001, 1000.0, None], ["0012", 0.5, True]), "配额.xlsx")

    assert values(table) == [["21042300001", "1000", ""], ["0012", "0.5", "TRUE"]]


def test_dates_of_a_workbook_are_written_out(app):
    from datetime import datetime

    head = [each.title for each in COLUMNS]
    table = read(workbook(head, ["a", "1", datetime(2026, 11, 20)]), "x.xlsx")  # noqa: DTZ001

    assert table.rows[0]["note"] == "2026-11-20"


def test_every_problem_is_told_by_row_and_column():
    table = read("会员编号,数量（吨）,备注\n,=1+1,\n甲,1,好,多\n".encode())

    assert problems(table) == [
        (2, "会员编号", "Please fill this in"),
        (2, "数量（吨）", "This is a formula; please enter its value"),
        (3, "", "There is something beyond the last column"),
    ]


@pytest.mark.parametrize("formula", ["=1+1", "=HYPERLINK(1)", "＝A1"])
def test_formulas_of_a_workbook_are_refused_whatever_their_result(formula):
    head = [each.title for each in COLUMNS]
    table = read(workbook(head, ["a", formula, None]), "x.xlsx")

    assert problems(table) == [(2, "数量（吨）", "This is a formula; please enter its value")]


def test_a_number_that_lost_digits_is_refused():
    head = [each.title for each in COLUMNS]
    table = read(workbook(head, [911100001000013428, 1]), "x.xlsx")

    assert problems(table) == [
        (2, "会员编号", "The number has lost digits; please format the column as text")
    ]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("会员编号,备注", [(1, "数量（吨）", "This column is missing")]),
        ("会员编号,数量（吨）,价格", [(1, "价格", "The template has no such column")]),
        ("会员编号,会员编号,数量（吨）", [(1, "会员编号", "This column stands there twice")]),
    ],
)
def test_wrong_headings_are_refused_before_any_row(head, expected):
    table = read(f"{head}\n1,2,3\n".encode())

    assert problems(table) == expected
    assert table.rows == []


def test_the_templates_example_is_no_row():
    table = read(tables.template(COLUMNS, "csv"))

    assert problems(table) == [(2, "", "This is the template's example; please remove it")]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_filled_in_template_is_read_again(form):
    content = tables.template(COLUMNS, form)
    name = f"模板.{form}"
    assert [each.row for each in read(content, name).problems] == [2]
    if form == "xlsx":
        book = openpyxl.load_workbook(io.BytesIO(content))
        assert book.active.freeze_panes == "A2"
        assert book.active["A1"].font.bold
        assert book.active["A2"].number_format == "@"
        book.active["B2"] = "77"
        buffer = io.BytesIO()
        book.save(buffer)
        content = buffer.getvalue()
    else:
        content = content.replace(b",1000,", b",77,")
    assert values(read(content, name)) == [["21042300007", "77", ""]]


def _zip(*parts) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return buffer.getvalue()


BOMB = _zip(("[Content_Types].xml", "x"), ("xl/worksheets/sheet1.xml", b"0" * 30_000_000))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "a.csv", "The file is empty"),
        (b"x" * (tables.LARGEST + 1), "a.csv", "The file is larger than 10 MB"),
        (
            TEXT.encode(),
            "a.xls",
            "Only CSV and XLSX files can be imported; please save the table as one of them",
        ),
        (
            TEXT.encode(),
            "a.xlsx",
            "Only CSV and XLSX files can be imported; please save the table as one of them",
        ),
        (
            BOMB,
            "a.csv",
            "Only CSV and XLSX files can be imported; please save the table as one of them",
        ),
        (BOMB, "a.xlsx", "The file unpacks to far more than its size; it is not accepted"),
        (b"PK\x03\x04broken", "a.xlsx", "The file is damaged and cannot be opened"),
        (
            _zip(("[Content_Types].xml", "no xml")),
            "a.xlsx",
            "The file is damaged and cannot be opened",
        ),
        (_zip(("word/document.xml", "x")), "a.xlsx", "This is no plain XLSX workbook"),
        (
            _zip(("[Content_Types].xml", "x"), ("xl/vbaProject.bin", "x")),
            "a.xlsx",
            "This is no plain XLSX workbook",
        ),
        (
            b"\xff\xfe\x00\xd8\x00",
            "a.csv",
            "The characters cannot be read; please save the file as CSV UTF-8 or as XLSX",
        ),
        (
            '会员编号,数量（吨）\n"a'.encode(),
            "a.csv",
            "The file is no well-formed CSV; please save it anew from a spreadsheet",
        ),
        (b"\n", "a.csv", "The table has no rows"),
        ("会员编号,数量（吨）\n".encode(), "a.csv", "The table has no rows"),
    ],
)
def test_what_is_no_table_is_refused_as_a_whole(content, name, message):
    table = read(content, name)

    assert table.rows == []
    assert (0, "", message) in problems(table) or table.problems[0].row == 1


def changed(part: str, before: bytes, more: bytes) -> bytes:
    """A workbook with two rows, and more of one part before a tag."""
    whole = workbook([each.title for each in COLUMNS], ["21042300001", "1"])
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    content = parts.get(part, before)  # openpyxl writes no shared strings.
    assert before in content
    parts[part] = content.replace(before, more + before, 1)
    return _zip(*parts.items())


SHEET, STYLES, BOOK = "xl/worksheets/sheet1.xml", "xl/styles.xml", "xl/workbook.xml"
STRINGS, TYPES = "xl/sharedStrings.xml", "[Content_Types].xml"
NAMED = b"".join(b'<definedName name="a%d">x</definedName>' % n for n in range(101_000))
MERGED = b"".join(b'<mergeCell ref="A%d:B%d"/>' % (n, n) for n in range(1, 101_000))
MANY = b" ".join(b'a%d=""' % n for n in range(50_000))
FAR_MORE = "The workbook holds far more than 10000 rows need; please copy the rows into a new one"
UNPACKS = "The file unpacks to far more than its size; it is not accepted"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(STRINGS, b"</sst>", b"<si><t>x</t></si>" * 400_000), UNPACKS),
        (changed(SHEET, b"</row>", b'<c r="Z1"/>' * 600_000), UNPACKS),
        (changed(STYLES, b"</cellXfs>", b'<xf numFmtId="0"/>' * 400_000), UNPACKS),
        (changed(TYPES, b"</Types>", b"<Default/>" * 101_000), FAR_MORE),
        (changed(STYLES, b"</cellXfs>", b"<xf/>" * 101_000), FAR_MORE),
        (changed(SHEET, b"</sheetData>", b"<row><c/><v/></row>" * 260_000), FAR_MORE),
        (changed(SHEET, b"</worksheet>", MERGED), FAR_MORE),
        (changed(BOOK, b"</workbook>", NAMED), FAR_MORE),
        (changed(BOOK, b"</workbook>", b"<a " + MANY + b"/>"), FAR_MORE),
        (changed(BOOK, b"</workbook>", b"<a b='" + b"x" * 300_000 + b"'/>"), FAR_MORE),
        (changed(SHEET, b"</worksheet>", b"<!--" + b"x>" * 300_000 + b"-->"), FAR_MORE),
        (changed(SHEET, b"<worksheet", b"<!DOCTYPE worksheet>"), FAR_MORE),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value[:12],
)
def test_what_would_take_long_to_parse_is_refused_in_every_part(content, message, monkeypatch):
    monkeypatch.setattr(tables.openpyxl, "load_workbook", None)  # not reached
    # The first three have to exceed the ratio, not the number of elements.
    monkeypatch.setattr(tables, "MOST_ELEMENTS", 750_000)
    assert problems(read(content, "x.xlsx")) == [(0, "", message)]


def test_parts_that_lie_about_their_size_are_not_unpacked_further():
    """The directory says 1,000 bytes of a sheet; more are there."""
    content = changed(SHEET, b"</sheetData>", b" " * 2_000_000)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = archive.getinfo(SHEET).file_size
    lying = content.replace(size.to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert lying != content
    assert problems(read(lying, "x.xlsx")) == [(0, "", "The file is damaged and cannot be opened")]


def test_ten_thousand_rows_and_no_more():
    head = "会员编号,数量（吨）\n"
    assert len(read((head + "a,1\n" * 10_000).encode()).rows) == 10_000
    table = read((head + "a,1\n" * 10_001).encode())
    assert problems(table) == [(0, "", "The table has more than 10000 rows")]
    assert table.rows == []


def test_a_cell_at_the_end_of_the_sheet_is_not_read_for_ever():
    head = [each.title for each in COLUMNS]
    table = read(workbook(head, ["a", 1], XFD1048576="x"), "x.xlsx")

    assert problems(table) == [(0, "", "The table has more than 10000 rows")]


def test_the_same_file_is_imported_once_whatever_its_name(app):
    first, again = read(TEXT.encode()), read(TEXT.encode(), "另一个名字.csv")
    with transaction():
        tables.remember("allocation", first, SYSTEM, clock.now())
        tables.remember("notice", first, SYSTEM, clock.now())

    with pytest.raises(RuleError, match=r"imported before, as 配额\.csv"), transaction():
        tables.remember("allocation", again, SYSTEM, clock.now())
    assert db.session.scalar(select(func.count()).select_from(ImportFile)) == 2


def test_problems_of_the_caller_stand_beside_our_own():
    table = read(TEXT.encode())
    table.refuse(2, "member_no", "没有这个会员")

    assert table.problems == [Problem(2, "会员编号", "没有这个会员")]
    assert not table.is_clear
