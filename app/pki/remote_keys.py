"""Keys whose private half is elsewhere, for cryptography's builders: they sign by asking a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.pki import sm2
from app.pki.suites import public_key


class _Elsewhere:
    """What a key cannot do that never leaves its place."""

    def private_numbers(self) -> NoReturn:
        raise TypeError("the key never leaves its place")

    def private_bytes(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the key never leaves its place")

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, _memo: Any) -> Any:
        return self


class RemoteEcKey(_Elsewhere, ec.EllipticCurvePrivateKey):
    """An elliptic-curve key behind a function that signs with SHA-256."""

    def __init__(self, public: ec.EllipticCurvePublicKey, sign: Callable[[bytes], bytes]) -> None:
        self._public, self._sign = public, sign

    @property
    def curve(self) -> ec.EllipticCurve:
        """Return the curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Return the size in bits."""
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half."""
        return self._public

    def exchange(self, *_: Any) -> NoReturn:
        """Refuse: it signs only."""
        raise TypeError("the key only signs")

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:
        """Let the other place sign."""
        assert isinstance(signature_algorithm, ec.ECDSA)
        assert isinstance(signature_algorithm.algorithm, hashes.SHA256)
        return self._sign(bytes(data))


class RemoteRsaKey(_Elsewhere, rsa.RSAPrivateKey):
    """An RSA key behind a function that signs with PKCS#1 1.5 and SHA-256."""

    def __init__(self, public: rsa.RSAPublicKey, sign: Callable[[bytes], bytes]) -> None:
        self._public, self._sign = public, sign

    @property
    def key_size(self) -> int:
        """Return the size in bits."""
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """Return the public half."""
        return self._public

    def decrypt(self, *_: Any) -> NoReturn:
        """Refuse: it signs only."""
        raise TypeError("the key only signs")

    def sign(self, data: Any, _padding: Any, algorithm: Any) -> bytes:
        """Let the other place sign."""
        assert isinstance(algorithm, hashes.SHA256)
        return self._sign(bytes(data))


def remote_key(spki: bytes, sign: Callable[[bytes], bytes]) -> Any:
    """Return a key for cryptography's builders whose private half is behind `sign(data)`."""
    public = public_key(spki)
    if isinstance(public, sm2.PublicKey):
        return sm2.RemoteKey(public, sign)
    if isinstance(public, rsa.RSAPublicKey):
        return RemoteRsaKey(public, sign)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return RemoteEcKey(public, sign)
