"""履约通知书 (manual 五-一): issued, changed or withdrawn by two people of one authority (docs/adr/0067)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.compliance.notices import Decision, Standing, Terms
from app.domain.errors import NotAllowed
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import BOTH, HAS_REASON, Facts, Rule, Violation
from app.domain.moves import LARGEST_REQUEST
from app.domain.workflow import Action, Case, Party

Check = Callable[[Case, Facts], Violation | None]


def _standing(case: Case, facts: Facts, decision: Decision) -> Standing | None:
    return facts.standing.get(
        (case.account_id, decision.year, decision.sector, case.notice_id or 0)
    )


def _year_and_sector(decision: Decision, facts: Facts) -> dict[str, Any]:
    sector = facts.sectors.get(decision.sector, decision.sector)
    return {"year": decision.year, "sector": str(sector) or "–"}


def _of_terms(check: Callable[[Terms, Decision, Facts], Violation | None]) -> Check:
    """Check what the notice is to say; a withdrawal says nothing."""

    def checked(case: Case, facts: Facts) -> Violation | None:
        decision = Decision.read(case.proposal)
        return check(decision.after, decision, facts) if decision.after else None

    return checked


def _of_change(check: Callable[[Terms, Standing, Facts], Violation | None]) -> Check:
    """Check what the notice is to say against what was surrendered for it."""

    def checked(case: Case, facts: Facts) -> Violation | None:
        decision = Decision.read(case.proposal)
        standing = _standing(case, facts, decision)
        return check(decision.after, standing, facts) if decision.after and standing else None

    return checked


def _undocumented(case: Case, facts: Facts) -> Violation | None:
    changes = Decision.read(case.proposal).before is not None
    return Violation("document_no") if changes and not case.document_no.strip() else None


def _issued_already(case: Case, facts: Facts) -> Violation | None:
    decision = Decision.read(case.proposal)
    standing = _standing(case, facts, decision)
    if decision.before is not None or standing is None:
        return None
    obligation = f"{standing.terms.obligation:,}"
    named = _year_and_sector(decision, facts)
    return Violation("year", {"number": standing.number, "obligation": obligation, **named})


def _not_of_the_sector(case: Case, facts: Facts) -> Violation | None:
    decision = Decision.read(case.proposal)
    key = (case.account_id, decision.year, decision.sector)
    if decision.before is not None or key in facts.account_sectors:
        return None
    return Violation("sector", _year_and_sector(decision, facts))


def _changed_meanwhile(case: Case, facts: Facts) -> Violation | None:
    decision = Decision.read(case.proposal)
    if decision.before is None and case.notice_id is None:
        return None
    standing = _standing(case, facts, decision)
    if standing and (standing.id, standing.terms) == (case.notice_id, decision.before):
        return None
    return Violation(
        "obligation",
        {
            **_year_and_sector(decision, facts),
            "before": f"{decision.before.obligation if decision.before else 0:,}",
            "now": f"{standing.terms.obligation if standing else 0:,}",
        },
    )


def _unchanged(case: Case, facts: Facts) -> Violation | None:
    decision = Decision.read(case.proposal)
    return Violation("obligation") if decision.before == decision.after else None


def _under_review(case: Case, facts: Facts) -> Violation | None:
    decision = Decision.read(case.proposal)
    key = (case.account_id, decision.year, decision.sector)
    number = facts.notices_under_review.get(key, case.number)
    if number != case.number:
        return Violation("year", {"number": number})
    facts.notices_under_review[key] = case.number
    return None


def _unplanned(terms: Terms, decision: Decision, facts: Facts) -> Violation | None:
    if decision.before or (decision.year, decision.sector) in facts.planned:
        return None
    return Violation("year", _year_and_sector(decision, facts))


def _too_much(terms: Terms, decision: Decision, facts: Facts) -> Violation | None:
    if 0 <= terms.obligation <= LARGEST_REQUEST:
        return None
    return Violation(
        "obligation", {"limit": f"{LARGEST_REQUEST:,}", "typed": f"{terms.obligation:,}"}
    )


def _beneath_surrendered(terms: Terms, standing: Standing, facts: Facts) -> Violation | None:
    if terms.obligation >= standing.surrendered:
        return None
    return Violation(
        "obligation",
        {
            "surrendered": f"{standing.surrendered:,}",
            "number": standing.number,
            "wanted": f"{terms.obligation:,}",
            "excess": f"{standing.surrendered - terms.obligation:,}",
        },
    )


def _surrendered_already(case: Case, facts: Facts) -> Violation | None:
    decision = Decision.read(case.proposal)
    standing = _standing(case, facts, decision)
    if decision.after or standing is None or not standing.surrenders:
        return None
    return Violation(
        "",
        {
            "number": standing.number,
            "count": standing.surrenders,
            **_year_and_sector(decision, facts),
        },
    )


def _terms_rule(code: str, message: Any, check: Any) -> Rule:
    return Rule(code, message, _of_terms(check))


# What it is to say.  An import reports every one of these that a row violates.
OF_THE_TERMS = (
    _terms_rule(
        "no_plan",
        _("There is no plan in force for %(year)s, %(sector)s; enter it first (plans)"),
        _unplanned,
    ),
    _terms_rule(
        "obligation_too_large",
        _("An obligation lies between 0 and %(limit)s tonnes; this is %(typed)s"),
        _too_much,
    ),
)
# N25 一(一): lists of key emitters are made per year and sector (C10).
IS_OF_THE_SECTOR = Rule(
    "not_of_the_sector",
    _("The enterprise has not been in the sector %(sector)s since %(year)s began"),
    _not_of_the_sector,
)
IS_DOCUMENTED = Rule(
    "document_missing", _("Enter the number of the authority's document"), _undocumented
)
# The index notice_once; one notice an enterprise, year and sector.
ISSUED_ONCE = Rule(
    "notice_twice",
    _(
        "The enterprise has notice %(number)s for %(year)s, %(sector)s already, of %(obligation)s"
        " tonnes; change that one"
    ),
    _issued_already,
    at=BOTH,
)
IS_CURRENT = Rule(
    "changed_meanwhile",
    _(
        "The notice for %(year)s, %(sector)s is another one than when this was entered: of %(before)s"
        " tonnes then, of %(now)s tonnes now; enter it anew"
    ),
    _changed_meanwhile,
    at=BOTH,
)
CHANGES_SOMETHING = Rule("unchanged", _("Nothing is changed yet"), _unchanged)
# The index one_notice_decision.
ONE_AT_A_TIME = Rule(
    "notice_under_review",
    _(
        "Application %(number)s about this enterprise's notice of the year and sector is under review"
    ),
    _under_review,
)
# R83: 清缴退还 comes first.
COVERS_SURRENDERED = Rule(
    "beneath_surrendered",
    _(
        "%(surrendered)s tonnes have been surrendered for notice %(number)s; to lower it to"
        " %(wanted)s tonnes, %(excess)s tonnes must be refunded first (surrender refunds)"
    ),
    _of_change(_beneath_surrendered),
    at=BOTH,
)
NOT_SURRENDERED_YET = Rule(
    "surrendered_already",
    _(
        "Notice %(number)s for %(year)s, %(sector)s cannot be withdrawn: %(count)s surrenders were"
        " approved for it or are under review; change it instead"
    ),
    _surrendered_already,
    at=BOTH,
    error=NotAllowed,
)


class NoticeDecision(Kind):
    """Its proposal is a `Decision`; it takes effect by `carry_out_notices` in the database."""

    code = "notice"
    right = "comply"
    title = _("Compliance notice decision")
    prefix = "TZ"
    started_by = Party.OFFICE
    reviews = (Party.OFFICE,)
    has_lines = False
    debits = False
    rules = (
        *OF_THE_TERMS,
        IS_OF_THE_SECTOR,
        IS_DOCUMENTED,
        HAS_REASON,
        ISSUED_ONCE,
        IS_CURRENT,
        CHANGES_SOMETHING,
        COVERS_SURRENDERED,
        NOT_SURRENDERED_YET,
        ONE_AT_A_TIME,
    )


def violations(case: Case, facts: Facts, rules: Sequence[Rule]) -> list[tuple[str, str]]:
    """Return (field, message) of every one of these rules that a case violates, for an import."""
    found = []
    for rule in rules:
        violation = rule.check(case, facts) if Action.SUBMIT in rule.at else None
        if violation is not None:
            found.append((violation.field, str(rule.message) % (violation.values or {})))
    return found
