"""The registry's seal on what it certifies: the signing process puts it on, everybody can check it.

Who has the database alone cannot put it on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from flask import current_app

from app.pki.authority import spki_in
from app.pki.canonical import canonical
from app.pki.errors import PkiError
from app.pki.signer import Signer
from app.pki.suites import suite_of


def the_signer() -> Signer:
    """Return the way to the signing process."""
    return Signer(_folder())


def are_asked() -> bool:
    """Tell whether there is a seal: wherever certificates are, which is everywhere but in tests."""
    return bool(current_app.config["CERT_LOGIN"] != "off")


def put_on(contents: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Return the seal for each content.  Raises SignerAbsent, SignerFailed."""
    return the_signer().seal(contents)


def holds(content: Mapping[str, Any], seal: bytes | None) -> bool:
    """Tell whether the registry has sealed this content, with the present key or a former one."""
    return bool(seal) and any(_has_sealed(key, seal or b"", content) for key in _keys())


def _keys() -> list[bytes]:
    """Return the public halves that count: a former authority's certificate is kept in `former`."""
    folder = _folder()
    found = [folder / "seal.pem", *folder.glob("former/seal*.pem")]
    return [spki_in(x509.load_pem_x509_certificate(each.read_bytes()))
            for each in found if each.exists()]  # fmt: skip


def _has_sealed(spki: bytes, seal: bytes, content: Mapping[str, Any]) -> bool:
    try:
        suite_of(spki).verify(spki, seal, canonical(dict(content)))
    except PkiError:
        return False
    return True


def _folder() -> Path:
    return Path(current_app.config["CA_FOLDER"])
