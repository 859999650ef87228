"""The demonstration's 履约: notices in every state, of two years for all, and of one before in time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from app.domain.compliance.notices import Decision, Terms
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db
from app.installation.demo_offsets import Mirror
from app.models import Account, Holding, Instrument, Member, Notice, NoticeChange
from app.operations.accounts import sectors
from app.operations.applications import engine
from app.operations.imports import notice_import
from app.operations.records.actor import Actor

MANUALS_OBLIGATION = 600  # tonnes; the manual's enterprise holds 700 of the oldest vintage
# Two were in time a year before; the manual's with all that it had of that vintage.
BEFORE, BEFORE_AT = 2023, datetime(2024, 11, 20, 10, 30, tzinfo=BEIJING)
OWED_BEFORE = 500  # tonnes
PASSED, PASSED_AT = 2024, datetime(2025, 12, 18, 10, 30, tzinfo=BEIJING)
CURRENT = 2025
OWED = (0.8, 0.1)  # of the year's vintage held, in the first and the second sector
CCER_USED = 3  # per cent of it, by those of the passed year whose CCER account is bound
# The other enterprises' surrenders, in turn: per cent of the obligation, and status.
PASSED_COURSES = ((100, "approved"),) * 9 + ((60, "approved"),)
CURRENT_COURSES = (
    (100, "approved"),
    (100, "approved"),
    (40, "approved"),
    (70, "in_review"),
    (100, "returned"),
    (0, ""),
    (30, "draft"),
)


@dataclass(frozen=True, slots=True)
class _Year:
    """One compliance year: which vintage is surrendered, and the notices' ids by account."""

    year: int
    at: datetime
    vintage: Instrument
    mirror: Mirror
    obligations: dict[tuple[int, str], int]  # by account and sector
    notices: dict[tuple[int, str], int]


def comply(
    year: int,
    enterprises: Sequence[Account],
    instruments: Sequence[Instrument],
    mirror: Mirror,
    members: dict[int, Member],
    maker: Actor,
    checker: Actor,
    at: datetime,
) -> None:
    """Issue a year's notices to all; the others surrender in every way, the manual's not yet."""
    manuals, *others = enterprises
    (vintage,) = [each for each in instruments if each.vintage == year]
    held = _held(vintage)
    trades = sectors.of_accounts([each.id for each in enterprises])
    obligations = {
        (each.id, sector): int(held[each.id] * OWED[place]) // 100 * 100
        for each in others
        for place, sector in enumerate(trades[each.id])
    }
    obligations[manuals.id, trades[manuals.id][0]] = MANUALS_OBLIGATION
    decisions = [
        (account, Decision(year, sector, None, Terms(tonnes)))
        for (account, sector), tonnes in sorted(obligations.items())
    ]
    notices = _issue(decisions, maker, checker, at)
    later = at + timedelta(minutes=5)
    found = _Year(year, later, vintage, mirror, obligations, notices)
    courses = PASSED_COURSES if year == PASSED else CURRENT_COURSES
    shares: dict[int, int] = {}  # of each enterprise's first sector
    for number, enterprise in enumerate(others):
        for place, sector in enumerate(trades[enterprise.id]):
            share, course = courses[(number + 2 + place) % len(courses)]  # P42 finds every state.
            shares.setdefault(enterprise.id, share if course == "approved" or not share else 1)
            if share:
                by = Actor.of(members[enterprise.id])
                _surrender(found, (enterprise, sector), by, share, course)
    if year == CURRENT:
        _assist(found, others, members, shares)


def fulfil_before(
    enterprises: Sequence[Account],
    instruments: Sequence[Instrument],
    mirror: Mirror,
    members: dict[int, Member],
    maker: Actor,
    checker: Actor,
) -> None:
    """Let enterprises of one sector fulfil a notice of the year before the passed one, in time."""
    (vintage,) = [each for each in instruments if each.vintage == BEFORE]
    trades = sectors.of_accounts([each.id for each in enterprises])
    owed = {(each.id, trades[each.id][0]): OWED_BEFORE for each in enterprises}
    decisions = [
        (account, Decision(BEFORE, sector, None, Terms(tonnes)))
        for (account, sector), tonnes in owed.items()
    ]
    notices = _issue(decisions, maker, checker, BEFORE_AT)
    found = _Year(BEFORE, BEFORE_AT + timedelta(minutes=5), vintage, mirror, owed, notices)
    for each in enterprises:
        by = Actor.of(members[each.id])
        _surrender(found, (each, trades[each.id][0]), by, 100, "approved")


def _assist(
    of: _Year, others: Sequence[Account], members: dict[int, Member], course: dict[int, int]
) -> None:
    """Let an enterprise that has fulfilled supply a part for one of another province that has nothing yet.

    That enterprise has agreed; its province has not decided.
    """
    helped = next(each for each in others if course[each.id] == 0 and each.province != "42")
    held = _held(of.vintage)
    helper = max(
        (each for each in others if course[each.id] == 100), key=lambda each: held[each.id]
    )
    (sector, *_rest) = sectors.of_accounts([helped.id])[helped.id]
    tonnes = min(of.obligations[helped.id, sector], held[helper.id]) // 2 // 100 * 100
    draft = engine.Draft(
        "assisted_surrender",
        helper.id,
        (Line(of.vintage.id, tonnes, account_id=helped.id),),
        f"demo:assistance:{of.year}",
        "该单位银行账户被冻结，无法购入配额，按协议协助清缴",
        notice_id=of.notices[helped.id, sector],
    )
    by, agreed_by = Actor.of(members[helper.id]), Actor.of(members[helped.id])
    ids = engine.start([draft], by, now=of.at)
    _none_refused(engine.submit(ids, by, now=of.at).refused)
    later = of.at + timedelta(minutes=10)
    _none_refused(engine.approve(ids, agreed_by, now=later, comment="同意").refused)


def _issue(
    decisions: Sequence[tuple[int, Decision]], maker: Actor, checker: Actor, at: datetime
) -> dict[tuple[int, str], int]:
    """Let two officers issue notices; return the ids by account and sector."""
    drafts = [
        notice_import.draft(
            account,
            decision,
            f"demo:notice:{decision.year}:{account}:{decision.sector}",
            reason=f"{decision.year}年度碳排放核查结果",
        )
        for account, decision in decisions
    ]
    ids = engine.start(drafts, maker, now=at)
    engine.submit_all(ids, maker, now=at)
    _none_refused(engine.approve(ids, checker, now=at, comment="经核对，同意").refused)
    found = select(Notice.account_id, Notice.sector, Notice.id).join(
        NoticeChange, NoticeChange.notice_id == Notice.id
    )
    rows = db.session.execute(found.where(NoticeChange.application_id.in_(ids)))
    return {(account, sector): id_ for account, sector, id_ in rows}


def _held(instrument: Instrument) -> dict[int, int]:
    """Return the available tonnes of an instrument, by account."""
    rows = select(Holding.account_id, Holding.available)
    return dict(db.session.execute(rows.where(Holding.instrument_id == instrument.id)).all())


def _offset(of: _Year, account: int, sector: str) -> int:
    """Return the tonnes of CCER that are offset: of the passed year, by those with a bound account."""
    if of.year != PASSED or account not in of.mirror.bound:
        return 0
    return of.obligations[account, sector] * CCER_USED // 100


def _surrender(of: _Year, whose: tuple[Account, str], by: Actor, share: int, course: str) -> None:
    """Let an enterprise surrender a share of what it owes in a sector, and its province decide."""
    enterprise, sector = whose
    notice_id, offset = of.notices[enterprise.id, sector], _offset(of, enterprise.id, sector)
    tonnes = of.obligations[enterprise.id, sector] * share // 100
    draft = engine.Draft(
        "surrender",
        enterprise.id,
        (Line(of.vintage.id, tonnes - offset),),
        f"demo:surrender:{of.year}:{enterprise.id}:{sector}",
        f"{of.year}年度履约",
        notice_id=notice_id,
    )
    ids = engine.start([draft], by, now=of.at)
    if course == "draft":
        return
    _none_refused(engine.submit(ids, by, now=of.at).refused)
    (reviewer,) = db.session.scalars(
        select(Member).where(Member.username == f"P{enterprise.province}")
    )
    authority, later = Actor.of(reviewer), of.at + timedelta(minutes=10)
    if course == "approved":
        _none_refused(engine.approve(ids, authority, now=later, comment="经核对，同意").refused)
        if offset:
            of.mirror.offset(enterprise, notice_id, offset, authority, later)
    elif course == "returned":
        _none_refused(
            engine.send_back(ids, authority, now=later, comment="请核对申请提交量").refused
        )


def _none_refused(refused: Iterable[object]) -> None:
    assert not list(refused)
