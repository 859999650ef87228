"""The one export path: CSV streamed from the database's COPY, and XLSX."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import psycopg
from flask import Flask, Response, current_app, render_template
from flask_babel import gettext as _
from sqlalchemy import (
    Connection,
    Date,
    DateTime,
    Integer,
    Select,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from werkzeug.wsgi import ClosingIterator

from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.operations.records.actor import Actor
from app.operations.records.log import record
from app.views.lists import workbook
from app.views.lists.columns import Column
from app.views.page import current_actor

Answer = Response | tuple[str, int] | tuple[str, int, dict[str, str]]

SLOTS = 3  # Concurrent exports, all servers of one database together; one of them a member's.
WINDOW = timedelta(minutes=10)  # in which a member's exports are counted
LONGEST = "10min"  # A slow client does not hold a snapshot open any longer.
CHUNK = 64 * 1024
BOM = b"\xef\xbb\xbf"  # Makes Excel read UTF-8.
END = b"\r\n"  # Line end of RFC 4180 and Excel.
_LOCK = 7_214_001  # Class of our advisory locks; the second key is the slot.
_MEMBER_LOCK = 7_214_002  # Class; the second key is the member.
_RECENT = 1_000  # A member's last acts, among which the exports are counted.
_DIALECT = PGDialect_psycopg()
# Settings of the transaction, made in the statement that takes the slot.
_TAKE_SLOT = text(
    "SELECT slot, set_config('statement_timeout', :longest, true),"
    " set_config('TimeZone', :zone, true), set_config('DateStyle', 'ISO, YMD', true),"
    " set_config('jit', 'off', true) FROM generate_series(1, :slots) AS slot"
    " WHERE pg_try_advisory_xact_lock(:lock, slot) LIMIT 1"
)
_TAKE_MEMBER = text("SELECT pg_try_advisory_xact_lock(:lock, :member)")
_STARTED = text(
    "SELECT at FROM (SELECT at, action, result FROM operation_log WHERE member_id = :member"
    " ORDER BY id DESC LIMIT :recent) AS acts"
    " WHERE action = 'list.export' AND result = 'started' ORDER BY at DESC LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class Export:
    """The statement to export, its columns, and the title of the file."""

    statement: Select[Any]
    columns: Sequence[Column]
    title: str
    subject: str
    conditions: Mapping[str, str]
    back: str  # Link of the page that refuses the export.


@dataclass(frozen=True, slots=True)
class Busy:
    """Why no file can be written now, and when to try again."""

    message: str
    seconds: int = 30


def stream(export: Export) -> Answer:
    """Stream the rows as CSV, or answer why not now.

    The export is recorded before the first row is sent; the number of rows is recorded at the end.
    """
    actor = current_actor()
    with ExitStack() as resources:
        connection = begin(resources, actor, export.subject, export.conditions)
        if isinstance(connection, Busy):
            return busy_page(connection, export.back)
        copy = resources.enter_context(_copy(connection, export.statement))
        header = [column.heading for column in export.columns]
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        download = Download(app, actor, export.subject, header, copy, resources.pop_all())
    return _file(download, export.title, "csv", "text/csv")


def write(export: Export) -> Answer:
    """Write the rows to an XLSX file on disk, then send it.

    A zip's directory comes last, so the file cannot be streamed; in return a slow client holds neither
    connection nor slot.  More rows than a sheet has are refused with a page.
    """
    actor = current_actor()
    with ExitStack() as resources:
        connection = begin(resources, actor, export.subject, export.conditions, format="xlsx")
        if isinstance(connection, Busy):
            return busy_page(connection, export.back)
        rows = connection.scalar(_count(export.statement))
        if rows > workbook.MOST_ROWS:
            finish(actor, export.subject, "refused", 0)
            most = workbook.MOST_ROWS
            return render_template("lists/export_large.html", most=most, back=export.back), 413
        found = _typed_rows(resources, connection, export)
        try:
            file = workbook.write(export.title, export.columns, found)
        except BaseException:
            finish(actor, export.subject, "aborted", 0)
            raise
    finish(actor, export.subject, "done", rows)
    size = os.fstat(file.fileno()).st_size
    pieces = iter(partial(file.read, CHUNK), b"")
    return _file(
        ClosingIterator(pieces, file.close), export.title, "xlsx", workbook.MEDIA_TYPE, size
    )


def begin(
    resources: ExitStack,
    actor: Actor,
    subject: str,
    conditions: Mapping[str, str],
    *,
    isolation: Any = "READ COMMITTED",
    **more: Any,
) -> Connection | Busy:
    """Return a read-only connection, with the export on record, where a slot is free.

    Member's lock and slot are held until the connection's transaction ends.
    """
    connection = resources.enter_context(db.engine.connect())
    connection = connection.execution_options(postgresql_readonly=True, isolation_level=isolation)
    busy = _own_limit(connection, actor)
    if busy is not None:
        return busy
    wanted = {"slots": SLOTS, "lock": _LOCK, "longest": LONGEST, "zone": BEIJING.key}
    if connection.scalar(_TAKE_SLOT, wanted) is None:
        return Busy(
            _(
                "%(slots)s files are being written already, as many as the system writes at the"
                " same time. Please try again in half a minute.",
                slots=SLOTS,
            )
        )
    with transaction():
        record(
            actor,
            "list.export",
            subject=subject,
            result="started",
            conditions=dict(conditions),
            **more,
        )
    return connection


def _own_limit(connection: Connection, actor: Actor) -> Busy | None:
    """Take the member's lock; return why not, or that the member has exported too often."""
    most = current_app.config["EXPORTS_PER_MEMBER"]
    is_free = connection.scalar(_TAKE_MEMBER, {"lock": _MEMBER_LOCK, "member": actor.member_id})
    wanted = {"member": actor.member_id, "recent": _RECENT, "most": most}
    started = list(connection.scalars(_STARTED, wanted))
    if not is_free:
        return Busy(
            _(
                "Another file of yours is being written, since %(time)s; one is written at a time."
                " Please try again when it is there.",
                time=f"{started[0].astimezone(BEIJING):%H:%M:%S}" if started else "-",
            )
        )
    wait = started[-1] + WINDOW - datetime.now(UTC) if len(started) == most else timedelta()
    if wait <= timedelta():
        return None
    return Busy(
        _(
            "You have exported %(count)s times in %(minutes)s minutes, which is the most. Please try"
            " again after %(time)s.",
            count=most,
            minutes=WINDOW // timedelta(minutes=1),
            time=f"{(started[-1] + WINDOW).astimezone(BEIJING):%H:%M:%S}",
        ),
        seconds=wait // timedelta(seconds=1) + 1,
    )


def busy_page(busy: Busy, back: str) -> Answer:
    """Return the page that refuses an export for now."""
    page = render_template("lists/export_busy.html", message=busy.message, back=back)
    return page, 429, {"Retry-After": str(busy.seconds)}


def finish(actor: Actor, subject: str, result: str, rows: int) -> None:
    """Record how an export ended."""
    with transaction():
        record(actor, "list.export", subject=subject, result=result, rows=rows)


def _file(body: Any, title: str, ending: str, media_type: str, size: int | None = None) -> Response:
    name = quote(f"{title}_{datetime.now(BEIJING):%Y%m%d_%H%M%S}.{ending}")
    headers = {
        "Content-Disposition": f"attachment; filename=\"export.{ending}\"; filename*=UTF-8''{name}",
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
    }
    if size is not None:
        headers["Content-Length"] = str(size)
    return Response(body, mimetype=media_type, headers=headers)


class Download:
    """The bytes of a CSV file, produced while the database writes them.

    It outlives the request, so it holds the application, and the connection until the server closes it.
    """

    def __init__(
        self,
        app: Flask,
        actor: Actor,
        subject: str,
        header: Sequence[str],
        copy: psycopg.Copy,
        resources: ExitStack,
    ) -> None:
        self._app, self._actor, self._subject = app, actor, subject
        self._header, self._copy, self._resources = header, copy, resources
        self._rows = 0
        self._result = "aborted"
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the header at once, then chunks of 64 KiB: single rows are 3 times slower."""
        yield BOM + _line(self._header)
        pieces: list[bytes | bytearray | memoryview] = []
        size = 0
        for piece in self._copy:
            pieces.append(piece[:-1])  # One row; COPY ends it with LF.
            size += len(piece) + 1  # With the CR.
            if size >= CHUNK:
                self._rows += len(pieces)
                yield END.join([*pieces, b""])
                pieces, size = [], 0
        self._rows += len(pieces)
        yield END.join([*pieces, b""])
        self._result = "done"
        self.close()

    def close(self) -> None:
        """Release connection and slot, and record how many rows were sent; idempotent.

        The server calls it in any case, also when the client has disconnected.
        """
        if self._is_closed:
            return
        self._is_closed = True
        reason = None if self._result == "done" else Disconnected()
        # Given an exception, psycopg cancels the COPY instead of reading it to its end.
        self._resources.__exit__(type(reason) if reason else None, reason, None)
        with self._app.app_context():
            finish(self._actor, self._subject, self._result, self._rows)

    def __del__(self) -> None:
        """Close a response that was replaced by an error before it was sent."""
        if not self._is_closed:
            self._is_closed = True
            self._resources.__exit__(Disconnected, Disconnected(), None)


class Disconnected(Exception):
    """The client disconnected before the end of the file."""


def _copy(
    connection: Connection, statement: Select[Any], form: str = "csv"
) -> AbstractContextManager[psycopg.Copy]:
    """Begin COPY of a statement, values bound by psycopg: COPY takes no parameters itself."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    command = f"COPY ({compiled}) TO STDOUT (FORMAT {form})"
    return driver.cursor().copy(command.encode(), compiled.params)


def _typed_rows(
    resources: ExitStack, connection: Connection, export: Export
) -> Iterator[tuple[Any, ...]]:
    copy = resources.enter_context(_copy(connection, export.statement, "text"))
    selected = export.statement.selected_columns
    copy.set_types(
        [
            _type_name(column, cell.type)
            for column, cell in zip(export.columns, selected, strict=True)
        ]
    )
    return copy.rows()


def _type_name(column: Column, type_: Any) -> str:
    """Return psycopg's name for the type of a column of a COPY."""
    if isinstance(type_, DateTime):
        return "timestamp"
    if isinstance(type_, Date):
        return "date"
    if column.kind not in workbook.NUMBERS:
        return "text"  # A code of digits is no number.
    return "int8" if isinstance(type_, Integer) else "float8"


def _count(statement: Select[Any]) -> Select[Any]:
    """Return a count that stops at the first row too many for a sheet."""
    inner = statement.with_only_columns(literal(1), maintain_column_froms=True)
    inner = inner.order_by(None).limit(workbook.MOST_ROWS + 1)
    return select(func.count()).select_from(inner.subquery())


def _line(cells: Sequence[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=END.decode()).writerow(cells)
    return buffer.getvalue().encode()
