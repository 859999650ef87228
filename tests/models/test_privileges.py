"""What the database itself refuses, to the application's role and to the owner of the schema."""

from __future__ import annotations

import psycopg
import pytest

from app import embedded
from app.domain.moves import Bucket
from app.extensions import db, transaction
from app.operations.ledger.verification import verify_ledger
from tests.factories import TRIAL, account, give, quantity

APPEND_ONLY = (
    "attestation",
    "import_file",
    "notice_change",
    "posting",
    "movement",
    "entry",
    "sealed_block",
    "application_event",
    "operation_log",
    "login_record",
    "transfer_permission_change",
    "colleague_review_change",
    "settlement_run",
    "outbox_attempt",
    "job_failure",
    "log_block",
    "log_seal",
    "parameter",
    "signature",
    "signature_event",
    "crl",
    "announcement_reading",
    "operating_mode",
    "bank_binding_answer",
    "bank_file",
    "bank_answer",
    "bank_order_change",
    "bank_booking",
    "receivable",
    "receivable_payment",
    "bank_line_event",
    "bank_difference_resolution",
    "court_effect",
    "court_lapse",
    "court_reminder",
    "pledge_reminder",
    "offset_event",
    "offset_message_event",
    "offset_difference",
    "large_holding_run",
    "large_holding",
    "audit_day",
    "audit_total",
    "day_package",
    "package_refusal",
    "trade",
    "trade_delivery",
    "trade_default",
    "reported_position",
    "reported_fund",
    "reported_transfer",
    "settlement_difference",
    "difference_resolution",
    "settlement_confirmation",
    "settlement_stage",
    "proceeds_release",
    "daily_quote",
    "calendar_run",
    "plan",
    "allocation_figure",
    "claim_netting",
    "claim_succession",
    "carry_over_round",
    "carry_over_notice",
    "carry_over_grant",
    "carry_over_refusal",
    "class_rule",
    "notice_succession",
    "bankruptcy",
    "group_consent",
    "publication",
    "publication_run",
)
MOVEMENT = (
    "INSERT INTO movement (posting_id, at, instrument_id, quantity,"
    " from_account, from_bucket, to_account, to_bucket) VALUES "
)


def refused(error: psycopg.Error) -> bool:
    return isinstance(error, psycopg.errors.InsufficientPrivilege)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE holding SET available = available + 1 WHERE account_id = {plant}",
        "UPDATE holding SET version = 0",
        "INSERT INTO holding (account_id, instrument_id, available) VALUES (1, {cea}, 5)",
        "INSERT INTO holding (account_id, instrument_id) VALUES (1, {cea}) ON CONFLICT DO NOTHING",
        "DELETE FROM holding",
        "UPDATE entry SET after = after + 1",
        "DELETE FROM entry",
        "INSERT INTO entry (account_id, instrument_id, seq, movement_id, at, bucket, delta, after)"
        " VALUES ({plant}, {cea}, 99, 1, now(), 1, 5, 705)",
        "DELETE FROM posting",
        "UPDATE posting SET document = 'forged'",
        "UPDATE movement SET quantity = 1",
        "DELETE FROM movement",
        "INSERT INTO posting (id, business, stage, request_key) OVERRIDING SYSTEM VALUE"
        " VALUES (1, 'x', 'approval', 'x')",
        "INSERT INTO posting (business, stage, request_key, recorded_at)"
        " VALUES ('x', 'approval', 'x', '2020-01-01')",
        "INSERT INTO movement (id, posting_id, at, instrument_id, quantity, from_account,"
        " from_bucket, to_account, to_bucket) OVERRIDING SYSTEM VALUE"
        " VALUES (1, 1, now(), {cea}, 1, {plant}, 1, {plant}, 3)",
        "INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,"
        " to_account, to_bucket, recorded_xid) VALUES (1, now(), {cea}, 1, {plant}, 1, {plant}, 3, '5')",
        "INSERT INTO sealed_block (from_xid, to_xid, movements, root) VALUES ('0', '9', 0, 'x')",
        "TRUNCATE movement",
        "TRUNCATE posting, movement, entry, holding",
        "ALTER TABLE movement DISABLE TRIGGER post_movements",
        "ALTER TABLE holding DISABLE TRIGGER ALL",
        "DROP TRIGGER post_movements ON movement",
        "CREATE TRIGGER mine AFTER INSERT ON movement EXECUTE FUNCTION append_only()",
        "ALTER TABLE holding DROP CONSTRAINT never_negative",
        "CREATE OR REPLACE FUNCTION post_movements() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
        "CREATE FUNCTION movement_digest(holding) RETURNS bytea LANGUAGE sql AS 'SELECT null::bytea'",
        "CREATE TABLE mine (id integer)",
        "SET session_replication_role = replica",
        "SET ROLE registry_owner",
        "SELECT setval('movement_id_seq', 1)",
        "DELETE FROM application",
        "DELETE FROM announcement",
        "UPDATE announcement_reading SET read_at = now()",
        "DELETE FROM announcement_reading",
        "DELETE FROM account",
        "UPDATE application_event SET comment = 'forged'",
        "DELETE FROM operation_log",
        "UPDATE settlement_run SET to_trading_quantity = 0",
        "DELETE FROM login_record",
        "DELETE FROM certificate",
        "UPDATE certificate SET member_id = 1",
        "UPDATE certificate SET not_after = 'infinity'",
        "DELETE FROM certificate_enrolment",
        "UPDATE certificate_enrolment SET code_hash = ''",
        "UPDATE certificate_enrolment SET expires_at = 'infinity'",
        "UPDATE challenge SET content = ''",
        "DELETE FROM signature",
        "INSERT INTO operation_log (action, recorded_xid) VALUES ('x', '5')",
        "INSERT INTO operation_log (action, at) VALUES ('x', '2020-01-01')",
        "INSERT INTO login_record (member_no, is_success, outcome, at) VALUES ('x', true, 'x', '2020-01-01')",
        "INSERT INTO log_block (id, from_xid, to_xid, rows, previous, root)"
        " VALUES (1, '0', '9', 0, '', '')",
        "INSERT INTO log_seal (log, row_id, block_id, digest) VALUES ('operation_log', 1, 1, '')",
        "INSERT INTO login_failure (key, guess) VALUES ('member:S0001', gen_random_uuid())",
        "UPDATE login_failure SET at = '2020-01-01'",
        "DELETE FROM login_failure",
        "SELECT guess FROM login_failure",
        "UPDATE known_device SET member_id = 1",
        "UPDATE known_device SET created_at = now()",
        "UPDATE captcha SET created_at = 'infinity'",
        "UPDATE parameter SET value = '0'",
        "DELETE FROM parameter",
        "INSERT INTO ab_permission (id, name) VALUES (9999, 'can_do_all')",
        "INSERT INTO ab_role (id, name) VALUES (9999, 'root')",
        "INSERT INTO ab_permission_view_role (id, permission_view_id, role_id) VALUES (9999, 1, 1)",
        "DELETE FROM ab_permission_view_role",
        "UPDATE alembic_version SET version_num = '0'",
        "COPY holding TO PROGRAM 'true'",
    ],
)
def test_the_applications_role_is_refused(attempt, statement):
    assert refused(attempt(statement))


@pytest.mark.parametrize(
    "log",
    [
        "",
        "INSERT INTO operation_log (action, subject, detail) VALUES"
        " ('parameter.set', 'lock_failures', '{{\"after\": {{\"value\": \"9\"}}}}');",
        "INSERT INTO operation_log (action, subject, detail) VALUES"
        " ('parameter.set', 'lock_minutes', '{{\"after\": {{\"value\": \"10\"}}}}');",
    ],
)
def test_no_parameter_is_set_without_its_line_in_the_log(attempt, log):
    error = attempt(
        f"{log} INSERT INTO parameter (name, value, effective_from, reason)"
        " VALUES ('lock_failures', '10', '2026-11-20', '')"
    )

    assert error.diag.constraint_name == "parameter_is_logged"


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("verb", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_owner_cannot_change_what_is_append_only(attempt, cluster, table, verb):
    with cluster.connect("registry") as connection:
        column = connection.execute(
            "SELECT quote_ident(column_name) FROM information_schema.columns"
            " WHERE table_name = %s AND is_identity = 'NO' ORDER BY ordinal_position LIMIT 1",
            [table],
        ).fetchone()[0]

    error = attempt(verb.format(table, column, column), embedded.OWNER)

    assert refused(error)
    assert f"{table} is append-only" in str(error)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE holding SET available = available + 1",
        "INSERT INTO holding (account_id, instrument_id, available) VALUES (1, {cea}, 5)",
        "DELETE FROM holding",
        "TRUNCATE holding",
    ],
)
def test_the_owner_cannot_write_a_balance(attempt, statement):
    error = attempt(statement, embedded.OWNER)

    assert "holding is written by movements alone" in str(error)


def test_every_table_that_says_so_is_append_only(app):
    guarded = db.session.scalars(
        db.text("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'append_only'")
    ).all()

    assert sorted(guarded) == sorted(APPEND_ONLY)


@pytest.mark.parametrize(
    ("values", "refusal", "constraint"),
    [
        # Minting: only the national account issues.
        ("(1, now(), {cea}, 5, {plant}, 12, {plant}, 1)", "CheckViolation", "only_the_issuance"),
        # Back to the source of another account, which would make tonnes vanish.
        ("(1, now(), {cea}, 5, {plant}, 1, {plant}, 12)", "CheckViolation", "only_the_issuance"),
        ("(1, now(), {cea}, 601, {plant}, 1, {plant}, 3)", "CheckViolation", "never_negative"),
        ("(1, now(), {cea}, 0, {plant}, 1, {plant}, 3)", "CheckViolation", "quantity_positive"),
        ("(1, now(), {cea}, -5, {plant}, 1, {plant}, 3)", "CheckViolation", "quantity_positive"),
        ("(1, now(), {cea}, 5, {plant}, 1, {plant}, 1)", "CheckViolation", "goes_somewhere"),
        ("(1, now(), {cea}, 5, {plant}, 1, {plant}, 99)", "CheckViolation", "bucket_known"),
        ("(1, now(), {cea}, 5, {plant}, 0, {plant}, 1)", "CheckViolation", "bucket_known"),
        ("(1, now(), 999999, 5, {plant}, 1, {plant}, 3)", "ForeignKeyViolation", ""),
        ("(1, now(), {cea}, 5, {plant}, 1, 999999, 1)", "ForeignKeyViolation", "account"),
        ("(1, now(), {cea}, 5, 999999, 1, {plant}, 1)", "ForeignKeyViolation", ""),
        ("(1, now(), {cea}, 9223372036854775807, 1, 12, {plant}, 1)", "NumericValue", ""),
    ],
)
def test_an_impossible_movement_is_refused(attempt, values, refusal, constraint):
    error = attempt(MOVEMENT + values)

    assert type(error).__name__.startswith(refusal)
    assert constraint in (error.diag.constraint_name or "")


def test_one_bad_movement_takes_the_whole_statement_back(attempt):
    good, bad = (
        "(1, now(), {cea}, 5, {plant}, 1, {plant}, 3)",
        "(1, now(), {cea}, 999, {plant}, 1, {plant}, 3)",
    )

    assert isinstance(attempt(f"{MOVEMENT}{good}, {bad}"), psycopg.errors.CheckViolation)


def test_a_reversal_that_is_not_exact_is_refused_at_commit(attempt, cluster):
    error = attempt(
        "WITH p AS (INSERT INTO posting (business, stage, request_key, reverses_id, leads)"
        f" SELECT '{TRIAL}', 'withdrawal', 'by hand', max(id), true FROM posting RETURNING id) "
        + MOVEMENT.replace("VALUES", "SELECT id, now(), {cea}, 99, {plant}, 4, {plant}, 1 FROM p")
    )

    assert "does not reverse posting" in str(error)


def test_a_reversal_that_moves_nothing_is_refused_at_commit(attempt):
    error = attempt(
        "INSERT INTO posting (business, stage, request_key, reverses_id)"
        " SELECT 'x', 'withdrawal', 'by hand', max(id) FROM posting"
    )

    assert "does not reverse posting" in str(error)


def test_a_movement_added_to_an_old_posting_is_refused(attempt):
    error = attempt(
        MOVEMENT.replace("VALUES", "SELECT min(id), now(), {cea}, 5, {plant}, 1, {plant}, 5")
        + " FROM posting"
    )

    assert error.diag.constraint_name == "movements_are_led"


@pytest.mark.parametrize("final", ["approved", "withdrawn", "refused"])
def test_a_final_application_never_changes(cluster, attempt, final):
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE application SET status = %s, refusal = 'why'", [final])

    for change in ("status = 'draft'", "step = 9", "posting_id = NULL", "reason = 'x'"):
        error = attempt(f"UPDATE application SET {change}")
        assert error.diag.constraint_name == "final_states_stay"


def test_movements_of_one_statement_are_applied_in_order(plant, cea):
    other = account("乙水泥有限公司")
    with transaction():
        db.session.execute(
            db.text(
                "WITH p AS (INSERT INTO posting (business, stage, request_key, leads)"
                f" VALUES ('{TRIAL}', 'approval', 'by hand', true) RETURNING id) "
                + MOVEMENT.replace(
                    "VALUES", "SELECT p.id, now(), :cea, 600, legs.* FROM p, (VALUES"
                )
                + "(:plant, 1, :other, 1), (:other, 1, :other, 5)) AS legs"
            ),
            {"cea": cea.id, "plant": plant.id, "other": other.id},
        )

    assert quantity(plant, cea) == 0
    assert quantity(other, cea, Bucket.TRADING) == 600
    rows = db.session.execute(
        db.text("SELECT seq, bucket, delta, after FROM entry WHERE account_id = :id ORDER BY seq"),
        {"id": other.id},
    ).all()
    assert rows == [(1, 1, 600, 600), (2, 1, -600, 0), (3, 5, 600, 600)]
    assert verify_ledger().is_sound


def test_quantities_above_32_bits_are_exact(plant, cea):
    give(plant, cea, 8_194_000_000)
    give(plant, cea, 10**12)

    assert quantity(plant, cea) == 600 + 8_194_000_000 + 10**12
    assert verify_ledger().is_sound
