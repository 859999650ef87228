"""Attestations: issued once, with frozen facts, found by their code."""

from __future__ import annotations

from datetime import datetime

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Attestation
from app.operations.applications import engine
from app.operations.compliance import attestations
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from tests import factories

CANCELLATION = "voluntary_cancellation"


@pytest.fixture
def officer(app):
    return Actor.of(factories.member("registry_maker"))


@pytest.fixture
def cancelled(operator, cea, officer):
    """An approved cancellation of 120 tonnes."""
    case = factories.submitted(CANCELLATION, operator, {cea: 120}, reason="碳中和大会")
    with transaction():
        engine.approve([case.id], officer, now=clock.now()).one()
    return case


def certify(case, officer) -> Attestation:
    with transaction():
        attestations.certify_cancellations([case], officer, clock.now())
    found = attestations.of_application(case.id)
    assert found
    return found


@pytest.fixture
def notice(plant, cea, maker):
    deadline = datetime(2026, 12, 31, 16, tzinfo=BEIJING)
    return factories.notice(plant, 100, [cea], by=maker, deadline=deadline)


def surrendered(notice_id, operator, cea, quantity):
    """Write an approved surrender directly."""
    with transaction():
        db.session.execute(
            text(
                "WITH a AS (INSERT INTO application (number, kind, account_id, status, request_key,"
                " created_at, submitted_at, notice_id) VALUES (CAST(gen_random_uuid() AS varchar(30)),"
                " 'surrender', :account, 'draft', gen_random_uuid()::text, now(), now(), :notice)"
                " RETURNING id) INSERT INTO application_line (application_id, instrument_id, quantity)"
                " SELECT id, :instrument, :quantity FROM a"
            ),
            {
                "account": operator.account_id,
                "notice": notice_id,
                "instrument": cea.id,
                "quantity": quantity,
            },
        )
        db.session.execute(
            text(
                "UPDATE application SET status = 'approved' WHERE kind = 'surrender' AND status = 'draft'"
            )
        )


def test_a_cancellation_is_certified_with_the_facts_of_the_day(cancelled, officer, plant, cea):
    found = certify(cancelled, officer)

    assert found.kind == "cancellation"
    assert found.account_id == plant.id
    assert found.number.startswith("ZXZM20261120")
    assert found.content["name"] == plant.name
    assert found.content["application"] == cancelled.number
    assert found.content["reason"] == "碳中和大会"
    assert found.content["total"] == 120
    assert [(line["code"], line["quantity"]) for line in found.content["lines"]] == [
        (cea.code, 120)
    ]


def test_it_is_issued_once(cancelled, officer):
    first = certify(cancelled, officer)
    number, code = first.number, first.code
    again = certify(cancelled, officer)

    assert (again.number, again.code) == (number, code)
    assert db.session.scalar(select(func.count(Attestation.id))) == 1


def test_its_facts_do_not_follow_later_changes(cancelled, officer, plant):
    found = certify(cancelled, officer)
    name = plant.name
    with transaction():
        db.session.execute(text("UPDATE account SET name = '改名公司'"))
    db.session.expire_all()

    assert found.content["name"] == name
    with pytest.raises(DBAPIError, match=r"permission denied|append-only"), transaction():
        db.session.execute(text("UPDATE attestation SET content = '{}'"))


def test_one_that_lapsed_stays_lapsed_and_a_cancellation_never_lapses(
    cluster, notice, operator, cea, officer, cancelled
):
    certify(cancelled, officer)
    surrendered(notice, operator, cea, 100)
    with transaction():
        attestations.certify_notice(notice, officer, clock.now())
        attestations.lapse([notice], officer, clock.now())
    for attempt, refusal in (
        ("SET lapsed_at = now() WHERE kind = 'cancellation'", "cancellation_never_lapses"),
        ("SET lapsed_at = NULL WHERE kind = 'compliance'", "append-only"),
        ("SET lapsed_at = now() WHERE kind = 'compliance'", "append-only"),
        ("SET issued_at = now(), lapsed_at = now() WHERE kind = 'compliance'", "append-only"),
    ):
        with (
            cluster.connect("registry") as connection,
            pytest.raises(psycopg.Error, match=refusal),
        ):
            connection.execute(f"UPDATE attestation {attempt}")


def test_many_are_issued_in_two_statements(operator, cea, officer):
    cases = [
        factories.submitted(CANCELLATION, operator, {cea: 1}, reason="碳中和") for _ in range(20)
    ]
    with transaction():
        engine.approve([case.id for case in cases], officer, now=clock.now())
        attestations.certify_cancellations(cases, officer, clock.now())

    codes = db.session.scalars(select(Attestation.code)).all()
    assert len(set(codes)) == 20
    assert all(set(code) <= set(attestations.ALPHABET) for code in codes)


def test_it_is_found_by_its_code_however_that_is_typed(cancelled, officer):
    found = certify(cancelled, officer)
    shown = attestations.shown_code(found.code)

    assert len(shown) == 19
    for typed in (found.code, shown, shown.lower(), f" {shown} ", shown.replace("-", " ")):
        assert attestations.find(typed) is found


def test_a_changed_code_finds_nothing(cancelled, officer):
    code = certify(cancelled, officer).code
    other = "3" if code[-1] != "3" else "4"

    for typed in (
        code[:-1] + other,
        code[:-1],
        code + "2",
        "",
        "' OR 1=1 --",
        "%",
        "\x00",
        "校验码",
    ):
        assert attestations.find(typed) is None


def test_compliance_is_certified_once_it_is_fulfilled(notice, operator, cea, officer):
    surrendered(notice, operator, cea, 60)
    with pytest.raises(RuleError, match="Not all notices of this year are fulfilled yet"):
        attestations.certify_notice(notice, officer, clock.now())
    surrendered(notice, operator, cea, 40)
    with transaction():
        found = attestations.certify_notice(notice, officer, clock.now())

    assert found.number.startswith("LYZM20261120")
    assert found.content["total"] == found.content["obligation"] == 100
    assert found.content["year"] == 2025
    assert [line["quantity"] for line in found.content["lines"]] == [100]
    assert attestations.certify_notice(notice, SYSTEM, clock.now()).number == found.number


def test_empty_batches_issue_no_certificates(officer):
    attestations.certify_cancellations([], officer, clock.now())
    attestations.certify_compliance([], officer, clock.now())

    assert db.session.scalar(select(func.count(Attestation.id))) == 0
