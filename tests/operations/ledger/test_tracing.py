"""来源追溯: which issues and transfers a holding came from, first in, first out (docs/adr/0093)."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

import pytest

from app.domain.moves import Bucket, Move, Pocket, PostingRequest, Stage
from app.extensions import db, transaction
from app.models import Application
from app.operations.ledger import posting, tracing
from tests import factories
from tests.operations import carrying, chains


def anywhere(_step):
    return True


def passed(giver, taker, what, tonnes):
    """Move tonnes from one enterprise to another, as a trade or a succession does."""
    move = Move(
        Pocket(giver.id, what.id, Bucket.AVAILABLE),
        Pocket(taker.id, what.id, Bucket.AVAILABLE),
        tonnes,
    )
    with transaction():
        posting.post(
            [PostingRequest(factories.TRIAL, Stage.APPROVAL, f"pass:{uuid4()}", (move,))],
            at=factories.at("11:00"),
        )


def ends(trail):
    assert sum(each.tonnes for each in trail.ends) == trail.tonnes
    return [(each.end, each.from_name, each.account, each.tonnes) for each in trail.ends]


@pytest.fixture
def others(app):
    return factories.account("乙钢铁公司"), factories.account("丙水泥公司", province="31")


def test_what_came_in_first_leaves_first(plant, others):
    """100 and 50 issued; 60 go to the second, which has 40 from the third, and passes 30 on."""
    second, third = others
    what = factories.issued_to(plant, 100)
    factories.give(plant, what, 50)
    factories.give(third, what, 40)
    passed(plant, second, what, 60)
    passed(third, second, what, 40)
    passed(second, third, what, 30)

    first = tracing.trace(plant.id, what.id, anywhere)
    assert (first.tonnes, [each.tonnes for each in first.steps]) == (90, [40, 50])

    found = tracing.trace(second.id, what.id, anywhere)
    assert [(each.level, each.from_name, each.tonnes) for each in found.steps[:2]] == [
        (1, plant.name, 30), (1, third.name, 40),
    ]  # fmt: skip
    assert [(name, tonnes) for _end, _from, name, tonnes in ends(found)] == [
        (plant.name, 30), (third.name, 40),
    ]  # fmt: skip

    back = tracing.trace(third.id, what.id, anywhere)
    assert [(each.level, each.account, each.tonnes) for each in back.steps] == [
        (1, third.name, 30), (2, second.name, 30), (3, plant.name, 30),
    ]  # fmt: skip


def test_moves_within_an_account_are_no_steps(plant, operator, cea):
    factories.submitted("voluntary_cancellation", operator, {cea: 200}, reason="自愿注销")
    found = tracing.trace(plant.id, cea.id, anywhere)
    assert (found.tonnes, len(found.steps)) == (700, 1)


def test_another_account_is_followed_where_the_reader_may(plant, others):
    second, _third = others
    what = factories.issued_to(plant, 100)
    passed(plant, second, what, 60)
    factories.give(second, what, 5)
    found = tracing.trace(second.id, what.id, lambda step: step.from_account == second.id)
    assert [(end, tonnes) for end, _from, _to, tonnes in ends(found)] == [
        (tracing.BEYOND, 60), (tracing.ISSUED, 5),
    ]  # fmt: skip
    assert {each.from_account for each in found.steps} == {plant.id, 1}


def test_a_trail_is_bounded_and_says_so(plant, others):
    second, _third = others
    what = factories.issued_to(plant, 1)
    for _each in range(4):
        factories.give(plant, what, 1)
    passed(plant, second, what, 5)
    found = tracing.trace(second.id, what.id, anywhere, most=3)
    assert ends(found) == [(tracing.LIMIT, plant.name, second.name, 5)]
    assert len(tracing.trace(second.id, what.id, anywhere, most=6).steps) == 6
    factories.give(plant, what, 9)
    factories.give(plant, what, 7)
    cut = tracing.trace(plant.id, what.id, anywhere, most=1)
    assert (cut.tonnes, [each.tonnes for each in cut.steps], cut.rest) == (16, [9], 7)


def test_what_waits_at_a_province_is_that_enterprise_s_own(plant, others, hubei, maker, checker):
    """N13: 120 wait for the first, 80 for the second; what the first gets is of its own issue."""
    second, _third = others
    what = factories.instrument("2025年度配额", trade_code=None, vintage=2025)
    for each, tonnes in ((second, 80), (plant, 120)):
        chains.issued_to_province(each, {what: tonnes}, maker, checker)
    chains.passed_on(plant)
    found = tracing.trace(plant.id, what.id, anywhere)
    assert [(each.level, each.business, each.tonnes) for each in found.steps] == [
        (1, "province_issue", 120), (2, "issuance", 120),
    ]  # fmt: skip


def test_an_issue_that_was_reversed_is_no_source(plant, maker, checker):
    """N16: 50 issued, then 70 by mistake, which are reversed: what is held came of the 50."""
    what = factories.instrument("2025年度配额", trade_code=None, vintage=2025)
    usual = {"category": "supplementary"}
    right = chains.issued_to_province(plant, {what: 50}, maker, checker, **usual)
    wrong = chains.issued_to_province(plant, {what: 70}, maker, checker, **usual)
    factories.confirmed(chains.reversal(wrong, plant, maker), checker)
    chains.passed_on(plant)
    found = tracing.trace(plant.id, what.id, anywhere)
    number = db.session.get_one(Application, right).number
    assert [(each.document, each.tonnes) for each in found.ends] == [(number, 50)]


def test_carried_over_tonnes_lead_to_the_older_ones(plant, operator, maker, checker):
    """N71: 10,000 of 2021 and 20,000 of 2023 became 30,000 of 2025."""
    older = [
        factories.instrument(f"{year}年度配额", trade_code=None, vintage=year)
        for year in (2021, 2023)
    ]
    for what, tonnes in zip(older, (15_000, 25_000), strict=True):
        factories.give(plant, what, tonnes, at=carrying.BEFORE)
    carrying.target()
    carrying.decided_round(maker, checker)
    carrying.fulfilled(plant, operator, maker)
    carrying.noticed(maker, checker)
    carrying.applied(operator, {older[0]: 4_000, older[1]: 6_000})
    carrying.on(date(2026, 11, 21))
    carrying.batch(maker, checker, date(2026, 11, 20))
    carrying.carried_out()
    found = tracing.trace(plant.id, carrying.target().id, anywhere)
    assert [(each.level, each.vintage, each.business, each.tonnes) for each in found.steps] == [
        (1, 2025, "carry_over_grant", 10_000),
        (2, 2021, factories.TRIAL, 4_000),
        (2, 2023, factories.TRIAL, 6_000),
    ]
    assert sum(tonnes for *_rest, tonnes in ends(found)) == 10_000
