"""Refusing a database whose schema differs from that of the migrations."""

from __future__ import annotations

import os

import click
from alembic.script import ScriptDirectory
from flask import Flask
from flask_appbuilder import Model
from sqlalchemy import text
from sqlalchemy.engine import Connection

from app.extensions import db
from app.migrations import fingerprint
from config import ConfigurationError, Settings, refusal

MOST_NAMED = 5


def check_before_serving(app: Flask, settings: Settings) -> None:
    """Check the schema before serving; commands run regardless, to correct it.

    Skipped under the demonstration's runner, which installs first.
    """
    context = click.get_current_context(silent=True)
    if context.info_name == "run" if context else settings.is_production:
        with app.app_context(), db.engine.connect() as connection:
            if revision_of(connection) != head():
                raise refusal(
                    "数据库尚未安装或版本较旧，请先运行 flask init",
                    "the database is not installed or older: run flask init first",
                )
            require_unchanged(connection)
            require_expected(connection)


def head() -> str | None:
    """Return the latest revision."""
    return _scripts().get_current_head()


def revision_of(connection: Connection) -> str | None:
    """Return a database's revision, None before the first.

    Raises ConfigurationError for an unknown one.
    """
    if not connection.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL")):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if revision is not None and revision not in {
        each.revision for each in _scripts().walk_revisions()
    }:
        raise _other_schema(f"版本 {revision}", f"revision {revision}")
    return revision


def require_unchanged(connection: Connection) -> None:
    """Raise ConfigurationError where migrations that the database has run were edited since."""
    revision = revision_of(connection)
    wanted = fingerprint.of_files(_scripts(), revision)
    if revision and fingerprint.noted_files(connection) != wanted:
        raise _other_schema("迁移文件已改动", "the migrations' files have changed")


def require_expected(connection: Connection) -> None:
    """Raise ConfigurationError unless tables, views and functions are those of the last migration."""
    found, expected = of_catalogue(connection), fingerprint.expected()
    wrong = [name for name in expected if found.get(name) != expected[name]]
    if wrong:
        names = ", ".join(wrong[:MOST_NAMED])
        raise _other_schema(f"不同之处：{names}", f"different: {names}")


def of_catalogue(connection: Connection) -> dict[str, str]:
    """Return the live schema's digests by table, view and function."""
    indexes = {
        str(index.name)
        for table in Model.metadata.tables.values()
        for index in table.indexes
        if table.name != "ab_api_key"  # declared only by Flask-AppBuilder's API module
    }
    return fingerprint.of_catalogue(connection, indexes)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(os.fspath(fingerprint.FOLDER))


def _other_schema(chinese: str, english: str) -> ConfigurationError:
    return refusal(
        f"数据库结构与程序不一致（{chinese}）：演示数据请用 make reset 重建，"
        "正式数据请用与其相符的程序版本，或由新的迁移更正",
        f"the database has another schema than this program ({english}):"
        " make reset a demonstration; run a real registry with the version that fits it,"
        " or mend it by a new migration",
    )
