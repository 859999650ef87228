"""Bulk review of 10,000 applications, compared with a simple loop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import uuid4

from flask_babel import force_locale
from sqlalchemy import select

from app.domain.compliance.notices import Decision, Terms
from app.domain.kinds import KINDS
from app.domain.moves import Bucket, Stage
from app.domain.workflow import Action, Line, Status
from app.extensions import db, transaction
from app.models import (
    Account,
    Application,
    ApplicationEvent,
    Instrument,
    Movement,
    OperationLog,
    Posting,
)
from app.models.figures import waiting_line
from app.operations.applications import engine
from app.operations.imports import allocation, notice_import, province_issues
from app.operations.imports.tables import Row, Table
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


# A national table through the chain ---------------------------------------------------------------

VINTAGE = 2026  # By its plan every issue goes through the province.


def chain(world: World, report: Report) -> None:
    """Import a table of 3,400 enterprises, and issue what it brings to their provinces."""
    took: dict[str, float] = {}
    with world.app.app_context(), force_locale("zh"):
        code, parties = _instrument(), _parties(min(world.accounts, ENTERPRISES))
        maker, checker = _officers("CHAIN", "registry_maker", "registry_checker")
        table = _table(parties, code)
        made: list[int] = []
        took["import"] = seconds(lambda: made.extend(_import(table, maker)))
        took["approve"] = seconds(lambda: _approve(made, checker))
        took["issue"] = seconds(lambda: _issue_all({each.province or "" for each in parties}))
        with world.superuser() as connection:
            connection.execute("VACUUM ANALYZE")
        db.session.remove()
    count = f"{len(parties):,}"
    report.add(f"table of {count} enterprises, imported and submitted", [took["import"]], "s")
    report.add(f"{count} issues to provinces, approved", [took["approve"]], "s")
    report.add(f"{count} issues by provinces, submitted and approved", [took["issue"]], "s")
    report.add(f"{count} enterprises through the chain", [sum(took.values())], "s")


def _instrument() -> str:
    with transaction():
        row = Instrument(id=9001, code="PE2026999925", name="2026年度碳排放配额", vintage=VINTAGE)
        db.session.add(row)
    return str(row.code)


def _parties(count: int) -> Sequence[Account]:
    wanted = select(Account).where(Account.id.between(FIRST_ACCOUNT, FIRST_ACCOUNT + count - 1))
    return db.session.scalars(wanted).all()


def _officers(prefix: str, *roles: str, province: str | None = None) -> list[Actor]:
    newcomers = [
        NewMember(f"{prefix}-{place}", f"{prefix}-{place}", role, province=province)
        for place, role in enumerate(roles, start=1)
    ]
    with transaction():
        ids = register_members(newcomers, None)
    return [
        Actor(ids[each.member_no], each.member_no, each.name, "127.0.0.1", province=province)
        for each in newcomers
    ]


def _table(parties: Sequence[Account], code: str) -> Table:
    rows = [
        Row(place, dict.fromkeys((each.key for each in allocation.COLUMNS), "") | {
            "member_no": party.member_no, "name": party.name, "code": code, "category": "核定",
            "quantity": "100000",
        })
        for place, party in enumerate(parties, start=2)
    ]  # fmt: skip
    return Table("分配表.csv", "bench-chain", allocation.COLUMNS, rows)


def _import(table: Table, maker: Actor) -> list[int]:
    with transaction():
        return allocation.take(
            table,
            maker,
            now=MORNING,
            document_no="测试〔2026〕1号",
            documented_on=date(2026, 11, 2),
        ).applications


def _approve(ids: list[int], by: Actor) -> None:
    with transaction():
        outcome = engine.approve(ids, by, now=MORNING)
    assert len(outcome.done) == len(ids), outcome.refused[:1]


def _issue_all(provinces: set[str]) -> None:
    """Issue all that waits of the vintage, by two officers of each province."""
    for province in sorted(provinces):
        maker, checker = _officers(f"P{province}", "province", "province", province=province)
        lines = db.session.scalars(
            select(waiting_line.c.line_id)
            .join(Account, Account.id == waiting_line.c.account_id)
            .where(Account.province == province, waiting_line.c.remaining > 0)
        ).all()
        with transaction():
            ids = province_issues.draft_waiting(lines, maker, now=MORNING)
            engine.submit_all(ids, maker, now=MORNING)
        _approve(ids, checker)
