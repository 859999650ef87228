"""Renewal of the issuing certificate under the root: earlier signatures still verify."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from app.pki import authority, ceremony, copies
from app.pki.authority import Usage
from app.pki.errors import PkiError, TokenError
from app.pki.revocation import Revocation
from app.pki.signer import Signer, authority_of
from app.pki.suites import GM
from tests.pki.test_authority import der
from tests.pki.test_enrolments import application
from tests.pki.test_signer import (
    NOW,
    ROOT,
    folder,
    issued,
    opened,
    python,
    serving,
    signs,
    softhsm_folder,
)  # fmt: skip
from tests.pki.vouching import person
from tests.signing import vouchers_of

__all__ = ["folder", "softhsm_folder"]

LATER = NOW + timedelta(days=9 * 365)  # A year before the end.
RENEW = """
import sys; from datetime import datetime; from pathlib import Path; from app.pki import ceremony
place = Path(sys.argv[1]); offline = place / "offline"
ceremony.renew(place, (offline / "root.key").read_bytes(),
               (offline / "passphrase").read_text(), now=datetime.fromisoformat(sys.argv[2]))
"""


def renew(place, now=LATER):
    """Renew in a separate process: only one process may open a token."""
    return subprocess.run(
        [sys.executable, "-c", RENEW, str(place), now.isoformat()],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def verifies(tmp_path, ours, leaf, crl: bytes, at: datetime) -> bool:
    """Ask openssl about a chain and its list at a time."""
    for name, content in (
        ("root.pem", ours.root.public_bytes(Encoding.PEM)),
        ("issuing.pem", ours.certificate.public_bytes(Encoding.PEM)),
        ("leaf.pem", leaf.public_bytes(Encoding.PEM)),
        ("crl.pem", x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM)),
    ):
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-crl_check", "-attime", str(int(at.timestamp())),
         "-CAfile", "root.pem", "-untrusted", "issuing.pem", "-CRLfile", "crl.pem", "leaf.pem"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def usable(ours, leaf, at: datetime) -> bool:
    try:
        authority.require_usable(ours, der(leaf), usage=Usage.SIGN, at=at)
    except PkiError:
        return False
    return True


def leaf_of(place, about, evidence) -> x509.Certificate:
    return x509.load_der_x509_certificate(issued(place, about=about, evidence=evidence))


def test_the_drill_with_a_token(softhsm_folder, tmp_path):
    old = authority_of(softhsm_folder)
    then = old.certificate.not_valid_before_utc + authority.SKEW  # It was set up just now.
    plants = [person(number, "representative", f"{number} 厂", number)
              for number in ("21042300001", "21042300002", "21042300003")]  # fmt: skip
    with serving(softhsm_folder, at=then):
        # Opened now: the officers' certificates end before the authority's, what was opened holds.
        officers = vouchers_of(softhsm_folder)
        first, second, third = signed = [
            (who, application(officers, number=f"KH{who['member_no']}", name=["", who["name"]]))
            for who in plants
        ]
        for who, evidence in signed:
            opened(softhsm_folder, who, evidence)
        early = leaf_of(softhsm_folder, *first)
        list_of_then = Signer(softhsm_folder).list_revoked(1, [])
    with serving(softhsm_folder, at=LATER - timedelta(days=1)):
        recent = leaf_of(softhsm_folder, *second)

    done = renew(softhsm_folder)
    assert done.returncode == 0, done.stderr

    new = authority_of(softhsm_folder)
    with serving(softhsm_folder, at=LATER):
        assert signs(softhsm_folder)
        gone = Revocation(recent.serial_number, LATER, "keyCompromise")
        current = Signer(softhsm_folder).list_revoked(2, [gone])
        question = _question(recent, old)
        answer = ocsp.load_der_ocsp_response(Signer(softhsm_folder).answer_ocsp(question, gone))
    with serving(softhsm_folder, at=LATER + timedelta(days=300)):
        young = leaf_of(softhsm_folder, *third)
    assert new.certificate.subject == old.certificate.subject
    assert new.certificate.public_key() == old.certificate.public_key()
    assert new.certificate.serial_number != old.certificate.serial_number
    assert new.certificate.not_valid_after_utc - LATER == timedelta(days=authority.ISSUING_DAYS)
    # What was signed under the old certificate verifies under the new one, at its own time.
    assert verifies(tmp_path, new, early, list_of_then, then)
    assert usable(new, early, then)
    # What was issued shortly before lasts beyond the old one's end, under the new one alone.
    beyond = LATER + timedelta(days=500)
    assert usable(new, recent, beyond)
    assert not usable(old, recent, beyond)
    assert usable(new, young, beyond)
    # Lists and answers of the new one speak of the old one's certificates.
    assert not verifies(tmp_path, new, recent, current, LATER)
    assert not verifies(tmp_path, old, recent, current, LATER)
    assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
    seal = x509.load_pem_x509_certificate((softhsm_folder / "seal.pem").read_bytes())
    assert seal.not_valid_after_utc > LATER
    assert sorted(path.name.split("-")[0] for path in (softhsm_folder / "former").iterdir()) == [
        "issuing",
        "seal",
    ]


def _question(leaf, ours) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, ours.certificate, hashes.SHA256())
    return builder.build().public_bytes(Encoding.DER)


def test_it_is_a_command(folder, tmp_path, monkeypatch):
    secret = tmp_path / "passphrase"
    secret.write_text("a long passphrase\n")
    root = tmp_path / "root.key"
    (folder / "offline" / "root.key").rename(root)  # As it was carried away, and brought back.
    before = authority_of(folder).certificate
    monkeypatch.setenv("ROOT_PASSPHRASE_FILE", str(secret))

    done = python("app.pki.ceremony", "renew", folder, "--root-key", root)

    assert done.returncode == 0, done.stderr
    after = authority_of(folder).certificate
    assert after.not_valid_before_utc == before.not_valid_before_utc
    assert after.not_valid_after_utc >= before.not_valid_after_utc
    copy = copies.backup(folder, tmp_path / "safe", now=NOW)
    assert list((copy / "former").glob("issuing-*.pem"))


def test_an_sm2_authority_is_renewed_alike(tmp_path):
    place = tmp_path / "authority"
    ceremony.establish(place, "a long passphrase", now=NOW, kind=GM.key_kind)
    root = (place / "offline" / "root.key").read_bytes()
    old = authority_of(place).certificate
    ceremony.renew(place, root, "a long passphrase", now=LATER)
    new = authority_of(place).certificate
    assert new.not_valid_after_utc > old.not_valid_after_utc
    assert authority.spki_in(new) == authority.spki_in(old)


@pytest.mark.parametrize("wrong", ["passphrase", "key", "process", "end"])
def test_what_is_wrong_changes_nothing(folder, tmp_path, wrong):
    root, passphrase, now = (
        (folder / "offline" / "root.key").read_bytes(),
        "a long passphrase",
        LATER,
    )
    before = (folder / "issuing.pem").read_bytes(), (folder / "seal.pem").read_bytes()
    if wrong == "passphrase":
        passphrase = "another passphrase"
    elif wrong == "key":
        ceremony.establish(tmp_path / "other", passphrase, now=NOW)
        root = (tmp_path / "other" / "offline" / "root.key").read_bytes()
    elif wrong == "end":
        now = NOW + timedelta(days=-1)
    if wrong == "process":
        with serving(folder), pytest.raises(TokenError, match="Another process"):
            ceremony.renew(folder, root, passphrase, now=now)
    else:
        with pytest.raises(PkiError):
            ceremony.renew(folder, root, passphrase, now=now)
    assert ((folder / "issuing.pem").read_bytes(), (folder / "seal.pem").read_bytes()) == before
    assert not (folder / "former").exists()
