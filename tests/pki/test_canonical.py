"""The signed form: one content, one sequence of bytes, no ambiguity."""

from __future__ import annotations

import unicodedata
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pki.canonical import canonical, one_line, parse
from app.pki.errors import ContentInvalid


def test_keys_are_sorted_and_nothing_is_escaped():
    assert canonical({"b": [1, True, None], "a": "甲"}) == '{"a":"甲","b":[1,true,null]}'.encode()


def test_tuples_and_lists_are_one():
    assert canonical((1, 2)) == canonical([1, 2]) == b"[1,2]"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (1.0, "not_plain"),
        ({"quantity": float("nan")}, "not_plain"),
        (Decimal(1), "not_plain"),
        (date(2026, 11, 20), "not_plain"),
        (b"x", "not_plain"),
        ({1: "x"}, "key_not_text"),
        ({None: "x"}, "key_not_text"),
        ("e\u0301", "not_nfc"),
        ({"e\u0301": 1}, "not_nfc"),
        ("100\u202e001", "invisible_character"),
        ("a\u200bb", "invisible_character"),
        ("\ufeff", "invisible_character"),
        ("a\nb", "invisible_character"),
        ("a\x00", "invisible_character"),
        ("a\u2028b", "invisible_character"),
        ("\ud800", "invisible_character"),
        (2**53, "number_too_large"),
        (-(2**53), "number_too_large"),
    ],
)
def test_what_is_ambiguous_has_no_signed_form(content, code):
    with pytest.raises(ContentInvalid) as refusal:
        canonical({"x": content} if not isinstance(content, dict) else content)

    assert refusal.value.code == code


def test_endless_nesting_is_refused():
    content: list = []
    for _ in range(50):
        content = [content]
    with pytest.raises(ContentInvalid, match="cannot be signed"):
        canonical(content)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":NaN}',
        b'{"a":"\\u7532"}',
        b'{"a":1}\n',
        b"\xff",
        b"",
        b"[" * 100_000,
        b'{"a":-0}',
    ],
)
def test_other_bytes_of_the_same_content_are_refused(data):
    with pytest.raises(ContentInvalid):
        parse(data)


def _visible(text: str) -> bool:
    return one_line(text) == text and unicodedata.is_normalized("NFC", text)


TEXTS = st.text().filter(_visible)
CONTENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(CONTENTS)
def test_what_is_signed_is_read_back_as_it_was(content):
    assert parse(canonical(content)) == content


@given(st.binary())
def test_whatever_is_read_writes_the_same_bytes(data):
    try:
        content = parse(data)
    except ContentInvalid:
        return
    assert canonical(content) == data


@given(st.text())
def test_a_persons_text_can_always_be_made_signable(text):
    assert canonical(one_line(text))
