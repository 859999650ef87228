"""Where acts are signed, the bank's machine does its part and no more (docs/adr/0073, 0077)."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.extensions import db, transaction
from app.models import ApplicationEvent
from app.operations.applications import evidence, verification
from app.operations.records import clock
from tests.operations.money.lines import status_of

EVENT = (
    "INSERT INTO application_event (application_id, action, at, member_name, status)"
    " SELECT id, :action, :at, '结算银行', :status FROM application WHERE id = :id"
)


@pytest.fixture
def signing(line, cluster):
    """A participant with a withdrawal and a deposit on their way; acts are signed from now on."""
    jia = line.participant("甲发电有限公司", "100.00")
    asked = [line.withdraw(jia, "10.00"), line.deposit(jia, "5.00")]
    with cluster.connect("registry") as connection:
        connection.execute(
            "INSERT INTO operating_mode (signs, is_production, after_event)"
            " SELECT true, false, coalesce(max(id), 0) FROM application_event"
        )
    return jia, asked


def test_what_the_bank_says_needs_no_signature(line, signing):
    jia, asked = signing
    line.bank.fail("transfer", "refuse")
    line.bank.pay_in(jia.username, 700)
    line.exchange()

    assert [status_of(each) for each in asked] == ["returned", "approved"]
    assert line.money(jia) == (11_200, 0)
    machine = {"machine": evidence.MACHINE_ACTS}
    assert db.session.execute(verification._UNSIGNED, machine).all() == []
    acts = db.session.scalars(
        db.select(ApplicationEvent.action).where(ApplicationEvent.member_name == "结算银行")
    ).all()
    assert {"save", "submit", "approve", "send_back"} == set(acts)


@pytest.mark.parametrize(
    ("action", "status", "refused_by"),
    [
        ("approve", "approved", "money_follows_the_bank"),
        ("send_back", "returned", "money_follows_the_bank"),
        ("withdraw", "withdrawn", "money_follows_the_bank"),
        ("submit", "in_review", "money_follows_the_bank"),
    ],
)
def test_a_machine_says_nothing_that_the_bank_did_not(line, signing, action, status, refused_by):
    _jia, (withdrawal, _deposit) = signing
    asked = {"action": action, "status": status, "id": withdrawal, "at": clock.now()}
    with pytest.raises(IntegrityError) as refused, transaction():
        db.session.execute(text(EVENT), asked)
    assert refused.value.orig.diag.constraint_name in (refused_by, "machines_do_their_part")
