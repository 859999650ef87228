"""Reading what the rules of deductions, claims and issues read of allocation (docs/adr/0088)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Integer

from app.domain.compliance.figures import AllocationFacts
from app.domain.kinds.compliance.claim import AllowanceClaim
from app.domain.kinds.compliance.deduction import AllowanceDeduction
from app.domain.kinds.issuance import Issuance
from app.domain.workflow import Case, Status
from app.extensions import db
from app.models import parameter
from app.operations.records.columns import typed


def gather(cases: Sequence[Case]) -> dict[str, Any]:
    """Return what the rules read; nothing for other kinds."""
    deductions = {case.account_id for case in cases if case.kind == AllowanceDeduction.code}
    claims = {
        case.account_id
        for case in cases
        if case.kind == AllowanceClaim.code and case.status is not Status.IN_REVIEW
    }
    issues = {case.account_id for case in cases if case.kind == Issuance.code}
    if not (deductions or claims or issues):
        return {}
    found = AllocationFacts(
        claimable={
            (row.account_id, row.instrument_id): row.claimable for row in _rows(_CLAIMABLE, claims)
        },
        differing={
            (row.account_id, row.instrument_id): _difference(row)
            for row in _rows(_DIFFERING, issues)
        },
    )
    if deductions:
        found.sectors = frozenset(tuple(row) for row in _rows(_SECTORS, deductions))
        found.approved = {
            (row.account_id, row.year, row.sector): row.quantity
            for row in _rows(_APPROVED, deductions)
        }
        found.code_in_force = parameter.setting(db.session, "environment_code_from")
    return {"allocation": found}


def _rows(statement: Any, accounts: set[int]) -> Sequence[Any]:
    return db.session.execute(statement, {"accounts": list(accounts)}).all() if accounts else ()


def _difference(row: Any) -> str:
    figures = {"quantity": f"{row.quantity:,}", "expected": f"{row.expected:,}"}
    if row.unit:
        return _("unit %(unit)s: %(quantity)s, expected %(expected)s", unit=row.unit, **figures)
    return _("%(quantity)s, expected %(expected)s", **figures)


_CLAIMABLE = typed("SELECT * FROM claimable WHERE account_id = ANY(:accounts)", accounts=Integer)
# The first difference of each year, by instrument.
_DIFFERING = typed(
    """
    SELECT DISTINCT ON (f.account_id, i.id) f.account_id, i.id AS instrument_id, f.unit, f.quantity,
           f.expected
      FROM current_figure f JOIN instrument i ON i.vintage = f.year AND i.kind = 'allowance'
     WHERE f.account_id = ANY(:accounts) AND f.is_differing
     ORDER BY f.account_id, i.id, f.id
    """,
    accounts=Integer,
)
_SECTORS = typed(
    "SELECT DISTINCT account_id, sector FROM account_sector WHERE account_id = ANY(:accounts)",
    accounts=Integer,
)
_APPROVED = typed(
    """
    SELECT account_id, year, sector, quantity FROM current_figure
     WHERE account_id = ANY(:accounts) AND stage = 'approved' AND unit = ''
    """,
    accounts=Integer,
)
