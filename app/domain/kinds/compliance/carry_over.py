"""结转 (rules-2026 N65-N76): the round, its notices, enterprises' applications, and batches that recall."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import ClassVar

from flask_babel import lazy_gettext as _

from app.domain.compliance.carry_over import (
    BY_NAME,
    FIELDS,
    KEPT,
    REFUSALS,
    NoticeFacts,
    RoundDecision,
    RoundFacts,
    batches_of,
)
from app.domain.compliance.plans import day_of, vintages_of
from app.domain.errors import InsufficientQuantity
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_DOCUMENT, HAS_REASON, Facts, Rule, Violation
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case, Party, Status

FIRST_YEAR, LAST_YEAR = 2000, 2999  # the CHECK carry_over_round_year
OBSTACLES = {
    "difference": _("a difference with the exchange is open"),
    "unaudited": _("the second book has not checked the day"),
}


def year_of(case: Case) -> int:
    """Return the year of the round that an application is about; 0 where it names none."""
    text = str(case.proposal.get("year", ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def _round_of(case: Case, facts: Facts) -> RoundFacts | None:
    return facts.carry_overs.rounds.get(year_of(case))


# The round ------------------------------------------------------------------------------------------

Check = Callable[[RoundDecision, Facts], Violation | None]


def _of_decision(check: Check) -> Callable[[Case, Facts], Violation | None]:
    return lambda case, facts: check(RoundDecision.read(case.proposal), facts)


def _year_wrong(decision: RoundDecision, facts: Facts) -> Violation | None:
    if FIRST_YEAR <= decision.year <= LAST_YEAR:
        return None
    return Violation("year", {"typed": decision.year})


def _incomplete(decision: RoundDecision, facts: Facts) -> Violation | None:
    for each in FIELDS:
        if each.is_required and not decision.after.get(each.name):
            return Violation(each.name, {"field": str(each.title)})
    return None


def _undated(decision: RoundDecision, facts: Facts) -> Violation | None:
    day = decision.documented_on
    if day is not None and day <= facts.moment.day:
        return None
    return Violation("documented_on", {"today": f"{facts.moment.day}", "typed": f"{day or '–'}"})


def _target_wrong(decision: RoundDecision, facts: Facts) -> Violation | None:
    target = decision.after.get("target", "")
    vintage = facts.carry_overs.targets.get(target)
    if vintage is not None and vintage not in vintages_of(decision.after):
        return None
    return Violation("target", {"typed": target or "–"})


def _named_days(decision: RoundDecision) -> list[tuple[str, date]]:
    """Return the days of a round in the order in which they follow."""
    names = ("sold_from", "sold_until", "held_at", "notice_by", "apply_until")
    return [(name, day) for name in names if (day := day_of(decision.after, name))]


def _out_of_order(decision: RoundDecision, facts: Facts) -> Violation | None:
    days = _named_days(decision)
    for (earlier, first), (later, second) in pairwise(days):
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


def _batches_wrong(decision: RoundDecision, facts: Facts) -> Violation | None:
    until, batches = day_of(decision.after, "apply_until"), batches_of(decision.after)
    ends = [end for end, _recalled in batches]
    is_right = (
        batches
        and ends == sorted(set(ends))
        and all(end < recalled for end, recalled in batches)
        and ends[-1] == until
    )
    return None if is_right else Violation("batches", {"until": f"{until}"})


def _replaced_meanwhile(case: Case, facts: Facts) -> Violation | None:
    decision, latest = RoundDecision.read(case.proposal), _round_of(case, facts)
    if decision.replaces == (latest.id if latest else None):
        return None
    return Violation("year", {"year": decision.year})


def _unchanged(case: Case, facts: Facts) -> Violation | None:
    decision = RoundDecision.read(case.proposal)
    before = decision.before or {}
    if any(before.get(each.name, "") != decision.after.get(each.name, "") for each in FIELDS):
        return None
    return Violation("note")


def _takes_away(case: Case, facts: Facts) -> Violation | None:
    decision, latest = RoundDecision.read(case.proposal), _round_of(case, facts)
    if latest is None or not latest.notices:
        return None
    for name in KEPT:
        if decision.after.get(name, "") != latest.values[name]:
            return Violation(
                name, {"field": str(BY_NAME[name].title), "count": f"{latest.notices:,}"}
            )
    if decision.after.get("apply_until", "") < latest.values["apply_until"]:
        field = str(BY_NAME["apply_until"].title)
        return Violation("apply_until", {"field": field, "count": f"{latest.notices:,}"})
    return None


def _under_review(case: Case, facts: Facts) -> Violation | None:
    key = (case.kind, year_of(case))
    number = facts.carry_overs.under_review.get(key, case.number)
    if number != case.number:
        return Violation("year", {"number": number, "year": year_of(case)})
    facts.carry_overs.under_review[key] = case.number
    return None


IN_A_YEAR = Rule(
    "carry_over_year_unknown",
    _("Enter the year carried over into in four digits; this is %(typed)s"),
    _of_decision(_year_wrong),
)
ROUND_IS_COMPLETE = Rule(
    "carry_over_incomplete", _("%(field)s: please fill this in"), _of_decision(_incomplete), at=BOTH
)
ROUND_IS_DATED = Rule(
    "carry_over_undated",
    _("Enter the date of the document, not after %(today)s; this is %(typed)s"),
    _of_decision(_undated),
)
INTO_ANOTHER_VINTAGE = Rule(
    "carry_over_target",
    _(
        "Carried over into: enter the code of an allowance whose vintage is none of those carried"
        " over; this is %(typed)s"
    ),
    _of_decision(_target_wrong),
    at=BOTH,
)
ROUND_IN_ORDER = Rule(
    "carry_over_days",
    _("%(earlier)s (%(first)s) comes after %(later)s (%(second)s)"),
    _of_decision(_out_of_order),
)
BATCHES_FOLLOW = Rule(
    "carry_over_batches",
    _(
        "Batches follow each other, each is recalled after its last day of submission, and the last"
        " one takes applications until %(until)s"
    ),
    _of_decision(_batches_wrong),
)
ROUND_IS_LATEST = Rule(
    "carry_over_changed_meanwhile",
    _("The round of %(year)s is another one than when this was entered; enter it anew"),
    _replaced_meanwhile,
    at=BOTH,
)
ROUND_CHANGES = Rule("carry_over_unchanged", _("Nothing is changed yet"), _unchanged)
NOTICES_STAY = Rule(
    "carry_over_in_use",
    _("%(field)s: %(count)s notices follow from it; it stays, and applications end no earlier"),
    _takes_away,
    at=BOTH,
)
# The indexes one_carry_over_round, _notices, _batch.
ONE_CARRY_OVER_AT_A_TIME = Rule(
    "carry_over_under_review",
    _("Application %(number)s about the carry-over into %(year)s is under review"),
    _under_review,
)


class _Decided(Kind):
    """Decided by two officers of the registry; of the registry's own account."""

    started_by = Party.REGISTRY
    reviews = (Party.REGISTRY,)
    has_lines = False
    debits = False


class CarryOverRound(_Decided):
    """结转安排: its proposal is a `RoundDecision`; carry_out_carry_over_rounds writes it."""

    code = "carry_over_round"
    title = _("Carry-over round")
    prefix = "JA"
    rules: ClassVar[tuple[Rule, ...]] = (
        IN_A_YEAR, ROUND_IS_COMPLETE, INTO_ANOTHER_VINTAGE, ROUND_IN_ORDER, BATCHES_FOLLOW,
        HAS_DOCUMENT, ROUND_IS_DATED, HAS_REASON, ROUND_IS_LATEST, ROUND_CHANGES, NOTICES_STAY,
        ONE_CARRY_OVER_AT_A_TIME,
    )  # fmt: skip


# Its notices ----------------------------------------------------------------------------------------


def _no_round(case: Case, facts: Facts) -> Violation | None:
    known = _round_of(case, facts)
    if known and str(case.proposal.get("round", known.id)) == str(known.id):
        return None
    return Violation("year", {"year": year_of(case) or "–"})


def _too_early(case: Case, facts: Facts) -> Violation | None:
    known = _round_of(case, facts)
    now = facts.moment.now.astimezone(BEIJING).replace(tzinfo=None)
    if known is None or known.held_at < now:
        return None
    return Violation("year", {"held_at": f"{known.held_at:%Y-%m-%d %H:%M:%S}"})


def _books_differ(case: Case, facts: Facts) -> Violation | None:
    known = _round_of(case, facts)
    found = facts.carry_overs.obstacles.get(known.id, ()) if known else ()
    if not found:
        return None
    day, obstacle = found[0]
    values = {"day": f"{day}", "obstacle": str(OBSTACLES[obstacle]), "count": len(found)}
    return Violation("year", values)


def _nothing_to_make(case: Case, facts: Facts) -> Violation | None:
    found = facts.carry_overs.summaries.get(case.id)
    return None if found and found.count else Violation("year", {"year": year_of(case)})


def _figures_changed(case: Case, facts: Facts) -> Violation | None:
    found = facts.carry_overs.summaries.get(case.id)
    if found is None or found.is_as(case.proposal):
        return None
    return Violation("year", {"count": f"{found.count:,}", "tonnes": f"{found.tonnes:,}"})


OF_A_ROUND = Rule(
    "carry_over_no_round",
    _("There is no carry-over into %(year)s, or it is another one by now; enter this anew"),
    _no_round,
    at=BOTH,
)
HOLDING_IS_KNOWN = Rule(
    "carry_over_too_early",
    _("The holding counts at %(held_at)s; notices are made after it"),
    _too_early,
    at=BOTH,
)
# N68: both books are compared before a notice is made.
BOOKS_AGREE = Rule(
    "carry_over_books_differ",
    _("Notices cannot be made: %(day)s: %(obstacle)s (%(count)s such entries within the period)"),
    _books_differ,
    at=BOTH,
)
SOMEBODY_GETS_ONE = Rule(
    "carry_over_no_notices",
    _("Nobody is to get a notice of %(year)s who has none yet"),
    _nothing_to_make,
)
FIGURES_ARE_AS_SIGNED = Rule(
    "carry_over_figures_changed",
    _("The figures are others by now (%(count)s, %(tonnes)s tonnes); enter this anew"),
    _figures_changed,
    at=BOTH,
)


class CarryOverNotices(_Decided):
    """结转通知书签发: all notices of a round at once; signed are their number, total and digest."""

    code = "carry_over_notices"
    title = _("Carry-over notices")
    prefix = "JZ"
    rules: ClassVar[tuple[Rule, ...]] = (
        OF_A_ROUND, HOLDING_IS_KNOWN, BOOKS_AGREE, SOMEBODY_GETS_ONE, FIGURES_ARE_AS_SIGNED,
        HAS_REASON, ONE_CARRY_OVER_AT_A_TIME,
    )  # fmt: skip


# An enterprise's application ------------------------------------------------------------------------


def notice_of(case: Case, facts: Facts) -> NoticeFacts | None:
    """Return the notice that an application draws on, where it is the applicant's."""
    text = str(case.proposal.get("notice") or "")
    found = facts.carry_overs.notices.get(int(text) if text.isdigit() else 0)
    return found if found and found.account_id == case.account_id else None


def release_of(case: Case) -> str:
    """Return the number of the release that a late application cites, or ""."""
    return str(case.proposal.get("release") or "").strip()


def _no_notice(case: Case, facts: Facts) -> Violation | None:
    if notice_of(case, facts):
        return None
    refusal, number = facts.carry_overs.refusals.get((case.account_id, year_of(case)), ("", ""))
    why = str(REFUSALS[refusal]) if refusal else str(_("It was not made"))
    return Violation("", {"why": f"{why} {number or ''}".strip(), "year": year_of(case)})


def _other_vintage(case: Case, facts: Facts) -> Violation | None:
    notice = notice_of(case, facts)
    for line in case.lines:
        if notice and line.instrument_id not in notice.instruments:
            name = facts.name(line.instrument_id)
            return Violation(f"lines.{line.key}.quantity", {"instrument": name})
    return None


def _outside_window(case: Case, facts: Facts) -> Violation | None:
    notice, today = notice_of(case, facts), facts.moment.day
    if notice is None or release_of(case) or today <= notice.apply_until:
        return None
    return Violation("", {"until": f"{notice.apply_until}", "today": f"{today}"})


def _beyond_release(case: Case, facts: Facts) -> Violation | None:
    number, released = release_of(case), facts.carry_overs.released
    if not number:
        return None
    left = {}
    for line in case.lines:
        key = (case.account_id, number, line.instrument_id)
        left[key] = released.get(key, 0) - line.quantity
        if left[key] < 0:
            name = facts.name(line.instrument_id)
            rest = f"{max(released.get(key, 0), 0):,}"
            return Violation("release", {"number": number, "instrument": name, "left": rest})
    released |= left
    return None


def _above_quota(case: Case, facts: Facts) -> Violation | None:
    notice = notice_of(case, facts)
    if notice is None:
        return None
    asked = sum(line.quantity for line in case.lines)
    left = notice.quota - notice.taken
    if case.status is Status.IN_REVIEW:
        left += asked  # It is among what is taken.
    if asked > left:
        values = {"asked": f"{asked:,}", "left": f"{max(left, 0):,}", "number": notice.number}
        return Violation("lines", {**values, "quota": f"{notice.quota:,}"})
    if case.status is not Status.IN_REVIEW:
        notice.taken += asked
    return None


HAS_A_NOTICE = Rule(
    "carry_over_no_notice",
    _("There is no carry-over notice of %(year)s for this enterprise: %(why)s"),
    _no_notice,
    at=BOTH,
)
OF_THE_ROUND = Rule(
    "carry_over_vintage",
    _("%(instrument)s is not among the vintages that this round carries over"),
    _other_vintage,
    at=BOTH,
)
# N69, N72: that day included; what was released later is applied for later.
WITHIN_WINDOW = Rule(
    "carry_over_closed",
    _(
        "Applications were taken until %(until)s and today is %(today)s; only what was judicially frozen"
        " and released is still carried over: enter the number of the release"
    ),
    _outside_window,
)
WITHIN_RELEASE = Rule(
    "carry_over_release",
    _("Release %(number)s leaves %(left)s tonnes of %(instrument)s to be carried over"),
    _beyond_release,
    error=InsufficientQuantity,
)
WITHIN_QUOTA = Rule(
    "carry_over_above_quota",
    _(
        "%(asked)s tonnes asked for, but notice %(number)s leaves %(left)s of %(quota)s tonnes to be"
        " carried over"
    ),
    _above_quota,
    at=BOTH,
    error=InsufficientQuantity,
)


class CarryOver(Kind):
    """结转申请: held from submission until a batch recalls it and grants the newer vintage (N69-N72).

    Its proposal names the notice, and a release where it comes after the window.  Nothing leaves the
    enterprise, so that a restricted account may carry over.
    """

    code = "carry_over"
    right = "comply"
    title = _("Carry-over")
    prefix = "JS"
    reviews = (Party.BATCH,)
    reserves = (Bucket.AVAILABLE, Bucket.RESERVED)
    settles = (Bucket.RESERVED, Bucket.RECALLED)
    debits = False
    rules: ClassVar[tuple[Rule, ...]] = (
        HAS_A_NOTICE, OF_THE_ROUND, WITHIN_WINDOW, WITHIN_RELEASE, WITHIN_QUOTA,
    )  # fmt: skip


# Batches --------------------------------------------------------------------------------------------


def _not_over(case: Case, facts: Facts) -> Violation | None:
    until = str(case.proposal.get("until", ""))
    if until and until < facts.moment.day.isoformat():
        return None
    return Violation("until", {"typed": until or "–"})


def _batch_of(case: Case, facts: Facts) -> Violation | None:
    found = facts.carry_overs.batches.get((year_of(case), str(case.proposal.get("until", ""))))
    return None if found and found.count else Violation("until")


def _batch_changed(case: Case, facts: Facts) -> Violation | None:
    found = facts.carry_overs.batches.get((year_of(case), str(case.proposal.get("until", ""))))
    if found is None or found.is_as(case.proposal):
        return None
    return Violation("until", {"count": f"{found.count:,}", "tonnes": f"{found.tonnes:,}"})


DAY_IS_OVER = Rule(
    "carry_over_batch_day",
    _("A batch takes what was submitted until a day that is over; this is %(typed)s"),
    _not_over,
)
BATCH_HAS_SOMETHING = Rule(
    "carry_over_batch_empty", _("No application was submitted until then"), _batch_of, at=BOTH
)
BATCH_IS_AS_SIGNED = Rule(
    "carry_over_batch_changed",
    _("The batch is another one by now (%(count)s, %(tonnes)s tonnes); enter it anew"),
    _batch_changed,
    at=BOTH,
)


class CarryOverBatch(_Decided):
    """结转批次: what was submitted until a day is recalled and the newer vintage granted (N71)."""

    code = "carry_over_batch"
    title = _("Carry-over batch")
    prefix = "JP"
    rules: ClassVar[tuple[Rule, ...]] = (
        OF_A_ROUND, DAY_IS_OVER, BATCH_HAS_SOMETHING, BATCH_IS_AS_SIGNED, HAS_REASON,
        ONE_CARRY_OVER_AT_A_TIME,
    )  # fmt: skip


CARRY_OVERS: tuple[type[Kind], ...] = (CarryOverRound, CarryOverNotices, CarryOver, CarryOverBatch)
