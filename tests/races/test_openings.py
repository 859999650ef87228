"""Concurrent openings: one account per code, one approval per application, unique member numbers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Account, Application, Invitation
from app.operations.accounts import openings
from app.operations.applications import engine
from app.operations.imports import opening_import
from app.operations.ledger import posting
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests.factories import member
from tests.openings import enterprise, imported, table


def accounts() -> list[str]:
    db.session.rollback()
    query = select(Account.member_no).where(Account.kind == "enterprise")
    return sorted(db.session.scalars(query))


def approving(ids: list[int], by: Actor):
    def act() -> int:
        with transaction():
            return len(engine.approve(ids, by, now=clock.now()).done)

    return act


def importing(rows: list[dict[str, str]], by: Actor):
    def act() -> int:
        with transaction():
            return len(opening_import.take(table(rows), by, now=clock.now()).applications)

    return act


def test_two_confirmations_at_once_open_one_account(app, together, maker):
    officers = [Actor.of(member("registry_checker")) for _ in range(2)]
    ids = imported([enterprise(n) for n in range(1, 6)], maker)

    results = together(*(approving(ids, officer) for officer in officers))

    assert results.failed == []
    assert sorted(results.returned) == [0, 5]
    assert len(accounts()) == 5
    assert db.session.scalar(select(func.count()).select_from(Invitation)) == 5


def test_member_numbers_follow_one_another_however_many_confirm(app, together, maker):
    officers = [Actor.of(member("registry_checker")) for _ in range(4)]
    batches = [
        imported([enterprise(n) for n in range(first, first + 5)], maker)
        for first in (1, 11, 21, 31)
    ]

    results = together(*map(approving, batches, officers))

    assert results.failed == []
    assert accounts() == [f"261120{serial:05}" for serial in range(1, 21)]


def test_two_imports_of_one_code_at_once_make_one_application(app, together, maker):
    other = member("registry_maker")
    results = together(
        importing([enterprise(1), enterprise(2)], Actor.of(maker)),
        importing([enterprise(1, name="另名有限公司"), enterprise(3)], Actor.of(other)),
    )

    assert [type(error) for error in results.failed] == [RuleError]
    assert sorted(results.returned, key=str) == [2, None]
    assert db.session.scalar(select(func.count()).select_from(Application)) == 2


def test_the_database_refuses_two_openings_of_one_code_whoever_writes(app, maker):
    """Without locks and rule the unique index remains."""
    made = []
    for number in (1, 2):
        proposal, _wrong = opening_import.judge(enterprise(1, name=f"第{number}名有限公司"))
        with transaction():
            draft = opening_import.draft(proposal, f"request-{number}")
            made += engine.start([draft], Actor.of(maker), now=clock.now())
    with pytest.raises(RuleError) as refusal, transaction(), posting.ledger_errors():
        db.session.execute(
            db.text("UPDATE application SET status = 'in_review', submitted_at = now()")
        )
    assert refusal.value.code == "uscc_taken"


def test_two_workers_write_each_letter_once(app, together, maker):
    ids = imported([enterprise(n) for n in range(1, 5)], maker)
    with transaction():
        engine.approve(ids, Actor.of(member("registry_checker")), now=clock.now())

    def write() -> int:
        written = 0
        while True:
            with transaction():
                found = openings.write_letters(now=datetime.now(UTC), most=1)
            written += found
            if not found:
                return written

    results = together(write, write)

    assert results.failed == []
    assert sum(results.returned) == 4
    assert db.session.scalar(db.text("SELECT count(*) FROM outbox_message")) == 8
