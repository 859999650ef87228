"""A posting cannot stand alone: what the application's role writes by hand is refused at commit."""

from __future__ import annotations

import psycopg
import pytest

from app.domain.moves import Bucket
from app.extensions import db
from app.operations.ledger import routes
from app.operations.ledger.verification import verify_ledger
from tests.factories import quantity, sync_routes

# An application of 5 tonnes of the plant's own, as the engine would write it, and its event.
APPLICATION = """
WITH a AS (INSERT INTO application (number, kind, account_id, request_key, created_at, status,
                                    submitted_at, settles_on, posting_id)
           VALUES ('DJ1', '{kind}', {{plant}}, 'by hand', now(), 'draft', now(), now(), 0) RETURNING id)
INSERT INTO application_line (application_id, instrument_id, quantity, account_id)
SELECT id, {{cea}}, 5, {receiver} FROM a;
INSERT INTO application_event (application_id, action, status, step, at, member_id)
SELECT max(id), '{action}', '{status}', {step}, now(), {member} FROM application;
"""
# A posting in the form of posting.post, with what it moves.
POSTING = """
WITH p AS (INSERT INTO posting (business, stage, request_key, document, application_id, member_id, leads)
           SELECT '{business}', '{stage}', 'by hand' || {n}, '{document}', {application}, {poster}, {leads}
           RETURNING id)
INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket, to_account,
                      to_bucket)
SELECT id, {at}, {{cea}}, {quantity}, {route} FROM p;
"""
# The kind 自愿注销 reserves on submission; nothing in this one is wrong.
RIGHT = {
    "kind": "voluntary_cancellation",
    "receiver": "NULL::int",
    "action": "submit",
    "status": "in_review",
    "step": "0",
    "member": "NULL::int",
    "business": "voluntary_cancellation",
    "stage": "submission",
    "n": "1",
    "document": "DJ1",
    "application": "(SELECT max(id) FROM application)",
    "poster": "NULL::int",
    "leads": "true",
    "at": "now()",
    "quantity": "5",
    "route": "{plant}, 1, {plant}, 2",
}


def by_hand(*, with_application: bool = True, **other: str) -> str:
    words = RIGHT | other
    return (APPLICATION.format(**words) if with_application else "") + POSTING.format(**words)


def test_what_the_engine_would_write_is_accepted(attempt, cluster, plant, cea):
    """Else the refusals below would prove nothing."""
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        attempt(by_hand())
    assert quantity(plant, cea, Bucket.RESERVED) == 5
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        for table in ("entry", "movement", "posting", "application_event", "application_line"):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("DELETE FROM holding")
        connection.execute("DELETE FROM application")


ALONE = {"with_application": False, "application": "NULL::bigint", "stage": "approval"}
WRONG = {
    "mint": ALONE | {"business": "issuance", "quantity": "1000000", "route": "1, 12, {plant}, 1"},
    "move out": ALONE | {"business": "anything", "route": "{plant}, 1, 1, 1"},
    "cancel another's": ALONE | {"route": "{plant}, 1, {plant}, 10"},
    "a day-end of its own": ALONE | {"business": "day_end", "stage": "settlement",
                                     "route": "{plant}, 4, {plant}, 5"},
    "of an application of before": {"with_application": False,
                                    "application": "(SELECT min(id) FROM application)"},
    "more than its lines": {"quantity": "6"},
    "to another account": {"route": "{plant}, 1, 1, 2"},
    "to another bucket": {"route": "{plant}, 1, {plant}, 5"},
    "as on the last approval": {"stage": "approval", "route": "{plant}, 1, {plant}, 10"},
    "another stage than its event": {"stage": "approval"},
    "an event that reached nothing": {"status": "draft"},
    "another business": {"business": "surrender"},
    "another document": {"document": "DJ2"},
    "another member": {"poster": "1"},
    "at another time": {"at": "now() - interval '1 day'"},
    "not led": {"leads": "false"},
    "an unknown kind": {"kind": "gift", "business": "gift"},
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_posting_by_hand_is_refused(attempt, name):
    error = attempt(by_hand(**WRONG[name]))

    assert error.diag.constraint_name in ("postings_are_tied", "movements_are_led")


def test_a_second_posting_for_one_event_is_refused(attempt):
    assert "one more than its events" in str(
        attempt(by_hand() + POSTING.format(**RIGHT | {"n": "2"}))
    )


def test_nothing_is_added_past_the_check(attempt):
    """Constraints can be checked early; what comes after has to come with a posting of its own."""
    more = (
        "INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,"
        " to_account, to_bucket) SELECT max(id), now(), {cea}, 5, {plant}, 1, {plant}, 2 FROM posting"
    )

    error = attempt(by_hand() + "SET CONSTRAINTS ALL IMMEDIATE;" + more)

    assert error.diag.constraint_name == "movements_are_led"


def test_a_reversal_needs_the_withdrawal_of_its_own_application(attempt, plant, cea):
    turned = (
        "WITH p AS (INSERT INTO posting (business, stage, request_key, document, application_id,"
        " reverses_id, leads) SELECT business, 'withdrawal', 'reverse:' || id, document, {application},"
        " id, true FROM posting WHERE stage = 'submission' RETURNING id, reverses_id)"
        " INSERT INTO movement (posting_id, at, instrument_id, quantity, from_account, from_bucket,"
        " to_account, to_bucket) SELECT p.id, now(), instrument_id, quantity, to_account, to_bucket,"
        " from_account, from_bucket FROM p JOIN movement m ON m.posting_id = p.reverses_id"
    )
    own = "(SELECT min(id) FROM application)"
    assert "has no event" in str(attempt(turned.replace("{application}", own)))

    words = RIGHT | {"action": "withdraw", "status": "withdrawn", "kind": "registry_to_trading"}
    other = turned.replace("{application}", RIGHT["application"]).replace("document, (", "'DJ1', (")
    assert "another application" in str(attempt(APPLICATION.format(**words) + other))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO untied_business VALUES ('issuance')",
        "INSERT INTO posting_route VALUES ('gift', 'approval', false, 1, 2, NULL, false)",
        "UPDATE posting_route SET to_bucket = 1",
        "DELETE FROM posting_route",
        "INSERT INTO posting (business, stage, request_key, recorded_xid)"
        " VALUES ('x', 'approval', 'x', '3')",
        "INSERT INTO application_event (application_id, action, status, at, recorded_xid)"
        " SELECT min(id), 'submit', 'in_review', now(), '3' FROM application",
    ],
)
def test_what_ties_postings_is_out_of_reach(attempt, statement):
    assert isinstance(attempt(statement), psycopg.errors.InsufficientPrivilege)


# Proved again from the records --------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ("UPDATE posting SET application_id = NULL WHERE business <> 'trial'", "posting_tie"),
        ("UPDATE posting SET member_id = 1 WHERE business <> 'trial'", "posting_tie"),
        ("UPDATE application_event SET member_id = 1 WHERE action = 'submit'", "posting_tie"),
        ("UPDATE application_event SET action = 'save'", "posting_tie"),
        ("DELETE FROM application_event WHERE action = 'submit'", "posting_tie"),
        ("UPDATE application_event SET at = at - interval '1 day'", "posting_tie"),
        ("UPDATE application SET status = 'returned'", "not_reversed"),
        ("UPDATE application SET status = 'approved'", "application_status"),
        ("DELETE FROM posting WHERE application_id IS NOT NULL", "application_posting"),
    ],
)
def test_a_tie_that_a_superuser_cut_is_found(cluster, cea, change, check):
    assert verify_ledger().is_sound
    with cluster.connect("registry") as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(change)

    assert check in verify_ledger().totals


def test_routes_other_than_the_programs_are_named(app, cluster):
    with cluster.connect("registry") as connection:
        connection.execute("UPDATE posting_route SET to_bucket = 1 WHERE business = 'surrender'")
        try:
            found = routes.faults(db.session.connection())
        finally:
            connection.execute("DELETE FROM posting_route")
            sync_routes()
    assert [fault for fault in found if "surrender" in fault]
