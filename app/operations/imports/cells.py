"""The displayed text of spreadsheet cells: their values under their number formats."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any

from flask_babel import lazy_gettext as _
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format
from openpyxl.utils.datetime import from_excel

from app.domain import texts

LONGEST = 1_000
LONGEST_TOLD = 40  # characters of a cell quoted in a message
EXACT = 2**53  # XLSX keeps numbers as doubles.
# Built-in formats of Chinese Excel (ECMA-376, 18.8.30), which files refer to by number.
_YEAR_MONTH, _MONTH_DAY = 'yyyy"年"m"月"', 'm"月"d"日"'
_TIME, _SECONDS = 'h"时"mm"分"', 'h"时"mm"分"ss"秒"'
EAST_ASIAN = {
    27: _YEAR_MONTH, 28: _MONTH_DAY, 29: _MONTH_DAY, 30: "m-d-yy", 31: 'yyyy"年"m"月"d"日"',
    32: _TIME, 33: _SECONDS, 34: _TIME, 35: _SECONDS, 36: _YEAR_MONTH,
    50: _YEAR_MONTH, 51: _MONTH_DAY, 52: _YEAR_MONTH, 53: _MONTH_DAY, 54: _MONTH_DAY,
    55: _TIME, 56: _SECONDS, 57: _YEAR_MONTH, 58: _MONTH_DAY,
}  # fmt: skip
_TOKEN = re.compile(
    r'"(?P<text>[^"]*)"|\\(?P<one>.)|!(?P<mark>.)|_.|\*.|(?P<bracket>\[[^\]]*\])|(?P<code>.)'
)
_PLACES = re.compile(
    r"(?P<whole>[0#?]+(?:,[0#?]+)*)?(?P<scale>,*)(?:\.(?P<decimals>[0#?]*))?(?P<late>,*)"
)
_UNITS = frozenset(
    {"", "吨", "t", "tCO2", "tCO2e", "元", "¥", "￥", "$", "年"}
)  # no effect on the figure
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.I)
_SCIENTIFIC = re.compile(r"[+-]?[0-9](\.[0-9]+)?E\+[0-9]+", re.I)
_ERROR = re.compile(r"#(N/A|REF!|VALUE!|DIV/0!|NAME\?|NUM!|NULL!|SPILL!|CALC!|#+)")


@dataclass(frozen=True, slots=True)
class UnreadableCell:
    """A cell that cannot be read, and why."""

    message: Any


Cell = str | UnreadableCell


def format_of(book: Any, style_id: int) -> str:
    """Return the number format of a cell's style in an opened workbook."""
    id_ = book._cell_styles[style_id].numFmtId
    if id_ >= 164:
        return str(book._number_formats[id_ - 164])
    return BUILTIN_FORMATS.get(id_) or EAST_ASIAN.get(id_, "General")


def shown(value: Any, data_type: str, code: str, epoch: Any) -> Cell:
    """Return the text a cell displays, as one would type it, or why it cannot be determined.

    ``data_type`` is openpyxl's, ``code`` the number format, ``epoch`` the workbook's date system.
    """
    if value is None:
        return ""
    if data_type == "f":
        return UnreadableCell(_("This is a formula; please enter its value"))
    if data_type == "e":
        return _error(str(value))
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return _moment(value, code, epoch) if _is_date(code) else _number(value, code)
        case datetime():
            return _written(value)
        case date() | time():
            return value.isoformat()
    sections = _sections(code)
    if len(sections) > 3 and not any(kind == "code" and "@" in text for kind, text in sections[3]):
        return _hidden(str(value)) if str(value).strip() else ""
    return text(str(value))


def text(value: str) -> Cell:
    """Return a text cell, or why it is refused."""
    typed = value.replace("\xa0", " ").strip()
    if typed.startswith(("=", "＝")):
        return UnreadableCell(_("This is a formula; please enter its value"))
    if len(typed) > LONGEST:
        return UnreadableCell(_("This is longer than %(most)d characters", most=LONGEST))
    unshowable = texts.unshowable(typed)
    if unshowable is not None:
        return UnreadableCell(unshowable.message)
    if _ERROR.fullmatch(typed):
        return _error(typed)
    if _SCIENTIFIC.fullmatch(typed):
        return _digits_lost(typed)
    return texts.composed(typed)


def _error(told: str) -> UnreadableCell:
    return UnreadableCell(_("This is a spreadsheet's error value: %(told)s", told=told))


def _digits_lost(told: str) -> UnreadableCell:
    return UnreadableCell(_("The number has lost digits; please format the column as text"))


def _hidden(told: str) -> UnreadableCell:
    return UnreadableCell(
        _("The cell's format hides what it holds: %(told)s", told=told[:LONGEST_TOLD])
    )


# Dates ----------------------------------------------------------------------------------------------


def _moment(value: float, code: str, epoch: Any) -> Cell:
    """Convert a serial number to the date, with time where the format shows it."""
    shows = "".join(each.lower() for kind, each in _sections(code)[0] if kind == "code")
    has_day = any(letter in shows for letter in "ydeg") or not any(c in shows for c in "hs")
    try:
        found = from_excel(value, epoch)
    except (OverflowError, ValueError):
        found = None
    is_elapsed = any(_ELAPSED.fullmatch(text_) for kind, text_ in _sections(code)[0])
    if not isinstance(found, datetime) or value < 1 or is_elapsed:
        if has_day or is_elapsed or not isinstance(found, time):
            told = f"{value:.10g}"
            return UnreadableCell(
                _("The number %(told)s is no day, though its format is a date's", told=told)
            )
        return found.isoformat(timespec="seconds")
    if not has_day:
        return found.time().isoformat(timespec="seconds")
    return _written(found if "h" in shows else datetime(found.year, found.month, found.day))  # noqa: DTZ001


_is_date = lru_cache(is_date_format)


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S").removesuffix(" 00:00:00")


# Numbers --------------------------------------------------------------------------------------------


def _number(value: float, code: str) -> Cell:
    if not math.isfinite(value) or abs(value) > EXACT:
        return _digits_lost(str(value))
    exact = Decimal(repr(value))
    plain = _plain(exact)
    if code in ("General", "@", ""):
        return plain
    formatted = _formatted(exact, code)
    if formatted is None:
        return UnreadableCell(
            _(
                "The cell holds %(told)s, and its format (%(code)s) shows something else;"
                " please format the column as text and enter what is meant",
                told=plain,
                code=code[:LONGEST_TOLD],
            )
        )
    return formatted


def _plain(exact: Decimal) -> str:
    """Format a number exactly, without an exponent."""
    return f"{exact:f}".rstrip("0").rstrip(".") if "." in f"{exact:f}" else f"{exact:f}"


def _formatted(exact: Decimal, code: str) -> str | None:
    """Return the number in its format, or None where that misrepresents the number.

    Percentages are supported (0.05 is 5%); scaling by thousands, rounding, a dropped sign, units
    as literals (万), fractions and conditions are not.
    """
    sections = _sections(code)
    place = 1 if exact < 0 else 2 if exact == 0 else 0
    section = sections[place] if place < len(sections) else sections[0]
    if any(kind == "bracket" and text_[1:2] in "<>=" for each in sections for kind, text_ in each):
        return None
    marks = "".join(text_ for kind, text_ in section if kind == "code")
    words = "".join(text_ for kind, text_ in section if kind == "word").strip()
    if exact == 0 and (words + marks).strip(" ?") == "-":
        return "0"  # shown as a dash in accounting formats
    percents = marks.count("%")
    signs = marks.replace("%", "").strip(" +-()$¥￥").removeprefix("General")
    is_general = "General" in marks
    match = _PLACES.fullmatch(signs)
    if match is None or (not signs and not is_general) or _has_text_between_digits(section):
        return None
    if words.strip("-() ") not in _UNITS or match["scale"] or match["late"]:
        return None
    if exact < 0 and len(sections) > 1 and not (set("-(") & set(marks + words)):
        return None
    figure = exact.scaleb(2 * percents)
    if not is_general and figure != round(figure, len(match["decimals"] or "")):
        return None
    width = 0 if is_general else (match["whole"] or "").replace(",", "").count("0")
    whole, dot, rest = _plain(abs(figure)).partition(".")
    return f"{'-' if exact < 0 else ''}{whole.zfill(width)}{dot}{rest}{'%' * percents}"


def _has_text_between_digits(section: list[tuple[str, str]]) -> bool:
    """Tell whether literals stand between digits, as in 0000-00-00."""
    kinds = "".join(
        "d" if kind == "code" and text_ in "0#?" else "w" if kind == "word" else ""
        for kind, text_ in section
    )
    return re.search("dw+d", kinds) is not None


@lru_cache
def _sections(code: str) -> list[list[tuple[str, str]]]:
    """Split a format at its semicolons into (kind, text): word, bracket or code."""
    found: list[list[tuple[str, str]]] = [[]]
    code = re.sub("General", "\0", code, flags=re.I)
    for match in _TOKEN.finditer(code):
        kind = match.lastgroup
        if kind == "code" and match[0] == ";":
            found.append([])
        elif kind == "code":
            is_word = match[0] > "\x7f" and match[0] not in "¥￥"
            found[-1].append(("word" if is_word else "code", match[0].replace("\0", "General")))
        elif kind == "bracket":
            found[-1].append((kind, match[0]))
        elif kind is not None:
            found[-1].append(("word", match[kind]))
    return found
