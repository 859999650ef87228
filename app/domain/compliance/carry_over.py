"""结转 (rules-2026 N65-N76): how much may be carried over, and a round in the form that is decided upon.

Quantities are in tonnes, as exact numbers; a round's values are texts in one canonical writing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.compliance.plans import BY_NAME as OF_PLANS
from app.domain.compliance.plans import PlanField
from app.domain.dates import as_written
from app.domain.errors import RuleError

BASE_RULES = {
    "largest": _("The largest of its sectors, once"),
    "sum": _("The sum over its sectors"),
}
REFUSALS = {
    "no_base": _("None of its sectors has a carry-over base in the plan"),
    "not_due": _("No compliance notice of the years required"),
    "unfulfilled": _("A compliance notice was not fulfilled by its deadline"),
    "nothing_held": _("Nothing was held"),
}


@dataclass(frozen=True, slots=True)
class Held:
    """What an enterprise held at the round's instant; the plan counts only some of it (C1).

    ``reserved`` is what applications under review hold, which the plan takes off; other freezes and
    custody are shown, not counted (N67).
    """

    available: int = 0
    trading: int = 0
    in_transit: int = 0  # between registry and trading
    frozen_judicial: int = 0
    frozen_other: int = 0
    reserved: int = 0
    custody: int = 0

    @property
    def counted(self) -> int:
        """The holding that bounds the quota."""
        return self.available + self.trading + self.in_transit + self.frozen_judicial


def quota(base: int, factor: Decimal, sold: int, bought: int, holding: int) -> int:
    """Return 可结转量: floor(B + R x net sales), at most the holding (N65)."""
    most = floor(base + Fraction(factor) * max(0, sold - bought))
    return max(0, min(most, holding))


def tonnes_to_sell(base: int, factor: Decimal, sold: int, bought: int, holding: int) -> int:
    """Return the least that, sold within the period, leaves no more than may be carried over (N75)."""
    excess = holding - base
    net = sold - bought
    if net < 0 and excess <= -net:  # Selling first makes up for what was bought.
        return max(0, excess)
    return max(0, ceil((excess - Fraction(factor) * net) / (1 + Fraction(factor))))


# A round as it is decided upon --------------------------------------------------------------------


def _batches(typed: str) -> str:
    """Write batches as ``submitted until/recalled by``, with commas between them."""
    found = []
    for each in re.split(r"[、,，;；\s]+", typed.strip()):
        days = each.split("/") if each.count("/") == 1 else re.split("[→~～至]", each)
        try:
            (until, has_time), (recalled, also) = (as_written(day) for day in days)
            if has_time or also:
                raise ValueError(each)
        except ValueError as error:
            message = _(
                "A batch is written as 2026-03-20/2026-03-27 (submitted until/recalled by), not"
                " %(typed)s",
                typed=each[:30],
            )
            raise RuleError(message) from error
        found.append(f"{until.date()}/{recalled.date()}")
    return ",".join(found)


def _year(typed: str) -> str:
    if not re.fullmatch(r"2[0-9]{3}", typed):
        raise RuleError(_("Enter the year in four digits, not %(typed)s", typed=typed[:30]))
    return typed


def _working_days(typed: str) -> str:
    if not re.fullmatch(r"[0-9]{1,2}", typed):
        raise RuleError(_("Enter working days from 0 to 99, not %(typed)s", typed=typed[:30]))
    return str(int(typed))


_DAY, _MOMENT, _YEARS, _TEXT = (
    OF_PLANS[name].read for name in ("issue_by", "surrender_by", "vintages", "method")
)
FIELDS = (
    PlanField("vintages", _("Vintages carried over"), _YEARS, is_required=True, longest=200,
              hint=_("Years with 、 between them, such as 2025、2026")),
    PlanField("target", _("Carried over into"), _TEXT, is_required=True),
    PlanField("sold_from", _("Deals from"), _DAY, is_required=True),
    PlanField("sold_until", _("Deals until"), _DAY, is_required=True),
    PlanField("held_at", _("Holding at"), _MOMENT, is_required=True,
              hint=_("A day, until its end, or YYYY-MM-DD HH:mm")),
    PlanField("years", _("Years to be fulfilled in time"), _YEARS, is_required=True, longest=60,
              hint=_("Years with 、 between them, such as 2025、2026")),
    PlanField("plan_year", _("Base and factor by the plans of"), _year, is_required=True),
    PlanField("base_rule", _("Base of an enterprise in several sectors"), is_required=True,
              choices=BASE_RULES),
    PlanField("notice_by", _("Notices by"), _DAY, is_required=True),
    PlanField("apply_until", _("Applications until"), _DAY, is_required=True,
              hint=_("That day included")),
    PlanField("batches", _("Batches"), _batches, is_required=True, longest=300,
              hint=_("Submitted until/recalled by, such as 2026-03-20/2026-03-27")),
    PlanField("issue_days", _("Issued within (working days)"), _working_days, is_required=True),
    PlanField("source", _("Sources"), is_required=True, longest=300),
    PlanField("note", _("Remarks"), longest=500),
)  # fmt: skip
BY_NAME: Mapping[str, PlanField] = {each.name: each for each in FIELDS}
# What notices follow from: it stays once there are some.
KEPT = (
    "vintages",
    "target",
    "sold_from",
    "sold_until",
    "held_at",
    "years",
    "plan_year",
    "base_rule",
)


def batches_of(values: Mapping[str, str]) -> list[tuple[date, date]]:
    """Return the batches of a round: (submitted until, recalled by)."""
    return [
        (date.fromisoformat(until), date.fromisoformat(recalled))
        for until, _slash, recalled in (
            each.partition("/") for each in values.get("batches", "").split(",") if each
        )
    ]


@dataclass(frozen=True, slots=True)
class RoundDecision:
    """A round of a year, before and after; ``replaces`` is the version before, if any."""

    year: int
    replaces: int | None
    before: Mapping[str, str] | None
    after: Mapping[str, str]
    documented_on: date | None = None

    def stored(self) -> dict[str, Any]:
        """Return the proposal of an application."""
        found: dict[str, Any] = {
            "year": str(self.year),
            "documented_on": self.documented_on.isoformat() if self.documented_on else "",
            "after": dict(self.after),
        }
        if self.replaces is not None and self.before is not None:
            found |= {"replaces": str(self.replaces), "before": dict(self.before)}
        return found

    @classmethod
    def read(cls, proposal: Mapping[str, Any]) -> RoundDecision:
        """Return an application's decision."""
        documented = proposal.get("documented_on")
        return cls(
            int(proposal.get("year", 0)),
            int(proposal["replaces"]) if "replaces" in proposal else None,
            proposal.get("before"),
            proposal.get("after", {}),
            date.fromisoformat(documented) if documented else None,
        )


# What the rules read --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """The newest version of a round, and how many notices follow from it."""

    id: int
    values: Mapping[str, str]
    notices: int = 0

    @property
    def held_at(self) -> datetime:
        """The instant of the holding, in Beijing's time without a zone."""
        return datetime.fromisoformat(self.values["held_at"])


@dataclass(slots=True)
class NoticeFacts:
    """A 结转通知书; ``taken`` are the tonnes approved and under review."""

    account_id: int
    number: str
    quota: int
    taken: int
    instruments: frozenset[int]  # those that the round carries over
    made_on: date
    apply_until: date


@dataclass(frozen=True, slots=True)
class Summary:
    """What the notices of a round, or a batch's applications, come to now."""

    count: int
    tonnes: int
    digest: str

    def stored(self) -> dict[str, str]:
        """Return it as a proposal says it."""
        return {"count": str(self.count), "tonnes": str(self.tonnes), "digest": self.digest}

    def is_as(self, proposal: Mapping[str, Any]) -> bool:
        """Tell whether it is what a proposal says."""
        return all(str(proposal.get(name)) == value for name, value in self.stored().items())


@dataclass(slots=True)
class CarryOvers:
    """What the rules about carry-overs read."""

    rounds: Mapping[int, RoundFacts] = field(default_factory=dict)  # by year
    under_review: dict[tuple[str, int], str] = field(default_factory=dict)  # (kind, year) -> number
    targets: Mapping[str, int] = field(default_factory=dict)  # code of an allowance -> vintage
    notices: Mapping[int, NoticeFacts] = field(default_factory=dict)
    # (account, year) -> why there is no notice: a key of REFUSALS, and the notice not fulfilled
    refusals: Mapping[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    # (account, number of a release, instrument) -> tonnes released and not applied for yet
    released: dict[tuple[int, str, int], int] = field(default_factory=dict)
    obstacles: Mapping[int, Sequence[tuple[date, str]]] = field(default_factory=dict)  # by round
    summaries: Mapping[int, Summary] = field(default_factory=dict)  # of notices, by application
    batches: Mapping[tuple[int, str], Summary] = field(default_factory=dict)  # by year and day


def day_before(day: date) -> date:
    """Return the last day that is over: what a batch may reach until."""
    return day - timedelta(days=1)
