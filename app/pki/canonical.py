"""The one form in which content is signed: the same content is the same bytes, everywhere.

JSON with sorted keys, UTF-8, no spaces; texts, whole numbers, yes and no, nothing, lists and
tables alone.  What could look the same and differ, or be read in two ways, has no such form.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.texts import is_hidden
from app.pki.errors import ContentInvalid

LARGEST = 2**53 - 1  # Beyond it other languages round.
DEEPEST = 20


def canonical(content: Any) -> bytes:
    """Return the bytes that are signed.  Raises ContentInvalid, which names the rule in `code`."""
    _check(content, DEEPEST)
    return json.dumps(
        content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    ).encode()


def parse(data: bytes) -> Any:
    """Return the content of bytes that are in canonical form.  Raises ContentInvalid otherwise."""
    try:
        content = json.loads(data.decode())
        same = canonical(content) == data
    except (ValueError, RecursionError):
        raise _invalid("not_json") from None
    if not same:  # Other spacing or order, or a key twice.
        raise _invalid("not_canonical")
    return content


def one_line(text: str) -> str:
    """Return a person's text as it can be signed: composed, in one line, without what is invisible.

    What a page shows of a signed text is this form too.
    """
    spaced = " ".join(text.split())
    visible = "".join(c for c in spaced if not is_hidden(c))
    return unicodedata.normalize("NFC", visible)


def _check(value: Any, depth: int) -> None:
    if depth < 0:
        raise _invalid("too_deep")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str:
                raise _invalid("key_not_text")
            _check_text(key)
            _check(item, depth - 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, depth - 1)
    elif value is None or isinstance(value, bool):
        return
    elif type(value) is not int:
        raise _invalid("not_plain")
    elif abs(value) > LARGEST:
        raise _invalid("number_too_large")


def _check_text(text: str) -> None:
    if not unicodedata.is_normalized("NFC", text):
        raise _invalid("not_nfc")
    if any(map(is_hidden, text)):
        raise _invalid("invisible_character")


def _invalid(code: str) -> ContentInvalid:
    return ContentInvalid(_("The content cannot be signed in this form"), code=code)
