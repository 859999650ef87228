"""List pages over a large table, in process and through the server, compared with stock FAB."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import event

from app import embedded
from app.extensions import db, transaction
from app.operations.people.members import NewMember, register_member
from app.security import sessions
from bench.measure import Report, interleaved
from bench.world import FIRST_ACCOUNT, MORNING, World

ROOT = Path(__file__).resolve().parent.parent
LIST = "/transfers/registry-to-trading/"
STOCK = "/applicationview/list/?psize_ApplicationView=20&page_ApplicationView="
OFFICER = "bench-officer"


def fill(world: World, rows: int) -> None:
    """Add closed applications of the past, without postings, which lists do not read.

    Copied by the superuser without foreign key checks, since only reading is measured.
    """
    with world.superuser() as connection:
        present = connection.execute("SELECT count(*) FROM application").fetchone()[0]
        if present >= rows:
            return
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        connection.execute(
            _FILL.format(
                rows=rows - present,
                first=FIRST_ACCOUNT,
                accounts=world.accounts,
                instruments=world.instruments,
            )
        )
        connection.execute("VACUUM ANALYZE application")
        connection.execute("VACUUM ANALYZE application_line")


_FILL = """
WITH made AS (
  INSERT INTO application (number, kind, account_id, status, version, request_key, reason, created_at,
                           submitted_at, settles_on)
  SELECT 'DJ2025' || lpad(n::text, 8, '0'), 'registry_to_trading', {first} + n % {accounts}, 'withdrawn', 2,
         'filled:' || n, '年度交易计划', timestamptz '2025-01-01' + n * interval '1 second',
         timestamptz '2025-01-01' + n * interval '1 second', date '2025-01-02'
    FROM generate_series(1, {rows}) AS n RETURNING id)
INSERT INTO application_line (application_id, instrument_id, quantity, venue_id)
SELECT id, 1 + id % {instruments}, 1 + id % 1000, 1 FROM made
"""


def lists(world: World, report: Report) -> None:
    """Compare the transfer list's first and deepest page with stock FAB's list of the same table.

    Stock FAB is a ModelView with the same columns in an application of its own.  In process with the
    test client; through gunicorn (4 threads) with 4 connections.
    """
    rows = 1_000_000 if world.is_quick else 10_000_000
    fill(world, rows)
    cookie = signed_in(world)
    with _stock(world) as (stock_port, stock_cookie), served(world) as (port, _pid):
        ours, theirs = _Visitor(port, cookie), _Visitor(stock_port, stock_cookie)
        browser = in_process(world, cookie)
        deepest = rows // 20 - 1
        found = interleaved(
            world.rounds,
            {
                "first": lambda: _milliseconds(lambda: browser(LIST)),
                "deepest": lambda: _milliseconds(lambda: browser(LIST + "?last=1")),
                "stock first": lambda: _milliseconds(lambda: theirs.get(STOCK + "0"), times=3),
                "stock deepest": lambda: _milliseconds(
                    lambda: theirs.get(f"{STOCK}{deepest}"), times=1
                ),
                "served first": lambda: _milliseconds(lambda: ours.get(LIST)),
            },
            warm_up=True,
        )
        size = f"{rows:,} rows"
        queries = count_queries(world, lambda: browser(LIST + "?last=1"))
        report.add(
            f"list, first page, in process, {size}", found["first"], "ms",
            note=f"{queries} queries; aim <= 8 queries, <= 20 ms",
        )  # fmt: skip
        report.add(
            f"list, deepest page, in process, {size}", found["deepest"], "ms",
            to=("first page", found["first"]), aim="<= 1.3",
        )  # fmt: skip
        report.add(
            f"stock FAB, first page, served, {size}", found["stock first"], "ms",
            to=("our first page, served", found["served first"]),
        )  # fmt: skip
        report.add(
            f"stock FAB, deepest page, served, {size}", found["stock deepest"], "ms",
            to=("our first page, served", found["served first"]),
        )  # fmt: skip
        _load(world, report, (port, cookie, LIST), (stock_port, stock_cookie, STOCK + "0"))


def as_of(world: World, report: Report) -> None:
    """Compare the holdings as of a past moment with the holdings now, in process."""
    _move_until(world, 400_000 if world.is_quick else 10_000_000)
    cookie = signed_in(world)
    browser = in_process(world, cookie)
    with world.superuser() as connection:
        connection.execute("VACUUM ANALYZE entry")
        connection.execute("VACUUM ANALYZE holding")
        entries = connection.execute("SELECT count(*) FROM entry").fetchone()[0]
    found = interleaved(
        world.rounds,
        {
            "now": lambda: _milliseconds(lambda: browser("/holdings/")),
            "then": lambda: _milliseconds(
                lambda: browser("/holdings/?as_of=2026-11-20+12:00:00"), times=2
            ),
        },
        warm_up=True,
    )
    report.add("holdings now, in process", found["now"], "ms")
    report.add(
        f"holdings as of a moment, {entries:,} entries", found["then"], "ms",
        to=("holdings now", found["now"]), aim="<= 5",
    )  # fmt: skip


def _move_until(world: World, entries: int) -> None:
    """Post movements up to this number of entries, including those of earlier cases."""
    with world.superuser() as connection:
        while True:
            present = connection.execute("SELECT count(*) FROM entry").fetchone()[0]
            if present >= entries:
                return
            rows = min(500_000, (entries - present + 1) // 2)
            connection.execute(
                _MOVE.format(
                    rows=rows,
                    first=FIRST_ACCOUNT,
                    accounts=world.accounts,
                    instruments=world.instruments,
                    now=MORNING.isoformat(),
                )
            )


_MOVE = """
WITH made AS (
  INSERT INTO posting (business, stage, request_key, leads)
  VALUES ('bench', 'approval', gen_random_uuid()::text, true) RETURNING id)
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,
                      to_account, to_bucket)
SELECT made.id, '{now}', 1 + n / {accounts} % {instruments}, 1, {first} + n % {accounts}, 5,
       {first} + (n + 1) % {accounts}, 5
  FROM made, generate_series(1, {rows}) AS n
"""


def _load(world: World, report: Report, ours: tuple, theirs: tuple) -> None:
    """Compare pages per second over 4 connections."""
    found = interleaved(
        world.rounds,
        {
            "ours": lambda: _pages_a_second(*ours, seconds=world.seconds),
            "stock": lambda: _pages_a_second(*theirs, seconds=world.seconds),
        },
    )
    report.add("stock FAB, first page, 4 connections", found["stock"], "pages/s")
    report.add(
        "list, first page, 4 connections", found["ours"], "pages/s",
        to=("stock FAB", found["stock"]), aim=">= 5",
    )  # fmt: skip


# Clients ------------------------------------------------------------------------------------


def signed_in(world: World) -> str:
    """Return the cookie of a registry officer, who sees every row."""
    with world.app.test_request_context("/"):
        with transaction():
            known = db.session.execute(
                db.text("SELECT id FROM ab_user WHERE username = :name"), {"name": OFFICER}
            ).scalar()
            member = known or register_member(
                NewMember(OFFICER, "经办", "registry_maker"), "Bench-2026-carbon", must_change=False
            )
            token = sessions.begin(member, ip="127.0.0.1")
        db.session.remove()
    browser = world.app.test_client()
    with browser.session_transaction() as session:
        session["token"] = token
    name = world.app.config["SESSION_COOKIE_NAME"]
    return f"{name}={browser.get_cookie(name).value}"


def in_process(world: World, cookie: str) -> Callable[[str], str]:
    """Return a function that gets a page from the application, without a server."""
    browser = world.app.test_client(use_cookies=False)

    def get(path: str) -> str:
        answer = browser.get(path, headers={"Cookie": cookie})
        assert answer.status_code == 200, (path, answer.status_code, answer.location)
        return answer.get_data(as_text=True)

    return get


def count_queries(world: World, act: Callable[[], object]) -> int:
    """Return the number of statements of an act."""
    sent: list[str] = []
    with world.app.app_context():
        engine = db.engine

    def note(_connection, _cursor, statement, *_rest) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(sent)


class _Visitor:
    """A persistent connection."""

    def __init__(self, port: int, cookie: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.cookie = cookie

    def get(self, path: str) -> bytes:
        self.connection.request("GET", path, headers={"Cookie": self.cookie})
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, answer.getheader("Location"))
        return body


def _milliseconds(act: Callable[[], object], *, times: int = 5) -> float:
    began = time.perf_counter()
    for _ in range(times):
        act()
    return 1000 * (time.perf_counter() - began) / times


def _pages_a_second(port: int, cookie: str, path: str, *, seconds: float) -> float:
    until = time.perf_counter() + seconds
    counts = [0] * 4

    def visit(number: int) -> None:
        visitor = _Visitor(port, cookie)
        while time.perf_counter() < until:
            visitor.get(path)
            counts[number] += 1

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


# Servers ------------------------------------------------------------------------------------


@contextmanager
def served(world: World, workers: int = 1) -> Iterator[tuple[int, int]]:
    """Serve the application under measurement; yield port and the first worker's pid."""
    with _gunicorn(world, "bench.served:registry()", embedded.APP, "/sign-in", workers) as found:
        yield found


@contextmanager
def _stock(world: World) -> Iterator[tuple[int, str]]:
    with _gunicorn(world, "bench.served:stock()", embedded.SUPERUSER, "/login/") as (port, _pid):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/bench-login")
        answer = connection.getresponse()
        answer.read()
        yield port, answer.getheader("Set-Cookie").split(";")[0]


@contextmanager
def _gunicorn(
    world: World, app: str, role: str, path: str, workers: int = 1
) -> Iterator[tuple[int, int]]:
    port = embedded.free_port()
    environment = {
        **os.environ,
        "BENCH_URL": world.cluster.url(role),
        "BENCH_OWNER_URL": world.cluster.url(embedded.OWNER),
        "PORT": "8080",
    }
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread"]
    command += ["--workers", str(workers)]
    command += ["--threads", "4", "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    command += ["--no-control-socket", "--timeout", "300", "--keep-alive", "75", app]
    server = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        _wait_for(port, path)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        yield port, int(children[0])
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, path: str) -> None:
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server does not answer")


def resident(pid: int) -> float:
    """Return a process's resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024
