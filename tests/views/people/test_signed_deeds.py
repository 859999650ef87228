"""Acts that give and take certificates are signed; with the application's password none is had."""

from __future__ import annotations

import base64
import json
import re
import secrets
import subprocess
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from flask import current_app
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import (
    Certificate,
    CertificateEnrolment,
    Member,
    OperationLog,
    OutboxMessage,
    Signature,
)
from app.operations.applications import evidence
from app.operations.people import certificates, deed_verification, deeds, members, passwords
from app.operations.records.actor import SYSTEM, Actor
from app.pki.enrolments import ASK
from app.pki.errors import SignerFailed
from app.pki.journal import Journal
from tests.factories import account, member
from tests.openings import letters_of
from tests.security.certified import Holder, content_of
from tests.signing import authority_folder, certified, csr, key_of, signing

__all__ = ["authority_folder", "signing"]

MEMBERS, OPERATORS = "/members", "/operators"


@pytest.fixture
def signed(app, signing, monkeypatch):
    """Certificates are asked for, and signatures."""
    monkeypatch.setitem(app.config, "CERT_LOGIN", "agent")
    with transaction():
        certificates.publish_crl(SYSTEM, now=datetime.now(UTC))


class Person:
    """A member with a browser and a key."""

    def __init__(self, row: Member, sign_in) -> None:
        self.row, self.browser = row, sign_in(row)
        der = certified(row).der
        self.holder = Holder(key_of(der), der)

    def sign(self, answer, **changed: str):
        """Sign what a page has led to."""
        page = self.browser.get(answer.location).text
        step = json.loads(unescape(re.search(r'data-certificate-step="([^"]*)"', page)[1]))
        content = content_of(step, **changed)
        form = {
            "content": base64.b64encode(content).decode(),
            "cms": base64.b64encode(self.holder.signature(content)).decode(),
        }
        action = re.search(r'action="([^"]*)" data-certificate-step', page)[1]
        return self.browser.post(unescape(action), data=form)

    def said(self, page: str = "/") -> str:
        return self.browser.get(page).text


@pytest.fixture
def of(sign_in, app, signing, monkeypatch):
    """Return a function that gives a member a key and a browser; as long as signing is off."""

    def make(row: Member) -> Person:
        with monkeypatch.context() as patch:
            patch.setitem(app.config, "CERT_LOGIN", "off")
            return Person(row, sign_in)

    return make


def newcomer() -> Member:
    row = member("registry_maker", email="wang@registry.example.cn", phone="13800138000")
    return db.session.get_one(Member, row.id)


def fetch(letters) -> Certificate:
    with transaction():
        return certificates.enrol(
            letters.reference, letters.code, csr(), Actor(None, "", ""), now=datetime.now(UTC)
        )


def journal() -> list[dict]:
    return list(Journal(Path(current_app.config["CA_FOLDER"])).read())


def sent() -> int:
    db.session.rollback()
    return db.session.query(OutboxMessage).filter_by(channel="sms").count()


def test_a_certificate_is_asked_for_and_confirmed_with_two_signatures(of, signed):
    security, system, officer = of(member("security_admin")), of(member("system_admin")), newcomer()

    asked = security.browser.post(f"{MEMBERS}/{officer.id}/send-codes")
    assert db.session.query(CertificateEnrolment).filter_by(state="asked").count() == 0
    assert "申请签发证书" in security.said(asked.location)
    security.sign(asked)
    system.sign(system.browser.post(f"{MEMBERS}/{officer.id}/confirm"))

    made = fetch(letters_of(officer.username))
    enrolment = made.enrolment
    signatures = [enrolment.signature_id, enrolment.confirming_signature_id]
    kept = [db.session.get_one(Signature, id_) for id_ in signatures]
    assert [row.certificate.member_id for row in kept] == [security.row.id, system.row.id]
    opened = next(entry for entry in reversed(journal()) if entry["act"] == "open")
    assert opened["by"] == [security.row.username, system.row.username]
    assert opened["evidence"] == [row.digest for row in kept]


def test_unsigned_nothing_is_asked_confirmed_or_taken(of, signed):
    security, system, officer = of(member("security_admin")), of(member("system_admin")), newcomer()
    held = of(member("province", province="42"))
    row = db.session.query(Certificate).filter_by(member_id=held.row.id).one()
    asked = security.browser.post(f"{MEMBERS}/{officer.id}/send-codes")
    for changed in ({"type": "submit"}, {"challenge": "x" * 43}, {"payload": {"act": "ask"}}):
        security.sign(security.browser.post(f"{MEMBERS}/{officer.id}/send-codes"), **changed)
    assert asked.location.startswith("/signing/")
    assert db.session.query(CertificateEnrolment).filter_by(state="asked").count() == 0
    security.browser.post(
        f"/certificates/{row.id}/change", data={"act": "suspend", "remark": "核实"}
    )
    db.session.rollback()
    assert row.state == "active"
    system.browser.post(f"{MEMBERS}/{officer.id}/confirm")
    assert "没有待确认的证书申请" in system.said(f"{MEMBERS}/")
    assert sent() == 0


def test_a_certificate_is_revoked_with_a_signature_that_the_log_names(of, signed):
    security, held = of(member("security_admin")), of(member("province", province="42"))
    row = db.session.query(Certificate).filter_by(member_id=held.row.id).one()
    form = {"act": "revoke", "reason": "keyCompromise", "remark": "遗失"}
    answer = security.browser.post(f"/certificates/{row.id}/change", data=form)
    assert "USBKey遗失" in security.said(answer.location)
    security.sign(answer)
    db.session.rollback()
    assert (row.state, row.reason) == ("revoked", "keyCompromise")
    told = db.session.query(OperationLog).filter_by(action="certificate.revoke").one()
    content = json.loads(db.session.get_one(Signature, told.detail["signature"]).content)
    assert content["payload"]["values"]["serial"] == row.serial
    assert content["payload"]["values"]["person"]["member_no"] == held.row.username


def test_a_representative_appoints_an_operator_with_a_signature(of, signed):
    plant = account()
    representative = of(member(of=plant))
    form = {"name": "王小梅", "phone": "13800138000", "email": "xm@plant.example", "maker": "y"}
    answer = representative.browser.post(f"{OPERATORS}/new", data=form)
    assert sent() == 0
    assert "为操作员申请证书" in representative.said(answer.location)
    representative.sign(answer)
    made = fetch(letters_of(f"{plant.member_no}-01"))
    assert made.member.username == f"{plant.member_no}-01"
    opened = next(entry for entry in reversed(journal()) if entry["act"] == "open")
    assert (opened["by"], opened["kind"]) == ([plant.member_no], "operator")


def test_what_somebody_asked_for_who_was_disabled_meanwhile_is_not_confirmed(of, signed):
    security, system, officer = of(member("security_admin")), of(member("system_admin")), newcomer()
    security.sign(security.browser.post(f"{MEMBERS}/{officer.id}/send-codes"))
    waiting = system.browser.post(f"{MEMBERS}/{officer.id}/confirm")
    with transaction():
        members.disable(security.row.id, SYSTEM)
    system.sign(waiting)  # It was shown before.
    assert "申请人已被停用" in system.said(f"{MEMBERS}/")
    system.browser.post(f"{MEMBERS}/{officer.id}/confirm")
    assert "申请人已被停用" in system.said(f"{MEMBERS}/")
    assert sent() == 0


def test_a_right_that_was_taken_away_meanwhile_signs_nothing(of, signed):
    security, officer = of(member("security_admin")), newcomer()
    answer = security.browser.post(f"{MEMBERS}/{officer.id}/send-codes")
    page = security.said(answer.location)
    assert "申请签发证书" in page
    with transaction():
        members.give_roles({security.row.id: ["system_admin"]})
    security.sign(answer)
    assert db.session.query(CertificateEnrolment).filter_by(state="asked").count() == 0


# With the application's password, and SECRET_KEY


@pytest.mark.parametrize("has_one", [True, False])
def test_a_row_and_a_password_of_ones_own_lead_to_no_certificate(of, signed, client, has_one):
    """As the application's role, with a lost environment file: the code fits the row."""
    victim = of(member("registry_checker")).row if has_one else member("registry_checker")
    accomplices = [member("registry_maker").id, member("security_admin").id]
    code = "ABCDEFGH23"
    with transaction():
        now = datetime.now(UTC)
        row = CertificateEnrolment(
            reference="4242424242", salt=secrets.token_bytes(16), suite="intl",
            member_id=victim.id, assurance="hard", opened_by=accomplices[0],
            confirmed_by=accomplices[1], opened_at=now, expires_at=now + timedelta(days=14),
        )  # fmt: skip
        row.code_hash = certificates.suite().derive(certificates._bound(code, row), row.salt)
        db.session.add(row)
        passwords.choose(db.session.get_one(Member, victim.id), "Stolen-Horse-7")
    before, known = db.session.query(Certificate).count(), len(journal())
    client.arm()
    words = "CERTIFICATE REQUEST"
    coded = base64.encodebytes(csr()).decode()
    pem = f"-----BEGIN {words}-----\n{coded}-----END {words}-----\n"
    typed = {"reference": row.reference, "code": code, "member_no": victim.username, "csr": pem}
    assert "certificate" not in client.post("/certificate/issue", data=typed).json
    assert db.session.query(Certificate).count() == before
    assert len(journal()) == known
    refused = db.session.scalars(
        select(OperationLog).where(OperationLog.action == "certificate.enrol")
    ).one()
    assert (refused.result, refused.detail) == ("refused", {"reason": "unknown_enrolment"})


def test_a_code_fetches_the_certificate_of_whom_it_was_signed_for_alone(of, signed):
    """A row that names somebody else under codes that others have signed for."""
    security, system, officer = of(member("security_admin")), of(member("system_admin")), newcomer()
    security.sign(security.browser.post(f"{MEMBERS}/{officer.id}/send-codes"))
    system.sign(system.browser.post(f"{MEMBERS}/{officer.id}/confirm"))
    letters, victim = letters_of(officer.username), member("registry_checker")
    with transaction():
        row = db.session.query(CertificateEnrolment).filter_by(reference=letters.reference).one()
        copied = {name: getattr(row, name) for name in ("salt", "suite", "assurance", "expires_at")}
        db.session.execute(
            db.update(CertificateEnrolment)
            .where(CertificateEnrolment.id == row.id)
            .values(state="lapsed")
        )
        posing = CertificateEnrolment(
            reference="4242424243", member_id=victim.id, opened_at=row.opened_at, **copied
        )
        posing.code_hash = certificates.suite().derive(
            certificates._bound(letters.code, posing), posing.salt
        )
        db.session.add(posing)
    with pytest.raises(certificates.InvalidCodes), transaction():
        certificates.enrol("4242424243", letters.code, csr(), SYSTEM, now=datetime.now(UTC))
    assert db.session.query(Certificate).filter_by(member_id=victim.id).count() == 0


def test_a_compromised_web_process_opens_nothing_by_rows_of_its_own(of, signed):
    """It may write signatures' rows, too; the signing process verifies them."""
    victim, forger = member("registry_checker"), of(member("registry_maker"))
    about = deeds.person_of(victim)
    payload = deeds.payload(ASK, Actor.of(forger.row), deeds.values(victim))
    content = content_of({"type": "act", "challenge": "c" * 43, "payload": payload})
    with transaction():
        row = db.session.query(Certificate).filter_by(member_id=forger.row.id).one()
        kept = certificates.keep_signature(
            row, content, forger.holder.signature(content), purpose="act",
            signed_at=datetime.now(UTC),
        )  # fmt: skip
        evidence = deeds.by_deeds(kept.id, kept.id)
    told = {"schema": "certificate-enrolment/2", "reference": "4242424244", "assurance": "hard"}
    with pytest.raises(SignerFailed) as refused:
        certificates.the_signer().open(told | about, "ABCDEFGH23", evidence.told)
    assert refused.value.code == "unsigned"


# Verification


@pytest.fixture
def revoked(of, signed):
    """A certificate that was revoked with a signature, and its row in the log."""
    security, held = of(member("security_admin")), of(member("province", province="42"))
    row = db.session.query(Certificate).filter_by(member_id=held.row.id).one()
    form = {"act": "revoke", "reason": "keyCompromise", "remark": "遗失"}
    security.sign(security.browser.post(f"/certificates/{row.id}/change", data=form))
    return db.session.query(OperationLog).filter_by(action="certificate.revoke").one()


def test_every_deed_is_verified_and_the_first_that_does_not_fit_is_named(revoked, cluster):
    """Enrolments of before signing was on have no signature, and are named; the revocation holds."""
    assert not [fault for fault in deed_verification.faults() if "operation_log" in fault]
    with cluster.connect("registry") as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE signature SET cms = cms || 'x'::bytea")
    db.session.expire_all()
    assert [fault for fault in deed_verification.faults() if "operation_log" in fault] == [
        f"operation_log {revoked.id}: the change of {revoked.subject} is not signed"
    ]


def test_an_enrolment_without_its_signatures_is_named(of, signed):
    security, system, officer = of(member("security_admin")), of(member("system_admin")), newcomer()
    security.sign(security.browser.post(f"{MEMBERS}/{officer.id}/send-codes"))
    system.sign(system.browser.post(f"{MEMBERS}/{officer.id}/confirm"))
    assert list(deed_verification.faults()) == []
    with transaction():
        now = datetime.now(UTC)
        forged = CertificateEnrolment(
            reference="4242424245", salt=b"s", code_hash=b"h", member_id=member("auditor").id,
            opened_by=security.row.id, opened_at=now, expires_at=now + timedelta(days=14),
        )  # fmt: skip
        db.session.add(forged)
    assert list(deed_verification.faults()) == ["enrolment 4242424245: not signed as it says"]


def test_an_auditor_verifies_who_gave_and_took_a_certificate(of, signed, tmp_path, cluster):
    security, system, officer = of(member("security_admin")), of(member("system_admin")), newcomer()
    security.sign(security.browser.post(f"{MEMBERS}/{officer.id}/send-codes"))
    system.sign(system.browser.post(f"{MEMBERS}/{officer.id}/confirm"))
    made = fetch(letters_of(officer.username))
    form = {"act": "suspend", "remark": "核实"}
    security.sign(security.browser.post(f"/certificates/{made.id}/change", data=form))

    evidence.export_deeds(made.serial.upper(), tmp_path)
    steps = [line.split()[0] for line in (tmp_path / "events.txt").read_text().splitlines()]
    assert steps == ["certificate.ask", "certificate.confirm", "certificate.suspend"]
    assert verified(tmp_path) == (0, ["OK 全部签名有效"])

    asked = tmp_path / "01-certificate.ask.json"
    asked.write_bytes(asked.read_bytes().replace(officer.username.encode(), b"R0001"))
    code, said = verified(tmp_path)
    assert (code, "FAILED 01-certificate.ask.p7s" in said) == (1, True)

    with cluster.connect("registry") as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE operation_log SET detail = detail - 'signature'")
    evidence.export_deeds(made.serial, tmp_path / "gap")
    code, said = verified(tmp_path / "gap")
    assert (code, any("没有签名" in line for line in said)) == (1, True)


def verified(folder: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        ["sh", "verify.sh"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.splitlines()
