"""The benchmark's nation at a small scale: a month of it, and the result."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from flask import Flask
from sqlalchemy import func, select, text

from app.domain.errors import RuleError
from app.domain.regions import PROVINCES
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.installation.demo import DEMO_PASSWORD, MANUAL_MEMBER_NO, OFFICERS
from app.models import (
    Account,
    Application,
    ApplicationLine,
    Entry,
    Holding,
    Instrument,
    Member,
    Notice,
    SettlementRun,
    TradingDay,
)
from app.operations.ledger import verification
from app.operations.people import passwords
from app.operations.records import clock, log
from app.views.compliance.statistics import Share, shares
from bench import national

UNTIL = date(2025, 12, 31)  # with the surrender at the year's end
MOVEMENTS = 2_326


@pytest.fixture
def morning(app: Flask) -> datetime:
    """The morning after 50 enterprises lived through the first year."""
    url = app.config["SETTINGS"].database_owner_url
    return national.seed(url, count=50, until=UNTIL)


def test_the_ledger_of_a_nation_verifies(morning: datetime) -> None:
    report = verification.verify_ledger()

    assert report.totals == {}
    assert report.movements == MOVEMENTS
    assert report.entries == 2 * MOVEMENTS
    assert log.verify_log().is_sound


def test_a_nation_has_instruments_members_and_valid_codes(morning: datetime) -> None:
    assert db.session.scalar(select(func.count()).select_from(Instrument)) == 7
    members = db.session.scalar(select(func.count()).select_from(Member))
    assert members == 50 + 2 * len(PROVINCES) + len(OFFICERS)
    codes = db.session.scalars(select(Account.uscc).where(Account.uscc.is_not(None))).all()
    assert len(set(codes)) == 50
    assert all(_is_unified_code(code) for code in codes)
    manual = db.session.scalars(select(Member).filter_by(username=MANUAL_MEMBER_NO)).one()
    assert passwords.is_right(manual.password, DEMO_PASSWORD)
    assert [role.name for role in manual.roles] == ["enterprise"]


def test_every_day_is_settled_and_nothing_stays_in_transit(morning: datetime) -> None:
    days = db.session.scalars(
        select(TradingDay.day)
        .where(TradingDay.is_trading, TradingDay.day.between(national.FIRST_DAY, UNTIL))
        .order_by(TradingDay.day)
    ).all()
    assert db.session.scalars(select(SettlementRun.day).order_by(SettlementRun.day)).all() == days
    assert not db.session.scalar(
        select(func.sum(Holding.pending_to_trading + Holding.pending_to_registry))
    )
    statuses = set(db.session.scalars(select(Application.status).distinct()))
    assert {"pending_settlement", "refused", "approved"} <= statuses <= {
        "pending_settlement", "refused", "withdrawn", "approved",
    }  # fmt: skip
    assert clock.now().date() == date(2026, 1, 5)  # New Year's holiday lies between.
    assert morning == datetime(2026, 1, 5, 10, tzinfo=BEIJING)


def test_each_entry_has_its_own_time(morning: datetime) -> None:
    applications = db.session.scalar(select(func.count()).select_from(Application))
    assert db.session.scalar(select(func.count(Entry.at.distinct()))) > applications / 2


def test_a_nation_is_the_same_every_time(morning: datetime) -> None:
    names = [one.name for one in national.enterprises(50)]

    assert (
        names
        == db.session.scalars(
            select(Account.name).where(Account.kind == "enterprise").order_by(Account.id)
        ).all()
    )


def test_what_comes_after_gets_ids_of_its_own(morning: datetime) -> None:
    for table in ("account", "ab_user", "posting", "movement", "application", "notice"):
        following, last = db.session.execute(
            text(f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')), max(id) FROM {table}")
        ).one()
        assert following > last, table


def test_what_was_issued_was_applied_for(morning: datetime) -> None:
    issued = select(func.sum(ApplicationLine.quantity)).join(ApplicationLine.application)
    issued = issued.where(Application.kind == "issuance", Application.status == "approved")
    kinds = select(Application.category, func.count()).where(Application.kind == "issuance")

    assert db.session.scalar(issued) == db.session.scalar(
        select(-func.sum(Holding.issued)).where(Holding.issued < 0)
    )
    assert dict(db.session.execute(kinds.group_by(Application.category)).all()) == {
        "pre_allocation": 182, "approved": 182,
    }  # fmt: skip


def test_the_year_that_is_over_has_its_notices(morning: datetime) -> None:
    of_2024 = _whole(2024)

    assert of_2024.enterprises == 50
    assert 40 <= of_2024.fulfilled < 50
    assert of_2024.gap == of_2024.obligation - of_2024.surrendered > 0


def test_the_running_year_has_applications_in_every_status(app: Flask) -> None:
    url = app.config["SETTINGS"].database_owner_url
    national.seed(url, count=50)
    report = verification.verify_ledger()
    found = select(Application.status, func.count()).join(Application.notice)
    found = found.where(Notice.year == 2025).group_by(Application.status)
    of_2025 = _whole(2025)

    assert report.is_sound
    assert report.movements == 15_081
    assert {"approved", "in_review", "returned", "draft"} == set(
        dict(db.session.execute(found).all())
    )
    assert of_2025.enterprises == 50
    assert 5 <= of_2025.fulfilled < 45


def _whole(year: int) -> Share:
    """Return the national compliance figures of a year."""
    officer = db.session.scalars(select(Member).filter_by(username="R0001")).one()
    found = [each for each in shares(officer) if each.year == year]
    return next(each for each in found if each.province is None and each.sector is None)


def test_a_registry_that_is_not_empty_is_left_alone(app: Flask, morning: datetime) -> None:
    with pytest.raises(RuleError):
        national.seed(app.config["SETTINGS"].database_owner_url, count=5)

    assert verification.verify_ledger().movements == MOVEMENTS


@pytest.mark.parametrize("code", ["91350100M000100Y43", "91420100MA4K2X7R0A"])
def test_the_check_character_of_credit_codes(code: str) -> None:
    """The first is the example of the standard; the second is invented."""
    assert _is_unified_code(code) is code.startswith("9135")


def _is_unified_code(code: str) -> bool:
    digits = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    weights = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
    total = sum(digits.index(c) * weight for c, weight in zip(code[:17], weights, strict=True))
    return len(code) == 18 and digits[(31 - total % 31) % 31] == code[17]
