"""Bulk review of 10,000 applications, compared with a simple loop; recomputing a nation's pushed table."""

from __future__ import annotations

from fractions import Fraction
from uuid import uuid4

from sqlalchemy import select

from app.domain.compliance.figures import Figure
from app.domain.compliance.notices import Decision, Terms
from app.domain.kinds import KINDS
from app.domain.moves import Bucket, Stage
from app.domain.workflow import Action, Line, Status
from app.extensions import db, transaction
from app.models import Application, ApplicationEvent, Movement, OperationLog, Posting
from app.operations.applications import engine
from app.operations.imports import notice_import
from app.operations.imports.figure_import import computed
from app.operations.people.members import NewMember, register_members
from app.operations.records.actor import SYSTEM, Actor
from bench.measure import Report, interleaved, seconds
from bench.world import FIRST_ACCOUNT, MORNING, World

ENTERPRISES = 3_400  # the national number; some apply several times
OFFICER = Actor(None, "P42", "湖北主管部门", "127.0.0.1", province="42")


def bulk(world: World, report: Report) -> None:
    """Approve 10,000 surrenders at once, with all checks, and the same number one by one."""
    many, few = (2_000, 100) if world.is_quick else (10_000, 500)
    rounds = 2 if world.is_quick else 3
    with world.app.app_context():
        _give_notices(world)
        waiting = _submit(world, rounds * (many + few))
        found = interleaved(
            rounds,
            {
                "bulk": lambda: many / seconds(lambda: _at_once(_take(waiting, many))),
                "loop": lambda: few / seconds(lambda: _one_by_one(_take(waiting, few))),
            },
        )
        db.session.remove()
    report.add("review by a loop of the ORM, a commit each", found["loop"], "items/s")
    report.add(
        f"review of {many:,} at once through the operation", found["bulk"], "items/s",
        to=("ORM loop", found["loop"]), aim=">= 40",
    )  # fmt: skip
    report.add(f"review of {many:,} at once", [many / rate for rate in found["bulk"]], "s")


def _give_notices(world: World) -> None:
    """Have two officers issue notices over more than each enterprise holds."""
    numbers = {"BENCH-1": "registry_maker", "BENCH-2": "registry_checker"}
    with transaction():
        ids = register_members(
            [NewMember(each, each, role) for each, role in numbers.items()], None
        )
        maker, checker = (Actor(ids[each], each, each, "127.0.0.1") for each in numbers)
        decision = Decision(2025, "power", None, Terms(1_000_000))
        drafts = [
            notice_import.draft(FIRST_ACCOUNT + number, decision, str(uuid4()), reason="bench")
            for number in range(min(world.accounts, ENTERPRISES))
        ]
        ids_of = engine.start(drafts, maker, now=MORNING)
        for step in (
            engine.submit(ids_of, maker, now=MORNING),
            engine.approve(ids_of, checker, now=MORNING),
        ):
            assert not step.refused, step.refused[0]


def _submit(world: World, wanted: int) -> list[int]:
    """Submit this number of surrenders, spread over the enterprises."""
    notices = dict(db.session.execute(db.text("SELECT account_id, id FROM notice")).all())
    drafts = []
    for number in range(wanted):
        account = FIRST_ACCOUNT + number % min(world.accounts, ENTERPRISES)
        line = Line(1 + number % world.instruments, 1)
        drafts.append(
            engine.Draft("surrender", account, (line,), str(uuid4()), notice_id=notices[account])
        )
    with transaction():
        ids = engine.start(drafts, SYSTEM, now=MORNING)
        outcome = engine.submit(ids, SYSTEM, now=MORNING)
    assert not outcome.refused, outcome.refused[0]
    with world.superuser() as connection:
        connection.execute("VACUUM ANALYZE")
    return ids


def _take(waiting: list[int], count: int) -> list[int]:
    taken = waiting[:count]
    del waiting[:count]
    return taken


def _at_once(ids: list[int]) -> None:
    with transaction():
        outcome = engine.approve(ids, OFFICER, now=MORNING)
    assert len(outcome.done) == len(ids), outcome.refused[:1]


def _one_by_one(ids: list[int]) -> None:
    """Approve each with ORM objects in its own transaction."""
    for id_ in ids:
        with transaction():
            row = db.session.scalars(
                select(Application).where(Application.id == id_).with_for_update()
            ).one()
            assert row.status == Status.IN_REVIEW
            posting = Posting(
                business=row.kind, stage=Stage.APPROVAL, request_key=str(uuid4()),
                application_id=row.id, document=row.number, leads=True,
            )  # fmt: skip
            db.session.add(posting)
            db.session.flush()
            for line in row.lines:
                db.session.add(
                    Movement(
                        posting_id=posting.id, at=MORNING, instrument_id=line.instrument_id,
                        quantity=line.quantity, from_account=row.account_id,
                        from_bucket=int(Bucket.RESERVED), to_account=row.account_id,
                        to_bucket=int(Bucket.SURRENDERED),
                    )
                )  # fmt: skip
            row.status, row.step = Status.APPROVED, len(KINDS[row.kind].reviews)
            row.version += 1
            db.session.add(
                ApplicationEvent(
                    application_id=row.id, action=Action.APPROVE, status=Status.APPROVED, at=MORNING
                )
            )
            db.session.add(
                OperationLog(member_no="P42", action="surrender.approve", subject=row.number)
            )


def recomputing(world: World, report: Report) -> None:
    """Compute units by benchmark with the peak correction, and enterprises with their top-up."""
    rows = []
    for number in range(ENTERPRISES):
        key = (number, 2025, "power", "approved")
        of_unit = {
            "basis": "coal", "power": Fraction(3_000_000 + number), "heat": Fraction(5_000_000),
            "power_benchmark": Fraction("0.7902"), "heat_benchmark": Fraction("0.1027"),
        }  # fmt: skip
        for unit in (1, 2):
            load = Fraction(4_000 + number % 2_000, 100)
            verified = Fraction(2_900_000 + number)
            rows.append(
                (key, Figure(2025, "power", "approved", f"{unit}", verified, load=load, **of_unit))
            )
        whole = Figure(2025, "power", "approved", "", Fraction(7_500_000 + number), basis="units")
        rows.append((key, whole))
    rounds = 1 if world.is_quick else 3
    found = [seconds(lambda: computed(rows)) for _round in range(rounds)]
    report.add(f"recomputing the table of {ENTERPRISES:,} enterprises", found, "s")
