"""Pledges as holders, pledgees and officers bring them about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from uuid import uuid4

from sqlalchemy import select
from stdnum.cn import uscc

from app.domain.trading_day import BEIJING
from app.domain.workflow import Case, Line
from app.extensions import db, transaction
from app.models import Account, ApplicationLine, Instrument, Member
from app.operations.applications import engine
from app.operations.pledges.facts import accounts_of, pledgee_of
from app.operations.records import clock, parameters
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import confirmed
from tests.operations.courts import attach

BANK = "914201003000000001"[:17]
BANK = BANK + uscc.calc_check_digit(BANK)  # has no account here
UNTIL = date(2028, 12, 31)


def switched(mode: int, *, since: date | None = None, now: datetime | None = None) -> None:
    """Set how pledges are registered: 0 not at all, 1 as a note, 2 as a hold."""
    now = now or clock.now()
    with transaction():
        parameters.set_value(
            "pledge_mode", str(mode), effective_from=since or now.astimezone(BEIJING).date(),
            reason="测试", actor=SYSTEM, now=now,
        )  # fmt: skip


def known_here(of: Account) -> str:
    """Give an account a credit code, and return it."""
    code = f"91420100{of.id:09d}"
    with transaction():
        of.uscc = code + uscc.calc_check_digit(code)
    return of.uscc


def pledging(
    by: Member,
    lines: dict[Instrument, int],
    *,
    kind: str = "pledge",
    code: str = BANK,
    paper: bool = True,
    submits: bool = True,
    proposal: dict[str, str] | None = None,
    receivers: Sequence[int] | None = None,
    **more: object,
) -> int:
    """Apply for a pledge; return the application's id."""
    said = {
        "pledgee": "湖北银行武汉分行", "uscc": code, "contract_no": "质押合同2026-01号",
        "filing_no": "01234567000123456789", "email": "pledge@bank.example",
    } | (proposal or {})  # fmt: skip
    found = [Line(what.id, tonnes) for what, tonnes in lines.items()]
    more.setdefault("ends_on", UNTIL)
    return _sent(
        kind, by.account_id, by, found, code, paper, submits, receivers, proposal=said, **more
    )


def drawing(
    kind: str,
    source: int,
    tonnes: int,
    by: Member,
    *,
    paper: bool = True,
    submits: bool = True,
    receivers: Sequence[int] | None = None,
    **more: object,
) -> int:
    """Apply for what draws on a pledge: a release, or a surrender."""
    line = db.session.scalars(
        select(ApplicationLine).where(ApplicationLine.application_id == source)
    ).one()
    code = pledgee_of([line.id]).pop()
    about = line.application.account_id
    found = [Line(line.instrument_id, tonnes, source_line_id=line.id)]
    if by.account_id is None:
        more = {"document_no": "鄂银函〔2026〕7号", "reason": "质权人申请"} | more
        receivers = ()
    return _sent(kind, about, by, found, code, paper, submits, receivers, **more)


def _sent(kind, about, by, lines, code, paper, submits, receivers, **content):
    if receivers is None:
        receivers = [id_ for id_ in accounts_of({code}).values() if id_ != about]
    asked = engine.Draft(
        kind, about, tuple(lines), str(uuid4()), receivers=tuple(receivers), **content
    )
    actor = Actor.of(by)
    with transaction():
        (made,) = engine.start([asked], actor, now=clock.now())
        if paper:
            attach(made, db.session.get_one(Account, about), by)
        if submits:
            engine.submit([made], actor, now=clock.now()).one()
    return made


def approved(application_id: int, *by: Member) -> Case:
    """Let one after the other approve."""
    for each in by:
        case = confirmed(application_id, each)
    return case


def pledged(by: Member, lines: dict[Instrument, int], *officers: Member, **more: object) -> int:
    """Register a pledge; its pledgee has no account here."""
    made = pledging(by, lines, **more)
    approved(made, *officers)
    return made
