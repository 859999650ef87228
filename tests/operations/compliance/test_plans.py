"""年度方案 (rules-2026 N01, N02, N21): dated data, decided by two officers, and what rests on it stays."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from app.domain.errors import NotAllowed, RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Application, Plan
from app.operations.applications import engine
from app.operations.compliance import plans
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests import factories
from tests.factories import confirmed, give, instrument, member, proposing, submitted

GLASS = {
    "method": "强度系数法",
    "pre_allocation_share": "40",
    "rounding": "entity",
    "surrender_by": "2029-12-31 23:59:59",
    "vintages": "2027,2028",
    "source": "虚构",
    "confidence": "unsure",
    "is_draft": "draft",
}
TODAY = date(2026, 11, 20)


def refused(code, **more):
    with pytest.raises(RuleError) as refusal:
        proposing(**more)
    assert refusal.value.code == code
    return refusal.value


def count() -> int:
    db.session.rollback()
    return db.session.query(Plan).count()


# What is installed ------------------------------------------------------------------------------


def test_n01_the_years_2023_to_2026_are_installed(app):
    """N01: the table, and P26f's vintages for the years up to 2024 from 2026-09-03 on."""
    found = {
        (each.year, each.sector): each
        for each in db.session.scalars(select(Plan).order_by(Plan.id))
    }
    industry = ("steel", "cement", "aluminium")
    assert set(found) == {
        (2023, "power"),
        *((year, sector) for year in (2024, 2025, 2026) for sector in ("power", *industry)),
    }

    def says(year, sector):
        plan = found[year, sector]
        share = plan.pre_allocation_share
        return (
            share and int(share),
            plan.pre_allocate_by,
            plan.approve_by,
            plan.issue_by,
            plan.surrender_by.astimezone(BEIJING).isoformat()[:19],
            plan.is_draft,
        )

    end = "{}-12-31T23:59:59".format
    assert says(2023, "power") == (70, None, None, None, end(2024), False)
    assert says(2024, "power") == (
        70, date(2025, 4, 20), date(2025, 7, 31), date(2025, 8, 20), end(2025), False,
    )  # fmt: skip
    assert says(2025, "power") == (
        50, date(2026, 6, 30), date(2026, 9, 20), date(2026, 9, 30), end(2026), True,
    )  # fmt: skip
    for sector in industry:
        assert says(2024, sector) == (
            None, None, date(2025, 9, 30), date(2025, 10, 20), end(2025), False,
        )  # fmt: skip
        assert says(2025, sector) == (
            70, date(2026, 4, 10), date(2026, 9, 20), date(2026, 9, 30), end(2026), False,
        )  # fmt: skip
    for sector in ("power", *industry):
        assert says(2026, sector) == (50, None, None, None, end(2027), True)
        assert found[2026, sector].share_cap == 50
        assert found[2025, sector].vintages == found[2026, sector].vintages == [2025, 2026]
        assert found[2024, sector].vintages == [*range(2019, 2027)]
    assert found[2023, "power"].offset_by == date(2024, 12, 15)
    assert {each.offset_percent for each in found.values()} == {Decimal(5)}
    bases = {sector: found[2024, sector].carry_over_base for sector in ("power", "cement")}
    assert bases == {"power": 10_000, "cement": 100_000}  # N65
    assert found[2024, "steel"].carry_over_factor == Decimal("1.5")
    assert {found[2024, each].rounding for each in ("power", "cement", "aluminium")} == {"unit"}
    assert found[2024, "steel"].rounding == "entity"  # N03


def test_n50_which_version_holds_is_a_matter_of_the_day(app):
    before, after = (
        plans.in_force(2023, "power", day) for day in (date(2026, 9, 2), date(2026, 9, 3))
    )
    assert before.vintages == [2019, 2020, 2021, 2022, 2023]
    assert after.vintages == [*range(2019, 2027)]
    assert plans.in_force(2023, "power", date(2024, 10, 14)) is None
    assert after.replaces_id == before.id


# Two people -------------------------------------------------------------------------------------


def test_a_plan_holds_once_another_officer_has_approved_it(app, maker, checker):
    installed = count()
    application = proposing(2028, "power", by=maker, **GLASS)
    assert count() == installed
    with transaction(), pytest.raises(NotAllowed) as refusal:
        engine.approve([application], Actor.of(maker), now=clock.now()).one()
    assert refusal.value.code == "own_application"

    confirmed(application, checker)

    plan = plans.latest(2028, "power")
    assert (plan.application_id, plan.replaces_id) == (application, None)
    assert (plan.document_no, plan.documented_on) == ("环办气候函〔2026〕99号", date(2026, 11, 18))
    assert plan.values() == {name: GLASS.get(name, "") for name in plan.values()}
    assert verify_ledger().is_sound
    later = proposing(2028, "power", by=maker, surrender_by="2030-01-31 17:00:00")
    proposal = db.session.get_one(Application, later).proposal
    assert proposal["before"]["surrender_by"] == "2029-12-31 23:59:59"
    confirmed(later, checker)
    newest = plans.latest(2028, "power")
    assert newest.replaces_id == plan.id
    assert newest.surrender_by == datetime(2030, 1, 31, 17, tzinfo=BEIJING)
    assert db.session.get_one(Plan, plan.id).surrender_by.year == 2029  # Every version stays.
    assert verify_ledger().is_sound


def test_a_version_begins_on_its_day(app, maker, checker):
    begins = date(2026, 12, 1)
    confirmed(
        proposing(2025, "power", by=maker, vintages="2025,2026,2027", starts_on=begins), checker
    )
    assert plans.in_force(2025, "power", date(2026, 11, 30)).vintages == [2025, 2026]
    assert plans.in_force(2025, "power", begins).vintages == [2025, 2026, 2027]


@pytest.mark.parametrize("role", ["province", "enterprise"])
def test_only_the_registry_decides_on_plans(app, plant, role):
    who = member(role, province="42") if role == "province" else member(of=plant)
    with pytest.raises(RuleError):
        proposing(2028, "power", by=who, **GLASS)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"year": 999}, "plan_year_unknown", "year"),
        ({"sector": "gold"}, "plan_sector_unknown", "sector"),
        ({"method": ""}, "plan_incomplete", "method"),
        ({"vintages": ""}, "plan_incomplete", "vintages"),
        ({"surrender_by": ""}, "plan_incomplete", "surrender_by"),
        ({"share_cap": "39.999"}, "share_above_cap", "pre_allocation_share"),
        ({"issue_by": "2030-01-01"}, "days_out_of_order", "issue_by"),
        ({"approve_by": "2029-09-30", "issue_by": "2029-09-29"}, "days_out_of_order", "approve_by"),
        ({"offset_by": "2030-01-01"}, "days_out_of_order", "offset_by"),
        ({"surrender_by": "2028-12-31 23:59:59"}, "due_within_the_year", "surrender_by"),
        ({"document_no": " "}, "document_missing", "document_no"),
        ({"documented_on": None}, "plan_undated", "documented_on"),
        ({"documented_on": date(2026, 11, 21)}, "plan_undated", "documented_on"),
        ({"starts_on": None}, "start_missing", "starts_on"),
        ({"reason": ""}, "reason_missing", "reason"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(app, maker, change, code, field):
    error = refused(code, **{"year": 2028, "sector": "power", "by": maker, **GLASS, **change})
    assert error.field == field


def test_n21_a_share_above_the_cap_is_refused_and_a_lower_one_taken(app, maker, checker):
    """N21: 51 % of 50 %."""
    error = refused(
        "share_above_cap", year=2026, sector="power", by=maker, pre_allocation_share="51"
    )
    assert "51" in str(error)
    confirmed(proposing(2026, "power", by=maker, pre_allocation_share="45.5"), checker)
    assert plans.latest(2026, "power").pre_allocation_share == Decimal("45.5")


def test_nothing_changed_nothing_before_the_latest_and_one_at_a_time(app, maker, checker):
    refused("plan_unchanged", year=2025, sector="power", by=maker)
    refused("plan_begins_before", year=2025, sector="power", by=maker, note="x",
            starts_on=date(2026, 7, 26))  # fmt: skip
    proposing(2025, "power", by=maker, note="x")
    refused("plan_under_review", year=2025, sector="power", by=checker_maker(), note="y")
    proposing(2025, "steel", by=maker, note="y")


def checker_maker():
    return member("registry_maker")


def test_a_plan_changed_meanwhile_is_told(app, maker, checker):
    stale = proposing(2025, "power", by=maker, note="old", submits=False)
    confirmed(proposing(2025, "power", by=maker, note="new"), checker)
    with transaction(), pytest.raises(RuleError) as refusal:
        engine.submit([stale], Actor.of(maker), now=clock.now()).one()
    assert refusal.value.code == "plan_changed_meanwhile"
    assert plans.latest(2025, "power").note == "new"


# What rests on it -------------------------------------------------------------------------------


def test_a_deadline_that_notices_rest_on_is_only_prolonged(plant, operator, maker, checker):
    cea25 = instrument("CEA25", vintage=2025)
    give(plant, cea25, 10)
    notice = factories.notice(plant, 10, by=maker)
    error = refused("deadline_shortened", year=2025, sector="power", by=maker,
                    surrender_by="2026-12-30 23:59:59")  # fmt: skip
    assert error.field == "surrender_by"
    refused("deadline_shortened", year=2025, sector="power", by=maker, offset_by="2026-12-15")
    confirmed(proposing(2025, "power", by=maker, surrender_by="2027-01-31 17:00:00"), checker)
    with transaction():
        clock.set_to(datetime(2027, 1, 15, 10, tzinfo=BEIJING), SYSTEM)
    assert submitted("surrender", operator, {cea25: 1}, notice_id=notice).status == "in_review"
    # Of a plan that no notice rests on a deadline may be corrected.
    confirmed(proposing(2026, "steel", by=maker, surrender_by="2027-11-30 23:59:59",
                        starts_on=date(2027, 1, 15)), checker)  # fmt: skip


@pytest.mark.parametrize("approves", [True, False])
def test_vintages_surrendered_stay_accepted(plant, operator, hubei, maker, checker, approves):
    cea25 = instrument("CEA25", vintage=2025)
    give(plant, cea25, 10)
    notice = factories.notice(plant, 10, by=maker)
    narrowed = proposing(2025, "power", by=maker, vintages="2026")
    case = submitted("surrender", operator, {cea25: 1}, notice_id=notice)
    if approves:
        confirmed(case.id, hubei)
    with transaction(), pytest.raises(RuleError, match="Vintages 2025") as refusal:
        engine.approve([narrowed], Actor.of(checker), now=clock.now()).one()
    assert refusal.value.code == "vintages_in_use"
    assert plans.latest(2025, "power").vintages == [2025, 2026]


def test_ccer_surrendered_stays_within_the_share(plant, operator, maker, checker):
    units = [factories.mirrored(operator, tonnes) for tonnes in (30, 1)]
    notice = factories.notice(plant, 1000, by=maker)
    first, second = (factories.offsetting(operator, notice, each) for each in units)
    with transaction():
        engine.submit([first], Actor.of(operator), now=clock.now()).one()
    error = refused("offset_in_use", year=2025, sector="power", by=maker, offset_percent="2.9")
    assert "could take 29 tonnes" in str(error)
    confirmed(proposing(2025, "power", by=maker, offset_percent="3"), checker)
    with pytest.raises(RuleError) as refusal, transaction():
        engine.submit([second], Actor.of(operator), now=clock.now()).one()
    assert refusal.value.code == "offset_limit"


# What the database keeps --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    ["UPDATE plan SET note = 'x'", "DELETE FROM plan", "INSERT INTO plan SELECT * FROM plan"],
)
def test_the_application_s_role_writes_no_plan(app, statement):
    with pytest.raises(ProgrammingError, match="permission denied"):
        db.session.execute(text(statement))
    db.session.rollback()


def test_the_owner_rewrites_no_version(app, cluster):
    with cluster.connect("registry") as connection, pytest.raises(psycopg.Error, match="append"):
        connection.execute("UPDATE plan SET vintages = '{2020}'")


def test_only_what_another_officer_approved_is_carried_out_and_once(app, maker, checker):
    waiting = proposing(2028, "power", by=maker, **GLASS)
    done = proposing(2028, "steel", by=maker, **GLASS)
    confirmed(done, checker)
    for application in (waiting, done, 999_999):
        with pytest.raises(IntegrityError, match="two officers did not approve that"):
            db.session.execute(text("SELECT carry_out_plans(ARRAY[CAST(:id AS bigint)])"),
                               {"id": application})  # fmt: skip
        db.session.rollback()
    assert plans.latest(2028, "power") is None


@pytest.mark.unsound
@pytest.mark.parametrize(
    ("forgery", "check"),
    [
        ("UPDATE plan SET vintages = '{2020}' WHERE application_id IS NOT NULL", "plan_decision"),
        ("UPDATE plan SET surrender_by = surrender_by + interval '1 day'"
         " WHERE application_id IS NOT NULL", "plan_decision"),
        ("UPDATE plan SET sector = 'steel' WHERE application_id IS NOT NULL", "plan_chain"),
        ("DELETE FROM plan WHERE application_id IS NOT NULL", "plan_carried_out"),
    ],
)  # fmt: skip
def test_what_a_superuser_forges_is_found(app, cluster, maker, checker, forgery, check):
    confirmed(proposing(2025, "power", by=maker, note="x"), checker)
    assert verify_ledger().is_sound
    db.session.rollback()
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(forgery)
    assert check in verify_ledger().totals
