"""The catalogue of 系统参数: each parameter's type, limits and default.

A value takes effect on a day and is never overwritten: app.models.parameter reads it,
app.operations.records.parameters sets it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.errors import RuleError

NUMBER, TIME, SWITCH, DAY = "number", "time", "switch", "day"


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """One parameter: numbers have limits and a unit, times and days limits, switches are on or off."""

    name: str
    title: Any
    kind: str
    default: int | time | bool | date
    source: Any  # the rule or standard that requires it
    unit: Any = ""
    least: int | time | date | None = None
    most: int | time | date | None = None

    def read(self, text: str) -> int | time | bool | date:
        """Parse a typed or stored value.  Raises RuleError where it is malformed or out of limits."""
        value = _read(self.kind, text.strip())
        if value is None:
            raise RuleError(_WANTED[self.kind], field="value", code="parameter_shape")
        if self.least is not None and not self.least <= value <= self.most:  # type: ignore[operator]
            raise RuleError(
                _(
                    "%(title)s lies between %(least)s and %(most)s",
                    title=self.title,
                    least=self.written(self.least),
                    most=self.written(self.most),
                ),
                field="value",
                code="parameter_limits",
            )
        return value

    def written(self, value: Any) -> str:
        """Format a value for `read`."""
        if self.kind == TIME:
            return f"{value:%H:%M}"
        return ("on" if value else "off") if self.kind == SWITCH else str(value)

    def shown(self, value: Any) -> str:
        """Format a value for display, with its unit."""
        if self.kind == SWITCH:
            return str(_("On") if value else _("Off"))
        return f"{self.written(value)} {self.unit}".strip()


_WANTED = {
    NUMBER: _("Please enter a whole number"),
    TIME: _("Please enter a time like 15:00"),
    SWITCH: _("Please choose on or off"),
    DAY: _("Please enter a date like 2026-11-20"),
}


def _read(kind: str, text: str) -> int | time | bool | date | None:
    if kind == NUMBER:
        return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None
    if kind == TIME:
        shape = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", text)
        return time(int(shape[1]), int(shape[2])) if shape else None
    if kind == DAY:
        try:
            return (
                date.fromisoformat(text)
                if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text)
                else None
            )
        except ValueError:
            return None
    return {"on": True, "off": False}.get(text)


_MANUAL = _("User manual, chapter 4")
_BASELINE = _("GB/T 22239-2019, level 3, 8.1.4.1")

_PROVISIONAL = _("Decision record 0077: limits of our own")

_COURTS = _("Decision record 0085: judicial freezes")

_ACCOUNTS = _("Decision record 0092: persons are not admitted until the rules say so")

_CREDENTIALS = _("Decision record 0081: limits of our own")

_CALENDAR = _("Rules of 2026: 30, 7 and 1 days before each date")

_PLEDGES = _("Decision record 0095: pledges, off until the rules say so")

_ALLOCATION = _("Decision record 0088: deductions and claims")

_FINES = _("Rules of 2026: fine for what is not surrendered in time")

_CATALOGUE = (
    ParameterSpec("transfer_cut_off", _("Transfers accepted until"), TIME, time(15, 0), _MANUAL,
                  least=time(9, 0), most=time(23, 59)),
    ParameterSpec("password_shortest", _("Shortest password"), NUMBER, 10, _BASELINE,
                  _("characters"), 8, 64),
    ParameterSpec("password_classes", _("Kinds of characters in a password"), NUMBER, 3, _BASELINE,
                  _("kinds"), 2, 4),
    ParameterSpec("password_remembered", _("Earlier passwords that may not come again"), NUMBER, 5,
                  _BASELINE, _("passwords"), 1, 24),
    ParameterSpec("password_max_age_days", _("Longest age of a password (0: none)"), NUMBER, 90,
                  _BASELINE, _("days"), 0, 365),
    ParameterSpec("password_first_change", _("A first password has to be changed"), SWITCH, True,
                  _BASELINE),
    ParameterSpec("lock_failures", _("Failed sign-ins until a lock"), NUMBER, 5, _BASELINE,
                  _("times"), 3, 10),
    ParameterSpec("lock_minutes", _("How long failures count"), NUMBER, 15, _BASELINE,
                  _("minutes"), 5, 1440),
    ParameterSpec("session_idle_minutes", _("A session ends without activity after"), NUMBER, 15,
                  _BASELINE, _("minutes"), 1, 1440),
    ParameterSpec("session_absolute_hours", _("A session ends at the latest after"), NUMBER, 8,
                  _BASELINE, _("hours"), 1, 24),
    ParameterSpec("largest_deposit", _("Largest deposit of money"), NUMBER, 100_000, _PROVISIONAL,
                  _("ten thousand yuan"), 1, 999_999),
    ParameterSpec("largest_withdrawal", _("Largest withdrawal of money"), NUMBER, 10_000,
                  _PROVISIONAL, _("ten thousand yuan"), 1, 999_999),
    ParameterSpec("withdrawals_a_day", _("Most withdrawn by an enterprise a day"), NUMBER, 50_000,
                  _PROVISIONAL, _("ten thousand yuan"), 1, 999_999),
    ParameterSpec("credential_days", _("Longest validity of a system credential"), NUMBER, 365,
                  _CREDENTIALS, _("days"), 1, 366),
    ParameterSpec("credentials_a_member", _("Most standing system credentials of a member"), NUMBER,
                  5, _CREDENTIALS, _("credentials"), 1, 20),
    ParameterSpec("court_freeze_years", _("Longest judicial freeze"), NUMBER, 3, _COURTS,
                  _("years"), 1, 10),
    ParameterSpec("court_reminder_days", _("Reminder before a judicial freeze ends"), NUMBER, 30,
                  _COURTS, _("days"), 1, 180),
    ParameterSpec("persons_admitted", _("Accounts of natural persons can be opened"), SWITCH, False,
                  _ACCOUNTS),
    ParameterSpec("pledge_mode", _("Registration of pledges (0: none; 1: as a note; 2: as a freeze)"),
                  NUMBER, 0, _PLEDGES, "", 0, 2),
    ParameterSpec("pledge_warning_days", _("Warning before a deadline that pledged allowances endanger"),
                  NUMBER, 60, _PLEDGES, _("days"), 1, 365),
    ParameterSpec("calendar_reminder_first", _("First reminder before a date of the calendar (0: none)"),
                  NUMBER, 30, _CALENDAR, _("days"), 0, 365),
    ParameterSpec("calendar_reminder_second", _("Second reminder before a date of the calendar (0: none)"),
                  NUMBER, 7, _CALENDAR, _("days"), 0, 365),
    ParameterSpec("calendar_reminder_third", _("Third reminder before a date of the calendar (0: none)"),
                  NUMBER, 1, _CALENDAR, _("days"), 0, 365),
    ParameterSpec("claim_days", _("Days to return what is claimed"), NUMBER, 10, _ALLOCATION,
                  _("working days"), 1, 120),
    ParameterSpec("reapproval_days", _("Days to approve anew after a change of the verification"), NUMBER,
                  10, _("Allocation plan 2025/26, section 4"), _("working days"), 1, 60),
    ParameterSpec("environment_code_from", _("Ecological and environmental code in force from"), DAY,
                  date(2026, 8, 15), _("Allocation plan 2025/26, notes of table 1-5"),
                  least=date(2026, 1, 1), most=date(2099, 12, 31)),
    ParameterSpec("fine_price_period",
                  _("Price period of a fine (1: the month that ends on the deadline; 2: the calendar"
                    " month before it; 3: 30 days)"), NUMBER, 1, _FINES, "", 1, 3),
)  # fmt: skip

PARAMETERS: Mapping[str, ParameterSpec] = {spec.name: spec for spec in _CATALOGUE}
