"""The characters that the fonts of attestations can draw; others are refused."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask_babel import lazy_gettext as _
from reportlab.pdfbase.ttfonts import TTFontFile

from app.domain.errors import RuleError

FONTS = Path(__file__).resolve().parents[2] / "static" / "vendor" / "fonts"
REGULAR = FONTS / "regular.ttf"
# CJK extensions B to F (fetched by tools/setup.py).
RARE = FONTS / "rare.ttf"
# Fast path: characters that the regular font draws (a test compares).
_USUAL = re.compile(r"[\t\r\n -~\u3001-\u3011\u3400-\u4dbf\u4e00-\u9fff\uff01-\uff5e]*")


def rare_ones(text: str) -> set[str]:
    """Return the characters that need the font RARE."""
    return {each for each in _unusual(text) if ord(each) not in _drawn_by(REGULAR)}


def require_drawable(text: str, title: Any, *, field: str = "") -> None:
    """Raise RuleError, naming field, character and position, where no font has a character."""
    for each in _unusual(text):
        if ord(each) not in _drawn_by(REGULAR) and ord(each) not in _drawn_by(RARE):
            message = _(
                "%(field)s: character %(position)d, %(character)s (%(code)s), cannot be printed on"
                " certificates",
                field=title,
                position=text.index(each) + 1,
                character=each,
                code=f"U+{ord(each):04X}",
            )
            raise RuleError(message, field=field, code="text_undrawable")


def _unusual(text: str) -> str:
    return "" if _USUAL.fullmatch(text) else re.sub(r"\s", "", text)


@lru_cache
def _drawn_by(font: Path) -> frozenset[int]:
    """Return the code points of a font; none where the file is missing."""
    if not font.exists():
        return frozenset()
    return frozenset(code for code, glyph in TTFontFile(font).charToGlyph.items() if glyph)
