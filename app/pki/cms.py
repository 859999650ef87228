"""Detached CMS signatures (RFC 5652, GM/T 0010).

Deliberately strict: one signer, SHA-256 or better, signed attributes in DER order, no optional parts.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from asn1crypto import algos, cms, core, parser, x509

from app.pki.errors import PkiError, SignatureRefused
from app.pki.suites import SUITES, CryptoSuite, suite_of

LARGEST = 64 * 1024  # bytes; a signature with its certificate has about 2 kB
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"


class _ContentInfo(core.Sequence):
    """ContentInfo, with the suite's content types."""

    _fields = [
        ("content_type", core.ObjectIdentifier),
        ("content", cms.SignedData, {"explicit": 0}),
    ]


class _Encapsulated(core.Sequence):
    """EncapsulatedContentInfo of a detached signature: the type only."""

    _fields = [("content_type", core.ObjectIdentifier)]


class Signer(Protocol):
    """A signer with one private key: in a token, the signing process or memory."""

    def sign(self, data: bytes) -> bytes:
        """Hash and sign the data."""


class HasDer(Protocol):
    """A certificate of the caller's type, with its DER."""

    @property
    def der(self) -> bytes:
        """The certificate in DER."""


Kept = TypeVar("Kept", bound=HasDer)


@dataclass(frozen=True, slots=True)
class Verified(Generic[Kept]):
    """A valid signature; the certificate's validity is not checked."""

    certificate: Kept  # as returned by find_certificate
    signed_at: datetime  # claimed by the signer
    suite: CryptoSuite


def sign(content: bytes, signer: Signer, certificate: bytes, *, signed_at: datetime) -> bytes:
    """Return the detached CMS signature over the content, including the certificate (DER)."""
    owner = x509.Certificate.load(certificate)
    spki = owner.public_key.dump()
    suite = suite_of(spki)
    digest_oid = next(iter(suite.cms.digests))
    attributes = _attributes(suite, content, signed_at)
    parameters = core.Null() if suite.key_type(spki) == "rsa" else core.Void()
    info = {
        "version": "v1",
        "sid": cms.SignerIdentifier(
            "issuer_and_serial_number",
            {"issuer": owner.issuer, "serial_number": owner.serial_number},
        ),
        "digest_algorithm": {"algorithm": digest_oid},
        "signed_attrs": attributes,
        "signature_algorithm": {
            "algorithm": suite.cms.signatures[suite.key_type(spki), suite.digest_name],
            "parameters": parameters,
        },
        "signature": signer.sign(_as_set(attributes)),
    }
    return _wrapped(suite, info, digest_oid, owner)


def verify(
    content: bytes, der: bytes, find_certificate: Callable[[bytes, int], Kept | None]
) -> Verified[Kept]:
    """Verify a detached signature over the content.

    `find_certificate(issuer_name_der, serial)` returns the certificate from our records or None; the
    one inside the message is ignored.  Raises SignatureRefused, with the failed check in `code`.
    """
    try:
        return _verified(content, der, find_certificate)
    except PkiError:
        raise
    # asn1crypto's exceptions for malformed input.
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError,
            RecursionError):  # fmt: skip
        raise SignatureRefused("malformed") from None


def _verified(
    content: bytes, der: bytes, find_certificate: Callable[[bytes, int], Kept | None]
) -> Verified[Kept]:
    _require(0 < len(der) <= LARGEST, "size")
    suite, signed_data = _signed_data(der)
    info = _only_signer(suite, signed_data)
    digest, attributes = _signed_attributes(suite, info)
    _require(attributes["content_type"].dotted == suite.cms.data, "content_type")
    same = digest == suite.digest_name
    expected = suite.digest(content) if same else hashlib.new(digest, content).digest()
    _require(hmac.compare_digest(attributes["message_digest"].native, expected), "other_content")
    kept, certificate = _certificate(info, find_certificate)
    spki = certificate.public_key.dump()
    _require(suite_of(spki) is suite, "suite")
    algorithm = info["signature_algorithm"]["algorithm"].dotted
    wanted = suite.cms.signatures[suite.key_type(spki), digest]
    # Older programs state rsaEncryption, without the digest.
    also = RSA_ENCRYPTION if suite.key_type(spki) == "rsa" else wanted
    _require(algorithm in (wanted, also), "signature_algorithm")
    suite.verify(spki, info["signature"].native, _as_set(info["signed_attrs"]), digest)
    return Verified(kept, attributes["signing_time"].native.astimezone(UTC), suite)


def _signed_data(der: bytes) -> tuple[CryptoSuite, Any]:
    """Return the message's suite and SignedData.  Refuses trailing and superfluous parts."""
    outer = _ContentInfo.load(der, strict=True)
    named = outer["content_type"].dotted
    suite = next((suite for suite in SUITES.values() if suite.cms.signed_data == named), None)
    if suite is None:
        raise SignatureRefused("not_signed_data")
    signed_data = outer["content"]
    detached = _Encapsulated({"content_type": suite.cms.data}).dump()
    _require(signed_data["encap_content_info"].dump() == detached, "not_detached")
    _require(isinstance(signed_data["crls"], core.Void), "crls")
    return suite, signed_data


def _only_signer(suite: CryptoSuite, signed_data: Any) -> Any:
    infos = signed_data["signer_infos"]
    _require(len(infos) == 1, "one_signer")
    info = infos[0]
    _require(info["sid"].name == "issuer_and_serial_number", "signer_id")
    _require(isinstance(info["unsigned_attrs"], core.Void), "unsigned_attributes")
    announced = {item["algorithm"].dotted for item in signed_data["digest_algorithms"]}
    _require(announced == {info["digest_algorithm"]["algorithm"].dotted}, "digest")
    return info


def _signed_attributes(suite: CryptoSuite, info: Any) -> tuple[str, dict[str, Any]]:
    """Return the digest's name and the attributes, each once with one value."""
    digest = suite.cms.digests.get(info["digest_algorithm"]["algorithm"].dotted)
    if digest is None:
        raise SignatureRefused("digest")
    signed = info["signed_attrs"]
    _require(bool(signed.contents), "no_signed_attributes")
    parts = [attribute.dump() for attribute in signed]
    _require(parts == sorted(parts), "attributes_order")  # DER
    _require(_as_set(signed) == parser.emit(0, 1, 17, b"".join(parts)), "attributes_form")
    found: dict[str, Any] = {}
    for attribute in signed:
        name = attribute["type"].native
        _require(name not in found and len(attribute["values"]) == 1, "attribute_twice")
        found[name] = attribute["values"][0]
    _require({"content_type", "message_digest", "signing_time"} <= set(found), "attribute_missing")
    return digest, found


def _certificate(
    info: Any, find_certificate: Callable[[bytes, int], Kept | None]
) -> tuple[Kept, x509.Certificate]:
    sid = info["sid"].chosen
    issuer, serial = sid["issuer"], sid["serial_number"].native
    kept = find_certificate(issuer.dump(), serial)
    if kept is None:
        raise SignatureRefused("unknown_certificate")
    certificate = x509.Certificate.load(kept.der, strict=True)
    same = certificate.serial_number == serial and certificate.issuer.dump() == issuer.dump()
    _require(same, "unknown_certificate")
    return kept, certificate


def _attributes(suite: CryptoSuite, content: bytes, signed_at: datetime) -> cms.CMSAttributes:
    moment = signed_at.astimezone(UTC).replace(microsecond=0)
    name = "utc_time" if moment.year < 2050 else "general_time"
    values = [
        ("content_type", cms.ContentType(suite.cms.data)),
        ("message_digest", core.OctetString(suite.digest(content))),
        ("signing_time", cms.Time({name: moment})),
    ]
    made = [cms.CMSAttribute({"type": name, "values": [value]}) for name, value in values]
    return cms.CMSAttributes(sorted(made, key=lambda attribute: attribute.dump()))


def _wrapped(
    suite: CryptoSuite, info: dict[str, Any], digest_oid: str, owner: x509.Certificate
) -> bytes:
    signed_data = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [algos.DigestAlgorithm({"algorithm": digest_oid})],
            "encap_content_info": cms.ContentInfo({"content_type": suite.cms.data}),
            "certificates": [cms.CertificateChoices("certificate", owner)],
            "signer_infos": [cms.SignerInfo(info)],
        }
    )
    outer = {"content_type": suite.cms.signed_data, "content": signed_data}
    return bytes(_ContentInfo(outer).dump())


def _as_set(attributes: cms.CMSAttributes) -> bytes:
    """Return the attributes as they are signed: with an explicit SET OF tag (RFC 5652, 5.4)."""
    return b"\x31" + bytes(attributes.dump())[1:]


def _require(holds: bool, code: str) -> None:
    if not holds:
        raise SignatureRefused(code)
