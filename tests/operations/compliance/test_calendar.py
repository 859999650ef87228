"""履约日历 (rules-2026 N06): reminders 30, 7 and 1 days before each date, once, to who must act."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import CalendarRun, MinistryDate, OutboxMessage
from app.operations.compliance import calendar
from app.operations.records import clock, parameters
from app.operations.records.actor import SYSTEM, Actor
from tests import factories
from tests.factories import account, confirmed, give, instrument, member, submitted

DUE = date(2026, 12, 31)  # of 2025


@pytest.fixture(autouse=True)
def _reachable(hubei, maker, checker):
    """Let the officers have addresses that exist."""
    with transaction():
        for each in (hubei, maker, checker):
            each.email = f"{each.username}@example.cn"


def remind(day: date) -> int | None:
    """Look for what is due in the morning of a day."""
    now = datetime(day.year, day.month, day.day, 9, tzinfo=BEIJING)
    with transaction():
        return calendar.remind_if_due(SYSTEM, now=now)


def told(about: str = "清缴") -> list[str]:
    """Return who was written to, in order."""
    db.session.rollback()
    found = select(OutboxMessage.recipient).where(
        OutboxMessage.purpose == "compliance_calendar",
        OutboxMessage.dedupe_key.startswith(f"calendar:{about}"),
    )
    return list(db.session.scalars(found.order_by(OutboxMessage.id)))


def test_n06_an_enterprise_is_reminded_30_7_and_1_days_before_each_once(plant, operator, maker):
    factories.notice(plant, 100, by=maker)
    sent = {}
    for days in range(40, -2, -1):
        remind(DUE - timedelta(days=days))
        sent[days] = told("surrender_by:2025:power").count(operator.email)
    assert [days for days in sent if sent[days] > sent.get(days + 1, 0)] == [30, 7, 1]
    body = db.session.scalars(select(OutboxMessage.body).order_by(OutboxMessage.id)).first()
    assert "2026-12-31" in body


def test_n06_who_has_done_it_is_not_reminded(plant, operator, hubei, maker):
    cea25 = instrument("CEA25", vintage=2025)
    give(plant, cea25, 100)
    notice = factories.notice(plant, 100, by=maker)
    other = account("乙发电", "31")
    behind = member(of=other)
    factories.notice(other, 100, by=maker)
    confirmed(submitted("surrender", operator, {cea25: 100}, notice_id=notice).id, hubei)
    remind(DUE - timedelta(days=30))
    assert told("surrender_by:2025:power") == [behind.email]


def test_n06_a_day_is_looked_at_once_and_a_missed_step_is_made_up_for(plant, operator, maker):
    factories.notice(plant, 100, by=maker)
    day = DUE - timedelta(days=28)  # Nobody looked 30 days before.
    assert remind(day) >= 1
    assert remind(day) is None
    remind(day + timedelta(days=1))
    assert told("surrender_by:2025:power") == [operator.email]
    assert db.session.query(CalendarRun).count() == 2


def test_n06_a_prolonged_date_is_reminded_of_anew(plant, operator, maker, checker):
    factories.notice(plant, 100, by=maker)
    remind(DUE - timedelta(days=1))
    confirmed(
        factories.proposing(2025, "power", by=maker, surrender_by="2027-01-31 23:59:59"), checker
    )
    remind(date(2027, 1, 30))
    assert told("surrender_by:2025:power:2026-12-31") == [operator.email]
    assert told("surrender_by:2025:power:2027-01-31") == [operator.email]


def test_n06_the_days_are_parameters(plant, operator, maker):
    factories.notice(plant, 100, by=maker)
    with transaction():
        for name, value in zip(calendar.STEPS, ("10", "0", "0"), strict=True):
            parameters.set_value(
                name, value, effective_from=date(2026, 11, 20), reason="测试",
                actor=Actor.of(maker), now=clock.now(),
            )  # fmt: skip
    sent = []
    for days in (30, 11, 10, 7, 1):
        remind(DUE - timedelta(days=days))
        sent.append(len(told("surrender_by:2025:power")))
    assert sent == [0, 0, 1, 1, 1]


def test_n06_provinces_and_registry_are_reminded_of_what_is_not_issued_yet(
    plant, hubei, maker, checker
):
    """Approval of 2025 is due on 2026-09-20, by the province; its issue on 09-30, by the registry."""
    shanghai = member("province", province="31", email="shanghai@example.cn")
    remind(date(2026, 9, 19))
    assert told("approve_by:2025:power") == [hubei.email]  # 上海 has no enterprise of the sector.
    assert shanghai.email not in told("approve_by")
    assert set(told("issue_by:2025:power")) == {maker.email, checker.email}

    cea25 = instrument("CEA25", vintage=2025)
    application = factories.entered("issuance", plant, maker, lines={cea25: 5}, category="approved")
    remind(date(2026, 9, 29))
    assert told("approve_by:2025:power") == [hubei.email]
    assert len(told("issue_by:2025:power:2026-09-30:1")) == 2  # Submitted, not yet issued.
    confirmed(application, checker)
    before = len(told("issue_by:2025:power"))
    remind(date(2026, 9, 30))
    assert len(told("issue_by:2025:power")) == before


@pytest.mark.parametrize("party", ["enterprise", "province", "registry"])
def test_n06_a_date_of_the_ministry_reaches_its_party(
    plant, operator, hubei, maker, checker, party
):
    with transaction():
        row = MinistryDate(
            year=2025,
            sector="power",
            title="报告",
            due_on=date(2026, 12, 10),
            party=party,
            source="环办气候函〔2026〕32号",
        )
        db.session.add(row)
    remind(date(2026, 12, 3))
    reached = {
        "enterprise": {operator.email},
        "province": {hubei.email},
        "registry": {maker.email, checker.email},
    }
    assert set(told("ministry")) == reached[party]
    assert db.session.scalar(select(func.count()).select_from(CalendarRun)) == 1
