"""Typed texts: the characters every field refuses, and the folding by which names are compared."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError

# Addresses -----------------------------------------------------------------------------------------

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
LONGEST_ADDRESS = 254


def is_mail_address(text: str) -> bool:
    """Tell whether a text is a mail address that we write to."""
    return len(text) <= LONGEST_ADDRESS and _MAIL.fullmatch(text) is not None


# Refused characters --------------------------------------------------------------------------------

# Controls, invisible formatting (bidirectional overrides, joiners, byte order marks),
# surrogates, private and unassigned characters, and the two separators that end a line.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Characters of other categories that render blank in some fonts.
_BLANK = frozenset(
    "\u034f\u115f\u1160\u1680\u17b4\u17b5\u2800\u3164\uffa0\ufffc\ufffd"
    "\u180b\u180c\u180d\u180f\U0001d159"
)
_SELECTORS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))  # variation selectors
_LINE_MARKS = frozenset("\t\r\n")
_USUAL = re.compile(r"[ -~\u3001-\u3011\u4e00-\u9fa5\uff01-\uff5e]*")  # fast path
MOST_MARKS = 2  # Combining marks on one letter: Vietnamese needs two.

_KINDS = {
    "Cc": _("control character"),
    "Cf": _("invisible formatting character"),
    "Cs": _("half of a character"),
    "Co": _("private character"),
    "Cn": _("unassigned character"),
    "Zl": _("line separator"),
    "Zp": _("paragraph separator"),
}
_BIDIRECTIONAL = frozenset({"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"})


@dataclass(frozen=True, slots=True)
class Unshowable:
    """A refused character and its position, counted from 1."""

    position: int
    character: str

    @property
    def kind(self) -> Any:
        """Return the class of character, in words."""
        if is_mark(self.character):
            return _("too many marks upon one letter")
        if unicodedata.bidirectional(self.character) in _BIDIRECTIONAL:
            return _("turns the direction of writing")
        return _KINDS.get(unicodedata.category(self.character), _("invisible character"))

    @property
    def message(self) -> Any:
        """Return the field's error message."""
        return _(
            "Character %(position)d is %(code)s %(name)s (%(kind)s), which cannot be typed or is not"
            " shown alike everywhere; please remove it",
            position=self.position,
            code=f"U+{ord(self.character):04X}",
            name=unicodedata.name(self.character, ""),
            kind=self.kind,
        )


def is_hidden(character: str) -> bool:
    """Tell whether a character may be invisible on a page, in signed content or in a PDF."""
    return (
        unicodedata.category(character) in HIDDEN_CATEGORIES
        or character in _BLANK
        or any(first <= ord(character) <= last for first, last in _SELECTORS)
    )


def is_mark(character: str) -> bool:
    """Tell whether a character is a combining mark."""
    return unicodedata.category(character) in ("Mn", "Me") and not is_hidden(character)


def unshowable(text: str, *, has_lines: bool = True) -> Unshowable | None:
    """Return the first refused character; ``has_lines`` allows tabs and line ends."""
    if _USUAL.fullmatch(text):
        return None
    marks = 0
    for position, character in enumerate(text, start=1):
        if is_hidden(character) and not (has_lines and character in _LINE_MARKS):
            return Unshowable(position, character)
        marks = marks + 1 if is_mark(character) else 0
        if marks > MOST_MARKS:
            return Unshowable(position, character)
    return None


def require_showable(text: str, title: Any, *, field: str = "") -> None:
    """Raise RuleError, naming the field by its title, where a text holds a refused character."""
    found = unshowable(text)
    if found is not None:
        message = _("%(field)s: %(problem)s", field=title, problem=found.message)
        raise RuleError(message, field=field, code="text_unshowable")


# How names and codes are compared ------------------------------------------------------------------

# Look-alikes that NFKC keeps apart, which input methods and copying from PDF mix up; e.g. the CJK
# radicals supplement, which has no compatibility mapping.
_ALIKE = (
    "〇◯•・‧∙⋅–—―‐‑−"
    "⺁⺎⺑⺒⺓⺕⺜⺝⺟⺠⺩⺬⺮⺶⺷⺼⺽⻁⻄⻅⻆⻉⻊⻋⻑⻓⻔⻗⻘⻙⻚⻛⻜⻝⻢⻣⻤⻥⻦⻧⻨⻩⻪⻬⻮⻰⻳",
    "○○·····------"
    "厂兀尢巳幺彐日月母民王示竹羊羊肉臼虎西见角贝足车長长门雨青韦页风飞食马骨鬼鱼鸟卤麦黄黾齐齿龙龟",
)
_SMALL, _CAPITAL = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Arguments of `translate`, in Python and PostgreSQL: characters without a counterpart are dropped.
FOLDS_FROM = _ALIKE[0] + _SMALL + " \t\r\n"
FOLDS_TO = _ALIKE[1] + _CAPITAL
_FOLDS = str.maketrans(FOLDS_FROM[: len(FOLDS_TO)], FOLDS_TO, FOLDS_FROM[len(FOLDS_TO) :])


def folded(text: str) -> str:
    """Return the form in which a name or code is compared and searched; the original is stored.

    Width, spaces, case, radicals and 〇/○ make no difference.  `models.account.folded_sql` is the
    same in SQL.
    """
    if text.isascii():
        return text.translate(_FOLDS)
    return unicodedata.normalize("NFKC", text).translate(_FOLDS)


def narrow(text: str) -> str:
    """Return a code for a prefix search: half width, without blanks."""
    return "".join(unicodedata.normalize("NFKC", text).split())


# Characters that GB 18030-2000 mapped to the private use area, and Unicode has encoded since.
_FROM_GB18030 = {
    0xE78D: 0xFE10, 0xE78E: 0xFE12, 0xE78F: 0xFE11, 0xE790: 0xFE13, 0xE791: 0xFE14, 0xE792: 0xFE15,
    0xE793: 0xFE16, 0xE794: 0xFE17, 0xE795: 0xFE18, 0xE796: 0xFE19, 0xE7C7: 0x1E3F, 0xE81E: 0x9FB4,
    0xE826: 0x9FB5, 0xE82B: 0x9FB6, 0xE82C: 0x9FB7, 0xE832: 0x9FB8, 0xE843: 0x9FB9, 0xE854: 0x9FBA,
    0xE864: 0x9FBB, 0xE816: 0x20087, 0xE817: 0x20089, 0xE818: 0x200CC, 0xE831: 0x215D7,
    0xE83B: 0x2298F, 0xE855: 0x241FE,
}  # fmt: skip


def from_gb18030(content: bytes) -> str:
    """Decode GB 18030, with the 2000 edition's private-use characters as later encoded in Unicode.

    Raises UnicodeDecodeError.
    """
    return content.decode("gb18030").translate(_FROM_GB18030)


def composed(text: str) -> str:
    """Return a text in NFC, the form that is stored and signed."""
    return unicodedata.normalize("NFC", text)
