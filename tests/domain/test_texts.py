"""Free text: one rule for every field; a refusal names the character."""

from __future__ import annotations

import unicodedata

import pytest

from app.domain.errors import RuleError
from app.domain.texts import from_gb18030, is_hidden, require_showable, unshowable
from app.pki.canonical import canonical, one_line
from app.pki.errors import ContentInvalid


@pytest.fixture(autouse=True)
def _context(app):
    """Messages need an application context."""


HIDDEN = {
    "\u202e": "U+202E RIGHT-TO-LEFT OVERRIDE (turns the direction of writing)",
    "\u2066": "U+2066 LEFT-TO-RIGHT ISOLATE (turns the direction of writing)",
    "\u200b": "U+200B ZERO WIDTH SPACE (invisible formatting character)",
    "\u00ad": "U+00AD SOFT HYPHEN (invisible formatting character)",
    "\ufeff": "U+FEFF ZERO WIDTH NO-BREAK SPACE (invisible formatting character)",
    "\U000e0041": "U+E0041 TAG LATIN CAPITAL LETTER A (invisible formatting character)",
    "\ue000": "U+E000  (private character)",
    "\U0010fffd": "U+10FFFD  (private character)",
    "\u3164": "U+3164 HANGUL FILLER (invisible character)",
    "\u2800": "U+2800 BRAILLE PATTERN BLANK (invisible character)",
    "\ufe0f": "U+FE0F VARIATION SELECTOR-16 (invisible character)",
    "\U000e0100": "U+E0100 VARIATION SELECTOR-17 (invisible character)",
    "\x07": "U+0007  (control character)",
    "\x85": "U+0085  (control character)",
    "\u2028": "U+2028 LINE SEPARATOR (line separator)",
    "\ufffe": "U+FFFE  (unassigned character)",
}


@pytest.mark.parametrize("character", HIDDEN, ids=lambda each: f"{ord(each):04X}")
def test_an_ambiguous_character_is_refused_with_field_and_position(character):
    with pytest.raises(RuleError) as refusal:
        require_showable(f"甲厂{character}乙", "申请原因", field="reason")

    told = str(refusal.value)
    assert told.startswith(f"申请原因: Character 3 is {HIDDEN[character]}")
    assert (refusal.value.field, refusal.value.code) == ("reason", "text_unshowable")


@pytest.mark.parametrize("character", HIDDEN, ids=lambda each: f"{ord(each):04X}")
def test_what_is_refused_is_not_signed_either(character):
    with pytest.raises(ContentInvalid):
        canonical({"reason": f"甲{character}"})
    assert "".join(one_line(f"甲{character}乙").split()) == "甲乙"


def test_stacked_combining_marks_are_refused():
    assert unshowable("tiếng Việt, ñ, e\u0301\u0302") is None
    found = unshowable("Z\u0301\u0301\u0301\u0301")
    assert (found.position, str(found.kind)) == (4, "too many marks upon one letter")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "甲厂（襄阳）〇一三 100%",
        "𠮷㑇䶮囍",
        "第一行\r\n第二行\t末",
        "a b\u3000c\xa0d",
        "①㎡℃—“”…",
        "🙂",
    ],
)
def test_what_people_write_is_taken(text):
    assert unshowable(text) is None


def test_a_field_of_one_line_takes_no_line_ends():
    assert unshowable("甲\n乙") is None
    assert unshowable("甲\n乙", has_lines=False).position == 2


def test_every_printable_character_of_gb_18030_may_be_written():
    """All of its ideographs, and no private-use characters."""
    two = [
        bytes([a, b]) for a in range(0x81, 0xFF) for b in [*range(0x40, 0x7F), *range(0x80, 0xFF)]
    ]
    characters = []
    for code in two:
        try:
            characters.append(from_gb18030(code))
        except UnicodeDecodeError:
            continue
    ideographs = [each for each in characters if unicodedata.category(each) == "Lo"]
    assert len(ideographs) > 20_900
    assert not any(map(is_hidden, ideographs))
    assert from_gb18030(b"\xfe\x59\xfe\x51") == "\u9fb4\U00020087"
    for first, last in ((0x4E00, 0x9FFC), (0x3400, 0x4DBF), (0x20000, 0x2A6DD), (0x2A700, 0x2EBE0)):
        hidden = [c for c in range(first, last + 1) if is_hidden(chr(c))]
        assert all(unicodedata.category(chr(c)) == "Cn" for c in hidden)
        assert len(hidden) < 30
