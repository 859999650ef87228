"""结转 of a nation: the notices of a round, and a batch with an application of each enterprise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from uuid import uuid4

from sqlalchemy import select

from app.domain.compliance.carry_over import RoundDecision
from app.domain.compliance.notices import Decision, Terms
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import CarryOverNotice, Instrument
from app.operations.applications import engine
from app.operations.carry_over import batches, drafts
from app.operations.compliance import carry_over
from app.operations.imports import notice_import
from app.operations.records.actor import SYSTEM, Actor
from bench.issuance import officers
from bench.measure import Report, seconds
from bench.review import ENTERPRISES
from bench.world import FIRST_ACCOUNT, MORNING, World

YEAR = 2027  # No other case issues of this vintage.
IN_TIME = datetime(2025, 12, 20, 10, tzinfo=BEIJING)  # before the deadline of 2024
AFTER = datetime(2026, 11, 23, 10, tzinfo=BEIJING)  # after the last day of applying
SURRENDERED = 100  # tonnes
ROUND = {
    "vintages": "2021",
    "sold_from": "2024-01-01",
    "sold_until": "2025-12-31",
    "held_at": "2026-01-31 23:59:00",
    "years": "2024",
    "plan_year": "2024",
    "base_rule": "largest",
    "notice_by": "2026-02-28",
    "apply_until": "2026-11-20",
    "batches": "2026-11-20/2026-11-27",
    "issue_days": "5",
    "source": "虚构",
    "note": "",
}


def batch(world: World, report: Report) -> None:
    """Make the notices of 3,400 enterprises, take their applications, and carry out the batch."""
    took: dict[str, float] = {}
    with world.app.app_context():
        accounts = range(FIRST_ACCOUNT, FIRST_ACCOUNT + min(world.accounts, ENTERPRISES))
        maker, checker = officers("CARRY", "registry_maker", "registry_checker")
        _fulfil(accounts, maker, checker)
        _decide_round(maker, checker)
        with world.superuser() as connection:
            connection.execute("VACUUM ANALYZE")
        took["notices"] = seconds(lambda: _make_notices(maker, checker))
        took["applications"] = seconds(lambda: _apply(len(accounts)))
        took["decision"] = seconds(lambda: _decide_batch(maker, checker))
        took["batch"] = seconds(_carry_out)
        db.session.remove()
    count = f"{len(accounts):,}"
    report.add(f"{count} carry-over notices, proposed and approved", [took["notices"]], "s")
    report.add(f"{count} carry-over applications, submitted", [took["applications"]], "s")
    report.add("their batch, proposed and approved", [took["decision"]], "s")
    report.add(f"{count} recalled and granted by the batch", [took["batch"]], "s")


def _fulfil(accounts: Sequence[int], maker: Actor, checker: Actor) -> None:
    """Let each fulfil its notice of 2024 in time."""
    decision = Decision(2024, "power", None, Terms(SURRENDERED))
    of_notices = [
        notice_import.draft(each, decision, str(uuid4()), reason="bench") for each in accounts
    ]
    _approved(of_notices, maker, checker, IN_TIME)
    of_2024 = db.text("SELECT account_id, id FROM notice WHERE year = 2024")
    notices = dict(db.session.execute(of_2024).all())
    line = (Line(1, SURRENDERED),)
    surrenders = [
        engine.Draft("surrender", each, line, str(uuid4()), notice_id=notices[each])
        for each in accounts
    ]
    office = Actor(None, "P42", "湖北主管部门", "127.0.0.1", province="42")
    _approved(surrenders, SYSTEM, office, IN_TIME)


def _decide_round(maker: Actor, checker: Actor) -> None:
    with transaction():
        target = Instrument(id=9002, code="PE2027999925", name="2027年度碳排放配额", vintage=YEAR)
        db.session.add(target)
    says = ROUND | {"target": "PE2027999925"}
    decision = RoundDecision(YEAR, None, None, says, date(2026, 1, 5))
    draft = drafts.of_round(decision, str(uuid4()), document_no="虚构〔2026〕1号", reason="bench")
    _approved([draft], maker, checker, MORNING)


def _make_notices(maker: Actor, checker: Actor) -> None:
    round_ = carry_over.latest(YEAR)
    assert round_
    draft = drafts.of_notices(round_, str(uuid4()), now=MORNING, reason="bench")
    _approved([draft], maker, checker, MORNING)


def _apply(expected: int) -> None:
    query = select(CarryOverNotice.account_id, CarryOverNotice.id, CarryOverNotice.number)
    notices = db.session.execute(query.where(CarryOverNotice.year == YEAR)).all()
    assert len(notices) == expected, len(notices)
    made = [
        engine.Draft(
            "carry_over",
            each.account_id,
            (Line(1, 1_000),),
            str(uuid4()),
            proposal={
                "year": str(YEAR),
                "notice": str(each.id),
                "notice_number": each.number,
            },
        )
        for each in notices
    ]
    with transaction():
        outcome = engine.submit(engine.start(made, SYSTEM, now=MORNING), SYSTEM, now=MORNING)
        assert not outcome.refused, outcome.refused[0]


def _decide_batch(maker: Actor, checker: Actor) -> None:
    draft = drafts.of_batch(YEAR, MORNING.date(), str(uuid4()), reason="bench")
    _approved([draft], maker, checker, AFTER)


def _carry_out() -> None:
    done = 1
    while done:
        with transaction():
            done = batches.carry_out_next(SYSTEM, now=AFTER)


def _approved(made: list[engine.Draft], maker: Actor, checker: Actor, now: datetime) -> None:
    with transaction():
        ids = engine.start(made, maker, now=now)
        for step in (
            engine.submit(ids, maker, now=now),
            engine.approve(ids, checker, now=now),
        ):
            assert not step.refused, step.refused[0]
