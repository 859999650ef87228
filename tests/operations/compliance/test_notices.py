"""履约通知书 are issued, changed and withdrawn by two people of one authority, and provable from it."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from app.domain.compliance.notices import Decision, Terms
from app.domain.errors import NotAllowed, NotFound, RuleError
from app.extensions import db, transaction
from app.models import Application, Notice, NoticeChange, OperationLog
from app.operations.applications import engine
from app.operations.compliance import attestations, notices
from app.operations.imports import notice_import
from app.operations.ledger.verification import verify_ledger
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.factories import (
    account,
    changed,
    colleague,
    confirmed,
    decided,
    deciding,
    member,
    submitted,
    withdrawn,
)


@pytest.fixture
def terms(cea):
    factories.plan(accepts=[cea.vintage])
    return Terms(1000)


@pytest.fixture
def notice(plant, cea, maker, checker):
    return factories.notice(plant, 1000, [cea], by=maker)


def obligation(of) -> int:
    db.session.rollback()
    return db.session.get_one(Notice, of).obligation


def surrender(by, what, tonnes, notice, *, officer):
    case = submitted("surrender", by, {what: tonnes}, notice_id=notice)
    with transaction():
        engine.approve([case.id], Actor.of(officer), now=clock.now()).one()


# Two people -------------------------------------------------------------------------------------


def test_a_notice_holds_once_a_colleague_has_approved_it(plant, terms, maker, checker):
    application = deciding(plant, Decision(2025, "power", None, terms), by=maker)
    assert db.session.query(Notice).count() == 0

    confirmed(application, checker)

    row = db.session.scalars(select(Notice)).one()
    assert (row.number, row.obligation, row.issued_by) == (
        f"LT2025{row.id:08d}",
        1000,
        checker.id,
    )
    assert (row.year, row.sector) == (2025, "power")
    change = db.session.scalars(select(NoticeChange)).one()
    assert (change.application_id, change.before, change.after) == (application, None, 1000)
    assert change.terms == terms.stored()
    logged = select(OperationLog).where(OperationLog.action == "notice.issued")
    assert db.session.scalars(logged).one().detail["after"] == 1000
    assert verify_ledger().is_sound


@pytest.mark.parametrize("role", ["registry_maker", "province"])
def test_who_proposes_does_not_approve(plant, terms, role):
    by = member(role, province="42" if role == "province" else None)
    application = deciding(plant, Decision(2025, "power", None, terms), by=by)
    with transaction(), pytest.raises(NotAllowed) as refusal:
        engine.approve([application], Actor.of(by), now=clock.now()).one()
    assert refusal.value.code == "own_application"
    assert db.session.query(Notice).count() == 0


def test_who_changed_the_draft_does_not_approve(plant, terms, maker, checker):
    application = deciding(plant, Decision(2025, "power", None, terms), by=maker, submits=False)
    decision = Decision(2025, "power", None, terms)
    content = notice_import.draft(plant.id, decision, "again", reason="核查结果")
    with transaction():
        engine.edit(application, content, Actor.of(checker), now=clock.now())
        engine.submit([application], Actor.of(maker), now=clock.now()).one()
    with transaction(), pytest.raises(NotAllowed) as refusal:
        engine.approve([application], Actor.of(checker), now=clock.now()).one()
    assert refusal.value.code == "own_application"


def test_another_authority_neither_approves_nor_goes_on_with_it(plant, terms, maker, hubei):
    ours = deciding(plant, Decision(2025, "power", None, terms), by=hubei, submits=False)
    for act in (engine.submit, engine.withdraw):
        with transaction(), pytest.raises(NotAllowed) as refusal:
            act([ours], Actor.of(maker), now=clock.now()).one()
        assert refusal.value.code == "another_authority"
    with transaction():
        engine.submit([ours], Actor.of(hubei), now=clock.now()).one()
    with transaction(), pytest.raises(NotAllowed) as refusal:
        engine.approve([ours], Actor.of(maker), now=clock.now()).one()
    assert refusal.value.code == "not_your_turn"
    shanghai = Actor.of(member("province", province="31"))
    with transaction(), pytest.raises(NotFound):
        engine.approve([ours], shanghai, now=clock.now()).one()
    confirmed(ours, colleague(hubei))
    assert db.session.query(Notice).count() == 1


def test_a_province_decides_for_its_own_alone_and_an_enterprise_for_nobody(
    plant, terms, hubei, operator
):
    with pytest.raises(NotFound):
        deciding(account("乙", "31"), Decision(2025, "power", None, terms), by=hubei, submits=False)
    with pytest.raises(NotAllowed) as refusal:
        deciding(plant, Decision(2025, "power", None, terms), by=operator, submits=False)
    assert refusal.value.code == "no_authority"
    assert db.session.query(Application).count() == 0


def test_sent_back_it_changes_nothing(plant, terms, maker, checker):
    application = deciding(plant, Decision(2025, "power", None, terms), by=maker)
    with transaction():
        engine.send_back([application], Actor.of(checker), now=clock.now(), comment="核对").one()
    assert db.session.query(Notice).count() == 0
    with transaction():
        engine.submit([application], Actor.of(maker), now=clock.now()).one()


# What is refused --------------------------------------------------------------------------------


def test_one_notice_an_enterprise_and_year(plant, terms, notice, maker):
    with pytest.raises(
        RuleError, match=r"has notice LT2025\d+ for 2025, Power generation already, of 1,000 tonnes"
    ):
        deciding(plant, Decision(2025, "power", None, terms), by=maker)


def test_one_decision_at_a_time(plant, terms, maker, hubei):
    deciding(plant, Decision(2025, "power", None, terms), by=maker)
    with pytest.raises(RuleError) as refusal:
        deciding(plant, Decision(2025, "power", None, terms), by=hubei)
    assert refusal.value.code == "notice_under_review"
    deciding(plant, Decision(2024, "power", None, terms), by=hubei)


@pytest.mark.parametrize(
    ("year", "change", "code"),
    [
        (2018, {}, "no_plan"),
        (2028, {}, "no_plan"),
        (2025, {"sector": "steel"}, "not_of_the_sector"),
        (2025, {"sector": "gold"}, "no_plan"),
        (2025, {"obligation": -1}, "obligation_too_large"),
        (2025, {"obligation": 10**12 + 1}, "obligation_too_large"),
    ],
)
def test_a_notice_that_makes_no_sense_is_refused(plant, maker, year, change, code):
    said = {"obligation": 100, "sector": "power"} | change
    with pytest.raises(RuleError) as refusal:
        deciding(plant, Decision(year, said["sector"], None, Terms(said["obligation"])), by=maker)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("more", "code"),
    [({"document_no": " "}, "document_missing"), ({"reason": ""}, "reason_missing")],
)
def test_a_change_needs_document_and_reason(plant, terms, notice, maker, more, code):
    decision = Decision(2025, "power", terms, Terms(900))
    with pytest.raises(RuleError) as refusal:
        deciding(plant, decision, by=maker, notice_id=notice, **more)
    assert refusal.value.code == code


def test_a_notice_changed_meanwhile_is_told(plant, terms, notice, maker, hubei):
    """Entered before another change took effect; and approved after one."""
    stale = changed(notice, by=hubei, submits=False, obligation=900)
    confirmed(changed(notice, by=maker, obligation=1100), colleague(maker))
    with transaction(), pytest.raises(RuleError, match="1,000 tonnes then, of 1,100 tonnes now"):
        engine.submit([stale], Actor.of(hubei), now=clock.now()).one()
    assert obligation(notice) == 1100


# Changing ---------------------------------------------------------------------------------------


def test_a_change_is_kept_with_its_application(plant, cea, notice, maker, checker):
    application = changed(notice, by=maker, obligation=1200)
    assert obligation(notice) == 1000

    confirmed(application, checker)

    assert obligation(notice) == 1200
    found = select(NoticeChange).order_by(NoticeChange.id.desc()).limit(1)
    change = db.session.scalars(found).one()
    assert (change.before, change.after, change.application_id) == (1000, 1200, application)
    assert (change.document_no, change.changed_by) == ("鄂环函〔2026〕8号", checker.id)
    logged = select(OperationLog).where(OperationLog.action == "notice.changed")
    detail = db.session.scalars(logged).one().detail
    assert (detail["before"], detail["after"]) == (1000, 1200)
    assert verify_ledger().is_sound


def test_another_province_s_notice_does_not_exist(notice):
    with pytest.raises(NotFound):
        changed(notice, by=member("province", province="43"), obligation=900)
    assert obligation(notice) == 1000


# Withdrawing ------------------------------------------------------------------------------------


def test_a_wrong_notice_is_withdrawn_before_its_first_surrender(
    plant, operator, cea, notice, terms, maker, checker
):
    confirmed(withdrawn(notice, by=maker), checker)

    row = db.session.get_one(Notice, notice)
    assert row.obligation == 0
    assert row.withdrawn_at is not None
    with pytest.raises(RuleError) as refusal:
        submitted("surrender", operator, {cea: 1}, notice_id=notice)
    assert refusal.value.code == "above_due"
    assert notices.terms_of(notice) is None
    anew = decided(plant, Decision(2025, "power", None, terms), by=maker)
    assert anew != notice
    submitted("surrender", operator, {cea: 1}, notice_id=anew)
    assert verify_ledger().is_sound


@pytest.mark.parametrize("approves", [True, False])
def test_a_notice_surrendered_for_is_not_withdrawn(operator, cea, hubei, notice, maker, approves):
    if approves:
        surrender(operator, cea, 1, notice, officer=hubei)
    else:
        submitted("surrender", operator, {cea: 1}, notice_id=notice)
    with pytest.raises(NotAllowed) as refusal:
        withdrawn(notice, by=maker)
    assert refusal.value.code == "surrendered_already"
    assert obligation(notice) == 1000


def test_a_withdrawal_looks_at_surrenders_again_when_it_is_approved(
    operator, cea, notice, maker, checker
):
    application = withdrawn(notice, by=maker)
    submitted("surrender", operator, {cea: 1}, notice_id=notice)
    with transaction(), pytest.raises(NotAllowed) as refusal:
        engine.approve([application], Actor.of(checker), now=clock.now()).one()
    assert refusal.value.code == "surrendered_already"
    assert obligation(notice) == 1000


def test_a_raised_obligation_ends_the_certificate_of_compliance(
    operator, cea, hubei, plant, maker, checker
):
    notice = factories.notice(plant, 500, [cea], by=maker)
    surrender(operator, cea, 500, notice, officer=hubei)
    assert attestations.of_notice(notice) is not None
    confirmed(changed(notice, by=maker, obligation=600), checker)
    assert attestations.of_notice(notice) is None


# What the database keeps ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE notice SET obligation = 1",
        "UPDATE notice SET sector = 'steel'",
        "UPDATE notice SET withdrawn_at = now()",
        "DELETE FROM notice",
        "INSERT INTO notice_change (notice_id, before, after, changed_at) VALUES (1, 1, 1, now())",
        "INSERT INTO notice (number, account_id, year, sector, obligation, issued_at)"
        " SELECT 'x', id, 2024, 'power', 1, now() FROM account LIMIT 1",
    ],
)
def test_the_application_s_role_does_not_write_notices(notice, statement):
    with pytest.raises(ProgrammingError, match="permission denied"):
        db.session.execute(text(statement))
    db.session.rollback()
    with transaction():
        db.session.execute(text("UPDATE notice SET reminded_at = now()"))


def test_only_what_a_second_person_approved_is_carried_out_and_once(plant, terms, maker, checker):
    waiting = deciding(plant, Decision(2025, "power", None, terms), by=maker)
    done = deciding(plant, Decision(2024, "power", None, terms), by=maker)
    confirmed(done, checker)
    carry_out = text("SELECT * FROM carry_out_notices(ARRAY[CAST(:id AS bigint)])")
    for application in (waiting, done, 999_999):
        with pytest.raises(IntegrityError, match="nobody else approved that"):
            db.session.execute(carry_out, {"id": application})
        db.session.rollback()
    # An approval by the submitter, written by hand, is none.
    for forged in (
        "UPDATE application SET status = 'approved', step = 1 WHERE id = :id",
        "INSERT INTO application_event (application_id, action, status, at, member_id)"
        " VALUES (:id, 'approve', 'approved', now(), :by)",
    ):
        db.session.execute(text(forged), {"id": waiting, "by": maker.id})
    with pytest.raises(IntegrityError, match="nobody else approved that"):
        db.session.execute(carry_out, {"id": waiting})
    db.session.rollback()
    assert db.session.query(Notice).count() == 1


FORGED_WITHOUT_SUBMISSION = """
    INSERT INTO application OVERRIDING SYSTEM VALUE
    SELECT (jsonb_populate_record(a, jsonb_build_object(
             'id', nextval(pg_get_serial_sequence('application', 'id')), 'number', 'TZ0',
             'request_key', 'forged', 'status', 'in_review', 'submitted_by', a.created_by,
             'submitted_at', now()))).* FROM application a WHERE id = :id RETURNING id
"""


def test_a_row_that_nobody_submitted_is_not_carried_out(plant, terms, maker, checker):
    """One approves in good faith; that somebody else had submitted it was only written down."""
    draft = deciding(plant, Decision(2025, "power", None, terms), by=maker, submits=False)
    with transaction():
        forged = db.session.scalar(text(FORGED_WITHOUT_SUBMISSION), {"id": draft})
    with pytest.raises(RuleError, match="another one by now"), transaction():
        engine.approve([forged], Actor.of(checker), now=clock.now())
    assert db.session.query(Notice).count() == 0


@pytest.mark.parametrize("written", ["obligation = 1", "sector = 'steel'", "year = 2024"])
def test_the_owner_changes_no_notice_without_its_history(cluster, notice, written):
    says = pytest.raises(psycopg.Error, match="says something else than its history")
    with cluster.connect("registry") as connection, says:
        connection.execute(f"UPDATE notice SET {written}")
    assert obligation(notice) == 1000


def test_the_owner_lowers_no_obligation_beneath_what_was_surrendered(
    cluster, operator, cea, hubei, notice
):
    surrender(operator, cea, 500, notice, officer=hubei)
    says = pytest.raises(psycopg.Error, match="more surrendered than it would ask for")
    with cluster.connect("registry") as connection, says:
        connection.execute("UPDATE notice SET obligation = 499")


@pytest.mark.unsound
@pytest.mark.parametrize(
    ("forgery", "check"),
    [
        ("UPDATE notice SET obligation = 10", "notice_history"),
        ("UPDATE notice SET sector = 'steel'", "notice_decision"),
        ("UPDATE notice SET withdrawn_at = now(), obligation = 0", "notice_history"),
        (
            "UPDATE notice SET obligation = 10;"
            ' UPDATE notice_change SET after = 10, terms = terms || \'{"obligation": "10"}\'',
            "notice_decision",
        ),
        (
            "UPDATE notice SET obligation = 10;"
            " INSERT INTO notice_change (notice_id, before, after, terms, application_id, changed_at)"
            ' SELECT notice_id, 1000, 10, terms || \'{"obligation": "10"}\', NULL, now()'
            " FROM notice_change",
            "notice_chain",
        ),
        ("DELETE FROM notice_change", "notice_carried_out"),
        (
            "UPDATE application_event SET member_id = 1 WHERE action = 'approve';"
            " UPDATE application SET created_by = 1 WHERE kind = 'notice'",
            "notice_decision",
        ),
    ],
)
def test_what_a_superuser_forges_is_found(cluster, notice, maker, forgery, check):
    assert verify_ledger().is_sound
    db.session.rollback()  # It reads the table that is altered.
    with cluster.connect("registry") as connection:
        connection.execute("SET lock_timeout = '10s'")
        connection.execute("SET session_replication_role = replica")
        connection.execute("ALTER TABLE notice_change DROP CONSTRAINT change_by_application")
        try:
            connection.execute(forgery.replace("= 1 ", f"= {maker.id} "))
            report = verify_ledger()
        finally:
            connection.execute(
                "ALTER TABLE notice_change ADD CONSTRAINT change_by_application"
                " CHECK (application_id IS NOT NULL) NOT VALID"
            )
    assert check in report.totals
    assert not report.is_sound
