"""The one export path: CSV written by the database's COPY and passed on as it comes, and XLSX."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import psycopg
from flask import Flask, Response, current_app, render_template
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

SLOTS = 3  # Exports at the same time, all servers of one database together.
LONGEST = "10min"  # However slowly the receiver reads, a snapshot is not held open longer.
CHUNK = 64 * 1024
BOM = b"\xef\xbb\xbf"  # By it Excel knows UTF-8.
END = b"\r\n"  # Of a line: RFC 4180, and Excel.
_LOCK = 7_214_001  # Our number among advisory locks; the second key is the slot.
_DIALECT = PGDialect_psycopg()
# The settings are the transaction's; they come with the slot, so that they cost no statement.
_TAKE_SLOT = text(
    "SELECT slot, set_config('statement_timeout', :longest, true),"
    " set_config('TimeZone', :zone, true), set_config('DateStyle', 'ISO, YMD', true),"
    " set_config('jit', 'off', true) FROM generate_series(1, :slots) AS slot"
    " WHERE pg_try_advisory_xact_lock(:lock, slot) LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported: the rows of a statement under the headings of columns, and how it is named."""

    statement: Select[Any]
    columns: Sequence[Column]
    title: str
    subject: str
    conditions: Mapping[str, str]
    back: str  # Where to go on when it cannot be had.


def stream(asked: Export) -> Answer:
    """Answer with the rows as a CSV file, or say that too many exports are running.

    What was asked is on record before the first row leaves; how much left is recorded at the end.
    """
    actor = current_actor()
    with ExitStack() as resources:
        connection = _begin(resources, asked, actor, "csv")
        if connection is None:
            return _busy(asked)
        copy = resources.enter_context(_copy(connection, asked.statement))
        header = [column.heading for column in asked.columns]
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        download = Download(app, actor, asked.subject, header, copy, resources.pop_all())
    return _file(download, asked.title, "csv", "text/csv")


def write(asked: Export) -> Answer:
    """Answer with the rows as an XLSX file, written to the disk before the first byte leaves.

    A zip's directory comes last, so it cannot be passed on as it is made; in return a slow receiver
    holds neither connection nor slot.  More rows than a sheet has are refused with a page.
    """
    actor = current_actor()
    with ExitStack() as resources:
        connection = _begin(resources, asked, actor, "xlsx")
        if connection is None:
            return _busy(asked)
        rows = connection.scalar(_count(asked.statement))
        if rows > workbook.MOST_ROWS:
            _finish(actor, asked.subject, "refused", 0)
            most = workbook.MOST_ROWS
            return render_template("lists/export_large.html", most=most, back=asked.back), 413
        found = _typed_rows(resources, connection, asked)
        try:
            file = workbook.write(asked.title, asked.columns, found)
        except BaseException:
            _finish(actor, asked.subject, "aborted", 0)
            raise
    _finish(actor, asked.subject, "done", rows)
    size = os.fstat(file.fileno()).st_size
    pieces = iter(partial(file.read, CHUNK), b"")
    return _file(
        ClosingIterator(pieces, file.close), asked.title, "xlsx", workbook.MEDIA_TYPE, size
    )


def _begin(resources: ExitStack, asked: Export, actor: Actor, form: str) -> Connection | None:
    """Return a connection that only reads, with the export on record; None when no slot is free."""
    connection = resources.enter_context(db.engine.connect())
    connection = connection.execution_options(postgresql_readonly=True)
    wanted = {"slots": SLOTS, "lock": _LOCK, "longest": LONGEST, "zone": BEIJING.key}
    if connection.scalar(_TAKE_SLOT, wanted) is None:
        return None
    more: dict[str, Any] = {} if form == "csv" else {"format": form}
    with transaction():
        record(
            actor,
            "list.export",
            subject=asked.subject,
            result="started",
            conditions=dict(asked.conditions),
            **more,
        )
    return connection


def _busy(asked: Export) -> Answer:
    page = render_template("lists/export_busy.html", slots=SLOTS, back=asked.back)
    return page, 429, {"Retry-After": "30"}


def _finish(actor: Actor, subject: str, result: str, rows: int) -> None:
    """Record what became of an export."""
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
    """The bytes of a file while the database writes them; the server closes it, come what may.

    It outlives the request, so it holds the application, and the connection until it is closed.
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
        """Yield the header at once, then the rows in pieces of 64 KiB: a row each is 3 times slower."""
        yield BOM + _line(self._header)
        pieces: list[bytes | bytearray | memoryview] = []
        size = 0
        for piece in self._copy:
            pieces.append(piece[:-1])  # A row each; COPY ends it with a line feed alone.
            size += len(piece)
            if size >= CHUNK:
                self._rows += len(pieces)
                yield END.join([*pieces, b""])
                pieces, size = [], 0
        self._rows += len(pieces)
        yield END.join([*pieces, b""])
        self._result = "done"
        self.close()

    def close(self) -> None:
        """Give connection and slot back, and record how many rows left; again, it does nothing.

        The server calls it, whether all was sent or the receiver went away.
        """
        if self._is_closed:
            return
        self._is_closed = True
        reason = None if self._result == "done" else Abandoned()
        # With a reason psycopg cancels the COPY instead of reading it to its end.
        self._resources.__exit__(type(reason) if reason else None, reason, None)
        with self._app.app_context():
            _finish(self._actor, self._subject, self._result, self._rows)

    def __del__(self) -> None:
        """Give back what nobody closed: an answer that an error replaced before it was sent."""
        if not self._is_closed:
            self._is_closed = True
            self._resources.__exit__(Abandoned, Abandoned(), None)


class Abandoned(Exception):
    """The receiver went away before the file's end."""


def _copy(
    connection: Connection, statement: Select[Any], form: str = "csv"
) -> AbstractContextManager[psycopg.Copy]:
    """Begin COPY of a statement, its values bound by psycopg: COPY takes no parameters of its own."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    command = f"COPY ({compiled}) TO STDOUT (FORMAT {form})"
    return driver.cursor().copy(command.encode(), compiled.params)


def _typed_rows(
    resources: ExitStack, connection: Connection, asked: Export
) -> Iterator[tuple[Any, ...]]:
    """Begin COPY and return its rows as numbers, dates, times and texts."""
    copy = resources.enter_context(_copy(connection, asked.statement, "text"))
    selected = asked.statement.selected_columns
    copy.set_types(
        [
            _type_name(column, cell.type)
            for column, cell in zip(asked.columns, selected, strict=True)
        ]
    )
    return copy.rows()


def _type_name(column: Column, type_: Any) -> str:
    """Return the name by which psycopg knows what a column of a COPY holds."""
    if isinstance(type_, DateTime):
        return "timestamp"
    if isinstance(type_, Date):
        return "date"
    if column.kind not in workbook.NUMBERS:
        return "text"  # A code of digits is no number.
    return "int8" if isinstance(type_, Integer) else "float8"


def _count(statement: Select[Any]) -> Select[Any]:
    """Return a count of the rows that ends at the first one too many for a sheet."""
    inner = statement.with_only_columns(literal(1), maintain_column_froms=True)
    inner = inner.order_by(None).limit(workbook.MOST_ROWS + 1)
    return select(func.count()).select_from(inner.subquery())


def _line(cells: Sequence[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=END.decode()).writerow(cells)
    return buffer.getvalue().encode()
