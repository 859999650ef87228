"""The database session, migrations, and transactions; imports nothing else of the application."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from flask import request
from flask_appbuilder.models.sqla.base import SQLA
from flask_babel.speaklater import LazyString
from flask_migrate import Migrate
from markupsafe import escape
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

db = SQLA()
migrate = Migrate(directory="app/migrations")

# LazyString declares itself safe HTML, although typed input may be interpolated.  Escaping here asks
# for the text once; without any __html__ a template would ask for it twice.
LazyString.__html__ = lambda text: escape(str(text))  # type: ignore[method-assign]


@contextmanager
def transaction() -> Iterator[None]:
    """Commit, or roll back on an error.  For views, commands and the worker only."""
    try:
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise


def end_reading(error: BaseException | None) -> None:
    """Commit, at the end of a request that only reads, what would be rolled back; flush nothing.

    psycopg forgets its prepared statements at a rollback, so every page would plan all of its own anew
    (ADR 0101).  A connection that was lost is left to the rollback.
    """
    session = db.session()
    if error is None and request.method in ("GET", "HEAD") and session.in_transaction():
        with suppress(SQLAlchemyError, psycopg.Error):
            session.connection().connection.commit()


def violated(error: IntegrityError) -> str:
    """Return the name of the constraint that a statement violated."""
    return error.orig.diag.constraint_name or ""  # type: ignore[union-attr]


@contextmanager
def undone() -> Iterator[None]:
    """Roll back to a savepoint in any case: for trying an act before it is signed."""
    attempt = db.session.begin_nested()
    try:
        yield
    finally:
        attempt.rollback()
