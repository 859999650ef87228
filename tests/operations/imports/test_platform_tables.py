"""平台接口's tables and clients, and what PostgreSQL holds them to, whoever writes (N03-N05; ADR 0098)."""

from __future__ import annotations

from decimal import Decimal

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from app.domain.errors import NotAllowed, RuleError
from app.domain.machines import MEMBER_SCOPES, PLATFORM_SCOPES, SCOPES
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.extensions import db, transaction
from app.models import Application, ApplicationEvent, MachineClient
from app.models.figures import current_figure
from app.operations.applications import engine, evidence, verification
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories
from tests.operations.machines import (
    OF_PLATFORM,
    asked,
    new_key,
    of_platform,
    proposed,
    pushed,
    registered,
    revoke,
)

PLATFORM = Actor(None, "MEEPT", "管理平台")


@pytest.fixture(autouse=True)
def power(app):
    factories.plan(pre_allocation_share=Decimal(50), share_cap=Decimal(50))


def row(of, quantity=1789):
    return {"member_no": of.member_no, "name": of.name, "verified": "3579.4", "quantity": quantity}


def constraint_of(error):
    return error.value.orig.diag.constraint_name


# Whose client it is --------------------------------------------------------------------------------


def test_a_client_of_the_platform_is_registered_and_revoked_as_a_venue_s(app):
    machine = of_platform(app).sign_in()
    client = db.session.query(MachineClient).one()
    assert (client.is_platform, client.venue_id, client.account_id) == (True, None, None)
    assert client.scopes == list(PLATFORM_SCOPES)
    # Another key renews its scopes.
    of_platform(app, scopes=["figures:read"])
    assert machine.call("GET", "/tables").status_code == 200
    revoke(machine)
    assert machine.call("GET", "/tables").status_code == 401


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"scopes": ["figures:read", "transfers:write"]}, "scope_of_another_interface"),
        ({"is_platform": False, "venue": "ZGW"}, "scope_of_another_interface"),
    ],
)
def test_nobody_has_scopes_of_another_interface(app, maker, more, code):
    with transaction():
        factories.venue()
    with pytest.raises(RuleError) as refusal:
        asked(proposed(new_key(), "MEEPT", **{**OF_PLATFORM, **more}), maker)
    assert refusal.value.code == code


def test_a_client_stays_whose_it_is(app, maker):
    registered(app, "SHEX01")
    of_platform(app, "MEEPT")
    for proposal in (
        proposed(new_key(), "SHEX01", **OF_PLATFORM),
        proposed(new_key(), "MEEPT", scopes=list(SCOPES)),
    ):
        with pytest.raises(RuleError) as refusal:
            asked(proposal, maker)
        assert refusal.value.code == "venue_differs"


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("venue_id = (SELECT min(id) FROM venue)", "machine_client_of_one"),
        ("account_id = {plant}", "machine_client_of_one"),
        ("province = '42'", "machine_client_of_one"),
        ("is_platform = false", "machine_client_of_one"),
        ("code = 'M00000001'", "machine_client_code"),
        ("scopes = '{{}}'", "platform_scopes"),
        ("scopes = '{{figures:read,transfers:write}}'", "platform_scopes"),
        *(
            (f"is_platform = false, {owner}, scopes = '{{{{{scope},figures:write}}}}'", "platform_scopes")
            for owner, scope in (
                ("venue_id = (SELECT min(id) FROM venue)", next(iter(SCOPES))),
                ("code = 'M00000001', account_id = {plant}", next(iter(MEMBER_SCOPES))),
            )
        ),
    ],
)  # fmt: skip
def test_the_database_keeps_owners_apart(app, plant, tables, change, constraint):
    of_platform(app)
    db.session.rollback()
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        tables.connection.execute(f"UPDATE machine_client SET {change.format(plant=plant.id)}")
    assert refused.value.diag.constraint_name in (constraint, "credential_scopes")


def test_the_application_s_password_makes_no_client_of_the_platform(app):
    with pytest.raises(ProgrammingError, match="permission denied"), transaction():
        db.session.execute(
            text("INSERT INTO machine_client (name, is_platform, scopes) VALUES ('x', true, '{}')")
        )


# Who lets a table count ----------------------------------------------------------------------------


def test_a_person_pushes_nothing(app, maker):
    draft = engine.Draft("figure_table", ISSUANCE_ACCOUNT_ID, (), "x")
    with pytest.raises(NotAllowed) as refusal:
        engine.start([draft], Actor.of(maker), now=clock.now())
    assert refusal.value.code == "not_the_platform"


def test_an_officer_does_not_withdraw_a_table(plant, maker):
    made = pushed(row(plant))
    with transaction():
        outcome = engine.withdraw([made], Actor.of(maker), now=clock.now())
    assert [error.code for _case, error in outcome.refused] == ["not_the_platform"]


def test_the_machine_is_never_the_reviewer(plant):
    made = pushed(row(plant))
    for act in (engine.approve, engine.send_back):
        with transaction():
            outcome = act([made], PLATFORM, now=clock.now(), comment="x")
        assert [error.code for _case, error in outcome.refused] == ["not_your_turn"]
    with pytest.raises(IntegrityError) as refused, transaction():
        db.session.execute(
            text("UPDATE application SET status = 'approved', step = 1 WHERE id = :id"),
            {"id": made},
        )
    assert constraint_of(refused) == "pushes_are_reviewed"


def test_a_province_does_not_review_it(plant, hubei):
    made = pushed(row(plant))
    with transaction():
        outcome = engine.approve([made], Actor.of(hubei), now=clock.now())
    assert len(outcome.refused) == 1


def test_rows_without_an_application_are_refused_as_a_whole(app, plant):
    """Without one they would count at once, as a file's do."""
    of_platform(app)
    client = db.session.query(MachineClient.id).scalar()
    with pytest.raises(IntegrityError) as refused, transaction():
        db.session.execute(
            text(
                "INSERT INTO import_file (kind, name, sha256, rows, imported_at, client_id)"
                " VALUES ('figures', 'x', 'x', 1, now(), :client)"
            ),
            {"client": client},
        )
    assert constraint_of(refused) == "pushes_have_applications"


def test_where_acts_are_signed_the_machine_enters_and_submits_alone(plant, tables):
    of_older = pushed(row(plant, 1790))
    db.session.rollback()
    tables.connection.execute(
        "INSERT INTO operating_mode (signs, is_production, after_event)"
        " SELECT true, false, coalesce(max(id), 0) FROM application_event"
    )
    made = pushed(row(plant))
    acts = db.session.query(ApplicationEvent.action).filter_by(application_id=made).all()
    assert sorted(act for (act,) in acts) == ["save", "submit"]
    unsigned = {"machine": evidence.MACHINE_ACTS}
    assert db.session.execute(verification._UNSIGNED, unsigned).all() == []
    for action in ("approve", "send_back", "withdraw"):
        with pytest.raises(IntegrityError) as refused, transaction():
            db.session.execute(
                text(
                    "INSERT INTO application_event (application_id, action, at, member_name, status)"
                    " VALUES (:id, :action, :at, '管理平台', 'in_review')"
                ),
                {"id": of_older, "action": action, "at": clock.now()},
            )
        assert constraint_of(refused) == "machines_do_their_part"


def test_what_a_table_says_stays(plant):
    made = pushed(row(plant))
    application = db.session.get_one(Application, made)
    assert application.proposal["table"]
    with pytest.raises((IntegrityError, ProgrammingError)), transaction():
        db.session.execute(
            text("UPDATE application SET import_id = NULL WHERE id = :id"), {"id": made}
        )
    db.session.rollback()
    assert db.session.query(current_figure).count() == 0
