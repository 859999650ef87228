"""A carry-over round for tests: its officers, notices fulfilled in time, and the acts in one line each."""

from __future__ import annotations

from datetime import date, datetime
from uuid import uuid4

from sqlalchemy import select

from app.domain.compliance.carry_over import RoundDecision
from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Account, CarryOverNotice, Instrument, Member
from app.operations.applications import engine
from app.operations.carry_over import batches, drafts
from app.operations.compliance import carry_over
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests import factories
from tests.factories import confirmed

IN_TIME = datetime(2025, 12, 20, 10, tzinfo=BEIJING)  # before the deadline of 2024
BEFORE = datetime(2025, 12, 1, 10, tzinfo=BEIJING)
SAYS = {
    "vintages": "2020,2021,2022,2023,2024",
    "sold_from": "2024-01-01",
    "sold_until": "2025-12-31",
    "held_at": "2025-12-31 23:59:00",
    "years": "2023,2024",
    "plan_year": "2024",
    "base_rule": "largest",
    "notice_by": "2026-01-31",
    "apply_until": "2026-11-20",
    "batches": "2026-03-20/2026-03-27,2026-11-20/2026-11-27",
    "issue_days": "5",
    "source": "国环规气候〔2024〕1号附件5",
    "note": "",
}


def start(content: engine.Draft, by: Member, *, submits: bool = True) -> int:
    """Save, and submit, what an officer or an enterprise enters; return its id."""
    with transaction():
        made = engine.start([content], Actor.of(by), now=clock.now())
        if submits:
            engine.submit(made, Actor.of(by), now=clock.now()).one()
    return made[0]


def target(vintage: int = 2025) -> Instrument:
    """Return the instrument carried over into."""
    found = db.session.scalars(select(Instrument).where(Instrument.vintage == vintage)).first()
    return found or factories.instrument(f"{vintage}年度配额", trade_code=None, vintage=vintage)


def round_of(by: Member, year: int = 2025, *, submits: bool = True, **says: str) -> int:
    """Propose a round, or the change of the one there is; return the application's id."""
    before = carry_over.latest(year)
    values = before.values() if before else SAYS | {"target": target(year).code}
    decision = RoundDecision(
        year,
        before.id if before else None,
        values if before else None,
        values | says,
        date(2026, 1, 5),
    )
    content = drafts.of_round(
        decision, str(uuid4()), document_no="国环规气候〔2024〕1号", reason="按方案结转"
    )
    return start(content, by, submits=submits)


def decided_round(maker: Member, checker: Member, year: int = 2025, **says: str) -> None:
    """Let two officers decide on a round."""
    confirmed(round_of(maker, year, **says), checker)


def fulfilled(
    account: Account,
    by: Member,
    maker: Member,
    *,
    at: datetime = IN_TIME,
    year: int = 2024,
    sector: str = "",
) -> int:
    """Give an enterprise a notice of 100 tonnes that it fulfils at a time; return the notice's id."""
    notice = factories.notice(account, 100, by=maker, year=year, sector=sector)
    old = factories.instrument("履约所用", trade_code=None, vintage=2021)
    factories.give(account, old, 100, at=BEFORE)
    content = engine.Draft(
        "surrender", account.id, (Line(old.id, 100),), str(uuid4()), notice_id=notice
    )
    office = factories.officer_of(account.province)
    with transaction():
        made = engine.start([content], Actor.of(by), now=at)
        engine.submit(made, Actor.of(by), now=at).one()
        engine.approve(made, Actor.of(office), now=at).one()
    return notice


def noticed(maker: Member, checker: Member, year: int = 2025) -> None:
    """Let two officers make the notices of a round."""
    confirmed(notices_of(maker, year), checker)


def notices_of(maker: Member, year: int = 2025, *, submits: bool = True) -> int:
    """Propose the notices of a round; return the application's id."""
    round_ = carry_over.latest(year)
    assert round_
    content = drafts.of_notices(round_, str(uuid4()), now=clock.now(), reason="按方案核定")
    return start(content, maker, submits=submits)


def notice_of(account: Account, year: int = 2025) -> CarryOverNotice | None:
    db.session.expire_all()
    return carry_over.notice_for(account.id, year)


def draft(
    by: Member, lines: dict[Instrument, int], *, year: int = 2025, release: str = ""
) -> engine.Draft:
    """Return the draft of an enterprise's application."""
    asked = [Line(what.id, tonnes) for what, tonnes in lines.items()]
    assert by.account_id
    return drafts.of_enterprise(by.account_id, year, asked, str(uuid4()), release=release)


def applied(by: Member, lines: dict[Instrument, int], **more: object) -> int:
    """Submit an application; return its id."""
    return start(draft(by, lines, **more), by)


def batch(maker: Member, checker: Member, until: date, year: int = 2025) -> int:
    """Let two officers decide on a batch; return its id."""
    made = start(drafts.of_batch(year, until, str(uuid4()), reason="按期收回"), maker)
    confirmed(made, checker)
    return made


def carried_out() -> int:
    """Carry out all approved batches as the worker does; return the number of applications."""
    total, done = 0, 1
    while done:
        with transaction():
            done = batches.carry_out_next(SYSTEM, now=clock.now())
        total += done
    return total


def on(day: date, hour: int = 10) -> None:
    """Set the business clock."""
    with transaction():
        clock.set_to(datetime(day.year, day.month, day.day, hour, tzinfo=BEIJING), SYSTEM)


def recalled(account: Account, what: Instrument) -> int:
    return factories.quantity(account, what, Bucket.RECALLED)
