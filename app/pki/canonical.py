"""Canonical JSON: the form in which content is signed, the same bytes everywhere.

Sorted keys, UTF-8, no spaces; only strings, integers, booleans, null, arrays and objects.  Content
that could look alike and differ, or be parsed in two ways, is invalid.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.texts import is_hidden
from app.pki.errors import ContentInvalid

LARGEST = 2**53 - 1  # larger integers are rounded in other languages
DEEPEST = 20


def canonical(content: Any) -> bytes:
    """Return the canonical bytes.  Raises ContentInvalid, with the violated rule in `code`."""
    _check(content, DEEPEST)
    return json.dumps(
        content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    ).encode()


def parse(data: bytes) -> Any:
    """Parse canonical bytes.  Raises ContentInvalid where they are not canonical."""
    try:
        content = json.loads(data.decode())
        same = canonical(content) == data
    except (ValueError, RecursionError):
        raise _invalid("not_json") from None
    if not same:  # spacing, order, or a duplicate key
        raise _invalid("not_canonical")
    return content


def one_line(text: str) -> str:
    """Normalise a text for signing: NFC, one line, without hidden characters.

    Pages show signed texts in this form, too.
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
