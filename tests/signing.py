"""A signing process over SoftHSM, for tests that need the registry's authority."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask, current_app

from app.extensions import transaction
from app.operations.people import certificates
from app.operations.records.actor import SYSTEM, Actor
from app.pki.authority import spki_in
from app.pki.journal import Journal
from app.pki.revocation import Revocation
from app.pki.signer import Signer, authority_of, wait_until_ready
from app.pki.tokens import spki_of

ROOT = Path(__file__).resolve().parents[1]
needs_sm2 = pytest.mark.skipif(
    importlib.util.find_spec("tongsuopy") is None,
    reason="tongsuopy has no files for this machine",
)


@contextmanager
def running_authority(folder: Path) -> Iterator[Path]:
    """Set up an authority in a folder and run its signing process."""
    python = [sys.executable, "-m"]
    subprocess.run([*python, "app.pki.ceremony", "demo", folder], cwd=ROOT, check=True)
    process = subprocess.Popen(
        [*python, "app.pki.signer", folder, "--url", "http://127.0.0.1/ca"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(folder, 90)
        yield folder
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def authority_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an authority whose signing process runs."""
    with running_authority(tmp_path_factory.mktemp("authority") / "ca") as folder:
        yield folder


@pytest.fixture
def signing(app: Flask, authority_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the application use the running authority."""
    monkeypatch.setitem(app.config, "CA_FOLDER", str(authority_folder))
    monkeypatch.setitem(app.config, "CA_URL", "http://127.0.0.1/ca")
    end_all(authority_folder)
    return authority_folder


def end_all(folder: Path) -> None:
    """Revoke what tests before have fetched: the process remembers it, and their database is empty."""
    signer, now = Signer(folder), datetime.now(UTC)
    made = [entry for entry in Journal(folder).read() if "serial" in entry]
    ended = set(signer.revoked())
    theirs = [e["serial"] for e in made if not e["member_no"].startswith("T-")]
    if set(theirs) - ended:
        lines = [Revocation(int(serial, 16), now, "cessationOfOperation") for serial in theirs]
        signer.list_revoked(signer.journal()["crl"] + 1, lines)


def vouchers_of(folder: Path) -> Any:
    """Return the people who sign for others at the signing process of a folder, certified once."""
    from tests.pki.vouching import Vouchers

    if folder not in _VOUCHERS:
        _VOUCHERS[folder] = Vouchers(folder, kind=authority_of(folder).suite.key_kind)
    return _VOUCHERS[folder]


_VOUCHERS: dict[Path, Any] = {}


def fetch(reference: str, code: str, *, now: datetime | None = None, request: bytes = b"") -> Any:
    """Fetch the certificate of two codes, for which nobody has signed since signing is off."""
    vouchers_of(Path(current_app.config["CA_FOLDER"])).vouch(reference, code)
    visitor = Actor(None, "", "", ip="198.51.100.7")
    with transaction():
        return certificates.enrol(
            reference, code, request or csr(), visitor, now=now or datetime.now(UTC)
        )


def certified(person: Any, *, now: datetime | None = None, request: bytes = b"") -> Any:
    """Give somebody a certificate, on two ways at once."""
    now = now or datetime.now(UTC)
    with transaction():
        codes = certificates.open_enrolment(person.id, SYSTEM, now=now)
    return fetch(codes.reference, codes.code, now=now, request=request)


_KEYS: dict[
    bytes, ec.EllipticCurvePrivateKey
] = {}  # of the requests that were made, by public half


def key_of(certificate: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the key of a certificate that a request of ours led to."""
    return _KEYS[spki_in(x509.load_der_x509_certificate(certificate))]


def csr(key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """Return a certificate request for a key, a new one where none is given."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    _KEYS[spki_of(key)] = key
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
