"""The drafts of carry-over applications: what the forms of officers and enterprises bring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from app.domain.compliance.carry_over import RoundDecision
from app.domain.kinds.compliance.carry_over import (
    CarryOver,
    CarryOverBatch,
    CarryOverNotices,
    CarryOverRound,
)
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.models import CarryOverRound as Round
from app.operations.applications import engine
from app.operations.compliance import carry_over


def of_round(
    decision: RoundDecision, request_key: str, *, document_no: str, reason: str
) -> engine.Draft:
    """Return the draft of a round, or of its change."""
    return engine.Draft(
        CarryOverRound.code,
        ISSUANCE_ACCOUNT_ID,
        (),
        request_key,
        reason=reason,
        document_no=document_no,
        proposal=decision.stored(),
    )


def of_notices(round_: Round, request_key: str, *, now: datetime, reason: str) -> engine.Draft:
    """Return the draft of a round's notices, with what they come to now."""
    day = now.astimezone(BEIJING).date()
    found = carry_over.notices_to_make(round_, day)
    said = {"year": str(round_.year), "round": str(round_.id), "day": day.isoformat()}
    return engine.Draft(
        CarryOverNotices.code,
        ISSUANCE_ACCOUNT_ID,
        (),
        request_key,
        reason=reason,
        proposal=said | found.stored(),
    )


def of_batch(year: int, until: date, request_key: str, *, reason: str) -> engine.Draft:
    """Return the draft of a batch, with the applications submitted until a day."""
    day = until.isoformat()
    said = {"year": str(year), "until": day, "vintages": carry_over.batch_lines(year, day)}
    return engine.Draft(
        CarryOverBatch.code,
        ISSUANCE_ACCOUNT_ID,
        (),
        request_key,
        reason=reason,
        proposal=said | carry_over.batch_of(year, day).stored(),
    )


def of_enterprise(
    account_id: int,
    year: int,
    lines: Sequence[Line],
    request_key: str,
    *,
    reason: str = "",
    release: str = "",
) -> engine.Draft:
    """Return the draft of an enterprise's application; without a notice the rules refuse it."""
    notice = carry_over.notice_for(account_id, year)
    said = {"year": str(year), "notice": str(notice.id) if notice else ""}
    if notice:
        said["notice_number"] = notice.number
    if release:
        said["release"] = release
    return engine.Draft(
        CarryOver.code,
        account_id,
        tuple(lines),
        request_key,
        reason=reason,
        proposal=said,
    )
