"""What the registry's papers (PDF) have in common: fonts, colours, styles; always Chinese."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics, ttfonts
from reportlab.pdfbase.ttfonts import TTFont

from app.operations.records import glyphs

SYSTEM = "全国碳排放权注册登记系统"
ISSUER = "全国碳排放权注册登记机构"
REGULAR, BOLD, RARE = "CertificateRegular", "CertificateBold", "CertificateRare"
INK, SOFT, GREEN, PALE, GOLD, RED = map(
    HexColor, ("#1c2b33", "#5b6b73", "#0b5a55", "#e7f1ee", "#b08a3c", "#c0302a")
)
_loading = threading.Lock()


def prepare(texts: Iterable[str], title: str) -> None:
    """Load the fonts that the texts need.  Raises RuleError where no font has a character."""
    _load_fonts()
    for text in texts:
        glyphs.require_drawable(text, title)
        if glyphs.rare_ones(text):
            _load_rare_font()


def _to_unicode(fontname: str, subset: Sequence[int]) -> str:
    """Return the ToUnicode table by which a reader copies text, UTF-16 beyond the first plane.

    ReportLab (5.1) writes five hexadecimal digits there, and readers drop the character.
    """
    return re.sub(
        "<([0-9A-F]{5,6})>",
        lambda match: f"<{chr(int(match[1], 16)).encode('utf-16-be').hex().upper()}>",
        _as_reportlab_has_it(fontname, subset),
    )


_as_reportlab_has_it = ttfonts.makeToUnicodeCMap
ttfonts.makeToUnicodeCMap = _to_unicode


def _load_fonts() -> None:
    with _loading:
        if REGULAR not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(BOLD, glyphs.FONTS / "bold.ttf"))
            pdfmetrics.registerFont(TTFont(REGULAR, glyphs.REGULAR))


def _load_rare_font() -> None:
    """Load a font of 30 MB that few certificates need."""
    with _loading:
        if RARE not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(RARE, glyphs.RARE))


def with_rare_font(text: str) -> str:
    """Return the markup of a text, rare characters in the font that has them."""
    rare = glyphs.rare_ones(text)
    if not rare:
        return escape(text)
    return "".join(
        f'<font name="{RARE}">{each}</font>' if each in rare else escape(each) for each in text
    )


def style(size: float, leading: float, **more: Any) -> ParagraphStyle:
    """Return a paragraph style; ``more`` are reportlab's names."""
    name = f"{size}-{sorted(more.items())}"
    usual = {"fontName": REGULAR, "textColor": INK, "wordWrap": "CJK"}
    return ParagraphStyle(name, fontSize=size, leading=leading, **usual | more)
