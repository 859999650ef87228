"""An installation with the suite gm: signed acts, and sign-in with an SM2 key."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select

from app.extensions import db, transaction
from app.models import Certificate, LoginRecord, LoginSession, Member, Signature
from app.operations.people import certificates as operations
from app.operations.people.deeds import Evidence, person_of
from app.operations.records.actor import SYSTEM, Actor
from app.pki import revocation
from app.pki.suites import GM
from app.pki.tokens import SoftwareToken, TryCounter
from app.security import certificates
from assistant.keyring import Keyring, demo_keys
from tests.pki.vouching import Vouchers
from tests.security.certified import InProcess, coded, content_of, issue, make_authority, register
from tests.security.conftest import ENTERPRISE
from tests.security.test_signed_acts import (
    bundle,
    cea,
    complaints,
    decide,
    flipped,
    key_of,
    officer,
    signing,
    submit,
    test_an_auditor_verifies_with_openssl_alone,
    test_every_other_signature_is_refused,
    test_nothing_takes_effect_before_it_is_signed,
    test_the_signatures_alone_find_a_changed_byte,
)
from tests.signing import needs_sm2

# What runs here as it runs there, with the authority below.
__all__ = [
    "bundle", "cea", "decide", "key_of", "officer", "signing", "submit",
    "test_an_auditor_verifies_with_openssl_alone", "test_every_other_signature_is_refused",
    "test_nothing_takes_effect_before_it_is_signed",
    "test_the_signatures_alone_find_a_changed_byte",
]  # fmt: skip

pytestmark = needs_sm2
STEP = "/login/certificate"
PIN = "1234"


@pytest.fixture(scope="module")
def authority():
    return make_authority("国密试验 CA", GM)


def without_digests(folder: Path) -> None:
    """Remove the digests from the auditor's script."""
    script = folder / "verify.sh"
    lines = script.read_text().splitlines()
    script.write_text("\n".join(line for line in lines if not line.startswith("same '")))


def test_signatures_say_their_suite(bundle):
    assert set(db.session.scalars(select(Signature.suite))) == {"gm"}
    assert "signed '01-submit' gm " in (bundle / "verify.sh").read_text()
    assert not list(bundle.glob("gm.*"))


def test_the_script_finds_what_each_of_its_steps_is_for(bundle, authority, operator):
    """Certificate, list, time and signature, each replaced by a genuine but unrelated one."""
    without_digests(bundle)
    assert complaints(bundle) == []
    now, name = datetime.now(UTC), "01-submit"
    leaf = x509.load_pem_x509_certificate((bundle / f"{name}.certificate.pem").read_bytes())
    revoked = [revocation.Revocation(leaf.serial_number, now, "keyCompromise")]
    other = make_authority("国密试验 CA", GM)
    lists = {
        "revoked": revocation.make_crl(authority, 2, revoked, now=now),
        "old": revocation.make_crl(authority, 2, [], now=now - timedelta(days=3)),
        "later": revocation.make_crl(authority, 2, [], now=now + timedelta(days=3)),
        "foreign": revocation.make_crl(other, 2, [], now=now),
    }
    place = bundle / f"{name}.crl.pem"
    whole = place.read_bytes()
    for word, der in lists.items():
        place.write_bytes(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM))
        assert complaints(bundle) == [f"FAILED {name}.p7s"], word
    place.write_bytes(whole)
    foreign = x509.load_der_x509_certificate(issue(other, operator.username).der)
    place = bundle / f"{name}.certificate.pem"
    whole = place.read_bytes()
    place.write_bytes(foreign.public_bytes(Encoding.PEM))
    assert complaints(bundle) == [f"FAILED {name}.p7s"]
    place.write_bytes(whole)
    (bundle / f"{name}.p7s").write_bytes((bundle / "02-approve.p7s").read_bytes())
    assert complaints(bundle) == [f"FAILED {name}.p7s"]


# Signing in


@pytest.fixture
def keyring(app, people, authority, monkeypatch, tmp_path) -> Keyring:
    """The assistant with a soft key, enrolled by the two codes."""
    monkeypatch.setitem(app.config, "CERT_LOGIN", "agent")
    monkeypatch.setitem(app.config, "CRYPTO_SUITE", "gm")
    monkeypatch.setattr(certificates, "_authority", lambda: authority)
    monkeypatch.setattr(operations, "the_authority", lambda: authority)
    signer = InProcess(tmp_path, authority)
    monkeypatch.setattr(operations, "the_signer", lambda: signer)
    token = SoftwareToken(tmp_path / "KEY", TryCounter(tmp_path / "tries"), is_demo=True)
    token.initialize(PIN)
    ring, now = Keyring(demo_keys(tmp_path), GM), datetime.now(UTC)
    with app.app_context():
        member = db.session.scalars(select(Member).where(Member.username == ENTERPRISE)).one()
        with transaction():
            signed = Vouchers(tmp_path, signer, "sm2").evidence(person_of(member))
            codes = operations.open_enrolment(
                member.id, SYSTEM, now=now, assurance="soft", evidence=Evidence(signed)
            )
        made = ring.make_key("KEY", PIN, ENTERPRISE)
        with transaction():
            row = operations.enrol(
                codes.reference, codes.code, made.csr.encode(), Actor.of(member), now=now
            )
            pem = x509.load_der_x509_certificate(row.der).public_bytes(Encoding.PEM).decode()
        ring.store_certificate(made, PIN, pem)
    return ring


def signed_in(browser, keyring: Keyring, change=lambda content, signature: (content, signature)):
    """Sign in by number, password and the assistant's signature."""
    answer = browser.sign_in()
    assert (answer.status_code, answer.location) == (302, STEP)
    page = browser.get(STEP).text
    content = content_of(
        json.loads(unescape(re.search(r'data-certificate-step="([^"]+)"', page)[1]))
    )
    (shown,) = keyring.show(datetime.now(UTC))["certificates"]
    assert (shown["member_no"], shown["problem"]) == (ENTERPRISE, "")
    signature = keyring.sign(shown["id"], PIN, content, datetime.now(UTC))
    content, signature = change(content, signature)
    fields = {"csrf_token": browser.token("/login/"), "content": coded(content)}
    return browser.post(STEP, {**fields, "cms": coded(signature)})


def test_a_member_signs_in_with_an_sm2_key(browser, keyring, app):
    answer = signed_in(browser, keyring)

    assert (answer.status_code, answer.location) == (302, "/")
    assert browser.is_signed_in()
    with app.app_context():
        login = db.session.scalars(select(LoginSession)).one()
        row = db.session.get_one(Certificate, login.certificate_id)
        assert (login.method, row.suite, row.assurance) == ("soft_certificate", "gm", "soft")
        assert row.enrolment.suite == "gm"


def _content(content: bytes, signature: bytes) -> tuple[bytes, bytes]:
    return flipped(content, len(content) // 2), signature


def _digest(content: bytes, signature: bytes) -> tuple[bytes, bytes]:
    return content, flipped(signature, signature.index(GM.digest(content)))


def _signature(content: bytes, signature: bytes) -> tuple[bytes, bytes]:
    return content, flipped(signature, len(signature) - 1)


@pytest.mark.parametrize("change", [_content, _digest, _signature])
def test_a_changed_byte_signs_nobody_in(browser, keyring, count, change):
    answer = signed_in(browser, keyring, change)
    assert (answer.status_code, answer.location) == (302, "/login/")
    assert not browser.is_signed_in()
    assert count(LoginRecord, LoginRecord.outcome == "certificate_refused") == 1


def test_a_certificate_of_the_other_suite_signs_nobody_in(browser, keyring, app):
    """Its authority is not this one, whatever our table says."""
    stranger = issue(make_authority("国密试验 CA"), ENTERPRISE)
    with app.app_context():
        register(ENTERPRISE, stranger)
    answer = signed_in(
        browser, keyring, lambda content, _signature: (content, stranger.signature(content))
    )
    assert answer.location == "/login/"
    assert not browser.is_signed_in()
