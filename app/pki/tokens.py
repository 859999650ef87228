"""Tokens: USBKeys and other PKCS#11 tokens, and key files for the demonstration.

SoftHSM and python-pkcs11 corrupt tokens on concurrent access, and have one login per process: all
calls hold one lock, and a token is opened, used and closed under it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pkcs11
from asn1crypto import core, keys, x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import load_der_x509_certificate
from flask_babel import lazy_gettext as _
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag
from pkcs11 import exceptions as token_errors
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
from pkcs11.util.rsa import encode_rsa_public_key
from pkcs11.util.x509 import decode_x509_certificate

from app.pki import sm2
from app.pki.errors import (
    KeyMissing,
    PinIncorrect,
    PinKnownWrong,
    PinLocked,
    PinRefused,
    SuiteMissing,
    TokenAbsent,
    TokenError,
    in_both,
)

# For all tokens of the process.
LOCK = threading.RLock()
TRIES = 5
FACTORY_PIN = "1234"
GOOD_PIN = re.compile(r"[0-9A-Za-z]{6,16}")
KEY_KINDS = ("p256", "rsa3072", "sm2")


@dataclass(frozen=True, slots=True)
class TokenCertificate:
    """A certificate on a token; the key of the same id signs for it."""

    key_id: bytes
    der: bytes


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A key generated in a token."""

    key_id: bytes
    spki: bytes


class TokenBackend(Protocol):
    """The interface of tokens.  All methods raise TokenError or its subclasses only."""

    id: str  # unlike the label, no two tokens share it: the serial, or the folder of a soft key
    label: str
    assurance: str  # hard, or soft where keys can be copied

    def certificates(self) -> list[TokenCertificate]:
        """Return the certificates, without a PIN."""

    def tries_left(self) -> int:
        """Return the remaining PIN tries; 0 is locked."""

    def open(self, pin: str) -> None:
        """Log in.  Raises PinIncorrect, PinLocked, TokenAbsent."""

    def close(self) -> None:
        """Log out; idempotent."""

    def sign(self, key_id: bytes, data: bytes) -> bytes:
        """Sign the data: ECDSA or PKCS#1 1.5 with SHA-256, or SM2 with SM3."""

    def generate_key(self, kind: str = "p256", *, label: str = "") -> GeneratedKey:
        """Generate a non-extractable key: p256, rsa3072 or sm2."""

    def store_certificate(self, key_id: bytes, der: bytes) -> None:
        """Put the certificate of a key beside it."""

    def change_pin(self, old: str, new: str) -> None:
        """Change the PIN.  Raises PinIncorrect, PinLocked, PinRefused."""


class TryCounter:
    """A counter of wrong PINs in a file, by the token's id.

    SoftHSM and simple USBKeys never lock.  A try is counted before it is made, so that killing the
    process gives no free guess.  Beside each count stands whether the token reported the wrong PIN, too.
    """

    def __init__(self, path: Path, limit: int = TRIES) -> None:
        self.path, self.limit = path, limit

    def left(self, name: str) -> int:
        return max(0, self.limit - self._count(name)[0])

    def is_reported(self, name: str) -> bool:
        """Tell whether the token itself has reported a wrong PIN that is counted here."""
        return self._count(name)[1]

    def spend(self, name: str) -> None:
        """Count one try.  Raises PinLocked where none is left."""
        wrong, reported = self._count(name)
        if wrong >= self.limit:
            raise PinLocked
        self._write({**self._read(), name: (wrong + 1, reported)})

    def note_reported(self, name: str) -> None:
        """Note that the token reports the wrong PIN, too."""
        self._write({**self._read(), name: (self._count(name)[0], True)})

    def reset(self, name: str) -> None:
        """Reset the counter, after the right PIN or an unlocking elsewhere."""
        self._write({key: count for key, count in self._read().items() if key != name})

    def _count(self, name: str) -> tuple[int, bool]:
        try:
            count = self._read().get(name, 0)
            wrong, reported = count if isinstance(count, list) else (count, False)
            return int(wrong), bool(reported)
        except (ValueError, TypeError, OverflowError):  # damaged or tampered with
            return self.limit, False

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.path.read_text()))
        except FileNotFoundError:
            return {}

    def _write(self, counts: dict[str, Any]) -> None:
        write_private(self.path, json.dumps(counts).encode())


class RefusedPins:
    """The PINs that a token has refused, as salted digests in a file, until it takes another.

    A service that is started again and again would try the same PIN until the device is locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, token: TokenBackend, pin: str) -> None:
        """Log in, but never twice with a PIN that was wrong.  Raises PinKnownWrong, as `token.open`."""
        if any(
            secrets.compare_digest(_pin_record(pin, each[:16]), each) for each in self._records()
        ):
            raise PinKnownWrong
        try:
            token.open(pin)
        except PinIncorrect:
            write_private(self.path, b"".join([*self._records(), _pin_record(pin)]))
            raise
        self.path.unlink(missing_ok=True)

    def _records(self) -> list[bytes]:
        kept = self.path.read_bytes() if self.path.exists() else b""
        return [kept[start : start + 80] for start in range(0, len(kept), 80)]


@contextmanager
def unlocked(token: TokenBackend, pin: str) -> Iterator[TokenBackend]:
    """Open a token under the lock, and close it at the end."""
    with LOCK:
        token.open(pin)
        try:
            yield token
        finally:
            token.close()


def require_good_pin(new: str, old: str = "") -> None:
    """Raise PinRefused for a PIN that is malformed, the factory PIN or the former one."""
    if not GOOD_PIN.fullmatch(new) or not new.isascii() or new == old or len(set(new)) < 3:
        raise PinRefused


def write_private(path: Path, content: bytes) -> None:
    """Replace a file atomically and durably, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class Pkcs11Token:
    """A token behind a PKCS#11 driver, found by its serial where one is given, else by its label."""

    assurance = "hard"

    def __init__(self, module: str, label: str, counter: TryCounter, serial: str = "") -> None:
        self.module, self.label, self.counter, self.serial = module, label, counter, serial
        self.id = serial or label
        self._session: Any = None

    def certificates(self) -> list[TokenCertificate]:
        """Return the certificates on it."""
        with _translated_errors(), self._reading() as session:
            found = session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE})
            return [TokenCertificate(row[Attribute.ID], row[Attribute.VALUE]) for row in found]

    def tries_left(self) -> int:
        """Return how many wrong PINs it still takes."""
        with _translated_errors():
            token = self._token()
            self._compare(token)
            return self._left(token)

    def open(self, pin: str) -> None:
        """Unlock it."""
        with _translated_errors():
            self.close()  # a second login would succeed with any PIN
            token = self._token()
            self._compare(token)
            if self._left(token) == 0:
                raise PinLocked
            self.counter.spend(self.id)
            try:
                self._session = token.open(rw=True, user_pin=_encodable(pin))
            except (token_errors.PinIncorrect, token_errors.PinInvalid, token_errors.PinLenRange):
                raise self._wrong(token) from None
            except token_errors.PinLocked:
                self.counter.note_reported(self.id)
                raise PinLocked from None
            self.counter.reset(self.id)

    def close(self) -> None:
        """Lock it again."""
        with LOCK:
            session, self._session = self._session, None
            if session is not None:
                with suppress(pkcs11.PKCS11Error):  # removed, hence locked
                    session.close()

    def sign(self, key_id: bytes, data: bytes) -> bytes:
        """Return the signature over the data."""
        with _translated_errors():
            key = self._private_key(key_id)
            if key.key_type is KeyType.RSA:
                return bytes(key.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS))
            raw = key.sign(_sha256(data), mechanism=Mechanism.ECDSA)
            half = len(raw) // 2
            r, s = (int.from_bytes(part, "big") for part in (raw[:half], raw[half:]))
            return encode_dss_signature(r, s)

    def spki(self, key_id: bytes) -> bytes:
        """Return the public key of an id, in DER."""
        with _translated_errors():
            return _spki_of(
                self._open_session().get_key(object_class=ObjectClass.PUBLIC_KEY, id=key_id)
            )

    def generate_key(self, kind: str = "p256", *, label: str = "") -> GeneratedKey:
        """Generate a non-extractable key.

        PKCS#11 has no standard mechanisms for SM2, and SoftHSM has none: a vendor's mechanism
        numbers would be used here, and in `sign` (docs/operations.md).
        """
        assert kind in KEY_KINDS
        if kind == "sm2":
            raise TokenError(_("This USBKey makes no SM2 keys"), code="no_sm2")
        key_id = secrets.token_bytes(8)
        common = {"id": key_id, "label": label or key_id.hex(), "store": True}
        with _translated_errors():
            session = self._open_session()
            if kind == "rsa3072":
                public, _private = session.generate_keypair(KeyType.RSA, 3072, **common)
            else:
                curve = encode_named_curve_parameters("secp256r1")
                parameters = session.create_domain_parameters(
                    KeyType.EC, {Attribute.EC_PARAMS: curve}, local=True
                )
                public, _private = parameters.generate_keypair(**common)
            return GeneratedKey(key_id, _spki_of(public))

    def store_certificate(self, key_id: bytes, der: bytes) -> None:
        """Put the certificate of a key beside it."""
        with _translated_errors():
            if x509.Certificate.load(der).public_key.dump() != self.spki(key_id):
                raise KeyMissing
            self._open_session().create_object(
                {
                    **decode_x509_certificate(der),
                    Attribute.TOKEN: True,
                    Attribute.PRIVATE: False,
                    Attribute.LABEL: key_id.hex(),
                    Attribute.ID: key_id,
                }
            )

    def change_pin(self, old: str, new: str) -> None:
        """Choose another PIN."""
        require_good_pin(new, old)
        with LOCK, unlocked(self, old), _translated_errors():
            self._open_session().set_pin(old, new)

    def _token(self) -> Any:
        driver = pkcs11.lib(self.module)
        if self.serial:
            return driver.get_token(token_serial=self.serial.encode("latin-1"))
        return driver.get_token(token_label=self.label)

    def _compare(self, token: Any) -> None:
        """Compare the count, before a try, with what the token reports.

        A count that the token had reported, too, ends when it reports nothing any more: somebody has
        unlocked it, or entered the right PIN, elsewhere.
        """
        reports = bool(token.flags & _WRONG_PINS)
        if self.counter.is_reported(self.id):
            if not reports:
                self.counter.reset(self.id)
        elif reports and 0 < self.counter.left(self.id) < self.counter.limit:
            self.counter.note_reported(self.id)

    def _left(self, token: Any) -> int:
        """Return the tries left by our count, or fewer by the token's flags."""
        if token.flags & TokenFlag.USER_PIN_LOCKED:
            return 0
        left = self.counter.left(self.id)
        return min(left, 1) if token.flags & TokenFlag.USER_PIN_FINAL_TRY else left

    def _wrong(self, token: Any) -> TokenError:
        left = self._left(token.slot.get_token())  # with its flags after the wrong PIN
        return PinIncorrect(left) if left else PinLocked()

    def _open_session(self) -> Any:
        if self._session is None:
            raise TokenError(_("The USBKey is locked; enter the PIN"), code="not_open")
        return self._session

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """Yield the open session, or one without a login.

        The driver logs out when any session closes, so there is never a second one.
        """
        if self._session is not None:
            yield self._session
        else:
            with self._token().open() as session:
                yield session

    def _private_key(self, key_id: bytes) -> Any:
        return self._open_session().get_key(object_class=ObjectClass.PRIVATE_KEY, id=key_id)


class SoftwareToken:
    """A folder of PKCS#12 files, PKCS#8 for SM2, under one PIN; for the demonstration only.

    A four-digit PIN does not protect a file that can be copied.
    """

    assurance = "soft"

    def __init__(self, folder: Path, counter: TryCounter, *, is_demo: bool) -> None:
        if not is_demo:
            raise TokenError(_("A key in a file is for the demonstration only"), code="demo_only")
        self.folder, self.counter = folder, counter
        self.id = self.label = folder.name
        self._pin: str | None = None

    def certificates(self) -> list[TokenCertificate]:
        """Return the certificates."""
        return [
            TokenCertificate(bytes.fromhex(path.stem), path.read_bytes())
            for path in sorted(self.folder.glob("*.cer"))
        ]

    def tries_left(self) -> int:
        """Return how many wrong PINs it still takes."""
        with LOCK:
            return self.counter.left(self.label)

    def open(self, pin: str) -> None:
        """Unlock it."""
        with LOCK:
            self._pin = None
            self.counter.spend(self.label)
            if not self._is_right(pin):
                left = self.counter.left(self.label)
                raise PinIncorrect(left) if left else PinLocked()
            self._pin = pin
            self.counter.reset(self.label)

    def close(self) -> None:
        """Lock it again."""
        self._pin = None

    def sign(self, key_id: bytes, data: bytes) -> bytes:
        """Return the signature over the data."""
        with LOCK:
            return sign_with(self._key(key_id), data)

    def generate_key(self, kind: str = "p256", *, label: str = "") -> GeneratedKey:
        """Make a key in a file."""
        assert kind in KEY_KINDS
        with LOCK:
            pin = self._open_pin()
            key = new_key(kind)
            key_id = secrets.token_bytes(8)
            self._write(key_id, key, pin)
            return GeneratedKey(key_id, spki_of(key))

    def store_certificate(self, key_id: bytes, der: bytes) -> None:
        """Put the certificate of a key beside it."""
        with LOCK:
            if x509.Certificate.load(der).public_key.dump() != spki_of(self._key(key_id)):
                raise KeyMissing
            write_private(self.folder / f"{key_id.hex()}.cer", der)

    def change_pin(self, old: str, new: str) -> None:
        """Re-encrypt every key with another PIN."""
        require_good_pin(new, old)
        with unlocked(self, old):
            held = {path: self._key(bytes.fromhex(path.stem)) for path in self._files()}
            for path, key in held.items():
                self._write(bytes.fromhex(path.stem), key, new)
            write_private(self.folder / "pin", _pin_record(new))

    def initialize(self, pin: str) -> None:
        """Create an empty token with its first PIN."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.folder / "pin", _pin_record(pin))

    def _is_right(self, pin: str) -> bool:
        try:
            record = (self.folder / "pin").read_bytes()
        except FileNotFoundError:
            raise TokenAbsent from None
        return secrets.compare_digest(record, _pin_record(pin, record[:16]))

    def _files(self) -> list[Path]:
        return sorted([*self.folder.glob("*.p12"), *self.folder.glob("*.sm2")])

    def _open_pin(self) -> str:
        if self._pin is None:
            raise TokenError(_("The USBKey is locked; enter the PIN"), code="not_open")
        return self._pin

    def _key(self, key_id: bytes) -> Any:
        pin, path = self._open_pin(), self.folder / f"{key_id.hex()}.p12"
        try:
            if path.with_suffix(".sm2").exists():
                return sm2.PrivateKey.opened(path.with_suffix(".sm2").read_bytes(), pin)
            return pkcs12.load_key_and_certificates(path.read_bytes(), pin.encode())[0]
        except (FileNotFoundError, ValueError):
            raise KeyMissing from None

    def _write(self, key_id: bytes, key: Any, pin: str) -> None:
        if sm2.is_private(key):
            write_private(self.folder / f"{key_id.hex()}.sm2", key.kept(pin))
            return
        content = pkcs12.serialize_key_and_certificates(
            key_id.hex().encode(), key, self._certificate(key_id), None,
            BestAvailableEncryption(pin.encode()),
        )  # fmt: skip
        write_private(self.folder / f"{key_id.hex()}.p12", content)

    def _certificate(self, key_id: bytes) -> Any:
        path = self.folder / f"{key_id.hex()}.cer"
        return load_der_x509_certificate(path.read_bytes()) if path.exists() else None


def find_token(module: str, name: str, counter: TryCounter) -> Pkcs11Token:
    """Return the one token of a driver that has this serial or label.

    Raises TokenError where there is none, and with the serials where there are several.
    """
    with _translated_errors():
        present = pkcs11.lib(module).get_tokens(token_flags=TokenFlag.TOKEN_INITIALIZED)
        found = {serial_of(each): each.label for each in present}
    if name in found:
        return Pkcs11Token(module, found[name], counter, name)
    named = [serial for serial, label in found.items() if label == name]
    if not named:
        told = in_both(
            f"没有标签或序列号为 {name} 的设备，或者它没有插好",
            f"there is no token with the label or serial {name}, or it is not plugged in",
        )
        raise TokenError(told, code="token_absent")
    if len(named) > 1:
        serials = ", ".join(sorted(named))
        told = in_both(
            f"有 {len(named)} 个设备的标签都是 {name}，请以序列号指定（--token）：{serials}",
            f"{len(named)} tokens have the label {name}: name one by its serial: {serials}",
        )
        raise TokenError(told, code="ambiguous")
    return Pkcs11Token(module, name, counter, named[0])


def new_key(kind: str) -> Any:
    """Generate a key in memory: p256, rsa3072 or sm2."""
    if kind == "sm2":
        return sm2.PrivateKey.generate()
    if kind == "rsa3072":
        return rsa.generate_private_key(65537, 3072)
    return ec.generate_private_key(ec.SECP256R1())


def load_key(kept: bytes, passphrase: str | None = None) -> Any:
    """Load PKCS#8 PEM of `kept` or openssl.  Raises ValueError for a wrong passphrase."""
    password = None if passphrase is None else passphrase.encode()
    try:
        return load_pem_private_key(kept, password)
    # cryptography supports neither SM2 nor its encryption with SM4.
    except (ValueError, TypeError, UnsupportedAlgorithm):
        try:
            return sm2.PrivateKey.opened(kept, passphrase)
        except SuiteMissing:
            raise ValueError("cannot be opened") from None


def kept(key: Any, passphrase: str | None = None) -> bytes:
    """Return a private key as PKCS#8 PEM, encrypted where there is a passphrase."""
    if sm2.is_private(key):
        return bytes(key.kept(passphrase))
    hidden = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden))


def sign_with(key: Any, data: bytes) -> bytes:
    """Sign with a key in memory, with its suite's digest."""
    if sm2.is_private(key):
        return bytes(key.sign(data))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def spki_of(key: Any) -> bytes:
    """Return the public half of a private key, in DER."""
    found: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Hold the lock, and translate the driver's errors, whose messages are empty."""
    with LOCK:
        try:
            yield
        except _ABSENT:
            raise TokenAbsent from None
        except (token_errors.NoSuchKey, token_errors.MultipleObjectsReturned):
            raise KeyMissing from None
        except pkcs11.PKCS11Error as error:
            if "loading" in str(error):
                raise TokenAbsent from None
            code = type(error).__name__
            raise TokenError(_("The USBKey reports a fault: %(code)s", code=code)) from error


_ABSENT = (
    token_errors.NoSuchToken,
    token_errors.TokenNotPresent,
    token_errors.TokenNotRecognised,
    token_errors.DeviceRemoved,
    token_errors.SessionHandleInvalid,  # sessions end with the token that is pulled out
    token_errors.SlotIDInvalid,
    token_errors.UserPinNotInitialized,
)


_WRONG_PINS = (
    TokenFlag.USER_PIN_COUNT_LOW | TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_LOCKED
)


def serial_of(token: Any) -> str:
    """Return the serial of a driver's token, as text."""
    return str(token.serial.decode("latin-1"))


def _sha256(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def _spki_of(public: Any) -> bytes:
    if public.key_type is KeyType.RSA:
        # The driver encodes RSA keys without the algorithm identifier.
        return bytes(
            keys.PublicKeyInfo(
                {
                    "algorithm": {"algorithm": "rsa", "parameters": core.Null()},
                    "public_key": keys.RSAPublicKey.load(encode_rsa_public_key(public)),
                }
            ).dump()
        )
    return bytes(encode_ec_public_key(public))


def _pin_record(pin: str, salt: bytes = b"") -> bytes:
    salt = salt or secrets.token_bytes(16)
    return salt + hashlib.scrypt(
        _encodable(pin).encode(), salt=salt, n=2**14, r=8, p=1, maxmem=2**26
    )


def _encodable(pin: str) -> str:
    """Replace lone surrogates, which cannot be encoded; such a PIN is wrong anyway."""
    return pin.encode("utf-8", "replace").decode()
