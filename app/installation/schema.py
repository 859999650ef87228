"""Refuse a database whose schema is not the one that this program's migrations make."""

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
    """Check the schema where pages are about to be served; commands may mend what they find.

    The demonstration's runner installs first, which checks as well.
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
    """Return the last revision that this program knows."""
    return _scripts().get_current_head()


def revision_of(connection: Connection) -> str | None:
    """Return which revision a database is at, None before the first.

    Raises ConfigurationError for one that these migrations do not know.
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
    """Raise ConfigurationError where the migrations that a database has run were edited since."""
    revision = revision_of(connection)
    wanted = fingerprint.of_files(_scripts(), revision)
    if revision and fingerprint.noted_files(connection) != wanted:
        raise _other_schema("迁移文件已改动", "the migrations' files have changed")


def require_expected(connection: Connection) -> None:
    """Raise ConfigurationError where the last migration's tables, views or functions are not there."""
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
        if table.name != "ab_api_key"  # Known only once Flask-AppBuilder's API is imported.
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
