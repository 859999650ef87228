"""Parameters: values hold from a day on, and every setting is kept."""

from __future__ import annotations

from datetime import date, time

import pytest
from sqlalchemy import select

from app.domain.errors import NotFound, OutsideTradingHours, RuleError
from app.extensions import db, transaction
from app.models import OperationLog, Parameter
from app.models.parameter import setting
from app.operations.applications import engine
from app.operations.ledger import settlement
from app.operations.records import calendar, clock, parameters
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import at, draft, member, nothing_moves

TODAY = date(2026, 11, 20)
MONDAY = date(2026, 11, 23)


@pytest.fixture
def administrator(app):
    return member("system_admin")


def put(by, name, typed, day=TODAY, reason="试点安排"):
    with transaction():
        parameters.set_value(
            name, typed, effective_from=day, reason=reason, actor=Actor.of(by, "192.0.2.7"),
            now=clock.now(),
        )  # fmt: skip


def test_until_somebody_sets_one_the_default_holds(app):
    assert setting(db.session, "lock_failures") == 5
    assert calendar.cut_off(TODAY) == time(15)


def test_a_value_holds_from_its_day_on_and_not_before(administrator):
    put(administrator, "transfer_cut_off", "14:00", MONDAY)

    assert calendar.cut_off(TODAY) == time(15)
    assert calendar.cut_off(MONDAY) == time(14)
    assert calendar.cut_off(date(2027, 6, 1)) == time(14)
    assert parameters.value_on("transfer_cut_off", TODAY) == time(15)
    assert setting(db.session, "lock_failures") == 5


def test_the_business_day_decides_which_value_holds(administrator):
    put(administrator, "lock_failures", "3", MONDAY)
    assert setting(db.session, "lock_failures") == 5
    with transaction():
        clock.set_to(at("00:00", day=23), SYSTEM)
    assert setting(db.session, "lock_failures") == 3


def test_a_transfer_after_the_new_cut_off_is_refused(administrator, operator, cea):
    put(administrator, "transfer_cut_off", "11:00")
    late = draft("registry_to_trading", operator, {cea: 100})
    with nothing_moves(), pytest.raises(OutsideTradingHours), transaction():
        engine.submit([late], Actor.of(operator), now=at("11:00")).one()
    with transaction():
        engine.submit([late], Actor.of(operator), now=at("10:59")).one()


def test_the_later_of_two_settings_for_a_day_holds(administrator):
    put(administrator, "lock_minutes", "20", MONDAY)
    put(administrator, "lock_minutes", "15", MONDAY)
    assert parameters.value_on("lock_minutes", MONDAY) == 15
    assert len(db.session.scalars(select(Parameter)).all()) == 2


def test_a_setting_is_written_down_with_before_after_and_reason(administrator):
    put(administrator, "lock_minutes", "20", MONDAY, reason="等保整改")
    row = db.session.scalars(
        select(OperationLog).where(OperationLog.action == "parameter.set")
    ).one()
    assert (row.subject, row.member_no, row.ip) == (
        "lock_minutes", administrator.username, "192.0.2.7"
    )  # fmt: skip
    assert row.detail == {
        "before": {"value": "15"},
        "after": {"value": "20", "effective_from": "2026-11-23"},
        "reason": "等保整改",
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"day": date(2026, 11, 19)}, "effective_from"),
        ({"day": date(2099, 1, 1)}, "effective_from"),
        ({"reason": " "}, "reason"),
        ({"reason": "长" * 301}, "reason"),
        ({"typed": "999"}, "value"),
        ({"typed": "x"}, "value"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_and_nothing_is_kept(administrator, change, field):
    with pytest.raises(RuleError) as refused:
        put(administrator, "lock_failures", **({"typed": "4"} | change))
    assert refused.value.field == field
    assert db.session.scalars(select(Parameter)).all() == []


def test_an_unknown_parameter_is_not_there(administrator):
    with pytest.raises(NotFound):
        put(administrator, "lock_colour", "4")


def test_the_cut_off_of_a_settled_day_stays(administrator):
    with transaction():
        settlement.settle_day(TODAY, SYSTEM, now=at("15:30"))
    with pytest.raises(RuleError) as refused:
        put(administrator, "transfer_cut_off", "14:00")
    assert refused.value.code == "parameter_past"
    put(administrator, "transfer_cut_off", "14:00", MONDAY)


def test_a_stored_value_out_of_its_limits_does_not_hold(app, administrator, caplog, tables):
    """A release may narrow the limits: then the default applies."""
    tables.connection.execute(
        "INSERT INTO parameter (name, value, effective_from, reason)"
        " VALUES ('lock_failures', '999', %s, 'x')",
        [TODAY],
    )
    assert setting(db.session, "lock_failures") == 5
