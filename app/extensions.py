"""The database session, migrations and the transaction edge; knows nothing else of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask_appbuilder.models.sqla.base import SQLA
from flask_babel.speaklater import LazyString
from flask_migrate import Migrate

db = SQLA()
migrate = Migrate(directory="app/migrations")

# A lazy text claims to be HTML already, although what a person typed may stand in it: a refused
# quantity, say.  Without the claim, templates escape it as they escape every text.
del LazyString.__html__


@contextmanager
def transaction() -> Iterator[None]:
    """Commit what happens inside, or roll all of it back.  Only edges (views, CLI) use it."""
    try:
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise


@contextmanager
def undone() -> Iterator[None]:
    """Undo what happens inside, whatever comes of it: what is only tried before a person signs."""
    attempt = db.session.begin_nested()
    try:
        yield
    finally:
        attempt.rollback()
