"""Roles: exclusions, in Python and in the database; and writing the table of roles."""

from __future__ import annotations

import itertools
import threading

import psycopg
import pytest
from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from sqlalchemy import create_engine, delete, insert, select, text
from sqlalchemy.exc import DBAPIError

from app.domain.errors import RuleError
from app.domain.roles import require_compatible
from app.extensions import db
from app.models import Member
from app.operations.people import members
from app.operations.records.actor import SYSTEM
from app.security import roles
from tests.security.conftest import (
    AUDITOR,
    ENTERPRISE,
    PASSWORD,
    PROVINCE,
    SECURITY_ADMIN,
    SYSTEM_ADMIN,
)

SCOPES = {
    "account": {"account_id": 1, "province": None},
    "province": {"account_id": None, "province": "42"},
    "all": {"account_id": None, "province": None},
}
ADMINISTRATORS = [code for code, role in roles.ROLES.items() if role.is_administrator]


def held(app, member_id):
    with app.app_context():
        query = (
            select(Role.name)
            .join(assoc_user_role, assoc_user_role.c.role_id == Role.id)
            .where(assoc_user_role.c.user_id == member_id)
        )
        return sorted(db.session.scalars(query))


def role_id(code):
    return select(Role.id).where(Role.name == code).scalar_subquery()


@pytest.mark.parametrize(
    ("one", "other"), list(itertools.product(ADMINISTRATORS, roles.ROLES)), ids="-".join
)
def test_an_administrator_holds_no_other_role(one, other):
    scope = SCOPES[roles.ROLES[other].scope]
    if one == other:
        require_compatible([one, other], **SCOPES["all"])
        return
    with pytest.raises(RuleError) as refused:
        require_compatible([one, other], **scope)
    assert refused.value.code == "role_exclusion"


@pytest.mark.parametrize("code", roles.ROLES)
@pytest.mark.parametrize("scope", SCOPES)
def test_a_role_needs_its_row_scope(code, scope):
    if roles.ROLES[code].scope == scope:
        require_compatible([code], **SCOPES[scope])
        return
    with pytest.raises(RuleError) as refused:
        require_compatible([code], **SCOPES[scope])
    assert refused.value.code == "role_scope"


def test_an_enterprise_member_without_an_account_is_not_registered(app, count, people):
    with app.app_context(), pytest.raises(RuleError):
        members.register_member(members.NewMember("21042300099", "无账户", "enterprise"), PASSWORD)
    assert count(Member, Member.username == "21042300099") == 0


@pytest.mark.parametrize(
    ("member_no", "code"),
    [
        (SECURITY_ADMIN, "auditor"),
        (SECURITY_ADMIN, "system_admin"),
        (SYSTEM_ADMIN, "auditor"),
        (AUDITOR, "registry_maker"),
        (SYSTEM_ADMIN, "registry_checker"),
    ],
)
def test_the_database_refuses_an_excluded_role(app, people, execute, member_no, code):
    before = held(app, people[member_no])
    with pytest.raises(DBAPIError, match="role_exclusion"):
        execute(insert(assoc_user_role).values(user_id=people[member_no], role_id=role_id(code)))
    db.session.rollback()

    assert held(app, people[member_no]) == before


@pytest.mark.parametrize(
    ("member_no", "code"),
    [(ENTERPRISE, "registry_maker"), (ENTERPRISE, "province"), (PROVINCE, "registry_checker")],
)
def test_the_database_refuses_a_role_of_another_scope(app, people, execute, member_no, code):
    before = held(app, people[member_no])
    with pytest.raises(DBAPIError, match="role_scope"):
        execute(insert(assoc_user_role).values(user_id=people[member_no], role_id=role_id(code)))

    assert held(app, people[member_no]) == before


@pytest.mark.parametrize(
    ("member_no", "values"),
    [
        (ENTERPRISE, {"account_id": None}),  # Would see the whole country.
        (PROVINCE, {"province": None}),
        (AUDITOR, {"province": "42"}),
    ],
)
def test_the_database_refuses_a_scope_that_does_not_fit(
    people, cluster, member_of, member_no, values
):
    """The owner, too; the application's role may not change them at all."""
    before = member_of(member_no)
    ((column, value),) = values.items()
    with (
        pytest.raises(psycopg.errors.CheckViolation, match="role_scope"),
        cluster.connect("registry") as connection,
    ):
        connection.execute(
            f"UPDATE ab_user SET {column} = %s WHERE username = %s", [value, member_no]
        )

    after = member_of(member_no)
    assert (after.account_id, after.province) == (before.account_id, before.province)


def test_a_role_can_be_exchanged(app, people):
    with app.app_context():
        members.set_roles(people[AUDITOR], ["security_admin"], SYSTEM)
        db.session.commit()
    assert held(app, people[AUDITOR]) == ["security_admin"]


def test_two_administrators_giving_roles_at_once_do_not_get_around_the_exclusion(app, people):
    """Fails when the trigger does not lock the member: each then sees its own role alone."""
    with app.app_context():
        db.session.execute(
            delete(assoc_user_role).where(assoc_user_role.c.user_id == people[AUDITOR])
        )
        db.session.commit()
    inserted = threading.Barrier(2)
    refused = []

    def give(code):
        with app.app_context():
            row = insert(assoc_user_role).values(user_id=people[AUDITOR], role_id=role_id(code))
            db.session.execute(row)
            inserted.wait()  # Both are written, neither is committed.
            try:
                db.session.commit()
            except DBAPIError:
                refused.append(code)

    threads = [threading.Thread(target=give, args=(code,)) for code in ("auditor", "system_admin")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert len(held(app, people[AUDITOR])) == 1


def test_writing_the_table_twice_at_once_changes_nothing(app, settings):
    def grants():
        with app.app_context():
            return db.session.execute(
                text(
                    "SELECT r.name, p.name, v.name FROM ab_permission_view_role g"
                    " JOIN ab_role r ON r.id = g.role_id"
                    " JOIN ab_permission_view pv ON pv.id = g.permission_view_id"
                    " JOIN ab_permission p ON p.id = pv.permission_id"
                    " JOIN ab_view_menu v ON v.id = pv.view_menu_id ORDER BY 1, 2, 3"
                )
            ).all()

    before = grants()
    engine = create_engine(settings.database_owner_url)
    start = threading.Barrier(4)
    failed = []

    def write():
        try:
            with app.app_context(), engine.begin() as connection:
                start.wait()
                roles.sync_roles(connection)
        except DBAPIError as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()

    assert not failed
    assert before
    assert grants() == before


def test_a_grant_that_the_table_does_not_know_is_taken_away(app, settings):
    engine = create_engine(settings.database_owner_url)
    stray = (
        "SELECT count(*) FROM ab_permission_view_role g JOIN ab_role r ON r.id = g.role_id"
        " JOIN ab_permission_view pv ON pv.id = g.permission_view_id"
        " JOIN ab_permission p ON p.id = pv.permission_id"
        " JOIN ab_view_menu v ON v.id = pv.view_menu_id"
        " WHERE r.name = 'auditor' AND v.name = 'ClockView' AND p.name = 'can_set'"
    )
    with app.app_context(), engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ab_permission_view_role (id, permission_view_id, role_id)"
                " SELECT nextval('ab_permission_view_role_id_seq'), pv.id, r.id"
                " FROM ab_role r, ab_permission_view pv"
                " JOIN ab_permission p ON p.id = pv.permission_id"
                " JOIN ab_view_menu v ON v.id = pv.view_menu_id"
                " WHERE r.name = 'auditor' AND v.name = 'ClockView' AND p.name = 'can_set'"
            )
        )
        assert connection.scalar(text(stray)) == 1
        roles.sync_roles(connection)
        assert connection.scalar(text(stray)) == 0
    engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ab_role SET name = 'x'",
        "INSERT INTO ab_permission_view_role (id, permission_view_id, role_id) VALUES (-1, 1, 1)",
        "DELETE FROM login_record",
        "UPDATE login_record SET is_success = true",
        "DELETE FROM operation_log",
        "DELETE FROM ab_user",
        "DELETE FROM login_session",
        "UPDATE captcha SET created_at = now()",
    ],
)
def test_the_application_s_role_cannot_write_what_it_should_not(app, execute, statement):
    with pytest.raises(DBAPIError, match="permission denied"):
        execute(text(statement))
