"""The database session, migrations, and transactions; imports nothing else of the application."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask_appbuilder.models.sqla.base import SQLA
from flask_babel.speaklater import LazyString
from flask_migrate import Migrate
from sqlalchemy.exc import IntegrityError

db = SQLA()
migrate = Migrate(directory="app/migrations")

# LazyString declares itself safe HTML, although typed input may be interpolated.  Without __html__
# templates escape it.
del LazyString.__html__


@contextmanager
def transaction() -> Iterator[None]:
    """Commit, or roll back on an error.  For views, commands and the worker only."""
    try:
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise


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
