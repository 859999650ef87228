"""The schema as the migrations make it: from empty, without drift, down and up again, twice at once."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_appbuilder import Model
from sqlalchemy import CheckConstraint, create_engine, inspect, text
from sqlalchemy.dialects.postgresql.base import ischema_names

import config
from app import installation
from app.extensions import db
from app.models.ledger import TransactionId
from app.web import create_app

# What Flask-AppBuilder's tables have and our metadata cannot tell, with the reason.
KNOWN_NOISE: set[tuple[str, str]] = set()


@pytest.fixture
def empty(cluster):
    """The addresses of a database in which nothing is yet."""
    name = f"migrations_{threading.get_ident()}"
    yield cluster.create_database(name)
    cluster.drop_database(name)


@contextmanager
def owner_of(urls):
    engine = create_engine(urls.owner)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def made_for(urls):
    return create_app(
        config.load(
            {
                "APP_PROFILE": "test",
                "DATABASE_URL": urls.app,
                "DATABASE_OWNER_URL": urls.owner,
                "SECRET_KEY": "test" * 10,
            }
        )
    )


@contextmanager
def application_on(urls, app=None):
    app = app or made_for(urls)
    with app.app_context():
        try:
            yield app
        finally:
            db.session.remove()
            for engine in db.engines.values():
                engine.dispose()


def upgrade(connection):
    command.upgrade(installation.alembic_config(connection), "head")
    connection.commit()


def named_objects(connection) -> set[tuple[str, str]]:
    """Return everything of ours in the schema but what Alembic keeps for itself."""
    rows = connection.execute(
        text("""
            SELECT 'relation', relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
            UNION ALL
            SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            UNION ALL
            SELECT 'type', typname FROM pg_type
             WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
            UNION ALL
            SELECT 'trigger', concat(tgrelid::regclass, '.', tgname) FROM pg_trigger
             WHERE NOT tgisinternal
            UNION ALL
            SELECT 'constraint', concat(conrelid::regclass, '.', conname, ': ',
                                        pg_get_constraintdef(oid))
              FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        """)
    ).all()
    return {tuple(row) for row in rows if "alembic_version" not in row[1]}


def test_from_empty_down_and_up_again(empty):
    with owner_of(empty) as connection:
        assert named_objects(connection) == set()
        upgrade(connection)
        made = named_objects(connection)
        assert ("trigger", "movement.post_movements") in made

        command.downgrade(installation.alembic_config(connection), "base")
        connection.commit()
        assert named_objects(connection) == set()

        upgrade(connection)
        assert named_objects(connection) == made


def test_every_migration_goes_one_step_down_and_back(empty):
    with owner_of(empty) as connection:
        upgrade(connection)
        made = named_objects(connection)
        command.downgrade(installation.alembic_config(connection), "-1")
        connection.commit()
        upgrade(connection)
        assert named_objects(connection) == made


def test_the_history_is_one_line(empty):
    with owner_of(empty) as connection:
        scripts = ScriptDirectory.from_config(installation.alembic_config(connection))

    assert len(scripts.get_heads()) == len(scripts.get_bases()) == 1


def test_the_models_and_the_schema_agree(empty, monkeypatch):
    monkeypatch.setitem(ischema_names, "xid8", TransactionId)
    with owner_of(empty) as connection:
        upgrade(connection)
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        drift = compare_metadata(context, Model.metadata)

    assert [found for found in map(_told, drift) if found not in KNOWN_NOISE] == []


def _told(found) -> tuple:
    return tuple(str(part) for part in (found[0] if isinstance(found, list) else found))


def test_checks_are_the_models_checks(empty):
    """Alembic compares no CHECK constraints: their names are compared here."""
    with owner_of(empty) as connection:
        upgrade(connection)
        inspector = inspect(connection)
        for table in Model.metadata.tables.values():
            written = {
                check.name for check in table.constraints if isinstance(check, CheckConstraint)
            }
            found = {check["name"] for check in inspector.get_check_constraints(table.name)}
            assert found == written, table.name


def test_installing_twice_at_once_and_once_more(empty):
    faults: list[BaseException] = []
    start = threading.Barrier(2)

    def install(app):
        with application_on(empty, app):
            start.wait(timeout=60)
            try:
                installation.install()
            except BaseException as error:
                faults.append(error)

    # One after the other: Python 3.11 cannot parse in two threads, which werkzeug does for its rules.
    apps = [made_for(empty) for _ in range(2)]
    threads = [threading.Thread(target=install, args=(app,)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert faults == []
    with application_on(empty), owner_of(empty) as connection:
        before = _counts(connection)
        assert before["trading_day"] > 2000
        assert before["ab_role"] == 9
        assert before["account"] == 1
        installation.install()
        assert _counts(connection) == before


def _counts(connection) -> dict[str, int]:
    connection.rollback()
    return {
        table: connection.scalar(text(f"SELECT count(*) FROM {table}"))
        # Flask-AppBuilder's keys for its API, which we leave out, are known once it is imported.
        for table in sorted(set(Model.metadata.tables) - {"ab_api_key"})
    }


def test_the_applications_role_gets_what_it_needs_and_no_more(empty):
    with application_on(empty):
        installation.install()
        grants = {
            (row.table_name, row.privilege_type)
            for row in db.session.execute(
                text("""
                    SELECT table_name, privilege_type FROM information_schema.table_privileges
                     WHERE grantee = current_user AND privilege_type <> 'SELECT'
                       AND table_schema = 'public'
                """)
            )
        }

    tables = {table for table, _privilege in grants}
    assert not {"holding", "entry", "movement", "posting", "sealed_block"} & tables
    assert {privilege for _table, privilege in grants} <= {"INSERT", "UPDATE", "DELETE"}
    assert {table for table, privilege in grants if privilege == "DELETE"} == {
        "application_line",
        "application_party",
        "attachment",
        "notice_instrument",
        "login_failure",
        "captcha",
        "challenge",
        "ab_user_role",
    }
