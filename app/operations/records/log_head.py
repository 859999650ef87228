"""The log's head of a day as a signed file, which proves the chain to whoever keeps it elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from asn1crypto import pem
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask_babel import gettext as _
from sqlalchemy import text

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.operations.records import log
from app.pki.canonical import canonical
from app.pki.errors import PkiError
from app.pki.signer import SEAL, Signer
from app.pki.suites import suite_of
from app.pki.tokens import spki_of, write_private

# Signs a head's canonical form the way that the public key's suite verifies it.
Sign = Callable[[Mapping[str, Any]], bytes]


def write(
    folder: Path, sign: Sign, *, now: datetime, journal: Mapping[str, Any] | None = None
) -> Path:
    """Write the head of today's chain and its signature; a later one of the day takes its place.

    `journal` is how far the signing process has come, which seals no other.  The signature covers
    the file's bytes: `openssl dgst -sha256 -verify` checks it, for SM2
    `openssl pkeyutl -verify -rawin -digest sm3 -pkeyopt distid:1234567812345678`.  Raises
    RuleError where nothing has been sealed yet.
    """
    head = log.head()
    if head is None:
        raise RuleError(_("Nothing has been sealed yet"), code="nothing_sealed")
    day = now.astimezone(BEIJING).date().isoformat()
    ledger_root = db.session.scalar(
        text("SELECT encode(root, 'hex') FROM sealed_block ORDER BY id DESC LIMIT 1")
    )
    content = head.content(day, ledger_root or "", journal or {})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.json"
    path.write_bytes(canonical(content))
    path.with_suffix(".sig").write_bytes(sign(content))
    return path


def read(folder: Path, *public_keys: bytes) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Read every head of a folder; return those whose signature holds, and the names of the others.

    The keys are public halves in PEM; they should come from elsewhere than the heads.
    """
    known = [_spki(key) for key in public_keys]
    sound: list[Mapping[str, Any]] = []
    forged: list[str] = []
    for path in sorted(folder.glob("*.json")):
        content = path.read_bytes()
        if any(_has_signed(key, path.with_suffix(".sig"), content) for key in known):
            sound.append(json.loads(content))
        else:
            forged.append(path.name)
    return sound, forged


def _has_signed(spki: bytes, signature: Path, content: bytes) -> bool:
    try:
        suite_of(spki).verify(spki, signature.read_bytes(), content)
    except (PkiError, OSError):
        return False
    return True


def seal_key(folder: Path) -> tuple[Sign, bytes]:
    """Return the registry's seal key, in the signing process of a folder, and its public half.

    Raises SignerAbsent where nobody answers there.
    """
    signer = Signer(folder)
    return lambda content: signer.seal([content])[0], _pem(signer.keys()[SEAL])


def journal_of(folder: Path) -> dict[str, Any]:
    """Return how far the journal of a folder's signing process has come.  Raises SignerAbsent."""
    return Signer(folder).journal()


def file_key(path: Path) -> tuple[Sign, bytes]:
    """Return a key kept in a file that only we can read, made at the first call, and its public half.

    It stands where the registry's seal key is not set up; whoever can read the file can sign.
    """
    if not path.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(
            path,
            fresh.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise RuleError(_("%(file)s holds no key in PEM", file=path), code="no_key") from None
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return lambda content: key.sign(canonical(content), ec.ECDSA(hashes.SHA256())), _pem(
        spki_of(key)
    )


def _pem(spki: bytes) -> bytes:
    return bytes(pem.armor("PUBLIC KEY", spki))


def _spki(public_key: bytes) -> bytes:
    try:
        return bytes(pem.unarmor(public_key)[2])
    except ValueError:
        raise RuleError(_("The public key is none in PEM"), code="no_key") from None
