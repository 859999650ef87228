"""Installation: migrations, privileges, calendar, roles; safe to repeat and to run concurrently."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from flask import current_app
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, make_url

from app.extensions import db
from app.installation import reference, schema
from app.operations.ledger import routes
from app.operations.records import calendar
from app.security.roles import sync_roles
from config import APP_ROLE, Settings, refusal

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
_LOCK = 7260000
_NOTE_MODE = text("""
    INSERT INTO operating_mode (signs, is_production, after_event)
    SELECT :signs, :production, (SELECT coalesce(max(id), 0) FROM application_event)
     WHERE (SELECT (signs, is_production) FROM operating_mode ORDER BY id DESC LIMIT 1)
           IS DISTINCT FROM (CAST(:signs AS boolean), CAST(:production AS boolean))
""")


def install() -> None:
    """Bring schema, privileges, trading calendar and roles up to date.

    Runs as the schema's owner, on a connection of its own.  A concurrent run waits and finds nothing
    to do.  Raises ConfigurationError where the owner's URL is not configured.
    """
    settings = current_app.config["SETTINGS"]
    with _owner(settings) as connection:
        _migrate(connection)
        _grant(connection, _app_role(settings))
        sync_roles(connection)
        routes.sync(connection)
        calendar.seed(connection=connection)
        connection.commit()
        reference.seed()
        db.session.commit()


def note_mode() -> None:
    """Write the operating mode where it differs from the configuration's; see `OperatingMode`.

    Where acts are signed, the database refuses unsigned ones from now on: a demonstration is seeded
    before.  Raises ConfigurationError where the owner's URL is not configured.
    """
    settings = current_app.config["SETTINGS"]
    with _owner(settings) as connection:
        # Nobody writes events meanwhile: later ones have higher numbers and obey the mode.
        connection.execute(text("LOCK TABLE application_event IN SHARE ROW EXCLUSIVE MODE"))
        values = {"signs": settings.cert_login != "off", "production": settings.is_production}
        connection.execute(_NOTE_MODE, values)
        connection.commit()


@contextmanager
def _owner(settings: Settings) -> Iterator[Connection]:
    """Connect as the schema's owner, one at a time.  Raises ConfigurationError without a URL."""
    if not settings.database_owner_url:
        raise refusal(
            "缺少 DATABASE_OWNER_URL：安装和升级须用数据库所有者的连接",
            "DATABASE_OWNER_URL is missing: installing needs the schema owner's connection",
        )
    engine = create_engine(settings.database_owner_url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            connection.commit()
            try:
                yield connection
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
                connection.commit()
    finally:
        engine.dispose()


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's settings for migrating on ``connection``."""
    config = Config(os.fspath(MIGRATIONS / "alembic.ini"))
    config.set_main_option("script_location", os.fspath(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _migrate(connection: Connection) -> None:
    """Migrate the schema.  Raises ConfigurationError for one that these migrations did not create."""
    schema.require_unchanged(connection)
    if schema.revision_of(connection) != schema.head():
        command.upgrade(alembic_config(connection), "head")
        connection.commit()
    schema.require_expected(connection)


def _app_role(settings: Settings) -> str:
    """Return the application's database role; see `_grant`."""
    user = make_url(settings.database_url).username
    owner = make_url(settings.database_owner_url).username
    return user if user and user != owner else APP_ROLE


def _grant(connection: Connection, role: str) -> None:
    if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
        connection.execute(text(f'CREATE ROLE "{role}" NOLOGIN'))
        connection.execute(text(f'GRANT "{role}" TO current_user'))
    statements = (MIGRATIONS / "sql" / "privileges.sql").read_text(encoding="utf-8")
    connection.exec_driver_sql(statements.replace("{app}", f'"{role}"'))
    connection.commit()
