"""年度方案办理 (rules-2026 N01): what holds for a year and sector, by two officers (docs/adr/0084)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.compliance.plans import (
    BY_NAME,
    DAYS,
    FIELDS,
    PlanDecision,
    PlanFacts,
    day_of,
    percent_of,
    vintages_of,
)
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import (
    BOTH,
    HAS_DOCUMENT,
    HAS_REASON,
    HAS_START,
    Facts,
    Rule,
    Violation,
)
from app.domain.workflow import Case, Party

FIRST_YEAR, LAST_YEAR = 2000, 2999  # years of four digits; the CHECK plan_year

Check = Callable[[Case, Facts], Violation | None]


def _of_decision(check: Callable[[PlanDecision, Facts], Violation | None]) -> Check:
    return lambda case, facts: check(PlanDecision.read(case.proposal), facts)


def _of_change(check: Callable[[PlanDecision, PlanFacts], Violation | None]) -> Check:
    """Check what a plan is to say against what rests on it."""

    def checked(case: Case, facts: Facts) -> Violation | None:
        decision = PlanDecision.read(case.proposal)
        latest = facts.plans.get((decision.year, decision.sector))
        return check(decision, latest) if latest else None

    return checked


def _named(decision: PlanDecision, facts: Facts) -> str:
    sector = facts.sectors.get(decision.sector, decision.sector)
    return str(_("%(year)s, %(sector)s", year=decision.year, sector=sector))


def _year_wrong(decision: PlanDecision, facts: Facts) -> Violation | None:
    if FIRST_YEAR <= decision.year <= LAST_YEAR:
        return None
    return Violation("year", {"typed": decision.year})


def _sector_unknown(decision: PlanDecision, facts: Facts) -> Violation | None:
    if decision.sector in facts.sectors:
        return None
    return Violation("sector", {"typed": decision.sector or "–"})


def _incomplete(decision: PlanDecision, facts: Facts) -> Violation | None:
    for field in FIELDS:
        if field.is_required and not decision.after.get(field.name):
            return Violation(field.name, {"field": str(field.title)})
    return None


def _undated(decision: PlanDecision, facts: Facts) -> Violation | None:
    day = decision.documented_on
    if day is not None and day <= facts.moment.day:
        return None
    return Violation("documented_on", {"today": f"{facts.moment.day}", "typed": f"{day or '–'}"})


def _above_cap(decision: PlanDecision, facts: Facts) -> Violation | None:
    share, cap = (decision.after.get(each, "") for each in ("pre_allocation_share", "share_cap"))
    if (
        not share
        or not cap
        or percent_of(decision.after, "pre_allocation_share")
        <= percent_of(decision.after, "share_cap")
    ):
        return None
    return Violation("pre_allocation_share", {"share": share, "cap": cap})


def _out_of_order(decision: PlanDecision, facts: Facts) -> Violation | None:
    days = [(name, day) for name in DAYS if (day := day_of(decision.after, name))]
    pairs = [(days[place], days[place + 1]) for place in range(len(days) - 1)]
    if cut_off := day_of(decision.after, "offset_by"):
        pairs += [(("offset_by", cut_off), day) for day in days if day[0] == "surrender_by"]
    for (earlier, first), (later, second) in pairs:
        if first > second:
            return Violation(
                earlier,
                {
                    "earlier": str(BY_NAME[earlier].title),
                    "first": f"{first}",
                    "later": str(BY_NAME[later].title),
                    "second": f"{second}",
                },
            )
    return None


def _before_its_year(decision: PlanDecision, facts: Facts) -> Violation | None:
    due = day_of(decision.after, "surrender_by")
    if due is None or due > date(decision.year, 12, 31):
        return None
    # 2023's obligation was due within 2024; nothing is due before the year is over.
    return Violation("surrender_by", {"year": decision.year, "typed": f"{due}"})


def _replaced_meanwhile(case: Case, facts: Facts) -> Violation | None:
    decision = PlanDecision.read(case.proposal)
    latest = facts.plans.get((decision.year, decision.sector))
    if decision.replaces == (latest.id if latest else None):
        return None
    return Violation("year", {"plan": _named(decision, facts)})


def _unchanged(case: Case, facts: Facts) -> Violation | None:
    return None if PlanDecision.read(case.proposal).changes else Violation("method")


def _under_review(case: Case, facts: Facts) -> Violation | None:
    decision = PlanDecision.read(case.proposal)
    key = (decision.year, decision.sector)
    number = facts.plans_under_review.get(key, case.number)
    if number != case.number:
        return Violation("year", {"number": number, "plan": _named(decision, facts)})
    facts.plans_under_review[key] = case.number
    return None


def _begins_before(case: Case, facts: Facts) -> Violation | None:
    decision = PlanDecision.read(case.proposal)
    latest = facts.plans.get((decision.year, decision.sector))
    if latest is None or case.starts_on is None or case.starts_on >= latest.starts_on:
        return None
    return Violation("starts_on", {"typed": f"{case.starts_on}", "latest": f"{latest.starts_on}"})


def _shortened(decision: PlanDecision, latest: PlanFacts) -> Violation | None:
    if not latest.notices:
        return None
    due = latest.values["surrender_by"]
    for name, before in (
        ("surrender_by", due),
        ("offset_by", latest.values["offset_by"] or due[:10]),
    ):
        after = decision.after.get(name, "")
        if after and after < before:  # Written alike, texts compare as times do.
            return Violation(
                name,
                {"count": latest.notices, "before": f"{before}", "after": f"{after}",
                 "field": str(BY_NAME[name].title)},
            )  # fmt: skip
    return None


def _vintages_lost(decision: PlanDecision, latest: PlanFacts) -> Violation | None:
    lost = sorted(latest.used - vintages_of(decision.after))
    return Violation("vintages", {"vintages": "、".join(map(str, lost))}) if lost else None


def _offset_lost(decision: PlanDecision, latest: PlanFacts) -> Violation | None:
    share = percent_of(decision.after, "offset_percent")
    if share >= percent_of(latest.values, "offset_percent"):
        return None
    for number, obligation, used in latest.offsets:
        limit = int(obligation * share / 100)
        if used > limit:
            return Violation(
                "offset_percent", {"number": number, "used": f"{used:,}", "limit": f"{limit:,}"}
            )
    return None


IN_A_YEAR = Rule(
    "plan_year_unknown",
    _("Enter the compliance year in four digits; this is %(typed)s"),
    _of_decision(_year_wrong),
)
OF_A_SECTOR = Rule(
    "plan_sector_unknown",
    _("Choose a sector of the data dictionary; there is no %(typed)s"),
    _of_decision(_sector_unknown),
)
IS_COMPLETE = Rule(
    "plan_incomplete", _("%(field)s: please fill this in"), _of_decision(_incomplete), at=BOTH
)
IS_DATED = Rule(
    "plan_undated",
    _("Enter the date of the document, not after %(today)s; this is %(typed)s"),
    _of_decision(_undated),
)
# N21: a share above the cap is refused.
WITHIN_CAP = Rule(
    "share_above_cap",
    _("A pre-allocation share of %(share)s %% is above the highest share of %(cap)s %%"),
    _of_decision(_above_cap),
)
IN_ORDER = Rule(
    "days_out_of_order",
    _("%(earlier)s (%(first)s) comes after %(later)s (%(second)s)"),
    _of_decision(_out_of_order),
)
DUE_AFTER_THE_YEAR = Rule(
    "due_within_the_year",
    _("What is due for %(year)s is surrendered after that year; this is %(typed)s"),
    _of_decision(_before_its_year),
)
IS_LATEST = Rule(
    "plan_changed_meanwhile",
    _("The plan of %(plan)s is another one than when this was entered; enter it anew"),
    _replaced_meanwhile,
    at=BOTH,
)
CHANGES_SOMETHING = Rule("plan_unchanged", _("Nothing is changed yet"), _unchanged)
FOLLOWS = Rule(
    "plan_begins_before",
    _("A version cannot begin on %(typed)s, before the latest one, which began on %(latest)s"),
    _begins_before,
    at=BOTH,
)
DEADLINES_STAY = Rule(
    "deadline_shortened",
    _(
        "%(field)s: %(count)s notices rest on %(before)s; a deadline is only prolonged, not brought"
        " forward to %(after)s"
    ),
    _of_change(_shortened),
    at=BOTH,
)
VINTAGES_STAY = Rule(
    "vintages_in_use",
    _("Vintages %(vintages)s have been surrendered for notices of this plan and stay accepted"),
    _of_change(_vintages_lost),
    at=BOTH,
)
OFFSET_STAYS = Rule(
    "offset_in_use",
    _(
        "%(used)s tonnes of CCER have been surrendered for notice %(number)s, which could take"
        " %(limit)s tonnes then; refund them first (surrender refunds)"
    ),
    _of_change(_offset_lost),
    at=BOTH,
)
# The index one_plan_decision.
ONE_AT_A_TIME = Rule(
    "plan_under_review",
    _("Application %(number)s about the plan of %(plan)s is under review"),
    _under_review,
)


class PlanApplication(Kind):
    """Its proposal is a `PlanDecision`; it takes effect by `carry_out_plans` in the database.

    The application belongs to the registry's own account.
    """

    code = "plan"
    title = _("Plan decision")
    prefix = "FA"
    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (
        IN_A_YEAR,
        OF_A_SECTOR,
        IS_COMPLETE,
        WITHIN_CAP,
        IN_ORDER,
        DUE_AFTER_THE_YEAR,
        HAS_DOCUMENT,
        IS_DATED,
        HAS_START,
        HAS_REASON,
        IS_LATEST,
        CHANGES_SOMETHING,
        FOLLOWS,
        DEADLINES_STAY,
        VINTAGES_STAY,
        OFFSET_STAYS,
        ONE_AT_A_TIME,
    )
