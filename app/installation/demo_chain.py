"""The demonstration's issuance chain: what provinces issued, and what waits in 湖北 for 2025."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from app.domain.workflow import Line
from app.extensions import db
from app.models import Account, Instrument, Member
from app.models.figures import waiting_line
from app.operations.applications import engine
from app.operations.compliance import chain
from app.operations.imports import province_issues
from app.operations.records.actor import Actor

# What waits: of one nothing is issued yet, of one a part, and one is in 差异化名录.
WAITING = (86_000, 120_000, 54_000)
IN_PART = 70_000


def pass_on(at: datetime) -> None:
    """Issue all that waits, by two officers of each province."""
    rows = db.session.execute(
        select(waiting_line.c.line_id, Account.province)
        .join(Account, Account.id == waiting_line.c.account_id)
        .where(waiting_line.c.remaining > 0)
        .order_by(waiting_line.c.line_id)
    ).all()
    for province in sorted({row.province for row in rows}):
        maker, checker = _officers(province)
        lines = [row.line_id for row in rows if row.province == province]
        _carry_out(province_issues.draft_waiting(lines, maker, now=at), maker, checker, at)


def leave_waiting(
    hubei: list[Account], instrument: Instrument, maker: Actor, checker: Actor, at: datetime
) -> None:
    """Let the registry issue to 湖北 for three of its enterprises, and list the last of them."""
    first, second = _officers("42")
    chosen = hubei[-3:]
    listed = _draft(
        chosen[2], "differentiation", (), at, category="risk", proposal={"year": "2025"}
    )
    _carry_out(engine.start([listed], first, now=at), first, second, at)
    for account, tonnes in zip(chosen, WAITING, strict=True):
        sent = chain.routed(account.id, "supplementary", [Line(instrument.id, tonnes)], at.date())
        issue = _draft(
            account, "issuance", tuple(sent), at, category="supplementary", starts_on=at.date()
        )
        _carry_out(engine.start([issue], maker, now=at), maker, checker, at)
    line = db.session.execute(
        select(waiting_line.c.line_id, waiting_line.c.instrument_id).where(
            waiting_line.c.account_id == chosen[1].id, waiting_line.c.remaining > 0
        )
    ).one()
    part = (Line(line.instrument_id, IN_PART, source_line_id=line.line_id),)
    _carry_out(
        engine.start([_draft(chosen[1], "province_issue", part, at)], first, now=at),
        first,
        second,
        at,
    )


def _draft(
    account: Account, kind: str, lines: tuple[Line, ...], at: datetime, **more: object
) -> engine.Draft:
    return engine.Draft(
        kind,
        account.id,
        lines,
        f"demo:chain:{kind}:{account.id}",
        reason="核定复核后补发" if kind == "issuance" else "依据文件办理",
        document_no=f"鄂环函〔{at.year}〕52号",
        **more,  # type: ignore[arg-type]
    )


def _carry_out(ids: list[int], maker: Actor, checker: Actor, at: datetime) -> None:
    assert engine.submit(ids, maker, now=at).refused == []
    later = at + timedelta(minutes=5)
    assert engine.approve(ids, checker, now=later, comment="同意").refused == []


def _officers(province: str) -> tuple[Actor, Actor]:
    """Return a province's two officers: who enters, who approves."""
    found = select(Member).where(Member.province == province).order_by(Member.username)
    first, second = db.session.scalars(found.limit(2))
    return Actor.of(first, "192.0.2.3"), Actor.of(second, "192.0.2.4")
