"""The one export path: CSV written by the database's COPY and passed on as it comes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from typing import Any
from urllib.parse import quote

import psycopg
from flask import Flask, Response, current_app, g, render_template, request
from sqlalchemy import Connection, Select, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from app.extensions import db, transaction
from app.operations.actor import Actor
from app.operations.log import record
from app.views.conditions import SHANGHAI

SLOTS = 3  # Exports at the same time, all servers of one database together.
LONGEST = "10min"  # However slowly the receiver reads, a snapshot is not held open longer.
CHUNK = 64 * 1024
BOM = b"\xef\xbb\xbf"  # By it Excel knows UTF-8.
_LOCK = 7_214_001  # Our number among advisory locks; the second key is the slot.
_DIALECT = PGDialect_psycopg()
_TAKE_SLOT = text(
    "SELECT slot FROM generate_series(1, :slots) AS slot"
    " WHERE pg_try_advisory_xact_lock(:lock, slot) LIMIT 1"
)
_SETTINGS = text(
    "SELECT set_config('statement_timeout', :longest, true), set_config('TimeZone', :zone, true),"
    " set_config('DateStyle', 'ISO, YMD', true), set_config('jit', 'off', true)"
)


def stream(
    statement: Select[Any],
    *,
    header: Sequence[str],
    title: str,
    subject: str,
    conditions: Mapping[str, str],
    back: str,
) -> Response | tuple[str, int, dict[str, str]]:
    """Answer with the rows of a statement as a CSV file, or say that too many exports are running.

    What was asked is on record before the first row leaves; how much left is recorded at the end.
    """
    actor = Actor.of(g.user, request.remote_addr or "")
    with ExitStack() as resources:
        connection = resources.enter_context(db.engine.connect())
        connection = connection.execution_options(postgresql_readonly=True)
        if connection.scalar(_TAKE_SLOT, {"slots": SLOTS, "lock": _LOCK}) is None:
            page = render_template("parts/list/export_busy.html", slots=SLOTS, back=back)
            return page, 429, {"Retry-After": "30"}
        with transaction():
            record(
                actor, "list.export", subject=subject, result="started", conditions=dict(conditions)
            )
        connection.execute(_SETTINGS, {"longest": LONGEST, "zone": SHANGHAI.key})
        copy = resources.enter_context(_copy(connection, statement))
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        download = Download(app, actor, subject, header, copy, resources.pop_all())
    name = f"{title}_{datetime.now(SHANGHAI):%Y%m%d_%H%M%S}.csv"
    return Response(
        download,  # type: ignore[arg-type]
        mimetype="text/csv",
        headers={
            "Content-Disposition": f"attachment; filename=\"export.csv\"; filename*=UTF-8''{quote(name)}",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        },
    )


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
        pieces: list[bytes] = []
        size = 0
        for piece in self._copy:
            pieces.append(piece)
            size += len(piece)
            if size >= CHUNK:
                self._rows += len(pieces)
                yield b"".join(pieces)
                pieces, size = [], 0
        self._rows += len(pieces)
        yield b"".join(pieces)
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
        with self._app.app_context(), transaction():
            record(
                self._actor,
                "list.export",
                subject=self._subject,
                result=self._result,
                rows=self._rows,
            )

    def __del__(self) -> None:
        """Give back what nobody closed: an answer that an error replaced before it was sent."""
        if not self._is_closed:
            self._is_closed = True
            self._resources.__exit__(Abandoned, Abandoned(), None)


class Abandoned(Exception):
    """The receiver went away before the file's end."""


def _copy(connection: Connection, statement: Select[Any]) -> AbstractContextManager[psycopg.Copy]:
    """Begin COPY of a statement, its values bound by psycopg: COPY takes no parameters of its own."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    command = f"COPY ({compiled}) TO STDOUT (FORMAT csv)"
    return driver.cursor().copy(command.encode(), compiled.params)


def _line(cells: Sequence[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode()
