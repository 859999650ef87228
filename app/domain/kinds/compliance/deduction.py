"""配额核减: tonnes that a year's allowance is reduced by, by two officers (rules-2026 N24, N25, N58, N59)."""

from __future__ import annotations

from collections.abc import Callable

from flask_babel import lazy_gettext as _

from app.domain.compliance.deductions import FRAUD, SHORTFALL, Deduction
from app.domain.compliance.true_up import fraud_range
from app.domain.kinds.base import Kind
from app.domain.kinds.rules import (
    BOTH,
    HAS_DOCUMENT,
    HAS_REASON,
    Facts,
    Rule,
    Violation,
)
from app.domain.moves import LARGEST_REQUEST
from app.domain.workflow import Case, Party

Check = Callable[[Case, Facts], Violation | None]
YEARS = range(2000, 3000)


def _of(check: Callable[[Deduction, Case, Facts], Violation | None]) -> Check:
    return lambda case, facts: check(Deduction.read(case.proposal), case, facts)


def _year_unknown(said: Deduction, case: Case, facts: Facts) -> Violation | None:
    return None if said.year in YEARS else Violation("year", {"typed": said.year or "–"})


def _of_another_sector(said: Deduction, case: Case, facts: Facts) -> Violation | None:
    if (case.account_id, said.sector) in facts.allocation.sectors:
        return None
    return Violation("sector")


def _not_in_range(said: Deduction, case: Case, facts: Facts) -> Violation | None:
    if 0 < said.tonnes <= LARGEST_REQUEST:
        return None
    return Violation("tonnes", {"limit": f"{LARGEST_REQUEST:,}", "typed": f"{said.tonnes:,}"})


def _code_in_force(said: Deduction, case: Case, facts: Facts) -> Violation | None:
    begins = facts.allocation.code_in_force
    if case.category != SHORTFALL or begins is None or case.starts_on is None:
        return None
    if case.starts_on < begins:
        return None
    return Violation("starts_on", {"begins": f"{begins}", "typed": f"{case.starts_on}"})


def _undated(said: Deduction, case: Case, facts: Facts) -> Violation | None:
    day = case.starts_on
    if day is not None and day <= facts.moment.day:
        return None
    return Violation("starts_on", {"today": f"{facts.moment.day}", "typed": f"{day or '–'}"})


def _share_unfit(said: Deduction, case: Case, facts: Facts) -> Violation | None:
    if case.category != FRAUD:
        return None
    if not said.allowance:
        return Violation("allowance", {"least": "–", "most": "–", "typed": f"{said.tonnes:,}"})
    least, most = fraud_range(said.allowance)
    if least <= said.tonnes <= most:
        return None
    figures = {"least": f"{least:,}", "most": f"{most:,}", "typed": f"{said.tonnes:,}"}
    return Violation("tonnes", figures)


def _of_another_allowance(said: Deduction, case: Case, facts: Facts) -> Violation | None:
    known = facts.allocation.approved.get((case.account_id, said.year, said.sector))
    if case.category != FRAUD or known is None or known == said.allowance:
        return None
    return Violation("allowance", {"known": f"{known:,}", "typed": f"{said.allowance or 0:,}"})


IN_A_YEAR = Rule(
    "deduction_year_unknown",
    _("Enter the compliance year in four digits; this is %(typed)s"),
    _of(_year_unknown),
)
OF_A_SECTOR = Rule(
    "deduction_not_of_the_sector",
    _("The enterprise has never been in this sector"),
    _of(_of_another_sector),
)
HAS_TONNES = Rule(
    "deduction_tonnes",
    _("A deduction lies between 1 and %(limit)s tonnes; this is %(typed)s"),
    _of(_not_in_range),
)
IS_DATED = Rule(
    "document_undated",
    _("Enter the date of the document, not after %(today)s; this is %(typed)s"),
    _of(_undated),
)
# N58, P26 note 4 of table 1-5: decisions made before run on.
NOT_UNDER_THE_CODE = Rule(
    "code_in_force",
    _(
        "Code in force: since the Ecological and Environmental Code took effect on %(begins)s no new"
        " deduction for a shortfall is decided; this document is dated %(typed)s"
    ),
    _of(_code_in_force),
    at=BOTH,
)
# N59, O775-22.
FRAUD_IN_RANGE = Rule(
    "fraud_out_of_range",
    _(
        "For data fraud 50 to 100 percent of the next year's allowance are deducted, from %(least)s to"
        " %(most)s tonnes; this is %(typed)s"
    ),
    _of(_share_unfit),
    at=BOTH,
)
FRAUD_OF_THE_YEAR = Rule(
    "fraud_of_another_allowance",
    _("%(known)s tonnes were approved for this year and sector, not %(typed)s"),
    _of(_of_another_allowance),
    at=BOTH,
)


class AllowanceDeduction(Kind):
    """Its proposal is a `Deduction`; an approved one is an item of the year's true-up."""

    code = "deduction"
    title = _("Allowance deduction")
    prefix = "HJ"
    started_by = Party.OFFICE
    reviews = (Party.OFFICE,)
    has_lines = False
    debits = False
    has_category = True
    rules = (
        IN_A_YEAR,
        OF_A_SECTOR,
        HAS_TONNES,
        HAS_DOCUMENT,
        IS_DATED,
        NOT_UNDER_THE_CODE,
        FRAUD_IN_RANGE,
        FRAUD_OF_THE_YEAR,
        HAS_REASON,
    )
