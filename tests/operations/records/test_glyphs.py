"""Certificates can draw every ideograph of GB 18030; other characters are refused with their position."""

from __future__ import annotations

import unicodedata

import pytest

from app.domain.errors import RuleError
from app.operations.records import glyphs


@pytest.fixture(autouse=True)
def _context(app):
    """Messages are put into words."""


def ideographs(first: int, last: int) -> set[int]:
    return {code for code in range(first, last + 1) if unicodedata.category(chr(code)) == "Lo"}


def test_what_is_taken_for_usual_is_in_the_usual_font():
    taken = {c for c in range(0x110000) if glyphs._USUAL.fullmatch(chr(c)) and chr(c).strip()}
    lacking = taken - glyphs._drawn_by(glyphs.REGULAR)
    assert {chr(c) for c in lacking if unicodedata.category(chr(c)) != "Cn"} == set()
    assert len(taken) > 27_000


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (0x4E00, 0x9FFF),
        (0x3400, 0x4DBF),
        (0x20000, 0x2A6D6),  # extension B as GB 18030-2022 has it
        (0x2A700, 0x2B734),  # C
        (0x2B740, 0x2B81D),  # D
        (0x2B820, 0x2CEA1),  # E
        (0x2CEB0, 0x2EBE0),  # F
    ],
)
def test_every_ideograph_of_gb_18030_has_a_glyph(first, last):
    drawn = glyphs._drawn_by(glyphs.REGULAR) | glyphs._drawn_by(glyphs.RARE)
    assert ideographs(first, last) - drawn == set()


def test_what_no_font_has_is_named():
    glyphs.require_drawable("湖北𠮷㑇䶮囍", "企业名称")
    with pytest.raises(RuleError) as refusal:
        glyphs.require_drawable("甲🙂厂", "企业名称", field="name")
    assert str(refusal.value) == (
        "企业名称: character 2, 🙂 (U+1F642), cannot be printed on certificates"
    )
    assert refusal.value.field == "name"


def test_without_the_rare_font_a_rare_name_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(glyphs, "RARE", tmp_path / "none.ttf")
    with pytest.raises(RuleError, match=r"U\+20BB7"):
        glyphs.require_drawable("𠮷", "企业名称")
    glyphs.require_drawable("囍", "企业名称")


def test_both_weights_of_the_usual_font_draw_the_same():
    bold = glyphs._drawn_by(glyphs.FONTS / "bold.ttf")
    assert glyphs._drawn_by(glyphs.REGULAR) <= bold
