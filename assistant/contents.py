"""Requests of pages for signatures: validation, and display in Chinese.

All of the payload is shown, key by key, and a page cannot supply labels of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from app.pki.canonical import canonical
from app.pki.errors import ContentInvalid
from assistant.words import TITLES, in_reading_order, label_of, word_of

VERSION = 1
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes
KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")  # cannot imitate one of our Chinese labels
DEEPEST = 6


class RequestRefused(ValueError):
    """The request is not acceptable; the argument is a code for the window."""


@dataclass(frozen=True, slots=True)
class Request:
    """One signature requested by a page of a known origin."""

    type: str
    origin: str
    challenge: str
    payload: dict[str, Any]

    def content(self, at: str) -> bytes:
        """Return the canonical bytes to sign."""
        return canonical(
            {
                "v": VERSION,
                "type": self.type,
                "origin": self.origin,
                "challenge": self.challenge,
                "payload": self.payload,
                "at": at,
            }
        )


def read(message: dict[str, Any], origins: frozenset[str]) -> Request:
    """Validate a page's message.  Raises RequestRefused."""
    if set(message) != {"type", "origin", "challenge", "payload"}:
        raise RequestRefused("malformed")
    if message["origin"] not in origins:
        raise RequestRefused("unknown_site")
    if not isinstance(message["type"], str) or message["type"] not in TITLES:
        raise RequestRefused("unknown_type")
    challenge = message["challenge"]
    if not isinstance(challenge, str) or not CHALLENGE.fullmatch(challenge):
        raise RequestRefused("malformed")
    payload = message["payload"]
    if not isinstance(payload, dict) or not payload or not _is_readable(payload, DEEPEST):
        raise RequestRefused("malformed")
    request = Request(message["type"], message["origin"], challenge, payload)
    try:
        request.content("")
    except ContentInvalid as error:
        raise RequestRefused("malformed") from error
    return request


def describe(request: Request) -> list[dict[str, Any]]:
    """Return the payload as blocks of rows and tables, with Chinese labels."""
    return _blocks("", request.payload)


def _blocks(title: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe an object: scalar values first, then nested ones."""
    keys = in_reading_order(values)
    plain = [key for key in keys if not _is_nested(values[key])]
    blocks: list[dict[str, Any]] = []
    if plain:
        rows = [[label_of(key), _named(key, values)] for key in plain]
        blocks.append({"kind": "facts", "title": title, "rows": rows})
    for key in keys:
        value = values[key]
        if isinstance(value, dict) and value:
            blocks += _blocks(label_of(key), value)
        elif isinstance(value, list) and value:
            blocks += _list(label_of(key), key, value)
    return blocks


def _list(title: str, key: str, values: list[Any]) -> list[dict[str, Any]]:
    if not all(isinstance(value, dict) for value in values):
        if any(_is_nested(value) for value in values):
            return [
                block
                for n, value in enumerate(values, 1)
                for block in _blocks(f"{title} {n}", {key: value})
            ]
        rows = [[str(n), _text(key, value)] for n, value in enumerate(values, 1)]
        return [_table(title, ["序号", title], rows)]
    keys = in_reading_order({name: None for value in values for name in value})
    if any(_is_nested(item) for value in values for item in value.values()):
        return [
            block for n, value in enumerate(values, 1) for block in _blocks(f"{title} {n}", value)
        ]
    rows = [
        [str(n), *(_named(name, value) if name in value else "（未填）" for name in keys)]
        for n, value in enumerate(values, 1)
    ]
    return [_table(title, ["序号", *(label_of(name) for name in keys)], rows)]


def _table(title: str, columns: list[str], rows: list[list[str]]) -> dict[str, Any]:
    return {
        "kind": "table",
        "title": f"{title}（共 {len(rows)} 条）",
        "columns": columns,
        "rows": rows,
    }


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _named(key: str, values: dict[str, Any]) -> str:
    """Format a scalar of an object; categories depend on the object's kind of application."""
    return _text(key, values[key], str(values.get("kind", "")))


def _text(key: str, value: Any, kind: str = "") -> str:
    """Format a scalar; a known code is shown with its Chinese word."""
    if value is None or value in ("", [], {}):
        return "（空）"
    if isinstance(value, bool):
        return "是" if value else "否"
    text = str(value)
    word = word_of(key, text, kind)
    return f"{word}（{text}）" if word else text


def _is_readable(value: Any, depth: int) -> bool:
    """Tell whether a value can be displayed: not too deep, and every key matches KEY."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) and KEY.fullmatch(key) for key in value):
            return False
        inner = list(value.values())
    else:
        inner = value if isinstance(value, list) else []
    return depth >= 0 and all(_is_readable(each, depth - 1) for each in inner)
