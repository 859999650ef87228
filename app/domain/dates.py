"""Days and times as people and spreadsheets write them."""

from __future__ import annotations

import re
from datetime import datetime

_DAY_FORMS = (
    re.compile(r"(?P<y>[0-9]{4})(?P<mark>[-/.])(?P<m>[0-9]{1,2})(?P=mark)(?P<d>[0-9]{1,2})"),
    re.compile(r"(?P<y>[0-9]{4})年(?P<m>[0-9]{1,2})月(?P<d>[0-9]{1,2})日?"),
    # English spreadsheets; the month is a word, so day and month cannot be confused.
    re.compile(r"(?P<d>[0-9]{1,2})-(?P<name>[A-Za-z]{3})-(?P<y>[0-9]{4}|[0-9]{2})"),
)
_TIME = re.compile(
    r"(?P<h>[0-9]{1,2})(?::(?P<min>[0-9]{2})(?::(?P<s>[0-9]{2}))?"
    r"|[时點点](?P<min2>[0-9]{1,2})分(?:(?P<s2>[0-9]{1,2})秒)?)"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PIVOT = 30  # two-digit years as in Excel: 29 is 2029, 30 is 1930


def as_written(text: str) -> tuple[datetime, bool]:
    """Read a day, with or without a time; return it (without zone) and whether a time was written.

    The order is always year, month, day, unless the month is a word; 24:00 is the day's last second.
    Raises ValueError for anything else, e.g. 31.12.2026 or 12/31/2026, which are ambiguous.
    """
    typed = text.strip()
    for form in _DAY_FORMS:
        match = form.match(typed)
        if match is not None:
            break
    else:
        raise ValueError(text)
    begin = datetime(*_day(match.groupdict()))  # noqa: DTZ001 - the caller knows the zone
    rest = typed[match.end() :]
    if not rest:
        return begin, False
    time = _TIME.fullmatch(rest.removeprefix("T").strip())
    if time is None or (rest[0] not in " T" and not typed[match.end() - 1] == "日"):
        raise ValueError(text)
    hour, minute = int(time["h"]), int(time["min"] or time["min2"])
    second = int(time["s"] or time["s2"] or 0)
    if (hour, minute, second) == (24, 0, 0):
        return begin.replace(hour=23, minute=59, second=59), True
    return begin.replace(hour=hour, minute=minute, second=second), True


def _day(parts: dict[str, str | None]) -> tuple[int, int, int]:
    year = int(parts["y"] or 0)
    if len(parts["y"] or "") == 2:
        year += 2000 if year < _PIVOT else 1900
    name = parts.get("name")
    if name:
        return year, _MONTHS.index(name.lower()) + 1, int(parts["d"] or 0)
    return year, int(parts["m"] or 0), int(parts["d"] or 0)
