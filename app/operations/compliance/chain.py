"""发放链 (rules-2026 N10-N16): where issues go by the plan, and what waits at provinces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Integer, String

from app.domain.kinds.issuance import Issuance, IssuanceReversal, ProvinceIssue
from app.domain.kinds.rules import Chain, Stop
from app.domain.workflow import Case, Line
from app.extensions import db
from app.operations.records.columns import typed

KINDS_OF_THE_CHAIN = {Issuance.code, ProvinceIssue.code, IssuanceReversal.code}


def gather(cases: Sequence[Case], today: date) -> dict[str, Any]:
    """Return what the rules of the chain read."""
    mine = [case for case in cases if case.kind in KINDS_OF_THE_CHAIN]
    if not mine:
        return {}
    issued = {
        (case.account_id, line.instrument_id, case.category)
        for case in mine
        if case.kind == Issuance.code
        for line in case.lines
    }
    return {
        "chain": Chain(
            stops=stops(issued, today),
            provinces=_provinces({case.account_id for case in mine}),
            withheld=withheld(
                (case.account_id, line.instrument_id) for case in mine for line in case.lines
            ),
        )
    }


def stops(
    issues: Iterable[tuple[int, int, str]], today: date
) -> dict[tuple[int, int, str], Stop]:
    """Return where issues of (account, instrument, type) go by the plans of today."""
    wanted = sorted(set(issues))
    if not wanted:
        return {}
    accounts, instruments, categories = zip(*wanted, strict=True)
    asked = {"accounts": accounts, "instruments": instruments, "categories": categories}
    rows = db.session.execute(_STOPS, asked | {"today": today})
    return {
        (row.account_id, row.instrument_id, row.category): Stop(row.place, row.province_account)
        for row in rows
    }


def routed(account_id: int, category: str, lines: Iterable[Line], today: date) -> list[Line]:
    """Return the lines of an issue with the account that the plan sends each to.

    An issue that is not to be made goes to the enterprise here, and is refused when it is judged.
    """
    given = list(lines)
    found = stops(((account_id, line.instrument_id, category) for line in given), today)
    return [_sent(line, found.get((account_id, line.instrument_id, category))) for line in given]


def _sent(line: Line, stop: Stop | None) -> Line:
    is_kept = stop is not None and stop.place == "province"
    return line._replace(account_id=stop.account_id if stop and is_kept else None)


def withheld(pairs: Iterable[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """Return those (account, instrument) whose units the list of the differentiated keeps."""
    wanted = sorted(set(pairs))
    if not wanted:
        return frozenset()
    accounts, instruments = zip(*wanted, strict=True)
    rows = db.session.execute(_WITHHELD, {"accounts": accounts, "instruments": instruments})
    return frozenset((row.account_id, row.instrument_id) for row in rows)


def _provinces(accounts: Iterable[int]) -> dict[int, str]:
    return dict(db.session.execute(_PROVINCES, {"accounts": list(accounts)}).all())


_STOPS = typed(
    """
    SELECT w.account_id, w.instrument_id, w.category, p.id AS province_account,
           issue_stop(w.account_id, i.vintage, w.category, :today) AS place
      FROM unnest(:accounts, :instruments, :categories) AS w (account_id, instrument_id, category)
      JOIN instrument i ON i.id = w.instrument_id
      JOIN account e ON e.id = w.account_id
      JOIN account p ON p.kind = 'province' AND p.province = e.province
    """,
    accounts=Integer,
    instruments=Integer,
    categories=String,
)
_WITHHELD = typed(
    """
    SELECT w.account_id, w.instrument_id
      FROM unnest(:accounts, :instruments) AS w (account_id, instrument_id)
      JOIN instrument i ON i.id = w.instrument_id
     WHERE is_withheld(w.account_id, i.vintage)
    """,
    accounts=Integer,
    instruments=Integer,
)
_PROVINCES = typed(
    "SELECT id, province FROM account WHERE id = ANY(:accounts)",
    accounts=Integer,
)
