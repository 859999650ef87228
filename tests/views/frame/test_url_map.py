"""Every address of the URL map: who reaches it, and how."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask_appbuilder import BaseView
from sqlalchemy import select
from werkzeug.routing import Rule

from app.domain.machines import INTERFACES
from app.extensions import db, transaction
from app.models import Account
from app.operations.people.members import NewMember, register_member
from app.security.gate import PUBLIC
from app.security.permission_sheet import WORDS, sheet
from app.security.problems import MACHINES
from app.security.roles import ROLES
from app.views.frame import errors
from app.views.people.sign_in import SignInView
from tests.security.conftest import (
    AUDITOR,
    ENTERPRISE,
    PASSWORD,
    PROVINCE,
    SECURITY_ADMIN,
    SYSTEM_ADMIN,
)

# What Flask-AppBuilder and its companions would serve, had they been left alone.
CLOSED = [
    ("POST", "/api/v1/security/login"),
    ("POST", "/api/v1/security/refresh"),
    ("GET", "/api/v1/security/csrf_token/"),
    ("GET", "/api/v1/menu/"),
    ("GET", "/api/v1/_openapi"),
    ("GET", "/api/v1/security/users/"),
    ("GET", "/api/v1/security/roles/"),
    ("GET", "/swagger/v1"),
    ("GET", "/users/list/"),
    ("GET", "/users/add"),
    ("GET", "/roles/list/"),
    ("GET", "/resetmypassword/form"),
    ("GET", "/resetpassword/form"),
    ("GET", "/userinfoeditview/form"),
    ("GET", "/register/form"),
    ("GET", "/back"),
    ("GET", "/lang/en"),
    ("GET", "/holdings/action/withdraw/1"),
    ("POST", "/holdings/action_post"),
    ("GET", "/holdings/download/x"),
    ("GET", "/static/appbuilder/css/ab.css"),
]


def rules(app: Flask) -> list[Rule]:
    return sorted(app.url_map.iter_rules(), key=lambda rule: (rule.rule, rule.endpoint))


def addresses(app: Flask) -> list[tuple[str, str, str]]:
    """Return method, path and endpoint of every address, with something in the variable places."""
    return [found[:3] for found in addresses_with_rules(app, with_static=True)]


def addresses_with_rules(
    app: Flask, *, with_static: bool = False
) -> list[tuple[str, str, str, str]]:
    """Return method, path, endpoint and the rule that makes the path."""
    samples = {"int": "1", "path": "x", "default": "x", "string": "x", "date": "2026-11-20"}
    found = []
    for rule in rules(app):
        if rule.endpoint == "static" and not with_static:
            continue
        if rule.rule.startswith(MACHINES):
            continue  # No member: tests/views/interfaces.
        path = re.sub(
            r"<(?:(\w+)(?:\([^)]*\))?:)?\w+>",
            lambda match: samples.get(match[1] or "default", "x"),
            rule.rule,
        )
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        found += [(method, path, rule.endpoint, rule.rule) for method in sorted(methods)]
    return found


def test_only_views_of_the_catalogue_have_addresses(app):
    views = {view.endpoint for view in app.appbuilder.baseviews}
    strays = {
        rule.endpoint
        for rule in rules(app)
        if rule.endpoint != "static"
        and rule.endpoint.split(".")[0] not in views
        and not (rule.rule.startswith(MACHINES) and rule.endpoint.startswith(tuple(INTERFACES)))
    }
    assert not strays


def test_every_view_is_one_of_ours(app):
    foreign = {
        type(view).__name__
        for view in app.appbuilder.baseviews
        if not type(view).__module__.startswith("app.views")
    }
    assert not foreign


def test_no_view_offers_flask_appbuilder_s_generic_pages(app):
    generic = {"action", "action_post", "download", "add", "delete", "this_form_get"}
    found = {rule.endpoint for rule in rules(app) if rule.endpoint.split(".")[-1] in generic}
    assert not found


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_what_came_with_the_framework_is_not_there(app, browser, method, path):
    headers = {"X-CSRFToken": browser.token("/login/")}
    assert browser.client.open(path, method=method, headers=headers).status_code == 404
    browser.sign_in()
    headers = {"X-CSRFToken": browser.token("/")}
    assert browser.client.open(path, method=method, headers=headers).status_code == 404


def test_a_stranger_is_sent_to_sign_in_from_everywhere(app, browser):
    open_addresses = []
    for method, path, endpoint in addresses(app):
        token = browser.token("/login/")
        response = browser.client.open(path, method=method, headers={"X-CSRFToken": token})
        to_sign_in = response.status_code == 302 and response.headers["Location"].startswith(
            "/login/"
        )
        if endpoint in PUBLIC:
            continue
        if not to_sign_in:
            open_addresses.append((method, path, response.status_code))
    assert not open_addresses


def test_what_is_public_is_there(app):
    assert {endpoint for _method, _path, endpoint in addresses(app)} >= PUBLIC


def test_every_form_needs_its_token(app, browser):
    """Other methods than GET change something; a foreign page cannot send them."""
    browser.sign_in()
    for method, path, endpoint in addresses(app):
        if method == "GET" or endpoint == "AuthorityView.ocsp":  # Asked by programs; it only reads.
            continue
        assert browser.client.open(path, method=method).status_code == 400, path
        forged = {"X-CSRFToken": "forged"}
        assert browser.client.open(path, method=method, headers=forged).status_code == 400, path


def test_addresses_know_get_and_post_alone(app):
    assert {method for method, _path, _endpoint in addresses(app)} <= {"GET", "POST"}


def _permission(app: Flask, endpoint: str) -> tuple[str, str]:
    """Return the permission that an endpoint of ours asks for."""
    blueprint, _, name = endpoint.partition(".")
    view = next(view for view in app.appbuilder.baseviews if view.endpoint == blueprint)
    assert hasattr(getattr(view, name), "_permission_name"), f"{endpoint} asks for no permission"
    return f"can_{view.get_method_permission(name)}", view.class_permission_name


def test_every_page_asks_for_a_permission(app):
    for _method, _path, endpoint in addresses(app):
        if endpoint not in PUBLIC:
            _permission(app, endpoint)


def test_the_table_of_roles_and_the_views_agree(app):
    registered = {
        (permission, view.class_permission_name)
        for view in app.appbuilder.baseviews
        for permission in view.base_permissions
    }
    granted = {pair for role in ROLES.values() for pair in role.permissions()}

    assert granted - registered == set(), "granted, but there is no such page"
    assert registered - granted == set(), "a page that no role can reach"


HOLDERS = {
    "enterprise": ENTERPRISE,
    "province": PROVINCE,
    "security_admin": SECURITY_ADMIN,
    "system_admin": SYSTEM_ADMIN,
    "auditor": AUDITOR,
}


def _holder(code: str) -> str:
    """Return the number of a member with the role, registered where missing."""
    if code in HOLDERS:
        return HOLDERS[code]
    scope: dict[str, object] = {}
    if ROLES[code].scope == "province":
        scope = {"province": "42"}
    if ROLES[code].scope == "account":
        account = select(Account.id).where(Account.member_no == ENTERPRISE)
        scope = {"account_id": db.session.scalar(account)}
    with transaction():
        register_member(NewMember(f"X-{code}", code, code, **scope), PASSWORD, must_change=False)
    return f"X-{code}"


def _signed_in(browser, member_no: str) -> dict[str, str]:
    """Sign in, and return the header that every form then sends."""
    browser.sign_in(member_no)
    return {"X-CSRFToken": browser.token("/password/")}


@pytest.mark.parametrize("code", ROLES)
def test_each_role_reaches_its_own_addresses_and_no_others(app, browser, code, monkeypatch):
    """403 exactly where the permission sheet has no tick; what pages look like is seen elsewhere."""
    monkeypatch.setattr(errors, "_page", lambda code, _words, **_more: f"<p>{code}</p>")
    draw = BaseView.render_template

    def draw_forms_of_sign_in(view: BaseView, template: str, **more: object) -> str:
        return draw(view, template, **more) if isinstance(view, SignInView) else ""

    monkeypatch.setattr(BaseView, "render_template", draw_forms_of_sign_in)
    member_no = _holder(code)
    with app.test_request_context():
        allowed = {address: line.allows(code) for line in sheet() for address in line.addresses}
    tried, headers = set(), _signed_in(browser, member_no)
    for method, path, endpoint, rule in addresses_with_rules(app):
        response = browser.client.open(path, method=method, headers=headers)
        if response.status_code in (302, 400) and not browser.is_signed_in():
            # The one before has ended the session; or this one has, and does so again.
            headers = _signed_in(browser, member_no)
            response = browser.client.open(path, method=method, headers=headers)
        tried.add((method, rule))
        assert (response.status_code != 403) is allowed[method, rule], (method, path)
        assert response.status_code != 500, (method, path)
        if response.status_code == 302 and endpoint not in PUBLIC:
            assert not response.headers["Location"].startswith("/login/"), (method, path)
    assert tried == allowed.keys(), "an address that nobody tried"


def test_the_sheet_and_the_table_of_roles_say_the_same(app):
    with app.test_request_context():
        lines = sheet()
    for code, role in ROLES.items():
        on_the_sheet = {
            (f"can_{line.permission}", line.view)
            for line in lines
            if line.permission and line.allows(code)
        }
        assert on_the_sheet == role.permissions(), code


def test_every_permission_has_words(app):
    with app.test_request_context():
        wordless = {line.permission for line in sheet() if line.permission} - WORDS.keys()
    assert not wordless, "say in app/security/permission_sheet.py what they let one do"


# Everybody's own: home, notices, guides, password, jobs, certificate, signing what one does, and what a
# demonstration sent; and statements, defaults, trails and net sales, which an auditor and an enterprise
# only read.
# Credentials are kept as certificates are: 安全管理员 revokes, and does nothing by them.
OWN = {"HomeView", "AnnouncementView", "HelpView", "SignInView", "JobView", "JobFailureView",
       "CertificateView", "SigningView", "MailboxView", "StatementView", "NetView", "DefaultView",
       "CredentialView", "CredentialUseView", "TrailView", "YearlyStatementView"}  # fmt: skip


def test_administrators_do_no_business(app):
    def views(code: str) -> set[str]:
        return {view for _permission, view in ROLES[code].permissions()}

    business = views("enterprise") - OWN
    assert len(business) > 20
    for role in ROLES.values():
        if role.is_administrator:
            assert business & views(role.code) == set()


def test_a_role_taken_away_counts_at_the_next_click(app, browser, people, execute):
    from flask_appbuilder.security.sqla.models import assoc_user_role

    browser.sign_in(SECURITY_ADMIN)
    assert browser.get("/members/").status_code == 200
    execute(assoc_user_role.delete().where(assoc_user_role.c.user_id == people[SECURITY_ADMIN]))
    assert browser.get("/members/").status_code == 403


def test_every_answer_carries_the_headers(app, browser):
    for path in ("/login/", "/nowhere", "/static/css/app.css", "/"):
        browser.sign_in() if path == "/" else None
        with browser.get(path) as response:
            page = response.get_data()
        policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self' 'nonce-" in policy
        assert "'unsafe-inline'" not in policy.split("style-src")[0]
        assert "frame-ancestors 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"
        assert "Strict-Transport-Security" not in response.headers
        if not path.startswith("/static"):
            assert response.headers["Cache-Control"] == "no-store"
            assert f"'nonce-{_nonce(page.decode())}'" in policy


def _nonce(page: str) -> str:
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', page))
    return nonce


def test_nonces_are_never_the_same(browser):
    assert _nonce(browser.get("/login/").text) != _nonce(browser.get("/login/").text)


def test_over_tls_the_browser_is_told_to_stay_there(browser):
    response = browser.get("/login/", base_url="https://localhost")
    assert response.headers["Strict-Transport-Security"].startswith("max-age=")
