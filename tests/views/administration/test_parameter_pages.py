"""系统参数 and 权限表 on screen, and the effect of parameters on signing in."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from sqlalchemy import func, update

from app.domain.parameters import PARAMETERS
from app.models import LoginSession, Member, OperationLog, Parameter
from app.security.roles import ROLES
from tests.security.conftest import (
    AUDITOR,
    ENTERPRISE,
    PASSWORD,
    SECURITY_ADMIN,
    SYSTEM_ADMIN,
)


@pytest.fixture
def system(new_browser):
    browser = new_browser("192.0.2.11")
    browser.sign_in(SYSTEM_ADMIN)
    return browser


def put(browser, name, value, day="2026-11-20", reason="等保整改"):
    path = f"/parameters/{name}/edit"
    return browser.submit(path, value=value, effective_from=day, reason=reason)


def test_the_system_administrator_sees_all_and_may_edit(system):
    page = system.get("/parameters/").text
    for spec in PARAMETERS.values():
        assert str(spec.title) in page
    assert page.count('/edit">修改') == len(PARAMETERS)


@pytest.mark.parametrize("number", [SECURITY_ADMIN, AUDITOR])
def test_others_see_and_may_not_edit(new_browser, number, count):
    browser = new_browser()
    browser.sign_in(number)
    assert browser.get("/parameters/").status_code == 200
    assert "/edit" not in browser.get("/parameters/").text
    assert browser.get("/parameter-history/").status_code == 200
    token = browser.token("/password/")
    fields = {"csrf_token": token, "value": "3", "effective_from": "2026-11-20", "reason": "x"}
    assert browser.post("/parameters/lock_failures/edit", fields).status_code == 403
    assert count(Parameter) == 0


def test_an_enterprise_does_not_see_them(browser):
    browser.sign_in()
    assert browser.get("/parameters/").status_code == 403
    assert browser.get("/permissions/").status_code == 403


def test_setting_one_for_a_later_day_shows_both(system, said):
    response = put(system, "session_idle_minutes", "20", "2026-12-01")
    assert response.status_code == 302
    page = system.get("/parameters/").text
    assert "2026-12-01: 20 分钟" in page
    assert "15 分钟" in page
    history = system.get("/parameter-history/?name=session_idle_minutes").text
    assert "等保整改" in history
    assert SYSTEM_ADMIN in history


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"value": "4000"}, "须在 1 与 1440 之间"),
        ({"value": "abc"}, "请输入整数"),
        ({"day": "2026-11-19"}, "不能修改过去日期的参数"),
        ({"day": "20.11.2026"}, "请输入日期"),
        ({"reason": ""}, "请填写原因"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_set(system, fields, says, count):
    response = put(system, "session_idle_minutes", **({"value": "20"} | fields))
    assert response.status_code == 422
    assert says in response.text
    assert count(Parameter) == 0


def test_an_unknown_one_is_not_found(system):
    assert system.get("/parameters/colour/edit").status_code == 404


def test_fewer_failures_lock(system, new_browser, browser):
    put(system, "lock_failures", "3")
    other = new_browser(browser.address)
    for n in range(3):
        other.sign_in(ENTERPRISE, f"Wrong-Horse-{n}")
    response = browser.sign_in()
    assert response.status_code == 422
    assert "失败 3 次" in response.text


def test_a_shorter_time_without_activity_ends_sessions(system, browser, execute):
    browser.sign_in()
    put(system, "session_idle_minutes", "10")
    execute(update(LoginSession).values(seen_at=func.now() - timedelta(minutes=11)))
    assert not browser.is_signed_in()


def test_stricter_password_rules_are_said_and_kept(system, browser):
    put(system, "password_shortest", "16")
    put(system, "password_classes", "4")
    browser.sign_in()
    assert "长度 16 至 128 个字符" in browser.get("/password/").text
    for weak in ("Good-Horse-1-xy", "GoodHorse1GoodHorse1"):
        response = browser.submit("/password/", original=PASSWORD, new=weak, confirm=weak)
        assert response.status_code == 422, weak
    strong = "Good-Horse-1-long"
    response = browser.submit("/password/", original=PASSWORD, new=strong, confirm=strong)
    assert response.status_code == 302


def test_an_expired_password_is_changed_before_anything_else(browser, execute, member_of):
    long_ago = func.now() - timedelta(days=91)
    execute(
        update(Member).where(Member.username == ENTERPRISE).values(password_changed_at=long_ago)
    )
    browser.sign_in()
    for path in ("/", "/holdings/", "/members/"):
        assert browser.get(path).headers["Location"] == "/password/"
    page = browser.get("/password/").text
    assert "密码已超过最长使用期限" in page
    fresh = "Fresh-Horse-2"
    browser.submit("/password/", original=PASSWORD, new=fresh, confirm=fresh)
    assert browser.get("/").status_code == 200


def test_without_a_longest_age_no_password_expires(system, browser, execute):
    put(system, "password_max_age_days", "0")
    long_ago = func.now() - timedelta(days=4000)
    execute(
        update(Member).where(Member.username == ENTERPRISE).values(password_changed_at=long_ago)
    )
    browser.sign_in()
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("number", [SYSTEM_ADMIN, SECURITY_ADMIN, AUDITOR])
def test_the_permission_sheet_is_chinese_and_complete(new_browser, number):
    browser = new_browser()
    browser.sign_in(number)
    page = browser.get("/permissions/").text
    for role in ROLES.values():
        assert str(role.title) in page
    assert "系统参数" in page
    assert "can_" not in page


def test_the_permission_sheet_as_a_file_says_the_same(new_browser, app, count):
    browser = new_browser()
    browser.sign_in(AUDITOR)
    response = browser.get("/permissions/export")
    rows = list(csv.reader(io.StringIO(response.data.decode("utf-8-sig"))))
    with app.app_context():
        titles = [str(role.title) for role in ROLES.values()]
    assert rows[0][3:] == titles
    edit = next(row for row in rows if row[1] == "系统参数" and row[2] == "修改")
    ticks = [title for title, cell in zip(titles, edit[3:], strict=True) if cell]
    assert ticks == ["系统管理员"]
    exported = (OperationLog.action == "list.export") & (
        OperationLog.subject == "PermissionSheetView"
    )
    assert count(OperationLog, exported) == 1


def test_nobody_can_write_to_the_permission_sheet(new_browser):
    browser = new_browser()
    browser.sign_in(SYSTEM_ADMIN)
    headers = {"X-CSRFToken": browser.token("/password/")}
    assert browser.client.post("/permissions/", headers=headers).status_code == 405


def test_the_history_is_read_by_the_auditor(system, new_browser):
    put(system, "lock_minutes", "20")
    auditor = new_browser("192.0.2.12")
    auditor.sign_in(AUDITOR)
    page = auditor.get("/operation-log/?action=parameter.set").text
    assert "设置系统参数" in page
