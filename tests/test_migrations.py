"""Migrations: from empty, without drift, down and up again, concurrently."""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import contextmanager

import click
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from flask_appbuilder import Model
from sqlalchemy import CheckConstraint, create_engine, inspect, text
from sqlalchemy.dialects.postgresql.base import ischema_names

import config
from app import installation
from app.domain.moves import Bucket
from app.extensions import db
from app.installation import schema
from app.migrations import buckets, fingerprint
from app.models.ledger import TransactionId
from app.web import create_app
from config import ConfigurationError

# What Flask-AppBuilder's tables have and our metadata cannot tell, with the reason.
KNOWN_NOISE: set[tuple[str, str]] = set()
MIGRATIONS = fingerprint.FOLDER


@pytest.fixture
def empty(cluster):
    """The addresses of an empty database."""
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
    """Return every object of the schema except Alembic's."""
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


# What released migrations say stays as it is: whoever has run them has run this.  A new file is added.
FROZEN = {
    "buckets.py": "d75e4820d65f168f",
    "sql/0001/application_guards.sql": "6a05db587941c855",
    "sql/0001/applications.sql": "a9fc9a9a30ec5c2c",
    "sql/0001/identity.sql": "89609eb59bd1d6e4",
    "sql/0001/ledger.sql": "17f1affbf6977e3d",
    "sql/0001/members.sql": "cf5ea75b8deeeb72",
    "sql/0001/post_movements.sql": "72d2c283994110fd",
    "sql/0001/records.sql": "2ecc5387cabb8da9",
    "sql/0002/reference.sql": "c5cf669bd47caaba",
    "sql/0003/drafts.sql": "de7ddcfbbf4d8db9",
    "sql/0003/drafts_down.sql": "68b4ad5fb5548c0b",
    "versions/2026_11_30_drafts.py": "a16433dba994461e",
    "versions/2026_11_30_reference_data.py": "b706902eee833cc3",
    "versions/2026_11_30_folded_names.py": "9ca846d88590d495",
    "versions/2026_11_30_seals.py": "082019015d771296",
    "versions/2026_11_30_the_first_schema.py": "e122dd7cb7328c25",
    "sql/0006/ties.sql": "6664e0e478976e2c",
    "sql/0006/ties_down.sql": "1f86b60605520920",
    "sql/0007/down.sql": "5d57a23c18e88f84",
    "sql/0007/kept.sql": "3974ea001b6d0719",
    "sql/0007/signed.sql": "3d8f4e55f560e928",
    "sql/0008/guesses.sql": "58d8c84534e6ca50",
    "sql/0008/guesses_down.sql": "30effa2cbd9ba99e",
    "sql/0011/unfinished.sql": "c160e91950d38bbf",
    "sql/0011/unfinished_down.sql": "4f43a900b447113d",
    "sql/0012/enrolments.sql": "615003c59a33546e",
    "sql/0012/enrolments_down.sql": "4fba918ad0f695f2",
    "versions/2026_11_30_guesses.py": "98541bb5962060a9",
    "versions/2026_11_30_signed_acts.py": "19f405ef3a8b894e",
    "versions/2026_11_30_signed_enrolments.py": "e9e3e0669eedd37c",
    "versions/2026_11_30_ties.py": "c9ee05180c49586d",
    "versions/2026_11_30_unfinished_forms.py": "709d1129148d8798",
    "versions/2026_11_30_unsubmitted.py": "0b3e2f57f115ef96",
    "sql/0013/notices.sql": "870f05b3be88847a",
    "sql/0013/notices_down.sql": "7fa64034ada2de33",
    "versions/2026_11_30_notices_by_two.py": "d9d7bddb71dc9b4a",
    "sql/0014/switches.sql": "b5df3d580010f9a5",
    "sql/0014/switches_down.sql": "b55a34ac0ceb705c",
    "versions/2026_11_30_signed_switches.py": "015ea3bfc7ed46e1",
    "sql/0019/credentials.sql": "225ec1db09b54556",
    "sql/0019/credentials_down.sql": "6044f0b67bd65770",
    "versions/2026_11_30_credentials.py": "4c2cc936a35b7f75",
    "sql/0018/second_book.sql": "5f51d191bd48547a",
    "sql/0018/second_book_down.sql": "7d6e85b3253128d2",
    "versions/2026_11_30_posting_tie.py": "24b86fea4194f9e3",
    "sql/0022/posting_tie.sql": "36d82ece992c0371",
    "sql/0022/posting_tie_down.sql": "9e557ae73f98caa4",
    "versions/2026_11_30_second_book.py": "1242e5325b7a1a7f",
    "sql/0015/machines.sql": "418c9d178c705559",
    "sql/0015/machines_down.sql": "9a5cb26ab5024b73",
    "versions/2026_11_30_machine_clients.py": "4bb4e30cb39e6e13",
    "sql/0017/bookings.sql": "2abed68d00249661",
    "sql/0017/down.sql": "b789891838576dc0",
    "sql/0017/orders.sql": "13518fe56769e6d9",
    "sql/0017/signed.sql": "1400f9f691923b70",
    "versions/2026_11_30_bank_orders.py": "a2264f7e5093d5c5",
    "sql/0016/down.sql": "b433af0b5e2a30c8",
    "sql/0016/money.sql": "42f652fb429cfa39",
    "sql/0016/trades.sql": "6d22e4bb73c8a468",
    "versions/2026_11_30_trades_and_money.py": "575600a79980afb5",
    "sql/0021/receivables.sql": "58511fc1f3afbd46",
    "sql/0021/receivables_down.sql": "a80a3ed555f26562",
    "versions/2026_11_30_receivables.py": "6bc7aab1113c109b",
    "sql/0020/down.sql": "a3e56c7e8e648b84",
    "sql/0020/large_holdings.sql": "e4b0fba2472a2445",
    "sql/0020/lists.sql": "fa2b6ab785879931",
    "versions/2026_11_30_large_holdings.py": "5195fb34b39c3583",
    "sql/0025/reserve.sql": "a8fb132ac4c96947",
    "sql/0025/reserve_down.sql": "56587b7a203389f4",
    "versions/2026_12_01_reserve.py": "cbd3761ba1f51c93",
    "sql/0024/court_orders.sql": "c13a96636ed2efa0",
    "sql/0024/down.sql": "021d2817aa631ba4",
    "sql/0024/posting_tie.sql": "f4fc41880184f4b0",
    "versions/2026_12_01_court_orders.py": "3565912b897e81a3",
    "sql/0023/calendar.sql": "32f550c4621cc12d",
    "sql/0023/down.sql": "09b0847752fabb5c",
    "sql/0023/guards.sql": "0694467e390710af",
    "sql/0023/large_holdings.sql": "bc9f079cbe069f93",
    "sql/0023/notices.sql": "e34e4a2e321ea2be",
    "sql/0023/plans.sql": "2f2bdde7c0fbc3ac",
    "sql/0023/sectors.sql": "d092b893a46022d2",
    "sql/0023/seed.sql": "df02212b0a6356df",
    "sql/0023/use.sql": "dc301e337e2e1e3e",
    "versions/2026_12_01_pledges.py": "1ea422c71e807b59",
    "versions/2026_12_01_plans.py": "0f4099a198eb5b4b",
    "sql/0029/applications.sql": "9e273477c39da60a",
    "sql/0029/down.sql": "32a904ac2f667755",
    "sql/0029/notices.sql": "f4b63f81f0b6491c",
    "sql/0029/posting_tie.sql": "269c7527b3703a50",
    "sql/0029/rounds.sql": "c3ede5d4de60763d",
    "sql/0029/signed.sql": "f083b4d98a8bfbd3",
    "versions/2026_12_01_carry_over.py": "e170dbb3fa5a454a",
    "sql/0030/down.sql": "346088c8f567b97c",
    "sql/0030/follow.sql": "4b78fdc555f3f8ac",
    "sql/0030/instruments.sql": "852e19942abddb78",
    "sql/0030/mirror.sql": "11385dcfdadc7edf",
    "sql/0030/views.sql": "3fcd8c6611f1e6ef",
    "versions/2026_12_01_ccer_mirror.py": "a74ce15ad32ef70c",
    "versions/2026_12_01_recalled.py": "3af9bb3262f9bb5d",
    "sql/0033/grants.sql": "49880c78baf4afa8",
    "sql/0033/down.sql": "0105fb78bd96162b",
    "sql/0034/pledges.sql": "c6feeff88189275f",
    "sql/0034/renewed.sql": "60e684639fbae151",
    "sql/0034/down.sql": "e1925c40934dfac3",
    "versions/2026_12_01_publicity.py": "aadea4309b56ac92",
    "sql/0035/publicity.sql": "f8e9c1fcec46a9a4",
    "sql/0035/reference.sql": "32a2e9bb6041b258",
    "sql/0035/down.sql": "d7668baef91f9a5b",
    "versions/2026_12_01_grants.py": "ecc5632eafcb007b",
    "sql/0027/accounts.sql": "836446ae2251aa59",
    "sql/0027/chain.sql": "01fdc83ebb5c3a45",
    "sql/0027/down.sql": "0a1f26d2ad240be4",
    "sql/0027/guards.sql": "1757f473f541ad2c",
    "sql/0027/plan.sql": "647880dbe352f5ea",
    "sql/0027/posting_tie.sql": "c2b7adc816cf50bc",
    "versions/2026_12_01_issuance_chain.py": "65396e7d579b6cd8",
    "sql/0028/claims.sql": "95675f71352c4eb7",
    "sql/0028/down.sql": "b178fa0d3692cb2f",
    "sql/0028/figures.sql": "12754daf26dd9ac4",
    "sql/0028/posting_tie.sql": "ddf9217a71476996",
    "versions/2026_12_01_true_up.py": "76e4e881272a3388",
    "sql/0031/surrender.sql": "3d0ba20a337eb90d",
    "sql/0031/surrender_down.sql": "cea323f11ea6f455",
    "versions/2026_12_01_surrender.py": "977fde7577e90461",
    "sql/0032/bankruptcy.sql": "35a9256ee9f6194d",
    "sql/0032/classes.sql": "70705ff93a97b803",
    "sql/0032/closure.sql": "9242b357f6a00973",
    "sql/0032/down.sql": "5e65a91e0569efbe",
    "sql/0032/group_view.sql": "e3ae8f37ecb53498",
    "sql/0032/succession.sql": "4a074762b6dd46fb",
    "versions/2026_12_01_account_life.py": "a71585ae40d1d371",
    "sql/0037/carry_over.sql": "dac3d4cc1220e36a",
    "sql/0037/down.sql": "2386337d55fef02a",
    "versions/2026_12_01_lookups.py": "2288a761d1dc0518",
    "sql/0036/down.sql": "4e2ed7f45cae0ac7",
    "sql/0036/fulfilment.sql": "fbc5346827d577c0",
    "sql/0036/obstacles.sql": "6e1f1138b97dcdce",
    "versions/2026_12_01_fulfilment.py": "dec3fab9ff9f6527",
    "sql/0038/clients.sql": "24abe31f2e972b90",
    "sql/0038/down.sql": "5c998b8dee6d85f7",
    "sql/0038/signed.sql": "2c4c7c4018e74085",
    "sql/0038/tables.sql": "f3e9b028be6ac65d",
    "versions/2026_12_01_platform.py": "52bba7f904e9a2e9",
    "sql/0039/surrender.sql": "e410447096784a7f",
    "sql/0039/sales.sql": "f695e2f209b682a1",
    "sql/0039/down.sql": "7296e2b5c8c37de1",
    "versions/2026_12_01_court_disposals.py": "83ecbfab3a2d4dad",
    "sql/0040/bindings.sql": "57ff1398b5e716b1",
    "sql/0040/claims.sql": "056b2bf36d769d07",
    "sql/0040/columns.sql": "cf418aaeb1077556",
    "sql/0040/down.sql": "b4f08c7f31c3f168",
    "sql/0040/refunds.sql": "720466d3a6eaea51",
    "sql/0040/revocations.sql": "1194f43274a1422a",
    "versions/2026_12_01_claims.py": "84eb3971d046448f",
}


@pytest.mark.parametrize("name", FROZEN)
def test_a_migration_is_never_edited(name):
    found = hashlib.sha256((MIGRATIONS / name).read_text(encoding="utf-8").encode()).hexdigest()
    assert found[:16] == FROZEN[name], f"{name} is frozen: leave it and write a new migration"


def test_every_file_of_a_migration_is_frozen():
    files = {*MIGRATIONS.glob("versions/*.py"), *MIGRATIONS.glob("sql/*/*.sql")}
    names = {file.relative_to(MIGRATIONS).as_posix() for file in files}
    assert names | {"buckets.py"} == set(FROZEN), "name the digest of a new file in FROZEN"


def test_the_expected_schema_is_what_the_migrations_make(empty):
    with owner_of(empty) as connection:
        upgrade(connection)
        found = schema.of_catalogue(connection)

    assert found == fingerprint.expected(), "run .venv/bin/python tools/schema.py"


CHANGES = {
    "a column is gone": ("ALTER TABLE account DROP COLUMN needs_colleague CASCADE", "account"),
    "a column is of another type": ("ALTER TABLE venue ALTER code TYPE TEXT", "venue"),
    "a check is gone": ("ALTER TABLE holding DROP CONSTRAINT never_negative", "holding"),
    "a check is weaker": (
        "ALTER TABLE movement DROP CONSTRAINT quantity_positive,"
        " ADD CONSTRAINT quantity_positive CHECK (quantity > -1)",
        "movement",
    ),
    "an index is gone": ("DROP INDEX movement_posting", "movement"),
    "a trigger is off": ("ALTER TABLE posting DISABLE TRIGGER append_only", "posting"),
    "a function does something else": (
        "CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN NULL; END $$",
        "append_only()",
    ),
    "a view is gone": ("DROP VIEW line_draw CASCADE", "line_draw"),
    "it is at a revision that nobody knows": (
        "UPDATE alembic_version SET version_num = '9999'",
        "9999",
    ),
    "its migrations were edited since": ("COMMENT ON TABLE alembic_version IS 'other'", "迁移文件"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_schema_is_refused_by_init_and_by_serving(empty, change):
    statement, named = CHANGES[change]
    with application_on(empty) as app, owner_of(empty) as connection:
        installation.install()
        connection.execute(text(statement))
        connection.commit()
        before = named_objects(connection)

        answer = app.test_cli_runner().invoke(args=["init"])

        assert (answer.exit_code, answer.stdout) == (1, "")
        assert named in answer.stderr
        assert "make reset" in answer.stderr
        assert answer.stderr.count("\n") == 1
        assert named_objects(connection) == before
        with (
            click.Context(click.Command("run"), info_name="run"),
            pytest.raises(ConfigurationError, match=re.escape(named)),
        ):
            schema.check_before_serving(app, app.config["SETTINGS"])


def test_an_index_that_somebody_added_is_let_be(empty):
    with application_on(empty) as app, owner_of(empty) as connection:
        installation.install()
        connection.execute(text("CREATE INDEX by_hand ON account (name)"))
        connection.commit()

        installation.install()
        with click.Context(click.Command("run"), info_name="run"):
            schema.check_before_serving(app, app.config["SETTINGS"])


def test_nothing_is_served_before_init(empty):
    with (
        application_on(empty) as app,
        click.Context(click.Command("run"), info_name="run"),
        pytest.raises(ConfigurationError, match="flask init"),
    ):
        schema.check_before_serving(app, app.config["SETTINGS"])


def test_the_database_has_the_buckets_of_the_program_by_their_numbers(empty):
    with owner_of(empty) as connection:
        upgrade(connection)
        columns = [each["name"] for each in inspect(connection).get_columns("holding")]
        checks = {
            each["name"]: each["sqltext"]
            for table in ("holding", "movement")
            for each in inspect(connection).get_check_constraints(table)
        }

    assert [each for each in columns if each in {bucket.column for bucket in Bucket}] == [
        bucket.column for bucket in Bucket
    ]
    assert list(Bucket) == list(range(1, len(Bucket) + 1))
    assert checks["bucket_known"].count(f"<= {len(Bucket)}") == 2
    assert checks["never_negative"].count(">= 0") == len(Bucket) - 1


def test_a_bucket_is_added_by_a_short_migration(empty):
    known = [bucket.column for bucket in Bucket]
    number = len(known) + 1
    issued = int(Bucket.ISSUED)
    with owner_of(empty) as connection:
        upgrade(connection)
        before = schema.of_catalogue(connection)
        operations = Operations(MigrationContext.configure(connection))

        buckets.add(operations, [*known, "one_more"])

        connection.execute(
            text("INSERT INTO instrument (code, name, vintage) VALUES ('P', 'P', 1)")
        )
        connection.execute(
            text("INSERT INTO account (member_no, name, province) VALUES ('A', 'A', '42')")
        )
        # Two in one statement, which go the way of many, and one alone.
        for moves in (
            ((30, 1, issued, 101, 1), (7, 101, 1, 101, number)),
            ((3, 101, 1, 101, number),),
        ):
            rows = ", ".join(f"({', '.join(map(str, each))})" for each in moves)
            connection.execute(
                text(
                    "WITH p AS (INSERT INTO posting (business, stage, request_key, leads)"
                    " VALUES ('trial', 'approval', gen_random_uuid(), true) RETURNING id)"
                    " INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account,"
                    f" from_bucket, to_account, to_bucket) SELECT p.id, now(), 1, m.* FROM p,"
                    f" (VALUES {rows}) AS m"
                )
            )
        holdings = text("SELECT issued, available, one_more FROM holding ORDER BY account_id")
        assert connection.execute(holdings).all() == [(-30, 0, 0), (0, 20, 10)]
        last = text("SELECT bucket, delta, after FROM entry ORDER BY seq DESC, bucket DESC LIMIT 1")
        assert connection.execute(last).all() == [(number, 3, 10)]
        connection.rollback()

        buckets.add(operations, [*known, "one_more"])
        buckets.remove(operations, [*known, "one_more"])
        assert schema.of_catalogue(connection) == before


# SQLAlchemy reads a constraint that is NOT VALID so.
@pytest.mark.filterwarnings("ignore:Can't validate argument 'dialect_options'")
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
        assert before["account"] == 3 + 32 + 1  # the provinces', and 代管账户
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
        "unfinished_form",
        "known_device",
        "captcha",
        "challenge",
        "ab_user_role",
    }
