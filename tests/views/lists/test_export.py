"""The export: the list's rows, safe in a spreadsheet, logged, and limited in number."""

from __future__ import annotations

import csv
import io
import threading
from datetime import datetime, timedelta
from urllib.parse import quote

import openpyxl
import pytest
from sqlalchemy import literal, select, text

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import OperationLog
from app.operations.imports import tables
from app.operations.imports.tables import ImportColumn
from app.views.lists import export, workbook
from tests import factories
from tests.views import toys
from tests.views.toys import table


@pytest.fixture
def accounts(app):
    return [
        factories.account("甲电厂", "11", sector="power"),
        factories.account("乙钢铁", "42", sector="steel"),
        factories.account("丙水泥", "42"),
    ]


@pytest.fixture
def browser(toy_app, officer, monkeypatch):
    toys.grant(monkeypatch)
    return toys.open_browser(toy_app, officer)


def rows_of(response) -> list[list[str]]:
    assert response.status_code == 200, response.text
    text = io.StringIO(response.data.decode("utf-8-sig"), newline="")
    # A code of digits comes behind a tab, which who imports it trims.
    return [[cell.removeprefix("\t") for cell in row] for row in csv.reader(text)]


def logged() -> list[OperationLog]:
    db.session.rollback()
    found = select(OperationLog).where(OperationLog.action == "list.export")
    return list(db.session.scalars(found.order_by(OperationLog.id)))


@pytest.mark.parametrize(
    "query",
    ["", "sort=name", "sort=-quantity", "name=甲", "allowed=0&sort=at", "day_from=2026-11-20"],
)
def test_the_file_holds_what_the_list_shows(browser, accounts, officer, query):
    toys.switches(accounts, 40, officer)
    shown = table(browser.get(f"/toys/?size=100&{query}").text)
    header, *rows = rows_of(browser.get(f"/toys/export.csv?{query}"))

    assert header == ["编号", "会员编号", "会员名称", "行业", header[4], "时间", "允许"]
    assert header[4].startswith("数量（")
    assert len(rows) == len(shown) > 0
    for in_file, (_seq, *on_screen, _operations) in zip(rows, shown, strict=True):
        on_screen[4] = on_screen[4].replace(",", "")
        on_screen[3] = on_screen[3].replace("-", "")  # Nothing is "-" on screen, empty in a file.
        assert in_file == on_screen


def test_the_file_is_utf8_with_a_mark_and_has_a_chinese_name(browser, accounts, officer):
    toys.switches(accounts, 1, officer)
    answer = browser.get("/toys/export.csv")

    assert answer.data.startswith("\ufeff编号,会员编号,".encode())
    assert answer.mimetype == "text/csv"
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=\"export.csv\"; filename*=UTF-8''")
    assert quote("玩具_") in disposition
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "no-store" in answer.headers["Cache-Control"]
    assert "Content-Length" not in answer.headers


def test_pages_and_their_size_do_not_cut_the_file(browser, accounts, officer):
    toys.switches(accounts, 25, officer)

    assert len(rows_of(browser.get("/toys/export.csv?size=10&page=2"))) == 26
    assert len(rows_of(browser.get("/toys/export.csv?last=1"))) == 26


def test_the_file_has_the_chosen_columns(browser, accounts, officer):
    toys.switches(accounts, 1, officer)
    browser.post("/toys/columns", data={"column": ["ip", "number", "opened_on"]})
    header, row = rows_of(browser.get("/toys/export.csv"))

    assert header == ["编号", "地址", "开户日"]
    assert row[1] == "10.0.0.0"
    assert len(row[2]) == len("2026-11-20")


@pytest.mark.parametrize(
    "start", [*"=+-@＝＋－＠", "\t=", "\r=", "\n=", " =", "　=", "\xa0\t+", "\ufeff="]
)
def test_no_cell_is_calculated(browser, officer, start):
    name = f'{start}HYPERLINK("http://evil.example","x")'
    toys.switches([factories.account(name)], 1, officer, ip=start)
    browser.post("/toys/columns", data={"column": ["name", "ip", "quantity"]})
    _header, row = rows_of(browser.get("/toys/export.csv"))

    assert row[0] == "'" + name
    assert row[1].isdigit()
    assert row[2] == "'" + start


def test_a_code_of_digits_stays_a_text_in_a_spreadsheet_and_lines_end_as_it_ends_them(
    browser, officer
):
    plant = factories.account("甲\n厂")
    toys.switches([plant], 2, officer)
    browser.post("/toys/columns", data={"column": ["member_no", "name", "quantity"]})
    content = browser.get("/toys/export.csv").data.decode("utf-8-sig")

    assert plant.member_no.isdigit()
    header, first, second, rest = content.split("\r\n")
    assert header.startswith("会员编号,会员名称,")
    for line in (first, second):
        code, name, quantity = line.split(",")
        assert (code, name) == (f"\t{plant.member_no}", '"甲\n厂"')
        assert quantity.isdigit()
    assert rest == ""


def test_an_exported_code_is_imported_as_it_was(browser, accounts, officer):
    """Blanks around a cell are trimmed, by our import too."""
    toys.switches(accounts, 1, officer)
    browser.post("/toys/columns", data={"column": ["member_no"]})
    content = browser.get("/toys/export.csv").data
    read = tables.read(io.BytesIO(content), "x.csv", (ImportColumn("member_no", "会员编号"),))

    assert read.problems == []
    assert [row["member_no"] for row in read.rows] == [accounts[0].member_no]


@pytest.mark.parametrize(
    "name",
    ["a=b", "1-2", "'quoted", '引"号,逗\n号', " 前有空格", "100%", "%s %(x)s {0}", "\\N", "", "🙂"],
)
def test_other_cells_are_left_as_they_are(browser, officer, name):
    toys.switches([factories.account(name)], 1, officer)
    _header, row = rows_of(browser.get("/toys/export.csv"))

    assert row[2] == name


def test_a_stored_value_without_words_is_written_safely(browser, officer):
    toys.switches([factories.account(sector="=1+1")], 1, officer)

    assert rows_of(browser.get("/toys/export.csv"))[1][3] == "'=1+1"


def test_negative_quantities_stay_numbers(browser, accounts, officer, monkeypatch):
    toys.switches(accounts, 1, officer)
    rows = toys.ToyPage.rows

    def negative(self, conditions):
        statement = rows(self, conditions)
        columns = [each for each in statement.selected_columns if each.key != "quantity"]
        change = toys.TransferPermissionChange
        return statement.with_only_columns(*columns, (-change.id).label("quantity"))

    monkeypatch.setattr(toys.ToyPage, "rows", negative)
    assert int(rows_of(browser.get("/toys/export.csv"))[1][4]) < 0


def test_conditions_are_bound_and_never_become_sql(browser, accounts, officer):
    toys.switches(accounts, 3, officer)
    for nasty in ("' OR '1'='1", "%s", "%(name)s", "'; DROP TABLE account; --", "\\", "{}", ":x"):
        answer = browser.get("/toys/export.csv", query_string={"name": nasty})
        assert len(rows_of(answer)) == 1


def test_a_wrong_condition_gives_the_page_and_no_file(browser, accounts, officer):
    toys.switches(accounts, 3, officer)
    answer = browser.get("/toys/export.csv?sector=gold")

    assert answer.status_code == 400
    assert answer.mimetype == "text/html"
    assert 'id="e-sector"' in answer.text
    assert logged() == []


def test_the_file_holds_the_rows_of_ones_scope_alone(toy_app, browser, accounts, officer):
    toys.switches(accounts, 30, officer)
    enterprise = toys.open_browser(toy_app, factories.member("enterprise", of=accounts[0]))
    authority = toys.open_browser(toy_app, factories.member("province", province="42"))

    own = rows_of(enterprise.get("/toys/export.csv"))[1:]
    assert {row[1] for row in own} == {accounts[0].member_no}
    assert len(own) == 10
    foreign = f"/toys/export.csv?account={accounts[1].id}"
    assert rows_of(enterprise.get(foreign))[1:] == []
    province = {row[2] for row in rows_of(authority.get("/toys/export.csv"))[1:]}
    assert province == {"乙钢铁", "丙水泥"}


def test_an_export_is_on_record_before_it_starts_and_when_it_ends(browser, accounts, officer):
    toys.switches(accounts, 7, officer)
    rows_of(browser.get("/toys/export.csv?name=甲&sort=at"))
    before, after = logged()

    assert before.member_id == after.member_id == officer.id
    assert before.subject == after.subject == "ToyPage"
    assert (before.result, after.result) == ("started", "done")
    assert before.detail == {"conditions": {"name": "甲", "sort": "at"}}
    assert after.detail == {"rows": 3}
    assert before.ip == after.ip == "127.0.0.1"


def test_a_receiver_who_goes_away_frees_connection_and_slot(toy_app, browser, accounts, officer):
    toys.switches(accounts, 9000, officer)
    with toy_app.app_context():
        pool = db.engine.pool
        busy = pool.checkedout()
    answer = browser.get("/toys/export.csv", buffered=False)
    pieces = answer.iter_encoded()
    assert next(pieces).startswith(export.BOM)
    assert len(next(pieces)) >= export.CHUNK
    assert pool.checkedout() > busy
    answer.close()

    assert pool.checkedout() == busy
    assert logged()[-1].result == "aborted"
    assert held_locks() == 0
    assert len(rows_of(browser.get("/toys/export.csv"))) == 9001


def test_rows_leave_in_pieces_of_64_kib(browser, accounts, officer):
    toys.switches(accounts, 3000, officer)
    answer = browser.get("/toys/export.csv", buffered=False)
    sizes = [len(piece) for piece in answer.iter_encoded()]
    answer.close()

    assert sizes[0] < 200  # The header leaves at once.
    assert all(export.CHUNK <= size < export.CHUNK + 1000 for size in sizes[1:-1])
    assert len(sizes) > 3


def test_more_exports_than_slots_are_asked_to_wait(toy_app, browser, accounts, officer):
    toys.switches(accounts, 9000, officer)
    others = [toys.open_browser(toy_app, factories.member("auditor")) for _ in range(export.SLOTS)]
    running = [other.get("/toys/export.csv", buffered=False) for other in others]
    refused = browser.get("/toys/export.csv?name=甲")

    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "30"
    assert 'href="/toys/?name=%E7%94%B2"' in refused.text
    for answer in running:
        answer.close()
    assert browser.get("/toys/export.csv").status_code == 200
    assert held_locks() == 0


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_member_has_one_export_at_a_time_and_others_have_theirs(
    toy_app, browser, accounts, officer, form
):
    toys.switches(accounts, 3, officer)
    other = toys.open_browser(toy_app, factories.member("auditor"))
    running = browser.get("/toys/export.csv", buffered=False)
    (started,) = logged()

    refused = browser.get(f"/toys/export.{form}?name=甲")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "30"
    assert "您的另一个文件正在导出" in refused.text
    assert f"{started.at.astimezone(BEIJING):%H:%M:%S}" in refused.text
    assert 'href="/toys/?name=%E7%94%B2"' in refused.text
    assert other.get("/toys/export.csv").status_code == 200
    running.close()
    assert browser.get("/toys/export.csv").status_code == 200
    assert held_locks() == 0


def test_a_member_exports_so_often_in_ten_minutes_and_is_told_when_again(
    toy_app, browser, accounts, officer, monkeypatch, cluster
):
    toys.switches(accounts, 1, officer)
    monkeypatch.setitem(toy_app.config, "EXPORTS_PER_MEMBER", 3)
    other = toys.open_browser(toy_app, factories.member("auditor"))
    for form in ("csv", "xlsx", "csv"):
        assert browser.get(f"/toys/export.{form}").status_code == 200
    first = next(each for each in logged() if each.result == "started")

    refused = browser.get("/toys/export.xlsx")
    assert refused.status_code == 429
    assert 590 < int(refused.headers["Retry-After"]) <= 601
    again = first.at.astimezone(BEIJING) + timedelta(minutes=10)
    assert f"10 分钟内您已导出 3 次，已达上限，请于 {again:%H:%M:%S} 之后再试" in refused.text
    assert other.get("/toys/export.csv").status_code == 200
    assert held_locks() == 0

    with cluster.connect("registry") as connection:
        connection.execute("ALTER TABLE operation_log DISABLE TRIGGER append_only")
        connection.execute(
            f"UPDATE operation_log SET at = at - interval '10 minutes' WHERE id = {first.id}"
        )
        connection.execute("ALTER TABLE operation_log ENABLE TRIGGER append_only")
    assert browser.get("/toys/export.csv").status_code == 200
    assert browser.get("/toys/export.csv").status_code == 429


def test_an_export_only_reads(browser, accounts, officer, monkeypatch):
    toys.switches(accounts, 1, officer)
    statements = []
    original = export._copy

    def noting(connection, statement):
        statements.append(connection.scalar(text("SHOW transaction_read_only")))
        return original(connection, statement)

    monkeypatch.setattr(export, "_copy", noting)
    browser.get("/toys/export.csv")
    assert statements == ["on"]
    # The connection goes back to the pool as it came.
    assert browser.post("/toys/columns", data={"column": "number"}).status_code == 302


def test_exports_at_the_same_time_do_not_mix(toy_app, accounts, officer, monkeypatch):
    toys.grant(monkeypatch)
    toys.switches(accounts, 3000, officer)
    members = [factories.member("enterprise", of=account) for account in accounts]
    browsers = [toys.open_browser(toy_app, member) for member in members]
    found: dict[int, set[str]] = {}

    def run(index):
        rows = rows_of(browsers[index].get("/toys/export.csv"))[1:]
        found[index] = {row[1] for row in rows} if len(rows) == 1000 else set()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(browsers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {index: {account.member_no} for index, account in enumerate(accounts)}


def held_locks() -> int:
    db.session.rollback()
    return db.session.scalar(
        text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid IN (:one, :two)"
        ),
        {"one": export._LOCK, "two": export._MEMBER_LOCK},
    )


# XLSX


def sheet_of(response):
    assert response.status_code == 200, response.text
    return openpyxl.load_workbook(io.BytesIO(response.data)).active


def values_of(response) -> list[list[object]]:
    return [list(row) for row in sheet_of(response).values]


@pytest.mark.parametrize("query", ["", "sort=name", "name=甲", "day_from=2026-11-20"])
def test_the_workbook_holds_what_the_csv_holds(browser, accounts, officer, query):
    toys.switches(accounts, 40, officer)
    expected = rows_of(browser.get(f"/toys/export.csv?{query}"))
    found = values_of(browser.get(f"/toys/export.xlsx?{query}"))

    assert len(found) == len(expected) > 1
    assert found[0] == expected[0]
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        assert [_written(each) for each in ours] == theirs


def _written(value: object) -> str:
    """Return a cell's value as a CSV file has it."""
    return "" if value is None else str(int(value) if isinstance(value, float) else value)


def test_the_workbooks_cells_have_their_types(browser, accounts, officer):
    toys.switches(accounts, 1, officer)
    browser.post("/toys/columns", data={"column": ["number", "quantity", "at", "opened_on"]})
    sheet = sheet_of(browser.get("/toys/export.xlsx"))
    number, quantity, at, opened_on = sheet[2]

    assert number.value.isdigit()
    assert number.number_format == "@"
    assert quantity.data_type == "n"
    assert quantity.number_format == "#,##0"
    assert at.value == datetime(2026, 11, 20, 12, 0)  # noqa: DTZ001 - a sheet's times have no zone.
    assert at.number_format == "yyyy-mm-dd hh:mm:ss"
    assert opened_on.number_format == "yyyy-mm-dd"
    assert sheet.freeze_panes == "A2"
    assert all(cell.font.bold for cell in sheet[1])
    assert sheet.title == "玩具"


@pytest.mark.parametrize("quantity", [2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 0])
def test_a_quantity_is_exact_whatever_its_size(browser, accounts, officer, monkeypatch, quantity):
    toys.switches(accounts, 1, officer)
    rows = toys.ToyPage.rows

    def large(self, conditions):
        statement = rows(self, conditions)
        columns = [each for each in statement.selected_columns if each.key != "quantity"]
        return statement.with_only_columns(*columns, literal(quantity).label("quantity"))

    monkeypatch.setattr(toys.ToyPage, "rows", large)
    cell = sheet_of(browser.get("/toys/export.xlsx"))["E2"]
    is_exact = abs(quantity) <= 2**53
    assert cell.data_type == ("n" if is_exact else "s")
    assert int(cell.value) == quantity


@pytest.mark.parametrize("start", [*"=+-@＝＋－＠", "\t=", " ="])
def test_no_cell_of_a_workbook_is_calculated(browser, officer, start):
    name = f'{start}HYPERLINK("http://evil.example","x")'
    toys.switches([factories.account(name)], 1, officer)
    cell = sheet_of(browser.get("/toys/export.xlsx"))["C2"]

    assert cell.value == name
    assert cell.data_type == "s"
    assert cell.number_format == "@"  # Nor when somebody edits it.


@pytest.mark.parametrize(
    "name", ["_x0041_", " 前后有空格 ", '引号"<&>', "🙂", "第一行\n第二行", "1e5", "0012"]
)
def test_texts_of_a_workbook_are_left_as_they_are(browser, officer, name):
    toys.switches([factories.account(name)], 1, officer)
    value = sheet_of(browser.get("/toys/export.xlsx"))["C2"].value

    assert openpyxl.utils.escape.unescape(value) == name


def test_a_workbook_without_rows_has_its_header(browser):
    found = values_of(browser.get("/toys/export.xlsx?name=nobody"))

    assert found[0][:2] == ["编号", "会员编号"]
    assert [row for row in found[1:] if any(row)] == []


def test_the_workbook_is_sent_as_a_file_of_known_size(browser, accounts, officer):
    toys.switches(accounts, 3, officer)
    answer = browser.get("/toys/export.xlsx")

    assert answer.mimetype == workbook.MEDIA_TYPE
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert quote("玩具_") in answer.headers["Content-Disposition"]
    assert answer.headers["Content-Disposition"].endswith(".xlsx")
    assert "no-store" in answer.headers["Cache-Control"]
    assert held_locks() == 0


def test_a_workbook_is_on_record(browser, accounts, officer):
    toys.switches(accounts, 7, officer)
    browser.get("/toys/export.xlsx?name=甲")
    before, after = logged()

    assert (before.result, after.result) == ("started", "done")
    assert before.detail == {"conditions": {"name": "甲"}, "format": "xlsx"}
    assert after.detail == {"rows": 3}


def test_more_rows_than_a_sheet_holds_are_refused(browser, accounts, officer, monkeypatch):
    toys.switches(accounts, 4, officer)
    monkeypatch.setattr(workbook, "MOST_ROWS", 4)
    assert len(values_of(browser.get("/toys/export.xlsx"))) == 5
    monkeypatch.setattr(workbook, "MOST_ROWS", 3)
    answer = browser.get("/toys/export.xlsx?sort=name")

    assert answer.status_code == 413
    assert "Excel" in answer.text
    assert 'href="/toys/export.csv?sort=name"' in answer.text
    assert logged()[-1].result == "refused"
    assert held_locks() == 0


def test_a_workbook_that_fails_is_on_record_and_leaves_nothing(
    browser, accounts, officer, monkeypatch, tmp_path
):
    toys.switches(accounts, 4, officer)
    monkeypatch.setattr(workbook.tempfile, "tempdir", str(tmp_path))

    def failing(_keys, _columns, rows):
        next(rows)
        raise OSError("the disk is full")

    monkeypatch.setattr(workbook, "_records", failing)
    with pytest.raises(OSError, match="disk is full"):
        browser.get("/toys/export.xlsx")
    assert logged()[-1].result == "aborted"
    assert held_locks() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_workbook_holds_the_rows_of_ones_scope_alone(toy_app, browser, accounts, officer):
    toys.switches(accounts, 30, officer)
    enterprise = toys.open_browser(toy_app, factories.member("enterprise", of=accounts[0]))

    own = values_of(enterprise.get("/toys/export.xlsx"))[1:]
    assert len(own) == 10
    assert accounts[1].name not in str(own)


def test_workbooks_wait_for_a_slot_too(browser, accounts, officer):
    toys.switches(accounts, 9000, officer)
    running = [browser.get("/toys/export.csv", buffered=False) for _ in range(export.SLOTS)]

    assert browser.get("/toys/export.xlsx").status_code == 429
    for answer in running:
        answer.close()
    assert browser.get("/toys/export.xlsx").status_code == 200


def test_a_wrong_condition_gives_no_workbook(browser, accounts):
    assert browser.get("/toys/export.xlsx?sector=gold").status_code == 400
    assert logged() == []
