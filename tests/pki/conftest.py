"""Certificates, keys and real SoftHSM tokens for the tests of the public-key parts."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from flask import has_app_context
from flask_babel import force_locale

from app.pki.tokens import Pkcs11Token, TryCounter, sign_with

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
SO_PIN = "12345678"
_serial = itertools.count(1001)


@dataclass
class Person:
    """A key in memory and a certificate."""

    key: Any
    der: bytes
    issuer: bytes = b""

    def sign(self, data: bytes) -> bytes:
        return sign_with(self.key, data)


def person(key: Any = None, serial: int = 0, name: str = "甲发电有限公司") -> Person:
    """Make a certificate for a key; the tests of CMS use only its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "签发机构")]))
        .public_key(key.public_key())
        .serial_number(serial or next(_serial))
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=9))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return Person(key, made.public_bytes(Encoding.DER), made.issuer.public_bytes())


@pytest.fixture
def softhsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that makes a SoftHSM token with a label and a PIN."""
    assert shutil.which("softhsm2-util"), "softhsm2 is missing: python3 tools/setup.py tests"
    configuration = softhsm_in(tmp_path / "softhsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    import pkcs11

    pkcs11.lib(MODULE).reinitialize()  # It reads its configuration when it starts.

    def make(label: str, pin: str = "1234") -> str:
        make_token(label, pin)
        pkcs11.lib(MODULE).reinitialize()
        return label

    return make


def softhsm_in(folder: Path) -> Path:
    """Write the configuration of a SoftHSM whose tokens lie in a folder."""
    (folder / "tokens").mkdir(parents=True)
    path = folder / "softhsm2.conf"
    path.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n"
        "log.level = ERROR\nslots.removable = false\n"
    )
    return path


def make_token(label: str, pin: str) -> None:
    """Make a token where SOFTHSM2_CONF says."""
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin,
         "--so-pin", SO_PIN],
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def usbkey(softhsm, tmp_path) -> Pkcs11Token:
    """A member's USBKey with the factory PIN."""
    return Pkcs11Token(MODULE, softhsm("UKEY-21042300007"), TryCounter(tmp_path / "tries"))


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    """Messages are matched by msgid."""
    with force_locale("en") if has_app_context() else nullcontext():
        yield
