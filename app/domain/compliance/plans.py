"""年度方案: what holds for a compliance year and sector, in the form that is decided upon, signed and stored.

All values are texts in one canonical writing, by field; what is not said is "" (rules-2026 N01).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.dates import as_written
from app.domain.errors import RuleError
from app.domain.moves import LARGEST_REQUEST

ROUNDINGS = {"unit": _("Per unit, then summed"), "entity": _("Per enterprise")}
CONFIDENCES = {"certain": _("Certain"), "likely": _("Likely"), "unsure": _("Unsure")}
STANDINGS = {"final": _("Final document"), "draft": _("Draft for consultation")}
# Where allowances go from the registry; empty: to the enterprise (N11, N40).
ISSUE_ROUTES = {
    "differentiated": _("Through the province, of enterprises issued to differently"),
    "province": _("Through the province"),
}
# Which vintages a surrender by commission takes first; empty: as the first (N43).
COMMISSION_ORDERS = {
    "own_first": _("The year's own vintage, then the remainder of others"),
    "oldest_first": _("The oldest vintage"),
}
END_OF_DAY = time(23, 59, 59)
_YEARS = re.compile(r"[、,，;；\s]+")


def _text(typed: str) -> str:
    return typed


def _percent(typed: str) -> str:
    number = typed.replace("％", "%").removesuffix("%").rstrip()
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", number) or Decimal(number) > 100:
        raise RuleError(
            _(
                "A share is a percentage from 0 to 100 with at most three decimals, not %(typed)s",
                typed=typed[:30],
            )
        )
    return _plain(Decimal(number))


def _factor(typed: str) -> str:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", typed):
        raise RuleError(
            _("A factor is a number with at most three decimals, not %(typed)s", typed=typed[:30])
        )
    return _plain(Decimal(typed))


def _tonnes(typed: str) -> str:
    number = typed.replace(",", "")
    if not re.fullmatch(r"[0-9]{1,13}", number) or int(number) > LARGEST_REQUEST:
        raise RuleError(
            _(
                "Enter whole tonnes from 0 to %(limit)s, not %(typed)s",
                limit=f"{LARGEST_REQUEST:,}",
                typed=typed[:30],
            )
        )
    return str(int(number))


def _day(typed: str) -> str:
    try:
        begin, has_time = as_written(typed)
        if has_time:
            raise ValueError(typed)
    except ValueError as error:
        message = _("%(typed)s is not a date; write it as YYYY-MM-DD", typed=typed[:30])
        raise RuleError(message) from error
    return begin.date().isoformat()


def _moment(typed: str) -> str:
    """Write a deadline in Beijing's time: a day without time means its end, 24:00 is 23:59:59 (R82)."""
    try:
        begin, has_time = as_written(typed)
    except ValueError as error:
        message = _(
            "%(typed)s is not a time; write it as YYYY-MM-DD or YYYY-MM-DD HH:mm", typed=typed[:30]
        )
        raise RuleError(message) from error
    if not has_time:
        begin = datetime.combine(begin.date(), END_OF_DAY)
    return f"{begin:%Y-%m-%d %H:%M:%S}"


def _vintages(typed: str) -> str:
    years = [each for each in _YEARS.split(typed) if each]
    if not all(re.fullmatch(r"2[0-9]{3}", each) for each in years):
        message = _("Enter vintages as years of four digits, not %(typed)s", typed=typed[:60])
        raise RuleError(message)
    return ",".join(sorted(set(years)))


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


@dataclass(frozen=True, slots=True)
class PlanField:
    """One field of a plan: ``read`` writes it canonically, or raises RuleError."""

    name: str
    title: Any
    read: Callable[[str], str] = _text
    is_required: bool = False
    longest: int = 20
    choices: Mapping[str, Any] | None = None
    hint: Any = ""

    @property
    def is_day(self) -> bool:
        """Whether it is a day without a time."""
        return self.read is _day

    def shown(self, value: str) -> str:
        """Return a stored value as people read it."""
        if self.choices:
            return str(self.choices.get(value, value))
        if self.read is _vintages:
            return value.replace(",", "、")
        return f"{int(value):,}" if value and self.read is _tonnes else value


FIELDS = (
    PlanField("method", _("Allocation method"), is_required=True, longest=200),
    PlanField("pre_allocation_share", _("Pre-allocation share (%)"), _percent, longest=8,
              hint=_("Of the previous year's verified emissions; empty: no pre-allocation")),
    PlanField("share_cap", _("Highest share (%)"), _percent, longest=8,
              hint=_("Where a province may pre-allocate less")),
    PlanField("rounding", _("Quantities are rounded down"), is_required=True, choices=ROUNDINGS),
    PlanField("pre_allocate_by", _("Pre-allocate by"), _day),
    PlanField("approve_by", _("Approve by"), _day),
    PlanField("issue_by", _("Issue by"), _day),
    PlanField("surrender_by", _("Surrender by"), _moment, is_required=True,
              hint=_("A day, until its end, or YYYY-MM-DD HH:mm")),
    PlanField("offset_by", _("Apply for CCER by"), _day,
              hint=_("Where it is earlier than the surrender's")),
    PlanField("vintages", _("Vintages accepted"), _vintages, is_required=True, longest=200,
              hint=_("Years with 、 between them, such as 2025、2026")),
    PlanField("offset_percent", _("Share of CCER (%)"), _percent, longest=6,
              hint=_("Of the obligation; empty: no CCER")),
    PlanField("offset_registered_from", _("CCER registered from"), _day),
    PlanField("exemptions", _("Exemptions"), longest=1000),
    PlanField("carry_over_base", _("Carry-over base (tonnes)"), _tonnes, longest=17),
    PlanField("carry_over_factor", _("Carry-over factor"), _factor, longest=7,
              hint=_("Of the net sales")),
    PlanField("issue_route", _("Way of the issue"), choices=ISSUE_ROUTES,
              hint=_("Empty: from the registry to the enterprise")),
    PlanField("commission_order", _("Vintages of a surrender by commission"), choices=COMMISSION_ORDERS),
    PlanField("commission_title", _("Title of a surrender by commission"),
              hint=_("As the year's documents call it")),
    PlanField("source", _("Sources"), is_required=True, longest=300),
    PlanField("confidence", _("Confidence"), is_required=True, choices=CONFIDENCES),
    PlanField("is_draft", _("Standing"), is_required=True, choices=STANDINGS),
    PlanField("note", _("Remarks"), longest=500),
)  # fmt: skip
BY_NAME: Mapping[str, PlanField] = {field.name: field for field in FIELDS}
# In this order, where they are given.
DAYS = ("pre_allocate_by", "approve_by", "issue_by", "surrender_by")


def read(
    typed: Mapping[str, str], fields: Sequence[PlanField] = FIELDS
) -> tuple[dict[str, str], dict[str, str]]:
    """Read typed values; return (canonical values, messages), by field."""
    values: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for field in fields:
        text = typed.get(field.name, "").strip()
        try:
            if field.choices and text and text not in field.choices:
                offered = "、".join(map(str, field.choices.values()))
                message = _("Choose one of the values offered: %(offered)s", offered=offered)
                raise RuleError(message)
            values[field.name] = field.read(text) if text else ""
        except RuleError as error:
            wrong[field.name] = str(error)
    return values, wrong


def day_of(values: Mapping[str, str], name: str) -> date | None:
    """Return a date that a plan says, or None; of a deadline with a time its day."""
    return date.fromisoformat(values[name][:10]) if values.get(name) else None


def percent_of(values: Mapping[str, str], name: str) -> Decimal:
    """Return a share that a plan says, in per cent; 0 where it says none."""
    return Decimal(values.get(name) or 0)


def vintages_of(values: Mapping[str, str]) -> frozenset[int]:
    """Return the vintages that a plan accepts."""
    return frozenset(int(each) for each in values.get("vintages", "").split(",") if each)


@dataclass(frozen=True, slots=True)
class PlanDecision:
    """A plan of a year and sector, before and after; ``replaces`` is the version before, if any."""

    year: int
    sector: str
    replaces: int | None
    before: Mapping[str, str] | None
    after: Mapping[str, str]
    documented_on: date | None = None  # the date of the document

    def stored(self) -> dict[str, Any]:
        """Return the proposal of an application."""
        found: dict[str, Any] = {
            "year": str(self.year),
            "sector": self.sector,
            "documented_on": self.documented_on.isoformat() if self.documented_on else "",
            "after": dict(self.after),
        }
        if self.replaces is not None and self.before is not None:
            found |= {"replaces": str(self.replaces), "before": dict(self.before)}
        return found

    @classmethod
    def read(cls, proposal: Mapping[str, Any]) -> PlanDecision:
        """Return an application's decision."""
        documented = proposal.get("documented_on")
        return cls(
            int(proposal.get("year", 0)),
            proposal.get("sector", ""),
            int(proposal["replaces"]) if "replaces" in proposal else None,
            proposal.get("before"),
            proposal.get("after", {}),
            date.fromisoformat(documented) if documented else None,
        )

    @property
    def changes(self) -> list[str]:
        """The fields that differ."""
        before = self.before or {}
        return [
            each.name
            for each in FIELDS
            if before.get(each.name, "") != self.after.get(each.name, "")
        ]


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The latest version of a plan, and what rests on it."""

    id: int
    values: Mapping[str, str]
    starts_on: date
    notices: int  # in force
    used: frozenset[int] = frozenset()  # vintages surrendered or under review
    # Notices with CCER surrendered or under review: (number, obligation, tonnes of CCER).
    offsets: tuple[tuple[str, int, int], ...] = ()
