"""A signing process over SoftHSM, for tests that need the registry's authority."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask

from app.pki.signer import wait_until_ready

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
        [*python, "app.pki.signer", folder], cwd=ROOT, stderr=subprocess.DEVNULL
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
    return authority_folder


def csr(key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """Return a certificate request for a key, a new one where none is given."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
