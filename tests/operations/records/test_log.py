"""The chained logs: no faults when untouched; every manipulation is reported with its row."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text

from app.extensions import db, transaction
from app.models import LoginRecord, OperationLog
from app.operations.records import clock, log, log_head
from app.operations.records.actor import SYSTEM, Actor
from app.pki import ceremony
from app.pki.errors import SignerAbsent, SignerFailed
from app.pki.signer import wait_until_ready
from app.security import sign_in
from tests.factories import member
from tests.signing import needs_sm2


class Logs:
    """Ten acts and three sign-in attempts, in two blocks, and a superuser who manipulates them."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.actor = Actor.of(member("auditor"), "192.0.2.7", "0a1b2c")
        for n in range(1, 6):
            self.write(n)
        assert self.seal() > 5
        for n in range(6, 11):
            self.write(n)
        for outcome in ("unknown", "locked", "wrong_captcha"):
            sign_in.record("21042399999", outcome, sign_in.Visitor("198.51.100.9", "x"))
        assert self.seal() == 8
        query = select(OperationLog.id).where(OperationLog.action == "test.act")
        self.ids = db.session.scalars(query.order_by(OperationLog.id)).all()
        self.attempts = db.session.scalars(select(LoginRecord.id).order_by(LoginRecord.id)).all()
        db.session.rollback()

    def write(self, n: int) -> None:
        with transaction():
            log.record(self.actor, "test.act", subject=f"S{n}", before={"n": n - 1}, after={"n": n})

    @staticmethod
    def seal() -> int:
        with transaction():
            return log.seal()

    def tamper(self, *statements: str) -> None:
        """Run statements as superuser, all triggers disabled."""
        with self.cluster.connect("registry") as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                assert connection.execute(statement).rowcount > 0


@pytest.fixture
def logs(app, cluster):
    return Logs(cluster)


@pytest.fixture
def heads(tmp_path):
    """A folder for heads, with signing and verification keys."""
    sign, public = log_head.file_key(tmp_path / "key.pem")
    return tmp_path / "heads", sign, public


def found(*kept) -> list[tuple[str, str]]:
    db.session.rollback()
    return [(fault.check, fault.key) for fault in log.verify_log(kept).faults]


def test_a_row_says_who_with_what_from_where_what_before_and_after_and_how_it_ended(app):
    auditor = member("auditor")
    with transaction():
        log.record(
            Actor.of(auditor, "192.0.2.7", "0a1b2c"), "test.act", subject="S1",
            result="refused", before={"is_open": True}, after={"is_open": False},
        )  # fmt: skip
    row = db.session.scalars(select(OperationLog).where(OperationLog.action == "test.act")).one()
    assert (row.member_id, row.member_no, row.certificate) == (
        auditor.id,
        auditor.username,
        "0a1b2c",
    )
    assert (row.ip, row.subject, row.result) == ("192.0.2.7", "S1", "refused")
    assert row.detail == {"before": {"is_open": True}, "after": {"is_open": False}}


def test_a_row_is_gone_with_the_act_that_failed(app):
    def act() -> None:
        with transaction():
            log.record(SYSTEM, "test.act")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act()
    assert (
        db.session.scalar(select(OperationLog.id).where(OperationLog.action == "test.act")) is None
    )


def test_personal_data_are_masked_on_the_way_into_the_log(app):
    with transaction():
        log.record(SYSTEM, "test.act", after={"phone": "13812341234", "name": "甲"})
    detail = db.session.scalar(select(OperationLog.detail).where(OperationLog.action == "test.act"))
    assert detail == {"after": {"phone": "138****1234", "name": "甲"}}


@pytest.mark.parametrize(
    "detail",
    [{"password": "x"}, {"after": {"pin": "1"}}, {"rows": [{"authorization_code": "x"}]}],
    ids=str,
)
def test_a_secret_does_not_get_into_the_log(app, detail):
    with pytest.raises(AssertionError, match="no log holds"):
        log.record(SYSTEM, "test.act", **detail)


def test_a_sound_chain_has_no_faults(logs):
    report = log.verify_log()
    assert report.is_sound
    assert report.faults == []
    assert report.blocks == 2
    assert report.unsealed_rows == 0
    logs.write(11)
    assert log.verify_log().unsealed_rows == 1
    assert logs.seal() == 1
    assert logs.seal() == 0, "an empty block is not written"
    assert log.verify_log().is_sound


@pytest.mark.parametrize(
    "change",
    [
        "subject = 'S3x'",
        "ip = '192.0.2.8'",
        "member_no = member_no || ' '",
        "member_id = NULL",
        "certificate = ''",
        "action = 'test.bct'",
        "result = 'refused'",
        "at = at + interval '1 microsecond'",
        """detail = '{"before": {"n": 2}, "after": {"n": 4}}'""",
        "recorded_xid = (recorded_xid::text::bigint + 1)::text::xid8",
    ],
)
def test_a_changed_byte_is_named(logs, change):
    logs.tamper(f"UPDATE operation_log SET {change} WHERE id = {logs.ids[2]}")
    assert found() == [("log_changed", f"operation_log {logs.ids[2]} of block 1 was changed")]


@pytest.mark.parametrize("change", ["outcome = 'locked'", "ip = ''", "is_success = true"])
def test_a_changed_attempt_to_sign_in_is_named(logs, change):
    logs.tamper(f"UPDATE login_record SET {change} WHERE id = {logs.attempts[0]}")
    assert found() == [("log_changed", f"login_record {logs.attempts[0]} of block 2 was changed")]


def test_a_missing_row_is_named(logs):
    logs.tamper(f"DELETE FROM operation_log WHERE id = {logs.ids[7]}")
    assert found() == [("log_missing", f"operation_log {logs.ids[7]} of block 2 is missing")]


def test_rows_that_changed_places_are_named(logs):
    one, two = logs.ids[1], logs.ids[3]
    logs.tamper(
        "UPDATE operation_log a SET (at, subject, detail, recorded_xid)"
        " = (b.at, b.subject, b.detail, b.recorded_xid) FROM operation_log b"
        f" WHERE (a.id, b.id) IN (({one}, {two}), ({two}, {one}))"
    )
    assert found() == [
        ("log_reordered", f"operation_log {one} has what was sealed as {two}"),
        ("log_reordered", f"operation_log {two} has what was sealed as {one}"),
    ]


def test_a_row_slipped_in_behind_the_seal_is_named(logs):
    logs.tamper(
        "INSERT INTO operation_log (id, at, action, member_no, recorded_xid)"
        " OVERRIDING SYSTEM VALUE"
        f" SELECT 999999, at, action, '21042399999', recorded_xid FROM operation_log"
        f" WHERE id = {logs.ids[2]}"
    )
    assert found() == [("log_inserted", "operation_log 999999 was slipped in behind the seal")]


def test_whoever_rewrites_a_row_and_its_seal_breaks_the_block(logs):
    logs.tamper(
        f"UPDATE operation_log SET subject = 'x' WHERE id = {logs.ids[2]}",
        "UPDATE log_seal SET digest = log_digest(l) FROM operation_log l"
        f" WHERE log = 'operation_log' AND row_id = l.id AND l.id = {logs.ids[2]}",
    )
    assert found() == [("log_block", "block 1: its seals were rewritten")]


def test_whoever_rewrites_a_block_as_well_breaks_the_chain(logs):
    logs.tamper(
        f"DELETE FROM operation_log WHERE id = {logs.ids[2]}",
        f"DELETE FROM log_seal WHERE log = 'operation_log' AND row_id = {logs.ids[2]}",
        "UPDATE log_block SET rows = rows - 1, root = log_root(previous, id, from_xid, to_xid)"
        " WHERE id = 1",
    )
    assert found() == [("log_chain", "block 2 does not follow the one before it")]


def test_whoever_rewrites_the_whole_chain_is_given_away_by_a_head(logs, heads):
    folder, sign, public = heads
    log_head.write(folder, sign, now=clock.now())
    logs.tamper(
        f"UPDATE operation_log SET subject = 'x' WHERE id = {logs.ids[2]}",
        "UPDATE log_seal SET digest = log_digest(l) FROM operation_log l"
        f" WHERE log = 'operation_log' AND row_id = l.id AND l.id = {logs.ids[2]}",
        "UPDATE log_block SET root = log_root(previous, id, from_xid, to_xid) WHERE id = 1",
        "UPDATE log_block SET previous = (SELECT root FROM log_block WHERE id = 1) WHERE id = 2",
        "UPDATE log_block SET root = log_root(previous, id, from_xid, to_xid) WHERE id = 2",
    )
    assert found() == [], "the chain alone cannot tell"
    kept, forged = log_head.read(folder, public)
    assert forged == []
    assert found(*kept) == [
        ("log_head", "head of 2026-11-20: block 2 was sealed with another root")
    ]


def test_a_tail_cut_off_after_a_head_was_kept_is_found(logs, heads):
    folder, sign, public = heads
    log_head.write(folder, sign, now=clock.now())
    logs.tamper(
        "DELETE FROM operation_log WHERE id IN (SELECT row_id FROM log_seal WHERE block_id = 2)",
        "DELETE FROM login_record",
        "DELETE FROM log_seal WHERE block_id = 2",
        "DELETE FROM log_block WHERE id = 2",
    )
    kept, _forged = log_head.read(folder, public)
    assert found(*kept) == [
        ("log_head", "head of 2026-11-20: block 2 is not there; the log was cut off")
    ]


def test_a_block_taken_out_is_found(logs):
    logs.tamper("DELETE FROM log_block WHERE id = 1")
    assert ("log_chain", "block 2 does not follow the one before it") in found()
    assert ("log_chain", "seals of block 1, which is not there") in found()


def test_openssl_alone_verifies_a_head_and_any_changed_byte_fails(logs, heads):
    folder, sign, public = heads
    path = log_head.write(folder, sign, now=clock.now())
    key = folder / "seal.pub"
    key.write_bytes(public)

    def verifies() -> bool:
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", key, "-signature",
             path.with_suffix(".sig"), path], capture_output=True, check=False,
        )  # fmt: skip
        return done.returncode == 0

    assert verifies()
    said = json.loads(path.read_text())
    assert (said["kind"], said["day"], said["block"]) == ("registry-log-head", "2026-11-20", 2)
    assert said["rows"] == log.verify_log().sealed_rows
    assert said["root"] == log.verify_log().last_root
    assert log_head.read(folder, public) == ([said], [])

    content = path.read_bytes()
    for place in range(0, len(content), 7):
        changed = bytes(byte ^ (n == place) for n, byte in enumerate(content))
        path.write_bytes(changed)
        assert log_head.read(folder, public)[1] == [path.name], place
    assert not verifies()


def test_a_head_signed_by_another_key_is_not_believed(logs, heads, tmp_path):
    folder, sign, _public = heads
    path = log_head.write(folder, sign, now=clock.now())
    _other, other_public = log_head.file_key(tmp_path / "other.pem")
    assert log_head.read(folder, other_public) == ([], [path.name])
    path.with_suffix(".sig").unlink()
    assert log_head.read(folder, _public) == ([], [path.name])


@pytest.mark.parametrize("kind", ["p256", pytest.param("sm2", marks=needs_sm2)])
def test_the_registrys_seal_key_signs_heads_through_its_process(logs, tmp_path, kind):
    authority = tmp_path / "authority"
    ceremony.establish(authority, "a long passphrase", now=datetime.now(UTC), kind=kind)
    process = subprocess.Popen([sys.executable, "-m", "app.pki.signer", str(authority)])
    try:
        wait_until_ready(authority)
        sign, public = log_head.seal_key(authority)
        with pytest.raises(SignerFailed):  # It seals no head that leaves its journal out.
            log_head.write(tmp_path / "heads", sign, now=clock.now())
        told = log_head.journal_of(authority)
        path = log_head.write(tmp_path / "heads", sign, now=clock.now(), journal=told)
        compare = [sys.executable, "-m", "app.pki.journal", authority, path.parent]
        assert subprocess.run(compare, check=False, capture_output=True).returncode == 0
        lines = (authority / "journal").read_bytes().splitlines(keepends=True)
        (authority / "journal").write_bytes(b"".join(lines[: told["entries"] - 1]))
        cut = subprocess.run(compare, check=False, capture_output=True, text=True)
        assert path.name in cut.stderr
    finally:
        process.terminate()
        process.wait(60)
    kept, forged = log_head.read(path.parent, public)
    assert ([head["block"] for head in kept], forged) == ([2], [])
    with pytest.raises(SignerAbsent):
        log_head.seal_key(authority)


def test_the_key_of_heads_is_its_owners_alone(tmp_path):
    log_head.file_key(tmp_path / "new" / "key.pem")
    assert (tmp_path / "new" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_row_whose_transaction_is_under_way_waits_for_the_next_seal(logs, app):
    """Fails when seal_log seals up to the newest transaction instead of the oldest under way."""
    with db.engine.connect() as slow:
        slow.execute(text("INSERT INTO operation_log (action) VALUES ('slow.act')"))
        logs.write(11)
        assert logs.seal() == 0, "what was written after the slow one has begun waits for it"
        slow.commit()
    assert logs.seal() == 2
    assert found() == []


def test_two_seals_at_once_make_one_chain(logs, app):
    for n in range(11, 31):
        logs.write(n)
    start, sealed, failed = threading.Barrier(4), [], []

    def run():
        with app.app_context():
            start.wait()
            try:
                sealed.append(logs.seal())
            except Exception as error:
                failed.append(error)
            finally:
                db.session.remove()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs.seal()
    assert failed == []
    assert found() == []
