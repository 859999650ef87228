"""A cell is read as displayed; hidden or rounded content is refused."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest
from openpyxl.utils.datetime import WINDOWS_EPOCH

from app.operations.imports import cells, tables
from app.operations.imports.tables import ImportColumn

FILES = Path(__file__).resolve().parent / "files"
HEADINGS = (
    "会员编号 履约年度 应履约量（吨） 履约截止时间 可用于履约的标的 CCER抵销比例（%）".split()
)
KEYS = "member_no year obligation deadline instruments offset_percent".split()
COLUMNS = tuple(
    ImportColumn(key, title, is_required=key != "offset_percent")
    for key, title in zip(KEYS, HEADINGS, strict=True)
)
LINE = ["21042300007", 2026, 1000, "2028-12-31", "PE2026000001", ""]


@pytest.fixture(autouse=True)
def _context(app):
    """Messages are put into words."""


def read(content: bytes, name: str = "通知书.xlsx"):
    return tables.read(io.BytesIO(content), name, COLUMNS)


def given(name: str):
    return read((FILES / name).read_bytes(), name)


def saved(book) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def workbook(*lines):
    book = openpyxl.Workbook()
    for line in (HEADINGS, *(lines or (LINE,))):
        book.active.append(line)
    return book, book.active


def problems(table) -> list[tuple[int, str, str]]:
    return [(each.row, each.column, str(each.message)) for each in table.problems]


def shown(value, code):
    found = cells.shown(value, "n", code, WINDOWS_EPOCH)
    return found if isinstance(found, str) else None


# The files that people sent --------------------------------------------------------------------


def test_a_cell_shown_as_five_per_cent_is_five_per_cent():
    table = given("01_percent_cell_5pct.xlsx")

    assert problems(table) == []
    assert table.rows[0]["offset_percent"] == "5%"


def test_a_row_that_a_filter_hides_is_refused_with_what_it_holds():
    (problem,) = problems(given("02_filtered_hidden_row.xlsx"))

    assert problem[0] == 3
    assert "hidden" in problem[2]
    assert "21042300031，2026，77777" in problem[2]


@pytest.mark.parametrize("id_", [27, 28, 31, 57, 58])
def test_the_dates_that_a_chinese_excel_has_built_in_are_dates(id_):
    table = given(f"04_date_builtin_format_{id_}.xlsx")

    assert problems(table) == []
    assert table.rows[0]["deadline"] == "2026-12-31"


def test_a_date_as_excel_writes_it_back_is_read():
    line = ["21042300028", "2021", "1000", "2026/12/31", "PE2026000001", ""]
    content = "".join(",".join(each) + "\r\n" for each in (HEADINGS, line)).encode("gb18030")
    table = read(content, "05_date_as_excel_saves_csv.csv")

    assert problems(table) == []
    assert table.rows[0]["deadline"] == "2026/12/31"


def test_a_blank_formatted_cell_in_the_last_row_is_no_row():
    table = given("09_one_blank_formatted_cell_last_row.xlsx")

    assert problems(table) == []
    assert [row.number for row in table.rows] == [2]


# Formats -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "code", "expected"),
    [
        (1000, "General", "1000"),
        (1000.0, "0", "1000"),
        (1234567, "#,##0", "1234567"),
        (1234567, "#,##0_);[Red](#,##0)", "1234567"),
        (1234.5, "#,##0.00", "1234.5"),
        (7, "000000", "000007"),
        (0.05, "0%", "5%"),
        (0.055, "0.0%", "5.5%"),
        (0.07, "0.00%", "7%"),
        (100, '0"吨"', "100"),
        (100, "0吨", "100"),
        (2026, "General年", "2026"),
        (5, '"¥"#,##0', "5"),
        (0, '_ * #,##0_ ;_ * -#,##0_ ;_ * "-"_ ;_ @_ ', "0"),
        (-5, "0", "-5"),
        (-5, "#,##0;(#,##0)", "-5"),
        (5, "[$-804]General", "5"),
        (5, "[DBNum1][$-804]General", "5"),
    ],
)
def test_a_format_that_leaves_the_figure_alone_is_read(value, code, expected):
    assert shown(value, code) == expected


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0.055, "0%"),  # shows 6%
        (1234.56, "0"),  # shows 1235
        (1234567, "#,##0,"),  # shows 1,235
        (1234567, '0!.0,"万"'),  # shows 123.5万
        (1234567, "0.0,,"),
        (5, '0"万"'),
        (5, '0"千吨"'),
        (5, "0‰"),
        (5, '0"%"'),
        (5, ";;;"),
        (0, '0;-0;""'),
        (-5, "0;0"),  # shows 5
        (20261231, "0000-00-00"),
        (0.5, "# ?/?"),
        (12345678, "0.00E+00"),
        (5, '[>=10000]0"大";0'),
        (5, '"五"'),
    ],
)
def test_a_format_that_shows_something_else_is_refused_with_both(value, code):
    found = cells.shown(value, "n", code, WINDOWS_EPOCH)

    assert isinstance(found, cells.UnreadableCell)
    assert str(value) in str(found.message)
    assert code[:5] in str(found.message)


DAY, NOON = 46387, 46387.5


@pytest.mark.parametrize(
    ("value", "code", "expected"),
    [
        (DAY, "yyyy/m/d", "2026-12-31"),
        (DAY, "[$-804]yyyy年m月d日", "2026-12-31"),
        (DAY, "[DBNum1][$-804]yyyy年m月d日", "2026-12-31"),
        (DAY, "d-mmm-yy", "2026-12-31"),
        (DAY, 'm"月"d"日";@', "2026-12-31"),
        (NOON, "yyyy-mm-dd hh:mm", "2026-12-31 12:00:00"),
        (NOON, "yyyy-mm-dd", "2026-12-31"),  # the noon is not shown
        (NOON, "h:mm", "12:00:00"),  # nor is the day here
        (0.5, 'h"时"mm"分"', "12:00:00"),
        (-1, "yyyy-mm-dd", None),
        (0.5, "yyyy-mm-dd", None),
        (NOON, "[h]:mm", None),
    ],
)
def test_a_date_is_read_as_far_as_it_is_shown(value, code, expected):
    assert shown(value, code) == expected


def test_every_east_asian_format_is_a_date_or_a_time():
    assert set(cells.EAST_ASIAN) == {*range(27, 37), *range(50, 59)}
    for code in cells.EAST_ASIAN.values():
        assert shown(NOON, code) in ("2026-12-31", "12:00:00")


def test_the_1904_date_system_is_respected():
    book, sheet = workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    sheet["D2"] = datetime(2028, 12, 31)  # noqa: DTZ001
    assert read(saved(book)).rows[0]["deadline"] == "2028-12-31"


# What is hidden, merged, or on another sheet ------------------------------------------------------


def test_a_hidden_column_is_refused_by_its_heading():
    book, sheet = workbook()
    sheet.column_dimensions["C"].hidden = True
    assert problems(read(saved(book))) == [
        (1, "应履约量（吨）", "This column is hidden and holds something")
    ]


def test_a_row_of_no_height_is_hidden():
    book, sheet = workbook(LINE, ["21042300008", *LINE[1:]])
    sheet.row_dimensions[3].height = 0.1
    assert [row for row, _column, _message in problems(read(saved(book)))] == [3]


def test_a_hidden_row_that_is_blank_is_no_row():
    book, sheet = workbook()
    sheet.row_dimensions[3].hidden = True
    sheet["A3"].number_format = "0.00"
    assert problems(read(saved(book))) == []


def test_a_filter_that_hides_nothing_is_no_fault():
    book, sheet = workbook()
    sheet.auto_filter.ref = "A1:F2"
    assert problems(read(saved(book))) == []


def test_merged_cells_are_refused_where_they_stand():
    book, sheet = workbook(LINE, ["21042300008", *LINE[1:]])
    sheet.merge_cells("D2:D3")
    found = problems(read(saved(book)))
    assert (2, "D") in {(row, column) for row, column, _message in found}
    assert any("D2:D3 are merged" in message for _row, _column, message in found)


@pytest.mark.parametrize("state", ["visible", "hidden", "veryHidden"])
def test_another_sheet_that_holds_something_is_refused_by_name(state):
    book, _sheet = workbook()
    other = book.create_sheet("二月")
    other.sheet_state = state
    assert problems(read(saved(book))) == []
    other["B7"] = 1
    ((row, _column, message),) = problems(read(saved(book)))
    assert (row, "二月" in message) == (0, True)
    assert ("hidden" in message) is (state != "visible")


def test_the_first_sheet_that_is_seen_is_read():
    book, sheet = workbook()
    book.move_sheet(book.create_sheet("空"), -1)
    book.worksheets[0].sheet_state = "hidden"
    book.active = 1
    assert sheet.title == "Sheet"
    assert len(read(saved(book)).rows) == 1


# Texts and errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("#N/A", "This is a spreadsheet's error value: #N/A"),
        ("4.2E+17", "The number has lost digits; please format the column as text"),
        ("2104\u202e2300007", "Character 5 is U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\ufeff\u200b21042300007", "Character 1 is U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("21042300007\ue000", "Character 12 is U+E000"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_text_that_is_none_is_refused_with_what_was_read(form, typed, told):
    line = [typed, *map(str, LINE[1:])]
    book, _sheet = workbook(line)
    content = f"{','.join(HEADINGS)}\r\n{','.join(line)}\r\n".encode()
    found = problems(read(content if form == "csv" else saved(book), f"a.{form}"))

    assert [(row, column) for row, column, _message in found] == [(2, "会员编号")]
    assert found[0][2].startswith(told)


def test_blanks_around_a_text_are_dropped_whatever_their_kind():
    book, sheet = workbook(["\xa0\u300021042300007 \t", *LINE[1:]])
    sheet["A2"].quotePrefix = True
    assert read(saved(book)).rows[0]["member_no"] == "21042300007"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_of_any_region_and_encoding_is_read(encoding, delimiter):
    lines = [HEADINGS, list(map(str, LINE))]
    table = read("\r\n".join(delimiter.join(line) for line in lines).encode(encoding), "a.csv")

    assert problems(table) == []
    assert table.rows[0]["obligation"] == "1000"


def test_a_csv_of_a_million_blank_lines_is_its_one_row():
    content = (
        ",".join(HEADINGS) + "\r\n" + ",".join(map(str, LINE)) + "\r\n" + ",,,,,\r\n" * 1_048_574
    )
    assert len(read(content.encode(), "a.csv").rows) == 1


# Size --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "piece"), [("xl/sharedStrings.xml", b"<si/>"), ("xl/strings.bin", b"<si></si>")]
)
def test_more_than_any_table_needs_is_refused_before_it_is_parsed(part, piece):
    """7 MB of empty shared strings took 30 seconds and 600 MB."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(FILES / "01_percent_cell_5pct.xlsx") as source,
        zipfile.ZipFile(buffer, "w") as copy,
    ):
        for name in source.namelist():
            copy.writestr(name, source.read(name))
        copy.writestr(part, b"<sst>" + piece * 1_000_001 + b"</sst>")
    content = buffer.getvalue()
    assert len(content) < tables.LARGEST

    assert problems(read(content)) == [
        (
            0,
            "",
            "The workbook holds far more than 10000 rows need; please copy the rows into a new one",
        )
    ]
