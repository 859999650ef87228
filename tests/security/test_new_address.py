"""A sign-in from an address not seen before is told to the member by mail, once."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from app.extensions import db
from app.models import Member, OutboxMessage
from tests.security.conftest import ENTERPRISE, PASSWORD


@pytest.fixture
def mails(app, people, execute):
    """Give the enterprise's member an address; return a function that reads what was written to it."""
    execute(update(Member).where(Member.username == ENTERPRISE).values(email="a@example.cn"))

    def read() -> list[tuple[str, str]]:
        with app.app_context():
            rows = select(OutboxMessage).order_by(OutboxMessage.id)
            return [(row.recipient, row.body) for row in db.session.scalars(rows)]

    return read


def test_the_first_sign_in_sends_no_mail(browser, mails):
    assert browser.sign_in().status_code == 302
    assert mails() == []


def test_a_new_address_is_told_once_with_time_and_address(new_browser, mails):
    new_browser("198.51.100.1").sign_in()
    for _again in range(2):
        assert new_browser("203.0.113.9").sign_in().status_code == 302
    new_browser("198.51.100.1").sign_in()

    ((recipient, body),) = mails()
    assert recipient == "a@example.cn"
    assert "203.0.113.9" in body
    assert ENTERPRISE in body
    assert PASSWORD not in body


def test_a_failed_attempt_is_not_told(new_browser, mails):
    new_browser("198.51.100.1").sign_in()
    new_browser("203.0.113.9").sign_in(ENTERPRISE, "Wrong-Horse-1")
    assert mails() == []


@pytest.mark.parametrize("address", [f"{ENTERPRISE}@members.invalid", "no address", ""])
def test_who_gave_no_address_gets_no_mail_and_signs_in_all_the_same(
    new_browser, mails, execute, address
):
    execute(update(Member).where(Member.username == ENTERPRISE).values(email=address))
    new_browser("198.51.100.1").sign_in()
    assert new_browser("203.0.113.9").sign_in().status_code == 302
    assert mails() == []
