"""What whoever has the application's database password can do, and what becomes of it.

Refused by the database, or found by `flask verify-log`; docs/security-tests.md has the table.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.types.json import Jsonb

from app import embedded
from app.domain.errors import NotAllowed
from app.domain.kinds import KINDS
from app.domain.workflow import Party
from app.extensions import db, transaction
from app.models import Application, RevocationList, Signature
from app.operations.applications import deciding, engine, evidence, jobs
from app.operations.applications.verification import verify_signatures
from app.operations.people import certificates
from app.operations.records import clock, log, seals
from app.operations.records.actor import Actor
from app.pki import revocation
from tests import factories
from tests.security.certified import InProcess, content_of, issue, make_authority, register

EVENT = (
    "INSERT INTO application_event (application_id, action, at, member_id, member_name, status)"
    " VALUES ({waiting}, '{{}}', now(), {officer}, '周强', 'in_review')"
)
# An act with a signature that nobody made, in the form that the database asks for.
FORGED = (
    "WITH e AS (" + EVENT.replace("{{}}", "approve") + " RETURNING id),"
    " s AS (INSERT INTO signature (purpose, content, digest, cms, certificate_id, crl_number, signed_at)"
    "       SELECT 'review', c, encode(sha256(c), 'hex'), 'x', {officer_certificate}, 1, now()"
    "         FROM convert_to('{review}', 'UTF8') AS c RETURNING id)"
    " INSERT INTO signature_event (application_event_id, signature_id, content)"
    " SELECT e.id, s.id, '{content}' FROM e, s"
)


@pytest.fixture(scope="module")
def authority():
    return make_authority()


@pytest.fixture
def world(app, monkeypatch, authority, tmp_path, cluster, plant, operator, checker, cea):
    """An approved and a waiting application, both signed, where signing is on."""
    monkeypatch.setitem(app.config, "CERT_LOGIN", "agent")
    monkeypatch.setattr(certificates, "the_authority", lambda: authority)
    signer = InProcess(tmp_path, authority)
    monkeypatch.setattr(seals, "the_signer", lambda: signer)
    now = datetime.now(UTC)
    with transaction():
        der = revocation.make_crl(authority, 1, [], now=now)
        db.session.add(
            RevocationList(number=1, der=der, issued_at=now, next_update=now + timedelta(hours=24))
        )
    with cluster.connect("registry") as connection:
        connection.execute(
            "INSERT INTO operating_mode (signs, is_production, after_event)"
            " SELECT true, false, coalesce(max(id), 0) FROM application_event"
        )
    people = SimpleNamespace(
        operator=_Person(operator, authority), officer=_Person(checker, authority)
    )
    approved = _submitted(people.operator, cea)
    people.officer.decide(approved, "approve")
    waiting = _submitted(people.operator, cea)
    return SimpleNamespace(
        **vars(people), approved=approved, waiting=waiting, plant=plant, cea=cea, cluster=cluster
    )


class _Person:
    """A member with a key, whose acts are signed as the pages have them signed."""

    def __init__(self, member, authority) -> None:
        self.member, self.holder = member, issue(authority, member.username)
        self.certificate = register(member.username, self.holder)
        self.actor = Actor.of(member)

    def sign(self, purpose: str, payload) -> int:
        step = {"type": purpose, "challenge": f"{id(payload)}-{clock.now()}", "payload": payload}
        content = content_of(step)
        cms = self.holder.signature(content)
        now = datetime.now(UTC)
        return evidence.keep(self.certificate, content, cms, purpose=purpose, signed_at=now)

    def decide(self, id_: int, decision: str, comment: str = "") -> None:
        with transaction():
            found = evidence.contents([id_])
            signature = self.sign("review", evidence.review(found, decision, comment, self.actor))
            deciding.decide(
                [id_], decision, self.actor, now=clock.now(), comment=comment, signature=signature
            ).one()


def _submitted(person: _Person, cea) -> int:
    made = factories.draft("voluntary_cancellation", person.member, {cea: 10}, reason="碳中和")
    with transaction():
        found = evidence.contents([made])
        signature = person.sign("submit", evidence.submission(found, person.actor))
        engine.submit([made], person.actor, now=clock.now()).one()
        evidence.cover(signature, found, [made], person.actor)
    return made


def _known(world) -> dict[str, object]:
    """Return what an attacker reads in the database."""
    content = evidence.contents([world.waiting])[world.waiting]
    payload = evidence.review({world.waiting: content}, "approve", "", world.officer.actor)
    said = content_of({"type": "review", "challenge": "F" * 43, "payload": payload})
    signatures = dict(db.session.execute(db.select(Signature.purpose, Signature.id)).all())
    db.session.rollback()
    return {
        "plant": world.plant.id,
        "cea": world.cea.id,
        "operator": world.operator.member.id,
        "officer": world.officer.member.id,
        "officer_no": world.officer.member.username,
        "officer_certificate": world.officer.certificate.id,
        "approved": world.approved,
        "waiting": world.waiting,
        "review": said.decode(),
        "content": content.text.decode(),
        "used": signatures["review"],
        "submitted": signatures["submit"],
    }


def run(world, statement: str, role: str = embedded.APP) -> None:
    """Run a statement of an attacker, and commit it."""
    known = _known(world)
    for name, value in known.items():
        statement = statement.replace("{" + name + "}", str(value))
    url = world.cluster.url(role).replace("+psycopg", "")
    with closing(psycopg.connect(url)) as connection, connection.transaction():
        connection.execute(statement)


def _event(action: str) -> str:
    return EVENT.replace("{{}}", action)


COVERED = (
    "WITH e AS (" + _event("approve") + " RETURNING id)"
    " INSERT INTO signature_event (application_event_id, signature_id, content)"
    " SELECT id, {}, '{content}' FROM e"
)

PARAMETER_LOGGED = (
    "INSERT INTO operation_log (member_id, action, subject, detail) VALUES ({officer},"
    " 'parameter.set', 'transfer_cut_off', '{\"after\": {\"value\": \"23:59\"}}');"
)
REFUSED = {
    # An act without its signature, or with another one's.
    "an approval that nobody signed": (_event("approve"), "acts_are_signed"),
    "a submission that nobody signed": (_event("submit"), "acts_are_signed"),
    "a return that nobody signed": (_event("send_back"), "acts_are_signed"),
    "a withdrawal that nobody signed": (_event("withdraw"), "acts_are_signed"),
    "an approval by a machine": (
        _event("approve").replace("{officer}", "NULL"), "machines_do_their_part"),
    "an old signature, for another application": (
        COVERED.replace("{}", "{used}"), "signature_covers"),
    "an old signature, for the same application again": (
        COVERED.replace("{}", "{used}").replace("{waiting}", "{approved}"), "signature_covers"),
    "another member's signature": (COVERED.replace("{}", "{submitted}"), "signature_covers"),
    "a signature for another decision": (
        FORGED.replace("'approve', now()", "'send_back', now()"), "signature_covers"),
    "another content than the signed one": (
        FORGED.replace("'{content}' FROM", "'{}' FROM"), "signature_covers"),
    "a signature recorded again": (
        "INSERT INTO signature (purpose, content, digest, cms, certificate_id, crl_number, signed_at)"
        " SELECT purpose, content, digest, cms, certificate_id, crl_number, signed_at"
        " FROM signature", "signature_once"),
    "a back-dated signature": (
        "INSERT INTO signature (purpose, content, digest, cms, certificate_id, crl_number, signed_at,"
        " recorded_at) SELECT purpose, 'x', encode(sha256('x'), 'hex'), cms, certificate_id,"
        " crl_number, signed_at, '2020-01-01' FROM signature LIMIT 1", ""),
    "a signature in another transaction's name": (
        "INSERT INTO signature (purpose, content, digest, cms, certificate_id, crl_number, signed_at,"
        " recorded_xid) SELECT purpose, 'x', encode(sha256('x'), 'hex'), cms, certificate_id,"
        " crl_number, signed_at, recorded_xid FROM signature LIMIT 1", ""),
    "switching signing off": (
        "INSERT INTO operating_mode (signs, is_production, after_event) VALUES (false, false, 0)", ""),
    # Settings.
    "the hours of trade": (
        "INSERT INTO parameter (name, value, effective_from, reason, set_by)"
        " VALUES ('transfer_cut_off', '23:59', '2026-11-20', 'x', {officer})", "parameter_is_logged"),
    "the hours of trade, with a line in the log": (
        PARAMETER_LOGGED + "INSERT INTO parameter (name, value, effective_from, reason, set_by)"
        " VALUES ('transfer_cut_off', '23:59', '2026-11-20', 'x', {officer})", "settings_are_signed"),
    "the calendar": (
        "UPDATE trading_day SET is_trading = true WHERE day = '2026-11-21'", "settings_are_signed"),
    "a day that is not in the calendar": (
        "INSERT INTO trading_day (day, is_trading) VALUES ('2099-01-02', true)",
        "settings_are_signed"),
    "the transfer permission": (
        "INSERT INTO transfer_permission_change (account_id, is_allowed, changed_by, changed_at)"
        " VALUES ({plant}, true, {operator}, now())", "settings_are_signed"),
    "the review by a colleague": (
        "INSERT INTO colleague_review_change (account_id, is_on, changed_by, changed_at)"
        " VALUES ({plant}, false, {operator}, now())", "switches_are_signed"),
    "the transfer permission, without its history": (
        "UPDATE account SET allows_exchange_transfer = NOT allows_exchange_transfer WHERE id = {plant}",
        "flag_is_signed"),
    "the review by a colleague, without its history": (
        "UPDATE account SET needs_colleague = NOT needs_colleague WHERE id = {plant}",
        "flag_is_signed"),
    "keeping an officer out": (
        "INSERT INTO operation_log (member_id, action, subject, detail)"
        " SELECT id, 'member.disable', username, '{}' FROM ab_user WHERE id = {officer};"
        "UPDATE ab_user SET active = false WHERE id = {officer}", "switches_are_signed"),
    "another role for who has a certificate": (
        "INSERT INTO ab_user_role (user_id, role_id) SELECT {officer}, id FROM ab_role"
        " WHERE name = 'registry_maker'", "settings_are_signed"),
    "taking a role from who has a certificate": (
        "DELETE FROM ab_user_role WHERE user_id = {officer}", "settings_are_signed"),
    # What was submitted or approved.
    **{
        f"{column} of an application {state}": (
            f"UPDATE application SET {column} = {value} WHERE id = {{{state}}}", "final_states_stay")
        for state in ("approved", "waiting")
        for column, value in (
            ("reason", "'其他'"),
            ("category", "'x'"),
            ("document_no", "'x'"),
            ("starts_on", "'2020-01-01'"),
            ("proposal", "'{\"x\": 1}'"),
            ("submitted_by", "{officer}"),
            ("submitted_at", "'2020-01-01'"),
        )
    },
    "the state of an approved application": (
        "UPDATE application SET status = 'returned' WHERE id = {approved}", "final_states_stay"),
    "whose an application is": ("UPDATE application SET account_id = 1", ""),
    "a line of an application": ("UPDATE application_line SET quantity = 9", ""),
    "another line of an approved application": (
        "INSERT INTO application_line (application_id, instrument_id, quantity, account_id)"
        " VALUES ({approved}, {cea}, 5, {plant})", "submitted_lines_stay"),
    "a line less": (
        "DELETE FROM application_line WHERE application_id = {waiting}", "submitted_lines_stay"),
    "an attachment of an approved application": (
        "INSERT INTO attachment (application_id, account_id, name, media_type, size, sha256, content,"
        " uploaded_at) VALUES ({approved}, {plant}, 'x', 'x', 1, 'x', 'x', now())",
        "submitted_attachments_stay"),
    "another receiver": (
        "INSERT INTO application_party (application_id, account_id) VALUES ({waiting}, {plant})",
        "submitted_parties_stay"),
    "a receiver's yes that nobody said": (
        "WITH d AS (INSERT INTO application (number, kind, account_id, request_key, created_at)"
        " VALUES ('X1', 'custody', {plant}, 'x', now()) RETURNING id)"
        " INSERT INTO application_party (application_id, account_id, agreed_at, agreed_by)"
        " SELECT id, {plant}, now(), {operator} FROM d", "agreement_has_its_event"),
    # Who is who, and how they are reached.
    "whose operator somebody is": ("UPDATE ab_user SET account_id = NULL", ""),
    "an officer's province": ("UPDATE ab_user SET province = '42' WHERE id = {officer}", ""),
    "a member number": ("UPDATE ab_user SET username = 'x' WHERE id = {officer}", ""),
    "a password without a line in the log": (
        "UPDATE ab_user SET password = 'x' WHERE id = {officer}", "person_has_a_log_line"),
    "an address without a line in the log": (
        "UPDATE ab_user SET email = 'x@y.cn' WHERE id = {officer}", "person_has_a_log_line"),
    "letting somebody in without a line in the log": (
        "UPDATE ab_user SET active = false WHERE id = {officer}", "person_has_a_log_line"),
    "a back-dated password": (
        "INSERT INTO password_record (member_id, password, changed_at)"
        " VALUES ({officer}, 'x', '2020-01-01')", ""),
    "whose an account is": ("UPDATE account SET member_no = 'x', province = '11'", ""),
    # Letters, jobs, lists and the clock.
    "where a letter goes": ("UPDATE outbox_message SET recipient = 'x@y.cn'", ""),
    "a back-dated letter": (
        "INSERT INTO outbox_message (channel, recipient, body, purpose, created_at)"
        " VALUES ('mail', 'x@y.cn', 'x', 'x', '2020-01-01')", ""),
    "what a job does": ("UPDATE job SET arguments = '{}'", ""),
    "whose job it is": ("UPDATE job SET member_id = {officer}", ""),
    "a revocation list out of order": (
        "INSERT INTO crl (number, der, issued_at, next_update)"
        " VALUES (1, 'x', now(), now() + interval '1 day')", "lists_follow"),
    "a revocation list whose number leaves none for those to come": (
        "INSERT INTO crl (number, der, issued_at, next_update)"
        " VALUES (2147483647, 'x', now(), now() + interval '1 day')", "lists_follow"),
    "a back-dated revocation list": (
        "INSERT INTO crl (number, der, issued_at, next_update)"
        " VALUES (2, 'x', '2020-01-01', now() + interval '1 day')", "lists_follow"),
    "an event whose number is chosen": (
        "INSERT INTO application_event (id, application_id, action, at, status)"
        " OVERRIDING SYSTEM VALUE VALUES (1, {waiting}, 'save', now(), 'draft')", ""),
}  # fmt: skip


def _state(cluster) -> list[list[tuple]]:
    tables = ("application", "application_line", "application_event", "signature_event", "parameter",
              "ab_user", "ab_user_role", "crl", "operating_mode")  # fmt: skip
    with cluster.connect("registry") as connection:
        return [
            connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in tables
        ]


def test_the_database_refuses(world):
    """Each attack in a transaction of its own, on one registry: none of them changes anything."""
    before = _state(world.cluster)
    wrong = {}
    for name, (statement, constraint) in REFUSED.items():
        try:
            run(world, statement)
        except psycopg.errors.InsufficientPrivilege as error:
            found = "" if constraint == "" else str(error)
        except psycopg.errors.IntegrityError as error:
            found = error.diag.constraint_name or str(error)
        except psycopg.Error as error:
            found = str(error)
        else:
            found = "not refused"
        if found != constraint:
            wrong[name] = found
    assert wrong == {}
    assert _state(world.cluster) == before
    report = log.Report()
    assert verify_signatures(report).events == 3
    assert report.faults == []


def test_production_has_no_clock_of_its_own_nor_back_dated_events(world):
    with world.cluster.connect("registry") as connection:
        connection.execute(
            "INSERT INTO operating_mode (signs, is_production, after_event) VALUES (true, true, 0)"
        )
    for statement, constraint in (
        ("UPDATE business_clock SET ahead = '1 day'", "production_has_no_clock"),
        (
            "INSERT INTO application_event (application_id, action, at, member_id, status)"
            " VALUES ({waiting}, 'save', now() - interval '1 day', {officer}, 'draft')",
            "event_at_its_time",
        ),
    ):
        with pytest.raises(psycopg.errors.CheckViolation) as refusal:
            run(world, statement)
        assert refusal.value.diag.constraint_name == constraint


def test_the_kinds_of_machines_are_the_exchange_s(app):
    kinds = {kind.code for kind in KINDS.values() if kind.started_by is Party.EXCHANGE}
    source = db.session.scalar(
        db.text("SELECT prosrc FROM pg_proc WHERE proname = 'acts_are_signed'")
    )
    named = ", ".join(f"'{code}'" for code in sorted(kinds))
    assert f"a.kind IN ({named})" in source


FORGED_LIST = (
    "INSERT INTO crl (number, der, issued_at, next_update)"
    " SELECT 2, der, now(), next_update FROM crl"
)
FORGED_SETTING = PARAMETER_LOGGED + (
    "WITH s AS (INSERT INTO signature (purpose, content, digest, cms, certificate_id, crl_number,"
    "  signed_at)"
    "  SELECT 'act', c, encode(sha256(c), 'hex'), 'x', {officer_certificate}, 1, now()"
    '    FROM convert_to(\'{"payload": {"schema": "act/1", "act": "parameter.set",'
    '                     "values": {"parameter": "transfer_cut_off", "value": "23:59",'
    '                                  "effective_from": "2026-11-20"}}}\', \'UTF8\') AS c)'
    " INSERT INTO parameter (name, value, effective_from, reason, set_by)"
    " VALUES ('transfer_cut_off', '23:59', '2026-11-20', 'x', {officer})"
)
FOUND = {
    "an approval with a forged signature": (embedded.APP, FORGED, {"signature"}),
    "a forged revocation list": (embedded.APP, FORGED_LIST, {"crl"}),
    "a parameter with a forged signature": (embedded.APP, FORGED_SETTING, {"signature"}),
    "a superuser's other content": (
        "", "UPDATE application SET reason = '其他' WHERE id = {approved}", {"content"}),
    "a superuser's other lines": (
        "", "UPDATE application_line SET quantity = 11 WHERE application_id = {approved}",
        {"content"}),
    "a superuser's deleted signature": (
        "", "DELETE FROM signature_event WHERE signature_id = {used}", {"unsigned"}),
    "a superuser's approval": ("", _event("approve"), {"unsigned"}),
    "a superuser's other time of signing": (
        "", "UPDATE signature SET recorded_at = recorded_at - interval '1 hour' WHERE id = {used}",
        {"signature"}),
    "a superuser's other signature under an event": (
        "", "UPDATE signature_event SET signature_id = {submitted} WHERE signature_id = {used}",
        {"signature"}),
    "signing switched off by a superuser": (
        "", "INSERT INTO operating_mode (signs, is_production, after_event)"
        " SELECT false, false, max(id) FROM application_event", {"operating_mode"}),
}  # fmt: skip


@pytest.mark.parametrize(("role", "statement", "checks"), FOUND.values(), ids=FOUND)
def test_the_verification_finds(world, role, statement, checks):
    if role:
        run(world, statement, role)
    else:
        for name, value in _known(world).items():
            statement = statement.replace("{" + name + "}", str(value))
        with world.cluster.connect("registry") as connection:
            connection.execute("SET session_replication_role = replica")
            assert connection.execute(statement).rowcount
    report = log.Report()
    verify_signatures(report)
    assert set(report.totals) == checks, report.faults
    numbers = db.session.scalars(db.select(Application.number)).all()
    if checks <= {"content", "unsigned"}:
        assert any(number in report.faults[0].key for number in numbers)


def test_a_submission_whose_signature_is_forged_is_not_approved(world):
    """It comes as far as the review, which verifies it, and no further."""
    with world.cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE signature SET cms = 'x' WHERE id IN (SELECT signature_id FROM signature_event x"
            " JOIN application_event e ON e.id = x.application_event_id WHERE e.application_id = %s)",
            [world.waiting],
        )
    with transaction():
        outcome = engine.approve([world.waiting], world.officer.actor, now=clock.now())
    assert [error.code for _case, error in outcome.refused] == ["altered"]


def _job(world, **arguments) -> int:
    """Insert a job by hand, as the database's role can."""
    known = {"action": "approve", "comment": "", "ids": [world.waiting], **arguments}
    url = world.cluster.url(embedded.APP).replace("+psycopg", "")
    with closing(psycopg.connect(url)) as connection, connection.transaction():
        return connection.execute(
            "INSERT INTO job (kind, member_id, arguments, total, created_at)"
            " VALUES ('review', %s, %s, 1, now()) RETURNING id",
            [world.officer.member.id, Jsonb(known)],
        ).fetchone()[0]


@pytest.mark.parametrize(
    ("sign", "told"),
    [
        (lambda world: None, "没有经办人的签名"),
        (lambda world: 999_999, "没有经办人的签名"),
        (lambda world: _known(world)["submitted"], "签名无效"),
        (lambda world: _forged(world), "签名无效"),
        (lambda world: _ended(world), "签名无效"),
        (lambda world: _other_decision(world), "签名无效"),
    ],
    ids=["none", "unknown", "another's", "forged", "revoked since", "another decision"],
)
def test_a_job_inserted_by_hand_does_nothing_but_fail(world, sign, told):
    job = _job(world, signature=sign(world))
    with pytest.raises(NotAllowed) as refusal:
        jobs.advance(job, now=clock.now())
    db.session.rollback()
    assert told in str(refusal.value)
    assert db.session.get_one(Application, world.waiting).status == "in_review"


def test_a_job_does_what_was_signed_once(world):
    """A signature that was made for a job and is used for another one decides nothing."""
    found = evidence.contents([world.waiting])
    with transaction():
        payload = evidence.review(found, "approve", "", world.officer.actor)
        signature = world.officer.sign("review", payload)
    job = _job(world, signature=signature)
    with transaction():
        assert jobs.advance(job, now=clock.now())
    assert db.session.get_one(Application, world.waiting).status == "approved"
    report = log.Report()
    assert verify_signatures(report).events == 4
    assert report.faults == []

    used = _known(world)["used"]
    job = _job(world, signature=used, ids=[world.approved])
    with transaction():
        jobs.advance(job, now=clock.now())
    db.session.rollback()
    assert db.session.get_one(jobs.Job, job).failed == 1


def _forged(world) -> int:
    """Insert a signature over the right content that nobody made."""
    said = _known(world)["review"].encode()
    url = world.cluster.url(embedded.APP).replace("+psycopg", "")
    with closing(psycopg.connect(url)) as connection, connection.transaction():
        return connection.execute(
            "INSERT INTO signature (purpose, content, digest, cms, certificate_id, crl_number,"
            " signed_at) VALUES ('review', %s, %s, 'x', %s, 1, now()) RETURNING id",
            [said, hashlib.sha256(said).hexdigest(), world.officer.certificate.id],
        ).fetchone()[0]


def _ended(world) -> int:
    """Sign, and have the certificate revoked before the job runs."""
    found = evidence.contents([world.waiting])
    with transaction():
        payload = evidence.review(found, "approve", "", world.officer.actor)
        signature = world.officer.sign("review", payload)
        certificate = db.session.get_one(
            type(world.officer.certificate), world.officer.certificate.id
        )
        certificate.state, certificate.reason = "revoked", "keyCompromise"
        certificate.revoked_at = datetime.now(UTC)
    return signature


def _other_decision(world) -> int:
    found = evidence.contents([world.waiting])
    with transaction():
        payload = evidence.review(found, "send_back", "有误", world.officer.actor)
        return world.officer.sign("review", payload)


STILL_POSSIBLE = (
    # Drafts have no effect; lines of the log are only added, and sealed.
    "INSERT INTO application_event (application_id, action, at, member_id, status)"
    " VALUES ({approved}, 'save', now(), {officer}, 'approved')",
    "INSERT INTO operation_log (member_id, member_no, action, subject)"
    " VALUES ({officer}, 'x', 'member.contact', '{officer_no}')",
    "INSERT INTO outbox_message (channel, recipient, subject, body, purpose)"
    " VALUES ('mail', 'x@y.cn', 'x', 'x', 'x')",
    "UPDATE outbox_message SET state = 'sent'",
    "INSERT INTO login_session (token_hash, member_id) VALUES ('x', {officer})",
    "INSERT INTO preference (member_id, name, value) VALUES ({officer}, 'x', '1')",
    "INSERT INTO announcement (title, text, audience, written_by, written_at, published_by,"
    " published_at) VALUES ('x', 'x', 'everybody', {officer}, now(), {operator}, now())",
)


def test_what_is_still_possible_signs_nothing(world):
    """Each leaves the signed acts as they were: nothing of it takes effect on an account."""
    for statement in STILL_POSSIBLE:
        run(world, statement)
    report = log.Report()
    assert verify_signatures(report).events == 3
    assert report.faults == []
    assert db.session.get_one(Application, world.waiting).status == "in_review"


def test_a_changed_letter_is_refused_and_a_delivered_secret_is_wiped(world):
    with transaction():
        db.session.execute(
            db.text(
                "INSERT INTO outbox_message (channel, recipient, body, purpose, has_secret)"
                " VALUES ('mail', 'a@b.cn', 'code', 'x', true)"
            )
        )
    for statement in (
        "UPDATE outbox_message SET body = 'another'",
        "UPDATE outbox_message SET body = NULL",
    ):
        with pytest.raises(psycopg.errors.CheckViolation) as refusal:
            run(world, statement)
        assert refusal.value.diag.constraint_name == "letter_stays"
    run(world, "UPDATE outbox_message SET state = 'sent', body = NULL, ended_at = now()")
    with pytest.raises(psycopg.errors.CheckViolation):
        run(world, "UPDATE outbox_message SET state = 'queued'")
