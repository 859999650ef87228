"""The crypto suites: `intl` (SHA-256, ECDSA or RSA, AES) and `gm` (SM3, SM2, SM4).

The suite's name is stored with every certificate and signature, so that they can be verified after
the default has changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from asn1crypto import keys
from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import load_der_public_key
from flask_babel import lazy_gettext as _

from app.pki import sm2
from app.pki.errors import PkiError, SignatureRefused, SuiteMissing

NONCE = 12
TAG = 16
SMALLEST_RSA = 2048
LARGEST_RSA = 8192


@dataclass(frozen=True)
class CmsNames:
    """The object identifiers of a suite's CMS messages."""

    data: str
    signed_data: str
    # The digest we write, then others we accept, with their hashlib names.
    digests: Mapping[str, str]
    # Signature algorithms by key type and digest.
    signatures: Mapping[tuple[str, str], str]


class CryptoSuite(Protocol):
    """The interface of a suite."""

    name: str
    digest_name: str
    key_kind: str  # default of new keys
    cms: CmsNames

    def digest(self, data: bytes) -> bytes:
        """Hash the data."""

    def key_type(self, spki: bytes) -> str:
        """Return rsa, ec or sm2.  Raises SignatureRefused for a weak or unsupported key."""

    def verify(self, spki: bytes, signature: bytes, data: bytes, digest: str = "") -> None:
        """Raise SignatureRefused unless the key signed the data; `digest` names another digest."""

    def encrypt(self, key: bytes, plain: bytes, about: bytes = b"") -> bytes:
        """Return nonce, ciphertext and tag; `about` is authenticated data."""

    def decrypt(self, key: bytes, sealed: bytes, about: bytes = b"") -> bytes:
        """Decrypt.  Raises PkiError where the ciphertext or `about` was altered."""

    def derive(self, secret: bytes, salt: bytes) -> bytes:
        """Derive 32 bytes from a password or code with a slow function."""

    @property
    def key_length(self) -> int:
        """Return the length of encryption keys, in bytes."""


class International:
    """SHA-256, ECDSA over P-256 and P-384 or RSA, AES-256-GCM, scrypt."""

    name = "intl"
    digest_name = "sha256"
    key_kind = "p256"
    key_length = 32
    cms = CmsNames(
        data="1.2.840.113549.1.7.1",
        signed_data="1.2.840.113549.1.7.2",
        digests={
            "2.16.840.1.101.3.4.2.1": "sha256",
            "2.16.840.1.101.3.4.2.2": "sha384",
            "2.16.840.1.101.3.4.2.3": "sha512",
        },
        signatures={
            ("ec", "sha256"): "1.2.840.10045.4.3.2",
            ("ec", "sha384"): "1.2.840.10045.4.3.3",
            ("ec", "sha512"): "1.2.840.10045.4.3.4",
            ("rsa", "sha256"): "1.2.840.113549.1.1.11",
            ("rsa", "sha384"): "1.2.840.113549.1.1.12",
            ("rsa", "sha512"): "1.2.840.113549.1.1.13",
        },
    )

    def digest(self, data: bytes) -> bytes:
        """Return the SHA-256."""
        return hashlib.sha256(data).digest()

    def key_type(self, spki: bytes) -> str:
        """Return rsa or ec."""
        return "rsa" if isinstance(_public_key(spki), rsa.RSAPublicKey) else "ec"

    def verify(self, spki: bytes, signature: bytes, data: bytes, digest: str = "") -> None:
        """Raise SignatureRefused unless the key signed the data."""
        algorithm = _DIGESTS[digest or self.digest_name]
        key = _public_key(spki)
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, data, padding.PKCS1v15(), algorithm)
            else:
                key.verify(signature, data, ec.ECDSA(algorithm))
        except (InvalidSignature, ValueError):
            raise SignatureRefused("signature_wrong") from None

    def encrypt(self, key: bytes, plain: bytes, about: bytes = b"") -> bytes:
        nonce = os.urandom(NONCE)
        return nonce + AESGCM(key).encrypt(nonce, plain, about)

    def decrypt(self, key: bytes, sealed: bytes, about: bytes = b"") -> bytes:
        """Open what `encrypt` sealed."""
        try:
            return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], about)
        except (InvalidTag, ValueError):
            raise _unreadable() from None

    def derive(self, secret: bytes, salt: bytes) -> bytes:
        """scrypt; takes about 60 ms and 32 MB."""
        return Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(secret)


class ChineseNational:
    """SM3, SM2 and SM4-GCM (GM/T 0002, 0003, 0004); SM2 comes from tongsuopy, the extra `gm`."""

    name = "gm"
    digest_name = "sm3"
    key_kind = "sm2"
    key_length = 16
    cms = CmsNames(  # GM/T 0010
        data="1.2.156.10197.6.1.4.2.1",
        signed_data="1.2.156.10197.6.1.4.2.2",
        digests={"1.2.156.10197.1.401": "sm3"},
        signatures={("sm2", "sm3"): sm2.SIGNATURE},
    )

    def digest(self, data: bytes) -> bytes:
        """Return the SM3."""
        found = hashes.Hash(hashes.SM3())
        found.update(data)
        return found.finalize()

    def key_type(self, spki: bytes) -> str:
        """Return sm2; the point must not be compressed."""
        if not spki.startswith(sm2.PREFIX) or len(spki) != len(sm2.PREFIX) + sm2.COORDINATES:
            raise SignatureRefused("key_weak")
        return "sm2"

    def verify(self, spki: bytes, signature: bytes, data: bytes, digest: str = "") -> None:
        self.key_type(spki)
        if digest not in ("", "sm3"):
            raise SignatureRefused("digest")
        sm2.verify(spki, signature, data)

    def encrypt(self, key: bytes, plain: bytes, about: bytes = b"") -> bytes:
        nonce = os.urandom(NONCE)
        cipher = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
        cipher.authenticate_additional_data(about)
        return nonce + cipher.update(plain) + cipher.finalize() + cipher.tag

    def decrypt(self, key: bytes, sealed: bytes, about: bytes = b"") -> bytes:
        """Open what `encrypt` sealed."""
        nonce, text, tag = sealed[:NONCE], sealed[NONCE:-TAG], sealed[-TAG:]
        try:
            cipher = Cipher(algorithms.SM4(key), modes.GCM(nonce, tag)).decryptor()
            cipher.authenticate_additional_data(about)
            return cipher.update(text) + cipher.finalize()
        except (InvalidTag, ValueError):
            raise _unreadable() from None

    def derive(self, secret: bytes, salt: bytes) -> bytes:
        """PBKDF2 with HMAC-SM3; takes about 600 ms."""
        try:
            return hashlib.pbkdf2_hmac("sm3", secret, salt, 600_000, 32)
        except ValueError:
            raise SuiteMissing from None


INTL: CryptoSuite = International()
GM: CryptoSuite = ChineseNational()
SUITES: dict[str, CryptoSuite] = {suite.name: suite for suite in (INTL, GM)}

_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def suite_of(spki: bytes) -> CryptoSuite:
    """Return the suite that a public key belongs to."""
    return GM if _is_sm2(spki) else INTL


def public_key(spki: bytes) -> Any:
    """Return a public key for certificate builders, of either suite."""
    return sm2.PublicKey(spki) if _is_sm2(spki) else load_der_public_key(spki)


def _is_sm2(spki: bytes) -> bool:
    try:
        algorithm = keys.PublicKeyInfo.load(spki, strict=True)["algorithm"]
        if algorithm["algorithm"].native != "ec":
            return False
        return algorithm["parameters"].chosen.dotted == sm2.CURVE
    except (ValueError, TypeError, AttributeError, KeyError):
        return False


def _public_key(spki: bytes) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """Load a public key.  Raises SignatureRefused for one too weak."""
    try:
        key = load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SignatureRefused("key_unknown") from None
    if isinstance(key, rsa.RSAPublicKey):
        if SMALLEST_RSA <= key.key_size <= LARGEST_RSA and key.public_numbers().e >= 65537:
            return key
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(
        key.curve, ec.SECP256R1 | ec.SECP384R1
    ):
        return key
    raise SignatureRefused("key_weak")


def _unreadable() -> PkiError:
    return PkiError(_("What is stored encrypted cannot be read"), code="unreadable")
