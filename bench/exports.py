"""Large exports through the server, compared with psql's COPY and XlsxWriter."""

from __future__ import annotations

import http.client
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from unittest import mock

import psycopg
import xlsxwriter

from app.views.lists import export
from bench import pages
from bench.measure import Report, interleaved, seconds
from bench.world import World

PATH = pages.LIST + "export.csv"


@dataclass(slots=True)
class _Seen:
    """Measurements of one download."""

    whole: float = 0.0  # seconds
    first: float = 0.0
    size: int = 0


def csv(world: World, report: Report) -> None:
    """Compare the transfer list's CSV through gunicorn with psql's COPY of the same SELECT.

    The SELECT is the page's, formula guard included.  Also measures the worker's peak memory and the
    time to the first byte of the body.
    """
    rows = 120_000 if world.is_quick else 1_000_000
    pages.fill(world, rows)
    cookie = pages.signed_in(world)
    query = f"?created_from=2025-01-01&created_to={_until(rows)}"
    statement = _statement(world, cookie, query)
    with pages.served(world) as (port, pid):
        _download(port, cookie, PATH + query)
        before, peak, done = pages.resident(pid), [0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(pid, peak, done))
        watcher.start()
        seen: list[_Seen] = []

        def ours() -> float:
            seen.append(_download(port, cookie, PATH + query))
            return seen[-1].whole

        found = interleaved(
            2 if world.is_quick else world.rounds,
            {"ours": ours, "psql": partial(seconds, partial(_psql, world, statement))},
        )
        done.set()
        watcher.join()
    size = seen[0].size / 1e6
    report.add(f"psql COPY, {rows:,} rows", found["psql"], "s")
    report.add(
        f"CSV through the server, {rows:,} rows", found["ours"], "s",
        to=("psql COPY", found["psql"]), aim="<= 1.4", note=f"{size:.0f} MB",
    )  # fmt: skip
    report.add(
        "first byte of the CSV", [1000 * each.first for each in seen], "ms", note="aim <= 100 ms"
    )
    report.add("growth of the worker's memory", [peak[0] - before], "MB", note="aim <= 10 MB")


def xlsx(world: World, report: Report) -> None:
    """Compare the transfer list's XLSX through gunicorn with XlsxWriter's for rows of the same shape.

    XlsxWriter, the usual choice, writes constant rows, without a database.
    """
    rows = 20_000 if world.is_quick else 100_000
    pages.fill(world, rows)
    cookie = pages.signed_in(world)
    query = f"export.xlsx?created_from=2025-01-01&created_to={_until(rows)}"
    with pages.served(world) as (port, pid):
        _download(port, cookie, pages.LIST + query)
        before, peak, done = pages.resident(pid), [0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(pid, peak, done))
        watcher.start()
        found = interleaved(
            2 if world.is_quick else world.rounds,
            {
                "ours": lambda: _download(port, cookie, pages.LIST + query).whole,
                "xlsxwriter": partial(seconds, partial(_xlsxwriter, rows)),
            },
        )
        done.set()
        watcher.join()
    report.add(f"XlsxWriter, constant memory, {rows:,} rows", found["xlsxwriter"], "s")
    report.add(
        f"XLSX through the server, {rows:,} rows", found["ours"], "s",
        to=("XlsxWriter", found["xlsxwriter"]), aim="<= 0.6",
    )  # fmt: skip
    report.add("growth of the worker's memory, XLSX", [peak[0] - before], "MB", note="aim <= 20 MB")


def _xlsxwriter(rows: int) -> None:
    with tempfile.NamedTemporaryFile(suffix=".xlsx") as file:
        book = xlsxwriter.Workbook(file.name, {"constant_memory": True})
        sheet = book.add_worksheet()
        for row in range(rows):
            for column in range(7):
                sheet.write_string(row, column, "ZC202600000001")
            sheet.write_number(row, 7, row)
        book.close()


def _until(rows: int) -> str:
    """Return the day of the last row: rows are one second apart, from the start of 2025."""
    day = time.gmtime(time.mktime(time.strptime("2025-01-01", "%Y-%m-%d")) + rows)
    return time.strftime("%Y-%m-%d", day)


def _statement(world: World, cookie: str, query: str) -> str:
    """Return the statement of the page's export, with literal values."""
    found: list[str] = []

    def note(connection, statement):
        compiled = statement.compile(
            dialect=export._DIALECT, compile_kwargs={"render_postcompile": True}
        )
        driver = connection.connection.driver_connection
        found.append(psycopg.ClientCursor(driver).mogrify(str(compiled), compiled.params))
        return original(connection, statement)

    original = export._copy
    with mock.patch.object(export, "_copy", note):
        browser = world.app.test_client(use_cookies=False)
        answer = browser.get(PATH + query, headers={"Cookie": cookie}, buffered=False)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        answer.close()
    return found[0]


def _psql(world: World, statement: str) -> None:
    world.run("psql", "-qc", f"COPY ({statement}) TO STDOUT (FORMAT csv)", "-o", "/dev/null")


def _download(port: int, cookie: str, path: str) -> _Seen:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    began, seen = time.perf_counter(), _Seen()
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    while piece := answer.read1(1 << 16):
        if not seen.size:
            seen.first = time.perf_counter() - began
        seen.size += len(piece)
    seen.whole = time.perf_counter() - began
    connection.close()
    return seen


def _watch(pid: int, peak: list[float], done: threading.Event) -> None:
    while not done.wait(0.05):
        peak[0] = max(peak[0], pages.resident(pid))
