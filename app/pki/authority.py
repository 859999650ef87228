"""The registry's certification authority: an offline root, an issuing authority, and what they sign.

Nothing here knows where a private key is: `Authority.key` is anything that signs like a key of
cryptography's, and `remote_keys` makes one out of a function.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from asn1crypto import csr as asn1_csr
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from flask_babel import lazy_gettext as _

from app.pki import sm2, tokens
from app.pki.errors import (
    CertificateRefused,
    PkiError,
    RequestRefused,
    SignatureRefused,
    in_both,
)
from app.pki.suites import GM, INTL, CryptoSuite, public_key, suite_of

DAY = timedelta(days=1)
ROOT_DAYS = 20 * 365
ISSUING_DAYS = 10 * 365
LEAF_DAYS = 2 * 365
RENEWAL_DAYS = 60  # Renewal opens so long before the end.
SKEW = timedelta(minutes=5)  # A new certificate holds on clocks that are behind, too.
LARGEST_REQUEST = 16 * 1024
SHORTEST_PASSPHRASE = 12
MEMBER_URN = "urn:crs:member:"
SEAL_URN = "urn:crs:seal"
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")

Key = Any  # A private key of cryptography's, or one that `remote_key` made.


class Usage(enum.Enum):
    """What a certificate is about to be used for."""

    LOGIN = "login"  # digitalSignature
    SIGN = "sign"  # contentCommitment


@dataclass(frozen=True, slots=True)
class Authority:
    """The issuing authority with its key, and the root above it."""

    root: x509.Certificate
    certificate: x509.Certificate
    key: Key  # None where it is the signing process's
    url: str = ""  # under which the public addresses are reached, for example https://host/ca

    @property
    def suite(self) -> CryptoSuite:
        """Return the suite of everything that it signs, and of the keys that it certifies."""
        return suite_of(spki_in(self.certificate))

    def chain(self) -> bytes:
        """Return both certificates as PEM, the issuing one first."""
        return b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, self.root))


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate request whose sender holds the key."""

    public_key: Any
    spki: bytes


# Making the authorities


def make_root(
    name: str, *, now: datetime, suite: CryptoSuite = INTL
) -> tuple[Key, x509.Certificate]:
    """Return a new root key and its certificate; the key stays offline (see `locked`)."""
    key = sm2.PrivateKey.generate() if suite is GM else ec.generate_private_key(ec.SECP384R1())
    builder = _ca_builder(name, name, key.public_key(), now, ROOT_DAYS, path_length=1)
    builder = _with_ids(builder, key.public_key(), key.public_key())
    return key, _certified(builder, key, hashes.SHA384())


def make_issuing(
    name: str, public_key: Any, root: x509.Certificate, root_key: Key, *, now: datetime
) -> x509.Certificate:
    """Return the root's certificate for the issuing authority's key."""
    above = common_name(root)
    builder = _ca_builder(name, above, public_key, now, ISSUING_DAYS, path_length=0)
    builder = _with_ids(builder, public_key, key_in(root))
    return _certified(builder, root_key, hashes.SHA384())


def renew_issuing(
    old: x509.Certificate, root: x509.Certificate, root_key: Key, *, now: datetime
) -> x509.Certificate:
    """Return a certificate for the same issuing name and key that ends later.

    It begins when the old one did, so that everything that was ever issued or signed under the old
    one holds under it, too.  Raises PkiError for another root's key, and where the root ends.
    """
    if spki_of(root_key.public_key()) != spki_in(root):
        told = in_both("这不是根证书的密钥", "this is not the key of the root")
        raise PkiError(told, code="root_key")
    start = old.not_valid_before_utc + SKEW
    end = min(now + timedelta(days=ISSUING_DAYS), root.not_valid_after_utc)
    if end <= old.not_valid_after_utc:
        told = in_both("根证书到期过早，不能据以更换", "the root ends too soon to renew under it")
        raise PkiError(told, code="root_ends")
    key = key_in(old)
    builder = _ca_builder(
        common_name(old), common_name(root), key, start, (end - start) / DAY, path_length=0
    )
    return _certified(_with_ids(builder, key, key_in(root)), root_key, hashes.SHA384())


def locked(key: Key, passphrase: str) -> bytes:
    """Return a private key as it is kept offline: PKCS#8 under a passphrase of 12 or more."""
    require_passphrase(passphrase)
    return tokens.kept(key, passphrase)


def require_passphrase(passphrase: str) -> None:
    """Raise PkiError for a passphrase of fewer than 12 characters."""
    if len(passphrase) < SHORTEST_PASSPHRASE:
        told = in_both(
            f"根密钥的口令须不少于 {SHORTEST_PASSPHRASE} 个字符",
            f"the root's passphrase has at least {SHORTEST_PASSPHRASE} characters",
        )
        raise PkiError(told, code="passphrase")


def opened(kept: bytes, passphrase: str) -> Key:
    """Return the private key that `locked` kept.  Raises PkiError for another passphrase."""
    try:
        return tokens.load_key(kept, passphrase)
    except (ValueError, TypeError):
        told = in_both("根密钥的口令不对", "the root's passphrase is wrong")
        raise PkiError(told, code="passphrase") from None


# Requests and certificates


def read_request(data: bytes, suite: CryptoSuite = INTL) -> Request:
    """Check a certificate request, PEM or DER: its key, which is one of the suite, and its signature.

    What it says of its subject is not read: that comes from our own records.  Raises
    RequestRefused; `code` is malformed, signature, or key.
    """
    try:
        if not 0 < len(data) <= LARGEST_REQUEST:
            raise ValueError
        is_pem = data.lstrip().startswith(b"-----")
        csr = x509.load_pem_x509_csr(data) if is_pem else x509.load_der_x509_csr(data)
        key = _key_asked_for(csr, suite)
        spki = spki_of(key)
        is_signed = _is_signed(csr, spki)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise _request_refused("malformed") from None
    if not is_signed:
        raise _request_refused("signature")
    return Request(key, spki)


def issue(
    authority: Authority, request: Request, *, member_no: str, name: str, now: datetime
) -> x509.Certificate:
    """Return a member's certificate: for signing in and for signing, two years."""
    subject = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
        x509.NameAttribute(NameOID.COMMON_NAME, _fitting(name)),
        x509.NameAttribute(NameOID.USER_ID, member_no),
    ]
    urn = MEMBER_URN + quote(member_no, safe="")
    builder = _leaf_builder(authority, x509.Name(subject), request.public_key, urn, now)
    usages = [
        ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION, DOCUMENT_SIGNING,
    ]  # fmt: skip
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return _certified(builder, authority.key)


def issue_seal(
    authority: Authority, public_key: Any, *, name: str, now: datetime
) -> x509.Certificate:
    """Return the certificate of the registry's own seal, which signs the log's daily head."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _fitting(name))])
    builder = _leaf_builder(authority, subject, public_key, SEAL_URN, now)
    usages = [ExtendedKeyUsageOID.EMAIL_PROTECTION, DOCUMENT_SIGNING]
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return _certified(builder, authority.key)


def require_usable(authority: Authority, der: bytes, *, usage: Usage, at: datetime) -> str:
    """Check a member's certificate: chain, validity at that time, and what it may be used for.

    Returns the member number it was issued to.  Whether it is revoked is asked of the table.
    Raises CertificateRefused; `code` is malformed, chain, expired, not_yet_valid, or usage.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        _require_period(certificate, at)
        _require_chain(authority, certificate, at)
        bits = extension(certificate, x509.KeyUsage)
        member_no = member_no_of(certificate)
    except VerificationError:
        raise _certificate_refused("chain") from None
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion,
            x509.ExtensionNotFound):  # fmt: skip
        raise _certificate_refused("malformed") from None
    may = bits.digital_signature if usage is Usage.LOGIN else bits.content_commitment
    if not may or not member_no:
        raise _certificate_refused("usage")
    return member_no


def member_no_of(certificate: x509.Certificate) -> str:
    """Return the member number in a certificate's subject that its URN confirms, or ""."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    numbers = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
    if len(numbers) != 1:
        return ""
    number = str(numbers[0].value)
    expected = MEMBER_URN + quote(number, safe="")
    return number if names.get_values_for_type(x509.UniformResourceIdentifier) == [expected] else ""


def spki_of(key: Any) -> bytes:
    """Return a public key in DER."""
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def spki_in(certificate: x509.Certificate) -> bytes:
    """Return the public key of a certificate in DER, whatever its suite."""
    return bytes(asn1.Certificate.load(certificate.public_bytes(Encoding.DER)).public_key.dump())


def key_in(certificate: x509.Certificate) -> Any:
    """Return the public key of a certificate, whatever its suite."""
    return public_key(spki_in(certificate))


# What the above is made of


def _certified(
    builder: x509.CertificateBuilder, key: Key, algorithm: Any = None
) -> x509.Certificate:
    """Let a key sign a certificate; with SM2, which cryptography does not know, in two steps."""
    if not sm2.is_private(key):
        return builder.sign(key, algorithm or hashes.SHA256())
    draft = builder.sign(stand_in(), hashes.SHA256()).public_bytes(Encoding.DER)
    return x509.load_der_x509_certificate(sm2.signed_certificate(draft, key))


def stand_in() -> ec.EllipticCurvePrivateKey:
    """Return a key of the moment, whose signature is thrown away."""
    return ec.generate_private_key(ec.SECP256R1())


def _ca_builder(
    name: str, issuer: str, public_key: Any, now: datetime, days: float, *, path_length: int
) -> x509.CertificateBuilder:
    usage = _key_usage(key_cert_sign=True, crl_sign=True, digital_signature=True)
    return (
        certificate_builder(_ca_name(name), _ca_name(issuer), public_key, now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
    )


def _leaf_builder(
    authority: Authority, subject: x509.Name, public_key: Any, urn: str, now: datetime
) -> x509.CertificateBuilder:
    above = authority.certificate
    builder = (
        certificate_builder(subject, above.subject, public_key, now, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, content_commitment=True), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(urn)]), critical=False
        )
    )
    builder = _with_ids(builder, public_key, key_in(above))
    return _with_addresses(builder, authority.url) if authority.url else builder


def certificate_builder(
    subject: x509.Name, issuer: x509.Name, public_key: Any, now: datetime, days: float
) -> x509.CertificateBuilder:
    """Return what every certificate begins with; the days count from now."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _with_ids(
    builder: x509.CertificateBuilder, public_key: Any, above: Any
) -> x509.CertificateBuilder:
    own = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return builder.add_extension(own, critical=False).add_extension(
        authority_id(above), critical=False
    )


def _with_addresses(builder: x509.CertificateBuilder, url: str) -> x509.CertificateBuilder:
    def at(path: str) -> x509.UniformResourceIdentifier:
        return x509.UniformResourceIdentifier(f"{url}/{path}")

    point = x509.DistributionPoint([at("issuing.crl")], None, None, None)
    access = x509.AuthorityInformationAccessOID
    return builder.add_extension(x509.CRLDistributionPoints([point]), critical=False).add_extension(
        x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(access.OCSP, at("ocsp")),
                x509.AccessDescription(access.CA_ISSUERS, at("issuing.pem")),
            ]
        ),
        critical=False,
    )


def _key_usage(**used: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
             "key_agreement", "key_cert_sign", "crl_sign", "encipher_only",
             "decipher_only")  # fmt: skip
    return x509.KeyUsage(**{name: used.get(name, False) for name in names})


def authority_id(public_key: Any) -> x509.AuthorityKeyIdentifier:
    """Return how a certificate or a list names the key that signed it."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key)


def _ca_name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.COMMON_NAME, _fitting(name)),
        ]
    )


def common_name(certificate: x509.Certificate) -> str:
    """Return the name in a certificate's subject."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _fitting(name: str) -> str:
    """Return as much of a name as fits; the member number is what tells members apart."""
    return name.encode()[:64].decode(errors="ignore")


def _key_asked_for(csr: x509.CertificateSigningRequest, suite: CryptoSuite) -> Any:
    info = asn1_csr.CertificationRequest.load(csr.public_bytes(Encoding.DER))
    spki = info["certification_request_info"]["subject_pk_info"].dump()
    try:
        suite.key_type(spki)
    except SignatureRefused:
        raise _request_refused("key") from None
    return public_key(spki)


def _is_signed(csr: x509.CertificateSigningRequest, spki: bytes) -> bool:
    if suite_of(spki) is not GM:
        algorithm = csr.signature_hash_algorithm
        strong = isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512)
        return strong and csr.is_signature_valid
    try:
        GM.verify(spki, csr.signature, csr.tbs_certrequest_bytes)
    except SignatureRefused:
        return False
    return csr.signature_algorithm_oid.dotted_string == sm2.SIGNATURE


def _require_chain(authority: Authority, certificate: x509.Certificate, at: datetime) -> None:
    """Raise VerificationError where the root does not vouch for a member's certificate."""
    if authority.suite is GM:
        _require_sm2_chain([certificate, authority.certificate, authority.root], at)
        return
    store = Store([authority.root])
    verifier = PolicyBuilder().store(store).time(at.astimezone(UTC)).build_client_verifier()
    verifier.verify(certificate, [authority.certificate])


def _require_sm2_chain(chain: list[x509.Certificate], at: datetime) -> None:
    """Check what cryptography, which knows no SM2, would have checked of these three."""
    leaf, *above = chain
    for lower, upper in pairwise([*chain, chain[-1]]):
        made = asn1.Certificate.load(lower.public_bytes(Encoding.DER), strict=True)
        named = (made["tbs_certificate"]["signature"], made["signature_algorithm"])
        holds = {each["algorithm"].dotted for each in named} == {sm2.SIGNATURE}
        holds &= lower.issuer.public_bytes() == upper.subject.public_bytes()
        holds &= lower.not_valid_before_utc <= at <= lower.not_valid_after_utc
        try:
            GM.verify(spki_in(upper), lower.signature, lower.tbs_certificate_bytes)
        except SignatureRefused:
            holds = False
        if not holds:
            raise VerificationError
    may_issue = [extension(each, x509.KeyUsage).key_cert_sign for each in above]
    are_authorities = [extension(each, x509.BasicConstraints).ca for each in chain]
    usages = extension(leaf, x509.ExtendedKeyUsage)
    critical = {each.oid for one in chain for each in one.extensions if each.critical}
    if (
        are_authorities != [False, True, True]
        or may_issue != [True, True]
        or ExtendedKeyUsageOID.CLIENT_AUTH not in usages
        or not critical <= {x509.BasicConstraints.oid, x509.KeyUsage.oid}
    ):
        raise VerificationError


def extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    """Return the value of an extension.  Raises ExtensionNotFound."""
    return certificate.extensions.get_extension_for_class(kind).value


def _require_period(certificate: x509.Certificate, at: datetime) -> None:
    if at < certificate.not_valid_before_utc:
        raise _certificate_refused("not_yet_valid")
    if at > certificate.not_valid_after_utc:
        raise _certificate_refused("expired")


def _request_refused(code: str) -> RequestRefused:
    return RequestRefused(_("The certificate request is not acceptable"), code=code)


def _certificate_refused(code: str) -> CertificateRefused:
    return CertificateRefused(_("The certificate cannot be used"), code=code)
