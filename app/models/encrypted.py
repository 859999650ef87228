"""Personal data at rest: a column type that encrypts.

The keys are kept outside the database and set by `create_app` (`set_keys`).  A stored value names
its key and cipher suite, so that both can be changed (docs/adr/0018):

    p1:intl:2026a:<nonce, ciphertext and tag in base64>

The column's name is authenticated data: a value moved to another column cannot be decrypted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

from app.pki.errors import PkiError
from app.pki.suites import SUITES

VERSION = "p1"
KEY_BYTES = 32
SHAPE = re.compile(r"p1:(\w+):([\w-]{1,20}):([A-Za-z0-9+/=]+)")


class PersonalDataUnreadable(RuntimeError):
    """A stored value cannot be decrypted: its key is missing or wrong, or the value was altered."""


@dataclass(frozen=True)
class Keys:
    """The keys of personal data, by id; the current one encrypts, all of them decrypt.

    ``index`` is reserved for a blind index, which does not exist yet; it is never rotated.
    """

    current: str
    secrets: Mapping[str, bytes] = field(repr=False)
    index: bytes = field(repr=False)
    suite: str = "intl"

    def __post_init__(self) -> None:
        """Validate the keys."""
        assert self.suite in SUITES
        assert self.current in self.secrets
        assert all(len(key) == KEY_BYTES for key in (*self.secrets.values(), self.index))


_provider: list[Callable[[], Keys]] = []


def set_keys(provider: Callable[[], Keys]) -> None:
    """Set the provider of the keys, which is called at every use so that tests can change them."""
    _provider[:] = [provider]


def keys() -> Keys:
    """Return the keys.  Raises PersonalDataUnreadable where no provider was set."""
    if not _provider:
        raise PersonalDataUnreadable("no keys of personal data: set PERSONAL_DATA_KEY")
    return _provider[0]()


class Encrypted(TypeDecorator[str]):
    """Text that is encrypted in the database: ``mapped_column(Encrypted("account.phone"))``.

    Such a column cannot be searched or sorted.  None stays NULL, "" is encrypted like any other value.
    """

    impl = Text
    cache_ok = True

    def __init__(self, context: str) -> None:
        super().__init__()
        self.context = context

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else encrypt(value, self.context)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else decrypt(value, self.context)

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Allow comparison with NULL only: two encryptions of a value are never equal."""
        return self


def encrypt(text: str, context: str) -> str:
    """Encrypt a text under the current key; ``context`` is table.column, as `decrypt` needs it."""
    ring = keys()
    said = _associated(ring.suite, ring.current, context)
    sealed = SUITES[ring.suite].encrypt(
        _key(ring.suite, ring.secrets[ring.current]), text.encode(), said
    )
    return f"{VERSION}:{ring.suite}:{ring.current}:{base64.b64encode(sealed).decode()}"


def decrypt(stored: str, context: str) -> str:
    """Decrypt what `encrypt` returned.  Raises PersonalDataUnreadable, naming a missing key."""
    shape = SHAPE.fullmatch(stored)
    if not shape:
        raise PersonalDataUnreadable(f"{context}: not an encrypted value")
    suite, key_id, text = shape.groups()
    key = keys().secrets.get(key_id)
    if key is None or suite not in SUITES:
        raise PersonalDataUnreadable(f"{context}: key {key_id} ({suite}) is not among the keys")
    try:
        sealed = base64.b64decode(text, validate=True)
        said = _associated(suite, key_id, context)
        return SUITES[suite].decrypt(_key(suite, key), sealed, said).decode()
    except (PkiError, ValueError) as error:
        raise PersonalDataUnreadable(
            f"{context}: key {key_id} does not fit, or the value was altered"
        ) from error


def key_of(stored: str) -> str:
    """Return the id of the key of a stored value, or "" where it is not encrypted."""
    shape = SHAPE.fullmatch(stored)
    return shape[2] if shape else ""


def _associated(suite: str, key_id: str, context: str) -> bytes:
    return f"{VERSION}:{suite}:{key_id}:{context}".encode()


def _key(suite: str, key: bytes) -> bytes:
    """Derive the suite's key, so that no key is used with two ciphers."""
    if suite == "intl":
        return key
    length = SUITES[suite].key_length
    return HKDF(hashes.SHA256(), length, None, f"personal data {suite}".encode()).derive(key)
