"""Strangers' guesses and known devices: who is held up, and who is not."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError

from app.extensions import db, transaction
from app.models import KnownDevice, LoginFailure, LoginSession, Member, OperationLog
from app.operations.people import members
from app.operations.records import log
from app.operations.records.actor import SYSTEM
from app.security import devices, lockout
from tests.security.conftest import ENTERPRISE, OTHER, SECURITY_ADMIN, SYSTEM_ADMIN, fail

NEW = "Better-Horse-22"


@pytest.fixture
def known(browser):
    """The browser of the member, who has signed in here before and is out again."""
    return again(browser)


def again(browser, member_no: str = ENTERPRISE):
    assert browser.sign_in(member_no).status_code == 302
    assert browser.submit("/", "/logout/").status_code == 302
    return browser


def cookie_of(browser):
    return browser.client.get_cookie(devices.COOKIE, path=devices.PATH)


def enters(browser, member_no: str = ENTERPRISE) -> bool:
    return browser.sign_in(member_no).status_code == 302


def lock_for_strangers(monkeypatch, member_no: str = ENTERPRISE) -> None:
    """Guess from many addresses, as whoever wants to lock a member out."""
    monkeypatch.setattr(lockout, "PER_MEMBER", 6)
    for n in range(6):
        fail(f"203.0.113.{n}", 1, member_no)


# Strangers


@pytest.mark.parametrize("member_no", [ENTERPRISE, SECURITY_ADMIN, SYSTEM_ADMIN])
def test_a_stranger_locks_nobody_out_elsewhere(browser, new_browser, member_no):
    fail(browser.address, 5, member_no)

    assert not enters(browser, member_no)
    assert enters(new_browser("203.0.113.77"), member_no)


@pytest.mark.parametrize("member_no", [ENTERPRISE, SECURITY_ADMIN, SYSTEM_ADMIN])
def test_many_strangers_do_not_stop_a_known_device(browser, new_browser, monkeypatch, member_no):
    again(browser, member_no)
    lock_for_strangers(monkeypatch, member_no)

    assert not enters(new_browser("203.0.113.77"), member_no)
    assert enters(browser, member_no)


def test_strangers_at_its_own_address_do_not_stop_it_either(known, new_browser):
    fail(known.address, 5, ENTERPRISE)
    fail(known.address, lockout.PER_ADDRESS)

    assert not enters(new_browser(known.address))
    assert enters(known)


def test_a_known_device_has_five_guesses_and_leaves_strangers_theirs(known, new_browser, said):
    refusals = [said(known.sign_in(ENTERPRISE, f"Wrong-Horse-{n}")) for n in range(5)]

    assert said(known.sign_in()) == refusals[0]
    assert enters(new_browser(known.address))


def test_the_answer_is_the_same_for_a_stranger_an_address_and_a_device(
    known, new_browser, monkeypatch, said
):
    wrong = said(new_browser("192.0.2.1").sign_in(OTHER, "Wrong-Horse-1"))
    for n in range(5):
        known.sign_in(ENTERPRISE, f"Wrong-Horse-{n}")
    lock_for_strangers(monkeypatch)

    assert said(known.sign_in()) == wrong
    assert said(new_browser("192.0.2.2").sign_in()) == wrong


@pytest.mark.parametrize(
    ("ip", "place"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:0001:0002::1", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_an_address_is_one_subscriber_s(ip, place):
    assert lockout.Source(ip).place == place


def test_the_addresses_of_one_network_share_their_guesses(new_browser):
    for n in range(5):
        fail(f"2001:db8:1:2::{n}", 1, ENTERPRISE)

    assert not enters(new_browser("2001:db8:1:2:ffff::1"))
    assert enters(new_browser("2001:db8:1:3::1"))


# What makes a device known


def test_a_complete_sign_in_sets_a_cookie_closed_to_scripts_and_other_pages(browser, app):
    browser.sign_in()
    cookie = cookie_of(browser)

    assert (cookie.http_only, cookie.same_site, cookie.path) == (True, "Strict", "/login/")
    assert cookie.max_age == devices.LIFETIME.total_seconds()
    stored = db.session.scalars(select(KnownDevice.token_hash)).one()
    assert stored not in cookie.value
    assert not cookie.secure


def test_in_production_it_is_sent_over_tls_alone(browser, app, monkeypatch):
    monkeypatch.setitem(app.config, "SESSION_COOKIE_SECURE", True)
    answer = browser.sign_in()

    found = [each for each in answer.headers.getlist("Set-Cookie") if each.startswith("device=")]
    assert "Secure" in found[0]


def test_a_wrong_password_makes_nothing_known(browser, count):
    browser.sign_in(ENTERPRISE, "Wrong-Horse-1")

    assert cookie_of(browser) is None
    assert count(KnownDevice) == 0


def test_each_sign_in_replaces_the_token(known, new_browser, monkeypatch, count):
    """A token that somebody planted in the browser, or copied from it, is worth nothing afterwards."""
    thief = new_browser("203.0.113.77")
    thief.client.set_cookie(devices.COOKIE, cookie_of(known).value, path=devices.PATH)
    again(known)
    lock_for_strangers(monkeypatch)

    assert not enters(thief)
    assert enters(known)
    assert count(KnownDevice) == 1


def test_it_is_bound_to_the_member(known, monkeypatch):
    lock_for_strangers(monkeypatch, OTHER)

    assert not enters(known, OTHER)


def test_two_who_share_a_browser_are_both_known_there(known, monkeypatch, count):
    again(known, OTHER)
    lock_for_strangers(monkeypatch)
    lock_for_strangers(monkeypatch, OTHER)

    assert enters(again(known, OTHER))
    assert count(KnownDevice) == 2


@pytest.mark.parametrize("value", ["", "x", "a.b", "中", '"\\000"', "y" * 3000])
def test_an_invented_cookie_is_a_stranger_s(browser, new_browser, monkeypatch, value):
    lock_for_strangers(monkeypatch)
    browser.client.set_cookie(devices.COOKIE, value, path=devices.PATH)

    assert not enters(browser)


def test_one_signed_with_another_key_is_a_stranger_s(known, app, monkeypatch):
    lock_for_strangers(monkeypatch)
    monkeypatch.setitem(app.config, "SECRET_KEY", "another key of the same length, no luck")

    assert not enters(known)


def test_an_odd_number_from_a_known_device_is_no_server_error(known):
    for number in ("\x00", "\ufffd", "7" * 10_000):
        assert known.sign_in(number).status_code == 422


def test_after_ninety_days_it_is_a_stranger_s_again(known, execute, monkeypatch, count):
    long_ago = func.now() - devices.LIFETIME - timedelta(seconds=1)
    execute(update(KnownDevice).values(seen_at=long_ago))
    lock_for_strangers(monkeypatch)
    assert not enters(known)

    monkeypatch.undo()
    assert enters(known)
    assert count(KnownDevice) == 1


# What ends it


def test_it_survives_signing_out_and_a_sign_in_elsewhere(known, new_browser, count):
    new_browser().sign_in()

    assert count(KnownDevice) == 2


def test_a_changed_password_leaves_the_device_at_hand(browser, new_browser, app, count):
    new_browser().sign_in()
    browser.sign_in()
    changed = browser.submit("/password/", original="Right-Horse-1", new=NEW, confirm=NEW)

    assert changed.status_code == 302
    assert count(KnownDevice) == count(KnownDevice, KnownDevice.ip == browser.address) == 1


@pytest.mark.parametrize("act", ["disable", "reset"])
def test_who_is_disabled_or_reset_is_known_nowhere(known, people, count, act):
    with transaction():
        if act == "disable":
            members.disable(people[ENTERPRISE], SYSTEM)
        else:
            members.reset(people[ENTERPRISE], SYSTEM, first="Other-Horse-7")

    assert count(KnownDevice) == 0


def test_a_session_that_is_forced_out_takes_its_device_along(browser, new_browser, app, count):
    new_browser().sign_in()
    browser.sign_in()
    officer = new_browser()
    officer.sign_in(SECURITY_ADMIN)
    alive = db.session.scalars(
        select(LoginSession.id).where(
            LoginSession.ended_at.is_(None), LoginSession.ip == browser.address
        )
    ).one()
    officer.post(f"/online/{alive}/end", {"csrf_token": officer.token("/")})

    assert not browser.is_signed_in()
    assert count(KnownDevice, KnownDevice.member_id == member_id(ENTERPRISE)) == 1
    assert count(KnownDevice, KnownDevice.ip == browser.address) == 0


def test_the_security_administrator_sees_and_ends_devices(known, new_browser, count, monkeypatch):
    officer = new_browser()
    officer.sign_in(SECURITY_ADMIN)
    page = officer.get(f"/devices/?member_no={ENTERPRISE}").text
    device_id = re.search(r"/devices/(\d+)/end", page)[1]
    assert known.address in page

    token = {"csrf_token": officer.token("/")}
    assert officer.post(f"/devices/{device_id}/end", token).status_code == 302
    assert officer.post(f"/devices/{device_id}/end", token).status_code == 404
    ended = count(
        OperationLog, OperationLog.action == "device.end", OperationLog.subject == ENTERPRISE
    )
    assert ended == 1
    lock_for_strangers(monkeypatch)
    assert not enters(known)


def test_the_lock_s_page_tells_what_is_locked(browser, new_browser, monkeypatch):
    officer = new_browser()
    officer.sign_in(SECURITY_ADMIN)
    state = lambda: re.search(  # noqa: E731
        r"(未锁定|部分地址或设备锁定|陌生设备锁定)</",
        officer.get(f"/locks/?member_no={ENTERPRISE}").text,
    )[1]
    found = []
    fail("203.0.113.200", 4, ENTERPRISE)
    found.append(state())
    fail("203.0.113.200", 1, ENTERPRISE)
    found.append(state())
    lock_for_strangers(monkeypatch)
    found.append(state())

    assert found == ["未锁定", "部分地址或设备锁定", "陌生设备锁定"]
    officer.post(f"/locks/{ENTERPRISE}/unlock", {"csrf_token": officer.token("/")})
    assert enters(new_browser("203.0.113.200"))


# With the application's own password


@pytest.mark.parametrize(
    ("action", "subject"), [("member.unlock", OTHER), ("account_change.save", ENTERPRISE)]
)
def test_a_failure_is_cleared_with_a_line_in_a_log_or_not_at_all(
    app, people, count, action, subject
):
    fail("203.0.113.9", 5, ENTERPRISE)
    log.record(SYSTEM, action, subject=subject)
    with pytest.raises(DBAPIError, match="cleared_with_a_record"):
        db.session.execute(select(func.clear_failures(ENTERPRISE, None)))
    db.session.rollback()

    assert count(LoginFailure, LoginFailure.member_no == ENTERPRISE) == 10


def test_a_guess_is_given_back_by_who_took_it(app, people, count):
    guess = lockout.take_a_guess(ENTERPRISE, lockout.Source("203.0.113.9"))
    with pytest.raises(DBAPIError, match="permission denied"):
        db.session.execute(text("SELECT give_back_guess(guess) FROM login_failure"))
    db.session.rollback()
    assert count(LoginFailure) == 3

    with transaction():
        lockout.give_back(guess)
    assert count(LoginFailure) == 0


def member_id(member_no: str) -> int:
    return db.session.scalars(select(Member.id).where(Member.username == member_no)).one()
