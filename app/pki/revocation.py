"""What the issuing authority says of its certificates afterwards: revocation lists and OCSP answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from asn1crypto import keys
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from flask_babel import lazy_gettext as _

from app.pki import sm2
from app.pki.authority import (
    Authority,
    authority_id,
    certificate_builder,
    extension,
    key_in,
    spki_in,
    stand_in,
)
from app.pki.errors import CertificateRefused, SignatureRefused
from app.pki.suites import suite_of

CRL_LIFE = timedelta(hours=24)  # One is made every 6 hours.
OCSP_LIFE = timedelta(hours=1)
LONGEST_NONCE = 32  # RFC 8954


@dataclass(frozen=True, slots=True)
class Revocation:
    """One line of a CRL; the reason is named as RFC 5280 names it."""

    serial: int
    at: datetime
    reason: str


def make_crl(
    authority: Authority, number: int, revoked: Iterable[Revocation], *, now: datetime
) -> bytes:
    """Return the list of revoked and suspended certificates, good for 24 hours."""
    entries = [
        x509.RevokedCertificateBuilder()
        .serial_number(line.serial)
        .revocation_date(line.at)
        .add_extension(x509.CRLReason(x509.ReasonFlags(line.reason)), critical=False)
        .build()
        for line in revoked
    ]
    # Given at once: the builder copies them all for each that is added.
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=entries)
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + CRL_LIFE)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(authority_id(key_in(authority.certificate)), critical=False)
    )
    if not sm2.is_private(authority.key):
        return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)
    draft = builder.sign(stand_in(), hashes.SHA256()).public_bytes(Encoding.DER)
    return sm2.signed_list(draft, authority.key)


def has_made(authority: Authority, crl: x509.CertificateRevocationList) -> bool:
    """Tell whether a list that was published is this authority's, and not a former one's."""
    named = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return named == authority_id(key_in(authority.certificate))


def require_list(authority: Authority, der: bytes, number: int) -> x509.CertificateRevocationList:
    """Return a published revocation list.

    Raises CertificateRefused, code ``crl``, unless the authority signed it with this number.
    """
    try:
        listed = x509.load_der_x509_crl(der)
        named = listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        spki = spki_in(authority.certificate)
        suite_of(spki).verify(spki, listed.signature, listed.tbs_certlist_bytes)
    except (SignatureRefused, ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound):
        raise _list_refused() from None
    if named != number:
        raise _list_refused()
    return listed


def serial_asked_for(question: bytes) -> int | None:
    """Return the serial number that an OCSP request is about, or None where it cannot be read."""
    try:
        return ocsp.load_der_ocsp_request(question).serial_number
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm):
        return None


def answer_ocsp(
    authority: Authority,
    question: bytes,
    find: Callable[[int], Revocation | bool],
    *,
    now: datetime,
) -> bytes:
    """Answer one OCSP request; its nonce comes back.

    `find(serial)` says True for a good certificate, False for none of ours, or how it was revoked.
    """
    try:
        request = ocsp.load_der_ocsp_request(question)
        nonce = _nonce(request)
        ours = _is_about(authority, request)
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm):
        return _ocsp_failure(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
    found = find(request.serial_number) if ours else False
    if found is False:
        return _ocsp_failure(ocsp.OCSPResponseStatus.UNAUTHORIZED)
    revoked = found if isinstance(found, Revocation) else None
    certain = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
    builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
        request.issuer_name_hash,
        request.issuer_key_hash,
        request.serial_number,
        request.hash_algorithm,
        certain,
        now,
        now + OCSP_LIFE,
        revoked.at if revoked else None,
        x509.ReasonFlags(revoked.reason) if revoked else None,
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return _answered(authority, builder, now)


def _answered(authority: Authority, builder: ocsp.OCSPResponseBuilder, now: datetime) -> bytes:
    """Let the authority sign an OCSP answer."""
    own = authority.certificate
    if not sm2.is_private(authority.key):
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, own)
        return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)
    # Key and certificate must fit each other: those of the moment do, and both are replaced.
    key = stand_in()
    certificate = certificate_builder(own.subject, own.subject, key.public_key(), now, 1)
    responder = certificate.sign(key, hashes.SHA256())
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
    draft = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    return sm2.signed_answer(draft, authority.key, extension(own, x509.SubjectKeyIdentifier).digest)


def _nonce(request: ocsp.OCSPRequest) -> bytes | None:
    try:
        nonce = request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return None
    if not 1 <= len(nonce) <= LONGEST_NONCE:
        raise ValueError
    return nonce


def _is_about(authority: Authority, request: ocsp.OCSPRequest) -> bool:
    """Tell whether a request asks about a certificate that this authority issued."""
    own = authority.certificate
    bits = keys.PublicKeyInfo.load(spki_in(own))["public_key"].contents[1:]
    name = own.subject.public_bytes()
    return (request.issuer_name_hash, request.issuer_key_hash) == (
        _hashed(name, request.hash_algorithm),
        _hashed(bits, request.hash_algorithm),
    )


def _hashed(data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _ocsp_failure(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def _list_refused() -> CertificateRefused:
    return CertificateRefused(_("The certificate cannot be used"), code="crl")
