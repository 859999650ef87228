"""夜间比对: rules-2026 N89."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.domain.errors import NotAllowed
from app.extensions import db, transaction
from app.models import OffsetComparison, OffsetDifference
from app.operations.offsets import comparison
from app.operations.offsets.exchange import Frozen
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.operations.offsets import lines


def compare_now(line, officer):
    with transaction():
        comparison.ask(Actor.of(officer), now=clock.now())
    line.exchange()
    db.session.rollback()


def found():
    rows = db.session.scalars(select(OffsetDifference).order_by(OffsetDifference.id)).all()
    return [(row.account_id, row.ours, row.theirs) for row in rows]


def test_once_a_night_and_when_an_officer_asks(line, maker):
    member = line.member()
    line.freeze(member, 500)
    assert found() == []
    compare_now(line, maker)
    compare_now(line, maker)
    rows = db.session.scalars(select(OffsetComparison).order_by(OffsetComparison.id)).all()
    assert [(row.asked_by is None, row.differences) for row in rows] == [
        (True, 0), (False, 0), (False, 0),
    ]  # fmt: skip


def test_a_difference_restricts_that_enterprise_alone(line, maker):
    """N89: what waits, is applied for and ordered, against what is frozen there."""
    first, second = line.member("甲"), line.member("乙")
    units = {each.account_id: line.freeze(each, 500) for each in (first, second)}
    notices = {
        each.account_id: factories.notice(
            db.session.get_one(factories.Account, each.account_id), 100_000, by=maker, percent=5
        )
        for each in (first, second)
    }
    serial = units[first.account_id].serial
    line.registry.state["units"][serial]["state"] = "free"  # Without a word to us.
    compare_now(line, maker)
    assert found() == [(first.account_id, 500, 0)]

    lines.apply_for(second, notices[second.account_id], units[second.account_id])
    with pytest.raises(NotAllowed) as refusal:
        lines.apply_for(first, notices[first.account_id], units[first.account_id])
    assert refusal.value.code == "offset_differs"

    line.registry.state["units"][serial]["state"] = "frozen"
    compare_now(line, maker)
    lines.apply_for(first, notices[first.account_id], units[first.account_id])
    assert len(found()) == 1  # The next comparison finds none; the first one stays on record.


def test_what_is_under_way_is_no_difference(line, maker):
    """Its cancellation may have been carried out there or not."""
    member = line.member()
    of = factories.notice(
        db.session.get_one(factories.Account, member.account_id), 100_000, by=maker, percent=5
    )
    unit = line.freeze(member, 500)
    case = lines.apply_for(member, of, unit)
    factories.confirmed(case.id, factories.member("province", province="42"))
    line.registry.fail("cancel", "lost_after")
    line.registry.fail("query", "lost_before")
    compare_now(line, maker)
    line.exchange()
    assert found() == []


def test_what_nobody_here_has_is_a_difference_without_an_account(line, maker):
    with transaction():
        asked = comparison.due(now=clock.now())
    with transaction():
        theirs = [Frozen("91420100MA00000000", 7)]
        assert comparison.compare(asked, theirs, now=clock.now()) == 1
    assert found() == [(None, 0, 7)]
