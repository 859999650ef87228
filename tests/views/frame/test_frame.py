"""The frame of every page: header, menu, language, 安全指数."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import event, update

from app.extensions import db
from app.models import Member
from app.security.sessions import SessionFacts
from app.views.frame import frame
from app.views.frame.security_index import security_index
from tests import factories
from tests.security.conftest import (
    AUDITOR,
    ENTERPRISE,
    OTHER,
    PASSWORD,
    PROVINCE,
    SECURITY_ADMIN,
    SYSTEM_ADMIN,
)


def test_the_header_says_who_is_signed_in(browser):
    browser.sign_in()
    page = browser.get("/").text

    for words in (
        "市场通测试030207",
        ENTERPRISE,
        "您好",
        "修改密码",
        "上次登录",
        "安全指数",
        "待办",
    ):
        assert words in page, words


def test_a_stranger_sees_no_frame(browser):
    page = browser.get("/login/").text
    assert "您好" not in page
    assert "/holdings/" not in page


@pytest.mark.parametrize(
    ("member_no", "sees", "does_not_see"),
    [
        (ENTERPRISE, ["/transfers/registry-to-trading/", "/holdings/"], ["/members/", "/clock/"]),
        (PROVINCE, ["/holdings/"], ["/members/", "/operation-log/"]),
        (SECURITY_ADMIN, ["/members/", "/online/", "/locks/"], ["/holdings/", "/clock/"]),
        (SYSTEM_ADMIN, ["/calendar/", "/clock/", "/members/"], ["/holdings/", "/online/"]),
        (AUDITOR, ["/operation-log/", "/login-records/"], ["/holdings/", "/clock/"]),
    ],
)
def test_the_menu_shows_what_the_role_may_open(browser, member_no, sees, does_not_see):
    browser.sign_in(member_no)
    page = browser.get("/").text

    for path in sees:
        assert f'href="{path}"' in page, path
        assert browser.get(path).status_code == 200
    for path in does_not_see:
        assert f'href="{path}"' not in page, path
        assert browser.get(path).status_code == 403


def test_the_place_in_the_menu_is_marked(browser):
    browser.sign_in(SYSTEM_ADMIN)
    page = browser.get("/calendar/2026-11-23/edit").text
    assert 'href="/calendar/" aria-current="page"' in page


def test_the_home_page_adds_up_one_s_own_holdings(app, people, browser, new_browser):
    what = factories.instrument()
    mine = db.session.query(factories.Account).filter_by(member_no=ENTERPRISE).one()
    others = db.session.query(factories.Account).filter_by(member_no=OTHER).one()
    elsewhere = factories.account(province="31")
    factories.give(mine, what, 700)
    factories.give(others, what, 31)
    factories.give(elsewhere, what, 5000)

    browser.sign_in()
    assert ">700<" in browser.get("/").text
    province = new_browser()
    province.sign_in(PROVINCE)
    assert ">731<" in province.get("/").text
    assert "5,731" not in province.get("/").text
    administrator = new_browser()
    administrator.sign_in(SYSTEM_ADMIN)
    assert "登记可用量" not in administrator.get("/").text


def test_a_name_that_looks_like_markup_is_text(browser, execute):
    name = "<img src=x onerror=alert(1)>{{7*7}}%s"
    execute(update(Member).where(Member.username == ENTERPRISE).values(first_name=name))
    browser.sign_in()
    page = browser.get("/").text

    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;{{7*7}}%s" in page


# Language and theme


def test_the_language_is_chinese_unless_asked_otherwise(browser):
    assert 'lang="zh-CN"' in browser.get("/login/", headers={"Accept-Language": "en"}).text
    browser.client.set_cookie("lang", "en")
    english = browser.get("/login/").text
    assert 'lang="en"' in english
    assert "Member number" in english


@pytest.mark.parametrize("lang", ["xx", "../../etc", "\x00", "zh_Hans_CN", ""])
def test_an_unknown_language_is_chinese(browser, lang):
    browser.client.set_cookie("lang", lang)
    assert 'lang="zh-CN"' in browser.get("/login/").text


def test_the_address_does_not_change_the_language(browser):
    assert 'lang="zh-CN"' in browser.get("/login/?_l_=en").text


def test_theme_and_language_are_kept_in_cookies(browser):
    response = browser.submit("/login/", "/appearance/", theme="dark", lang="en")
    assert response.status_code == 302
    page = browser.get("/login/").text
    assert 'data-bs-theme="dark"' in page
    assert 'lang="en"' in page

    browser.submit("/login/", "/appearance/", theme="<x>", lang="xx")
    assert 'data-bs-theme="dark"' in browser.get("/login/").text


def test_the_choice_of_theme_leads_back_to_the_page(browser):
    token = browser.token("/login/")
    for referrer, target in (
        ("http://localhost/login/?a=1", "/"),  # The sign-in page is nothing to return to.
        ("http://localhost/password/?a=1", "/password/?a=1"),
        ("http://evil.example/", "/"),
        ("http://localhost//evil.example", "/"),
        ("http://localhost.evil.example/", "/"),
    ):
        response = browser.post(
            "/appearance/", {"csrf_token": token, "theme": "dark"}, headers={"Referer": referrer}
        )
        assert response.headers["Location"] == target, referrer


# 安全指数


def index(app, **given):
    fit = {"method": "certificate", "failures": 0, "age": 1, "own": True, "left": 400,
           "account": 7, "phone": True, "second": True, "email": "a@example.cn"} | given  # fmt: skip
    now = datetime.now(UTC)
    member = SimpleNamespace(
        password_changed_at=now - timedelta(days=fit["age"]),
        account_id=fit["account"],
        email=fit["email"],
    )
    login = SimpleNamespace(method=fit["method"], failures_since=fit["failures"])
    until = None if fit["method"] == "password" else now + timedelta(days=fit["left"], hours=1)
    facts = SessionFacts(fit["own"], until, fit["phone"], fit["second"])
    with app.test_request_context():
        return security_index(member, login, facts)


def test_the_security_index_counts_facts(app):
    assert index(app)["level"] == "high"
    assert (index(app)["score"], index(app)["of"]) == (7, 7)
    assert (index(app, account=None)["score"], index(app, account=None)["of"]) == (5, 5)
    assert index(app, age=91)["level"] == "medium"
    assert index(app, second=False, phone=False)["level"] == "medium"
    assert index(app, second=False, phone=False, failures=1)["level"] == "low"
    assert index(app, method="password", own=False, age=400)["score"] == 3


@pytest.mark.parametrize("method", ["password", "soft_certificate"])
def test_without_a_usbkey_the_index_is_medium_at_most(app, method):
    assert index(app, method=method)["level"] == "medium"


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({"left": 29}, "证书有效期超过 30 天"),
        ({"email": "21042300007@members.invalid"}, "已登记手机和邮箱"),
        ({"phone": False}, "已登记手机和邮箱"),
        ({"second": False}, "本单位另有人员可以登录"),
        ({"own": False}, "初始密码"),
    ],
    ids=str,
)
def test_each_fact_lowers_the_index_by_one(app, given, label):
    missing = [text for text, is_ok, _advice in index(app, **given)["items"] if not is_ok]
    assert len(missing) == 1
    assert label in missing[0]


def test_what_is_missing_says_how_to_improve_it(app):
    for _label, is_ok, advice in index(app, method="password", failures=3, own=False)["items"]:
        assert is_ok or advice


def test_an_own_password_raises_the_index(browser):
    browser.sign_in()
    before = browser.get("/").text
    browser.submit(
        "/password/", original=PASSWORD, new="Better-Horse-22", confirm="Better-Horse-22"
    )
    after = browser.get("/").text

    assert "(2/6)" in before
    assert "(3/6)" in after


# The cost


def test_a_page_asks_few_questions_of_the_database(browser):
    """The session with all that pages read of its member, what its roles grant once, and the page's own."""
    browser.sign_in()
    asked: list[str] = []

    def note(_connection, _cursor, statement, *_rest):
        asked.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        browser.get("/password/")
        assert len(asked) == 1, asked
        asked.clear()
        browser.get("/")
        # The holdings, the notices, the latest applications and the announcements.
        assert len(asked) == 5, asked
        asked.clear()
        browser.get("/static/css/app.css").close()
        assert not asked
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def test_what_waits_is_counted_per_kind(app, browser, monkeypatch):
    monkeypatch.setattr(
        frame,
        "TODO_COUNTS",
        [lambda member: [("待审核", 3, "HomeView.index"), ("返还", 2, "HomeView.index")]],
    )
    browser.sign_in()
    page = browser.get("/").text
    assert "待审核" in page
    assert ">5<" in page
