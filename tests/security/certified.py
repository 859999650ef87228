"""A test authority, members with keys and certificates, and their signatures."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from app.extensions import db
from app.models import Certificate, CertificateEnrolment, Member
from app.pki import authority as pki
from app.pki import cms
from app.pki.acts import Acts
from app.pki.canonical import canonical
from app.pki.journal import Journal
from app.pki.signer import ISSUING, SEAL, Signer, answer, bootstrap_of
from app.pki.suites import INTL, CryptoSuite, suite_of
from app.pki.tokens import new_key, sign_with, spki_of

ORIGIN = "http://localhost"


@dataclass
class Holder:
    """A key and its certificate."""

    key: Any
    der: bytes

    def sign(self, data: bytes) -> bytes:
        return sign_with(self.key, data)

    def signature(self, content: bytes) -> bytes:
        return cms.sign(content, self, self.der, signed_at=datetime.now(UTC))


def make_authority(name: str = "试验注册登记 CA", suite: CryptoSuite = INTL) -> pki.Authority:
    now = datetime.now(UTC)
    root_key, root = pki.make_root(f"{name} 根", now=now, suite=suite)
    key = new_key(suite.key_kind)
    return pki.Authority(
        root, pki.make_issuing(name, key.public_key(), root, root_key, now=now), key
    )


class InProcess(Signer):
    """The signing process without a process: what it does, with an authority of the tests."""

    __slots__ = ("acts", "public")
    assurance = "soft"

    def __init__(self, folder: Path, authority: pki.Authority) -> None:
        seal = new_key(authority.suite.key_kind)
        public = {ISSUING: pki.spki_in(authority.certificate), SEAL: spki_of(seal)}
        acts = Acts(
            authority, lambda data: sign_with(seal, data), Journal(folder), secret=b"of the tests",
            bootstrap=lambda: bootstrap_of(folder),
        )  # fmt: skip
        for name, value in (("folder", folder), ("acts", acts), ("public", lambda: public)):
            object.__setattr__(self, name, value)

    def _exchange(self, question: dict[str, Any]) -> Any:
        return answer(self.acts, self, question)


def issue(
    authority: pki.Authority,
    member_no: str,
    *,
    now: datetime | None = None,
    serial: int | None = None,
) -> Holder:
    """Issue a certificate for a member number, existing or not."""
    key = new_key(authority.suite.key_kind)
    request = pki.Request(key.public_key(), spki_of(key))
    certificate = pki.issue(
        authority, request, member_no=member_no, name="持有人", now=now or datetime.now(UTC)
    )
    if serial is not None:
        certificate = _with_serial(certificate, authority, serial)
    return Holder(key, certificate.public_bytes(Encoding.DER))


def register(
    member_no: str, holder: Holder, *, assurance: str = "hard", **columns: Any
) -> Certificate:
    """Insert a certificate into the table, committed."""
    member_id = db.session.query(Member.id).filter_by(username=member_no).scalar()
    count = db.session.query(CertificateEnrolment).count()
    certificate = x509.load_der_x509_certificate(holder.der)
    now = datetime.now(UTC)
    enrolment = CertificateEnrolment(
        reference=f"{count:010d}",
        code_hash=b"h",
        salt=b"s",
        member_id=member_id,
        state="used",
        opened_at=now,
        expires_at=now + timedelta(days=14),
        used_at=now,
    )
    row = Certificate(
        serial=f"{certificate.serial_number:x}",
        fingerprint=hashlib.sha256(holder.der).hexdigest(),
        key_fingerprint=hashlib.sha256(spki_of(holder.key)).hexdigest(),
        member_id=member_id,
        enrolment=enrolment,
        der=holder.der,
        suite=suite_of(spki_of(holder.key)).name,
        assurance=assurance,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        issued_at=now,
        **columns,
    )
    db.session.add(row)
    db.session.commit()
    return row


def content_of(step: dict[str, Any], **changed: Any) -> bytes:
    """Return what the assistant would sign for a step, with changes."""
    told = {
        "v": 1,
        "origin": ORIGIN,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **step,
    }
    return canonical({**told, **changed})


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _with_serial(
    certificate: x509.Certificate, authority: pki.Authority, serial: int
) -> x509.Certificate:
    builder = x509.CertificateBuilder(
        certificate.issuer,
        certificate.subject,
        certificate.public_key(),  # type: ignore[arg-type]
        serial,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        list(certificate.extensions),
    )
    return builder.sign(authority.key, certificate.signature_hash_algorithm)
