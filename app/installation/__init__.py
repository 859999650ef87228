"""Installation: migrations, privileges, calendar, roles; safe to repeat and to run concurrently."""

from __future__ import annotations

import os
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


def install() -> None:
    """Bring schema, privileges, trading calendar and roles up to date.

    Runs as the schema's owner, on a connection of its own.  A concurrent run waits and finds nothing
    to do.  Raises ConfigurationError where the owner's URL is not configured.
    """
    settings = current_app.config["SETTINGS"]
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
                _migrate(connection)
                _grant(connection, _app_role(settings))
                sync_roles(connection)
                routes.sync(connection)
                connection.commit()
                calendar.seed()
                reference.seed()
                db.session.commit()
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
