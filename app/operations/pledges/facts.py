"""Reading what the rules of pledges read: the mode of the day, pledgees with an account here, papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, String
from stdnum.cn import uscc

from app.domain.kinds.rules import Pledges
from app.domain.workflow import Case
from app.extensions import db
from app.models import parameter
from app.operations.records.columns import typed

PREFIX = "pledge"  # of the kinds' codes; the database says the same


def gather(cases: Sequence[Case]) -> dict[str, Any]:
    """Return what the rules of pledges read, in three statements."""
    concerned = [case for case in cases if case.kind.startswith(PREFIX)]
    if not concerned:
        return {}
    lines = [
        line.source_line_id for case in concerned for line in case.lines if line.source_line_id
    ]
    pledgees = dict(db.session.execute(_PLEDGEES, {"lines": lines}).all()) if lines else {}
    named = {str(case.proposal.get("uscc", "")) for case in concerned} | set(pledgees.values())
    ids = [case.id for case in concerned]
    found = Pledges(
        mode=int(parameter.setting(db.session, "pledge_mode")),
        valid=frozenset(code for code in named if uscc.is_valid(code)),
        accounts=accounts_of(named),
        pledgees=pledgees,
        without_paper=frozenset(db.session.scalars(_WITHOUT_PAPER, {"ids": ids})),
    )
    return {"pledges": found}


def accounts_of(codes: set[str]) -> dict[str, int]:
    """Return the open accounts here of holders with these credit codes."""
    return dict(db.session.execute(_ACCOUNTS, {"codes": sorted(codes - {""})}).all())


def pledgee_of(line_ids: Sequence[int]) -> set[str]:
    """Return the credit codes of the pledgees of what lines draw on."""
    rows = db.session.execute(_PLEDGEES, {"lines": list(line_ids)})
    return {code for _line, code in rows}


_ACCOUNTS = typed(
    """
    SELECT uscc, id FROM account
     WHERE uscc = ANY(:codes) AND kind = 'enterprise' AND closed_at IS NULL
    """,
    codes=String,
)
_PLEDGEES = typed(
    """
    SELECT l.id, a.proposal ->> 'uscc'
      FROM application_line l JOIN application a ON a.id = l.application_id
     WHERE l.id = ANY(:lines) AND a.kind IN ('pledge', 'pledge_note')
    """,
    lines=BigInteger,
)
_WITHOUT_PAPER = typed(
    """
    SELECT id FROM unnest(:ids) AS w (id)
     WHERE NOT EXISTS (SELECT FROM attachment t WHERE t.application_id = w.id)
    """,
    ids=BigInteger,
)
