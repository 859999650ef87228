"""系统管理: each act takes effect, is logged, and is refused to everybody else."""

from __future__ import annotations

import re
from datetime import date

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import (
    LoginFailure,
    LoginRecord,
    LoginSession,
    Member,
    OperationLog,
    TradingDay,
)
from app.operations.records import clock
from tests.security.conftest import (
    AUDITOR,
    ENTERPRISE,
    OTHER,
    PASSWORD,
    SECURITY_ADMIN,
    SYSTEM_ADMIN,
)


@pytest.fixture
def officer(new_browser):
    """The security administrator, signed in."""
    browser = new_browser("192.0.2.10")
    browser.sign_in(SECURITY_ADMIN)
    return browser


@pytest.fixture
def system(new_browser):
    browser = new_browser("192.0.2.11")
    browser.sign_in(SYSTEM_ADMIN)
    return browser


@pytest.fixture
def auditor(new_browser):
    browser = new_browser("192.0.2.12")
    browser.sign_in(AUDITOR)
    return browser


def send(browser, path, **fields):
    return browser.submit("/password/", path, **fields)


def session_of(app, member_id):
    with app.app_context():
        return db.session.scalars(
            select(LoginSession.id).where(
                LoginSession.member_id == member_id, LoginSession.ended_at.is_(None)
            )
        ).one()


@pytest.mark.parametrize("path", ["/members/", "/online/", "/locks/", "/login-records/"])
def test_the_security_administrator_s_pages_open(officer, browser, new_browser, path):
    browser.sign_in()
    new_browser().sign_in(ENTERPRISE, "Wrong-Horse-1")
    page = officer.get(path)

    assert page.status_code == 200
    assert ENTERPRISE in page.text
    export = officer.get(f"{path}export.csv")
    assert export.status_code == 200
    assert export.data.startswith(b"\xef\xbb\xbf")
    assert ENTERPRISE in export.text


def test_forcing_out_ends_the_session_at_once(app, people, browser, officer, count):
    browser.sign_in()
    session_id = session_of(app, people[ENTERPRISE])

    assert send(officer, f"/online/{session_id}/end").status_code == 302
    assert not browser.is_signed_in()
    assert count(LoginSession, LoginSession.ended_reason == "forced") == 1
    assert count(OperationLog, OperationLog.action == "session.end") == 1
    # Again there is nobody to force out.
    assert send(officer, f"/online/{session_id}/end").status_code == 404
    assert count(OperationLog, OperationLog.action == "session.end") == 1


def test_many_are_forced_out_together_but_not_oneself(
    app, people, browser, new_browser, officer, count
):
    browser.sign_in()
    neighbour = new_browser()
    neighbour.sign_in(OTHER)
    ids = [session_of(app, people[number]) for number in (ENTERPRISE, OTHER, SECURITY_ADMIN)]
    fields = {"action": "end", "id": ids}
    asked = send(officer, "/online/bulk", **fields)
    done = send(officer, "/online/bulk", **fields, count="3")

    assert asked.status_code == done.status_code == 200
    assert not browser.is_signed_in()
    assert not neighbour.is_signed_in()
    assert officer.is_signed_in()
    assert count(OperationLog, OperationLog.action == "session.end") == 2


def test_unlocking_lets_the_member_in_at_once(browser, officer, count):
    for n in range(5):
        browser.sign_in(ENTERPRISE, f"Wrong-Horse-{n}")
    assert browser.sign_in().status_code == 422

    assert send(officer, f"/locks/{ENTERPRISE}/unlock").status_code == 302
    assert browser.sign_in().status_code == 302
    assert count(OperationLog, OperationLog.action == "member.unlock") == 1
    assert send(officer, f"/locks/{ENTERPRISE}/unlock").status_code == 404


def test_a_disabled_member_is_out_and_an_enabled_one_can_come_back(
    people, browser, system, member_of
):
    browser.sign_in()
    assert send(system, f"/members/{people[ENTERPRISE]}/disable").status_code == 302

    assert not member_of(ENTERPRISE).active
    assert not browser.is_signed_in()
    assert browser.sign_in().status_code == 422
    assert send(system, f"/members/{people[ENTERPRISE]}/enable").status_code == 302
    assert browser.sign_in().status_code == 302


def test_a_reset_password_is_shown_once_and_has_to_be_changed(people, browser, officer, app, count):
    browser.sign_in()
    page = send(officer, f"/members/{people[ENTERPRISE]}/reset")
    (password,) = re.findall(r">(\w{5}-\w{5}-\w{5})<", page.text)

    assert not browser.is_signed_in()
    assert browser.sign_in().status_code == 422  # The old one.
    assert browser.sign_in(ENTERPRISE, password).status_code == 302
    assert browser.get("/").headers["Location"] == "/password/"
    with app.app_context():
        log = db.session.scalars(
            select(OperationLog).where(OperationLog.action == "password.reset")
        ).one()
        assert log.subject == ENTERPRISE
        assert password not in str(log.detail)


@pytest.mark.parametrize("act", ["send-codes", "reset", "role"])
def test_administrators_cannot_act_on_themselves(people, officer, member_of, act):
    before = member_of(SECURITY_ADMIN)
    response = send(officer, f"/members/{people[SECURITY_ADMIN]}/{act}", role="auditor")

    assert response.status_code in (302, 403, 409)
    after = member_of(SECURITY_ADMIN)
    assert (after.active, after.password) == (before.active, before.password)
    assert officer.is_signed_in()


@pytest.mark.parametrize("act", ["send-codes", "replace", "reset", "role"])
def test_an_unknown_member_is_not_found(officer, act):
    assert send(officer, f"/members/999999/{act}").status_code == 404


@pytest.mark.parametrize("act", ["disable", "enable", "contact", "invite", "confirm"])
def test_an_unknown_member_is_not_found_by_the_system_administrator(system, act):
    assert send(system, f"/members/999999/{act}").status_code == 404


def test_a_role_is_exchanged_within_the_row_scope(people, officer, auditor, app, count):
    path = f"/members/{people[AUDITOR]}/role"
    assert "system_admin" in officer.get(path).text
    assert 'value="enterprise"' not in officer.get(path).text
    assert send(officer, path, role="enterprise").status_code == 200  # Shown again.
    assert count(OperationLog, OperationLog.action == "member.role") == 0

    assert send(officer, path, role="system_admin").status_code == 302
    assert not auditor.is_signed_in()
    with app.app_context():
        log = db.session.scalars(
            select(OperationLog).where(OperationLog.action == "member.role")
        ).one()
        assert log.detail == {"before": ["auditor"], "after": ["system_admin"]}


def test_the_auditor_reads_the_logs_and_changes_nothing(people, browser, system, auditor, count):
    send(system, f"/members/{people[ENTERPRISE]}/disable")
    page = auditor.get("/operation-log/")
    assert ENTERPRISE in page.text
    detail = re.findall(r'href="(/operation-log/\d+)', page.text)[0]
    assert auditor.get(detail).status_code == 200
    assert auditor.get("/operation-log/999999").status_code == 404
    assert auditor.get("/login-records/").status_code == 200

    assert auditor.get("/members/").status_code == 200
    assert "/reset" not in auditor.get("/members/").text
    assert send(auditor, f"/members/{people[ENTERPRISE]}/enable").status_code == 403
    assert count(Member, ~Member.active) == 1


def test_the_sign_in_log_finds_by_result(browser, auditor):
    browser.sign_in("21042399999", "Wrong-Horse-1")
    assert "21042399999" in auditor.get("/login-records/?outcome=unknown").text
    assert "21042399999" not in auditor.get("/login-records/?outcome=locked").text


# 交易日历 and 系统时钟


def test_a_day_is_closed_and_the_change_is_written_down(app, system, count):
    page = system.get("/calendar/2026-11-23/edit")
    assert page.status_code == 200
    response = send(system, "/calendar/2026-11-23/edit", note="临时休市")

    assert response.status_code == 302
    with app.app_context():
        day = db.session.get_one(TradingDay, date(2026, 11, 23))
        assert (day.is_trading, day.note) == (False, "临时休市")
    assert count(OperationLog, OperationLog.action == "calendar.change") == 1


@pytest.mark.parametrize("day", ["2026-02-30", "1999-01-01", "x", "2026-11-23T00", "%00", "９"])
def test_a_day_that_is_not_in_the_calendar_is_not_found(system, day):
    assert system.get(f"/calendar/{day}/edit").status_code == 404


@pytest.mark.parametrize("note", ["长" * 101, "临时\x00休市"])
def test_a_note_that_is_long_or_unreadable_is_refused(app, system, count, note):
    response = send(system, "/calendar/2026-11-23/edit", note=note)

    assert response.status_code == 422
    assert ("不能超过 100 个字" in response.text) == (len(note) > 100)
    assert ("含有无法识别的字符" in response.text) == ("\x00" in note)
    with app.app_context():
        assert db.session.get_one(TradingDay, date(2026, 11, 23)).is_trading
    assert count(OperationLog, OperationLog.action == "calendar.change") == 0


def test_the_clock_is_moved_and_runs_on(app, system, count):
    assert send(system, "/clock/", at="2026-11-20 14:59:50").status_code == 302
    with app.app_context():
        assert f"{clock.now():%Y-%m-%d %H:%M}" == "2026-11-20 14:59"
    assert "2026-11-20 14:59" in system.get("/clock/").text
    assert count(OperationLog, OperationLog.action == "clock.set") >= 1


def test_one_button_leads_to_the_next_trading_morning(app, system):
    assert send(system, "/clock/", at="", next_morning="1").status_code == 302
    with app.app_context():
        assert f"{clock.now():%Y-%m-%d %H:%M}" == "2026-11-23 10:00"  # Over the weekend.


@pytest.mark.parametrize(
    "at",
    ["", "now", "2026-13-01 10:00", "2026-11-20T10:00+00:00", "9999-12-31", "0001-01-01", "１"],
)
def test_a_time_that_is_none_moves_nothing(app, system, at):
    response = send(system, "/clock/", at=at)

    assert response.status_code == 422
    with app.app_context():
        assert f"{clock.now():%Y-%m-%d %H:%M}" == "2026-11-20 10:00"


def test_in_production_the_clock_stands_still(app, system, monkeypatch):
    monkeypatch.setitem(app.config, "HAS_OWN_CLOCK", False)

    assert 'name="at"' not in system.get("/clock/").text
    assert send(system, "/clock/", at="2026-11-20 14:59:50").status_code == 422


def test_the_lists_survive_odd_conditions(officer, auditor, system):
    for browser, path in (
        (officer, "/members/"),
        (officer, "/online/"),
        (officer, "/locks/"),
        (auditor, "/operation-log/"),
        (auditor, "/login-records/"),
        (system, "/calendar/"),
    ):
        for query in (
            "?member_no=%00",
            "?sort=evil",
            "?after=x",
            "?size=-1",
            "?at_from=x",
            "?day_from=9",
        ):
            assert browser.get(path + query).status_code in (200, 302, 400), (path, query)


def test_clearing_is_not_possible_by_a_link(officer, browser, count):
    browser.sign_in(ENTERPRISE, "Wrong-Horse-1")
    assert officer.get(f"/locks/{ENTERPRISE}/unlock").status_code == 405
    assert count(LoginFailure, LoginFailure.key == f"member:{ENTERPRISE}") == 1
    assert count(LoginRecord) >= 1
    assert PASSWORD  # Nothing of it is on the page.
