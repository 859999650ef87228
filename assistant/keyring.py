"""The tokens at hand: their certificates, and the operations that need a PIN.

A PIN is passed from the window to the token and not stored.  The factory PIN is accepted only for
changing the PIN (docs/adr/0032), except on demonstration keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pkcs11 import TokenFlag

from app.pki import cms
from app.pki.authority import member_no_of
from app.pki.errors import PinIncorrect, TokenError
from app.pki.requests import request_for
from app.pki.suites import INTL, CryptoSuite
from app.pki.tokens import (
    FACTORY_PIN,
    LOCK,
    Pkcs11Token,
    SoftwareToken,
    TokenBackend,
    TokenCertificate,
    TryCounter,
    serial_of,
    unlocked,
)

TRIES_FILE = "tries.json"
BLANK = "新USBKey"  # for new members of the demonstration
WINDOW_CODES = (
    "pin_incorrect",
    "pin_locked",
    "pin_refused",
    "token_absent",
    "key_missing",
)


class KeyRefused(Exception):
    """A token refused; the window words its `code`."""

    def __init__(self, code: str, tries_left: int | None = None) -> None:
        super().__init__(code)
        self.code, self.tries_left = code, tries_left

    def facts(self) -> dict[str, Any]:
        """Return the error for the window."""
        told: dict[str, Any] = {"error": self.code}
        return told if self.tries_left is None else {**told, "tries_left": self.tries_left}


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate and the token that holds its key."""

    token: TokenBackend
    key: TokenCertificate

    @property
    def id(self) -> str:
        """The token and the fingerprint, as id in the window."""
        return f"{self.token.id}:{hashlib.sha256(self.key.der).hexdigest()}"

    def sign(self, data: bytes) -> bytes:
        """Sign with the key of this certificate; the token is open."""
        return self.token.sign(self.key.key_id, data)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key, and its certificate request in PEM."""

    token_id: str
    key_id: bytes
    csr: str


class Keyring:
    """All tokens present, listed again at each call, since USBKeys come and go."""

    def __init__(
        self, find_tokens: Callable[[], list[TokenBackend]], suite: CryptoSuite = INTL
    ) -> None:
        self._find_tokens, self._suite = find_tokens, suite

    def show(self, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """Return the certificates and tokens present, for display.  Raises KeyRefused."""
        shown: dict[str, list[dict[str, Any]]] = {"certificates": [], "tokens": []}
        with LOCK, _translated_errors():
            for token in self._find_tokens():
                with suppress(TokenError):  # pulled out, or broken: the others are shown
                    is_locked = token.tries_left() == 0
                    held = [Held(token, key) for key in token.certificates()]
                    shown["certificates"] += [_shown(each, now, is_locked) for each in held]
                    shown["tokens"].append(_shown_token(token, is_locked))
        return shown

    def sign(self, certificate_id: str, pin: str, content: bytes, at: datetime) -> bytes:
        """Return the detached signature over the content.  Raises KeyRefused."""
        token = self._token(certificate_id.rpartition(":")[0])
        with _translated_errors():
            held = [Held(token, key) for key in token.certificates()]
        chosen = next((each for each in held if each.id == certificate_id), None)
        if chosen is None:
            raise KeyRefused("key_missing")
        with _opened(token, pin):
            return cms.sign(content, chosen, chosen.key.der, signed_at=at)

    def change_pin(self, token_id: str, pin: str, new_pin: str) -> None:
        """Change a token's PIN.  Raises KeyRefused."""
        with _translated_errors():
            self._token(token_id).change_pin(pin, new_pin)

    def make_key(self, token_id: str, pin: str, member_no: str) -> MadeKey:
        """Generate a key in a token, and the request for its certificate.  Raises KeyRefused."""
        token = self._token(token_id)
        with _opened(token, pin):
            key = token.generate_key(self._suite.key_kind, label=member_no)
            return MadeKey(token_id, key.key_id, request_for(token, key, member_no).decode())

    def store_certificate(self, made: MadeKey, pin: str, text: str) -> None:
        """Store the certificate of a key on its token.  Raises KeyRefused."""
        token = self._token(made.token_id)
        try:
            certificate = x509.load_pem_x509_certificate(text.encode())
        except ValueError:
            raise KeyRefused("malformed") from None
        with _opened(token, pin):
            token.store_certificate(made.key_id, certificate.public_bytes(Encoding.DER))

    def _token(self, token_id: str) -> TokenBackend:
        with _translated_errors():
            for token in self._find_tokens():
                if token.id == token_id:
                    return token
        raise KeyRefused("token_absent")


def usb_keys(module: str, names: list[str], state: Path) -> Callable[[], list[TokenBackend]]:
    """Return a function that lists the tokens of a driver, all or those with these serials or labels."""
    counter = TryCounter(state / TRIES_FILE)

    def find() -> list[TokenBackend]:
        return [
            Pkcs11Token(module, token.label, counter, serial_of(token))
            for token in _present(module)
            if not names or token.label in names or serial_of(token) in names
        ]

    return find


def demo_keys(folder: Path) -> Callable[[], list[TokenBackend]]:
    """Return a function that lists the demonstration's tokens, one folder each.

    There is always a blank one for a new member.
    """
    counter = TryCounter(folder / TRIES_FILE)

    def find() -> list[TokenBackend]:
        with LOCK:
            _replace_used_blank(SoftwareToken(folder / BLANK, counter, is_demo=True))
        return [
            SoftwareToken(path.parent, counter, is_demo=True)
            for path in sorted(folder.glob("*/pin"))
        ]

    return find


def _replace_used_blank(blank: SoftwareToken) -> None:
    """Rename a blank token that got a certificate to its member's number, and create the next."""
    held = blank.certificates()
    if held:
        number = _member_no(x509.load_der_x509_certificate(held[-1].der)) or "USBKey"
        names = chain([number], (f"{number}（{serial}）" for serial in count(2)))
        name = next(each for each in names if not (blank.folder.parent / each).exists())
        blank.folder.rename(blank.folder.parent / name)
    if not blank.folder.exists():
        blank.initialize(FACTORY_PIN)


def _present(module: str) -> list[pkcs11.Token]:
    """Return the driver's tokens.  It is started anew: drivers may look for tokens then alone.

    No session is lost, since each lives under the lock for one operation.
    """
    with LOCK:
        try:
            driver = pkcs11.lib(module)
            driver.reinitialize()
            tokens = list(driver.get_tokens(token_flags=TokenFlag.TOKEN_INITIALIZED))
        except pkcs11.PKCS11Error:
            raise KeyRefused("token_absent") from None
        return sorted(tokens, key=lambda token: (token.label, serial_of(token)))


@contextmanager
def _opened(token: TokenBackend, pin: str) -> Iterator[None]:
    """Open a token for one operation.  Raises KeyRefused, also for the factory PIN."""
    with _translated_errors(), unlocked(token, pin):
        if pin == FACTORY_PIN and not _is_soft(token):
            raise KeyRefused("pin_factory")
        yield


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate a token's errors into codes for the window."""
    try:
        yield
    except PinIncorrect as error:
        raise KeyRefused("pin_incorrect", error.tries_left) from None
    except TokenError as error:
        raise KeyRefused(error.code if error.code in WINDOW_CODES else "token") from None


def _is_soft(token: TokenBackend) -> bool:
    return token.assurance == "soft"


def _shown_token(token: TokenBackend, is_locked: bool) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": _titled(token),
        "is_soft": _is_soft(token),
        "problem": "locked" if is_locked else "",
    }


def _titled(token: TokenBackend) -> str:
    """Return a token's label, and its serial, which tells two of one label apart."""
    return token.label if token.id == token.label else f"{token.label}（序列号 {token.id}）"


def _shown(held: Held, now: datetime, is_locked: bool) -> dict[str, Any]:
    certificate = x509.load_der_x509_certificate(held.key.der)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    problem = "expired" if now > end else "not_yet" if now < start else ""
    return {
        "id": held.id,
        "token": held.token.id,
        "name": _name(certificate.subject),
        "member_no": _member_no(certificate),
        "problem": problem or ("locked" if is_locked else ""),
        "is_soft": _is_soft(held.token),
        "lines": [
            f"会员编号 {_member_no(certificate) or '-'} · USBKey {_titled(held.token)}"
            f" · 有效期至 {end.astimezone():%Y-%m-%d}",
            f"颁发者 {_name(certificate.issuer)} · 序列号 {certificate.serial_number:X}",
        ],
    }


def _name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _member_no(certificate: x509.Certificate) -> str:
    try:
        return member_no_of(certificate)
    except (x509.ExtensionNotFound, ValueError):
        return ""  # of another authority: shown here, refused by the registry
