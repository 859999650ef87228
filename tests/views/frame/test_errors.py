"""Error pages: ours, in Chinese, with advice; a refused form leads back to it."""

from __future__ import annotations

import re

import pytest
from flask import Blueprint
from sqlalchemy import text

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.extensions import db
from tests.security.conftest import ENTERPRISE, SECURITY_ADMIN


@pytest.mark.parametrize(
    "path", ["/nowhere", "/members/x", "/login/nowhere", "/static/none.css", "/%00"]
)
def test_an_unknown_address_gets_our_own_page(browser, path):
    for _ in range(2):
        response = browser.get(path)
        assert response.status_code == 404
        assert 'id="error-title"' in response.text
        assert "Werkzeug" not in response.text
        if not browser.is_signed_in():
            browser.sign_in()


@pytest.mark.parametrize("number", [2**31, 10**25])
def test_a_number_that_no_key_can_be_is_an_unknown_address(app, browser, number):
    """Any id in an address: the database would report it out of range."""
    browser.sign_in(SECURITY_ADMIN)
    rules = [rule for rule in app.url_map.iter_rules() if "<int:" in rule.rule]
    assert len(rules) > 50
    for rule in rules:
        path = re.sub(r"<[^>]+>", str(number), rule.rule)
        method = "GET" if "GET" in rule.methods else "POST"
        assert browser.client.open(path, method=method).status_code in (404, 405), path


def test_a_page_of_another_role_is_refused(browser):
    browser.sign_in()
    response = browser.get("/members/")
    assert response.status_code == 403
    assert ENTERPRISE in response.text  # Within the frame.


def test_the_wrong_method_says_which_are_right(browser):
    response = browser.get("/logout/")
    assert response.status_code == 405
    assert "POST" in response.headers["Allow"]


def test_too_much_is_refused(app, browser, monkeypatch):
    monkeypatch.setitem(app.config, "MAX_CONTENT_LENGTH", 1000)
    response = browser.post("/login/", {"member_no": "x" * 2000})
    assert response.status_code == 413
    assert 'id="error-title"' in response.text


def test_a_form_without_its_token_is_explained(browser):
    browser.sign_in()
    response = browser.post("/password/", {"original": "x"})
    assert response.status_code == 400
    assert 'id="error-title"' in response.text


@pytest.mark.parametrize("path", ["/", "/login/", "/password/"])
def test_head_and_options_are_answered(browser, path):
    browser.sign_in()
    assert browser.client.head(path).status_code in (200, 302)
    assert browser.client.options(path).status_code in (200, 302)


@pytest.fixture
def breaking(app, monkeypatch):
    """Let the home page run a function, as an internal error would."""
    view = app.view_functions["HomeView.index"]

    def set_up(act):
        monkeypatch.setitem(app.view_functions, "HomeView.index", lambda: act())
        return view

    monkeypatch.setitem(app.config, "TESTING", False)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    return set_up


def test_a_fault_of_ours_gives_a_page_with_a_reference_and_no_trace(browser, breaking):
    browser.sign_in()
    breaking(lambda: {}["secret detail"])
    response = browser.get("/")

    assert response.status_code == 500
    assert 'id="error-title"' in response.text
    assert "secret detail" not in response.text
    assert "Traceback" not in response.text


def test_the_page_comes_although_the_database_refused(browser, breaking):
    browser.sign_in()
    breaking(lambda: db.session.execute(text("SELECT broken")))
    response = browser.get("/")

    assert response.status_code == 500
    assert "SELECT" not in response.text


def raising(error):
    def act():
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code"), [(NotFound("x"), 404), (NotAllowed("x"), 403), (RuleError("规则"), 409)]
)
def test_a_rule_that_refuses_a_page_is_told(browser, breaking, error, code):
    browser.sign_in()
    breaking(raising(error))
    assert browser.get("/").status_code == code


def test_a_rule_that_refuses_a_form_leads_back_to_it(app, browser, monkeypatch, said):
    browser.sign_in()
    token = browser.token("/password/")
    monkeypatch.setitem(
        app.view_functions, "SignInView.change_password", raising_view(RuleError("规则不允许"))
    )
    response = browser.post(
        "/password/", {"csrf_token": token}, headers={"Referer": "http://localhost/?a=1"}
    )
    assert response.status_code == 302
    assert response.headers["Location"] == "/?a=1"
    assert "规则不允许" in said(browser.get("/"))

    foreign = browser.post(
        "/password/", {"csrf_token": token}, headers={"Referer": "http://evil.example/x"}
    )
    assert foreign.status_code == 409


def raising_view(error):
    def view():
        raise error

    return view


def test_blueprints_are_all_ours(app):
    assert all(isinstance(blueprint, Blueprint) for blueprint in app.blueprints.values())
    assert "appbuilder" not in app.blueprints
