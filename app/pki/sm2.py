"""SM2, which cryptography does not support: keys, and the signatures of an SM2 authority.

Private keys are tongsuopy's (extra `gm`).  Certificates and lists are built with cryptography's
builders, signed with a throw-away key, and then signed again with SM2.  The user id is the default
of GM/T 0009, 1234567812345678; tongsuopy supports no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from asn1crypto import core, crl, ocsp
from asn1crypto import x509 as asn1
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import PublicFormat

from app.pki.errors import SignatureRefused, SuiteMissing

CURVE = "1.2.156.10197.1.301"
SIGNATURE = "1.2.156.10197.1.501"  # SM2 with SM3
# DER of a public key up to the coordinates of its point.
PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
COORDINATES = 64


# Keys


class PublicKey(ec.EllipticCurvePublicKey):
    """An SM2 public key for cryptography's builders, which only read its bytes."""

    def __init__(self, spki: bytes) -> None:
        self.spki = spki

    @property
    def curve(self) -> ec.EllipticCurve:
        """Return a curve of the same size, since cryptography has no SM2 curve."""
        return ec.SECP256R1()

    @property
    def key_size(self) -> int:
        return 256

    def public_bytes(self, _encoding: Any, format: PublicFormat) -> bytes:
        if format is PublicFormat.SubjectPublicKeyInfo:
            return self.spki
        return self.spki[len(PREFIX) - 1 :]

    def public_numbers(self) -> NoReturn:
        """Refuse: callers would assume another curve."""
        raise TypeError("an SM2 key")

    def verify(self, *_: Any) -> NoReturn:
        """Refuse: suites.GM verifies."""
        raise TypeError("an SM2 key")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.spki == self.spki

    def __hash__(self) -> int:
        return hash(self.spki)

    def __copy__(self) -> PublicKey:
        return self

    def __deepcopy__(self, _memo: Any) -> PublicKey:
        return self


class RemoteKey:
    """An SM2 private key whose signatures come from a function."""

    def __init__(self, public: PublicKey, sign: Callable[[bytes], bytes]) -> None:
        self._public, self.sign = public, sign

    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self._public


class PrivateKey:
    """An SM2 private key in memory.  Raises SuiteMissing where tongsuopy is not installed."""

    def __init__(self, key: Any) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> PrivateKey:
        """Generate a key."""
        curves, _hashes, _files = _tongsuopy()
        return cls(curves.generate_private_key(curves.SM2()))

    @classmethod
    def opened(cls, kept: bytes, passphrase: str | None) -> PrivateKey:
        """Load PKCS#8 PEM of `kept` or openssl.  Raises ValueError for a wrong passphrase."""
        _curves, _hashes, files = _tongsuopy()
        password = None if passphrase is None else passphrase.encode()
        return cls(files.load_pem_private_key(kept, password))

    def kept(self, passphrase: str | None) -> bytes:
        """Return the key as PKCS#8 PEM, encrypted with SM4 where there is a passphrase."""
        _curves, _hashes, files = _tongsuopy()
        hidden = files.NoEncryption()
        if passphrase is not None:
            hidden = files.BestAvailableEncryption(passphrase.encode())
        found: bytes = self._key.private_bytes(
            files.Encoding.PEM, files.PrivateFormat.PKCS8, hidden
        )
        return found

    def public_key(self) -> PublicKey:
        """Return the public half."""
        _curves, _hashes, files = _tongsuopy()
        form = files.PublicFormat.SubjectPublicKeyInfo
        return PublicKey(self._key.public_key().public_bytes(files.Encoding.DER, form))

    def sign(self, data: bytes) -> bytes:
        """Return the signature over the data, with SM3 and the default user id."""
        curves, digests, _files = _tongsuopy()
        found: bytes = self._key.sign(data, curves.ECDSA(digests.SM3()))
        return found


def verify(spki: bytes, signature: bytes, data: bytes) -> None:
    """Raise SignatureRefused unless the key signed the data, with the default user id."""
    curves, digests, files = _tongsuopy()
    from tongsuopy.crypto import exceptions

    try:
        files.load_der_public_key(spki).verify(signature, data, curves.ECDSA(digests.SM3()))
    # The library raises errors for malformed signatures.
    except (
        exceptions.InvalidSignature, exceptions.InternalError, exceptions.UnsupportedAlgorithm,
        ValueError,
    ):  # fmt: skip
        raise SignatureRefused("signature_wrong") from None


def is_private(key: Any) -> bool:
    """Tell whether a private key is SM2."""
    return isinstance(key, RemoteKey | PrivateKey)


def _tongsuopy() -> tuple[Any, Any, Any]:
    try:
        from tongsuopy.crypto import hashes, serialization
        from tongsuopy.crypto.asymciphers import ec as curves
    except ImportError:
        raise SuiteMissing from None
    return curves, hashes, serialization


# Signatures of an SM2 authority


def signed_certificate(draft: bytes, key: Any) -> bytes:
    """Return the draft with SM2's algorithm identifiers and signature."""
    return _signed(asn1.Certificate.load(draft), "tbs_certificate", "signature_value", key)


def signed_list(draft: bytes, key: Any) -> bytes:
    """The same for a revocation list."""
    return _signed(crl.CertificateList.load(draft), "tbs_cert_list", "signature", key)


def signed_answer(draft: bytes, key: Any, key_id: bytes) -> bytes:
    """The same for an OCSP response, with its responder id."""
    answer = ocsp.OCSPResponse.load(draft)
    basic = answer.basic_ocsp_response
    basic["tbs_response_data"]["responder_id"] = ocsp.ResponderId("by_key", key_id)
    basic = _signed(basic, "tbs_response_data", "signature", key)
    answer["response_bytes"]["response"] = core.ParsableOctetString(basic)
    return bytes(answer.dump())


def _signed(made: Any, content: str, signature: str, key: Any) -> bytes:
    algorithm = {"algorithm": SIGNATURE}
    if content != "tbs_response_data":  # which has no inner algorithm identifier
        made[content]["signature"] = algorithm
    made["signature_algorithm"] = algorithm
    made[signature] = key.sign(made[content].dump())
    return bytes(made.dump())
