"""Test members, and a browser for each that fills in forms as a person does."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from app.extensions import db
from app.models import Account, Member
from app.operations.people.members import NewMember, register_member
from app.security import captcha, lockout

PASSWORD = "Right-Horse-1"
ENTERPRISE, OTHER, PROVINCE = "21042300007", "21042300008", "P42"
SECURITY_ADMIN, SYSTEM_ADMIN, AUDITOR = "SEC01", "SYS01", "AUD01"


class Browser:
    """One browser: its own cookies, its own address."""

    def __init__(self, app: Flask, address: str = "198.51.100.1") -> None:
        self.app = app
        self.client = app.test_client()
        self.address = address

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, environ_base={"REMOTE_ADDR": self.address}, **more)

    def post(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> TestResponse:
        """Send a form without a CSRF token, as a foreign page could."""
        return self.client.post(
            path, data=data or {}, environ_base={"REMOTE_ADDR": self.address}, **more
        )

    def submit(self, page: str, path: str = "", **fields: Any) -> TestResponse:
        """Open a page, and send the form on it with its token."""
        return self.post(path or page, {"csrf_token": self.token(page), **fields})

    def token(self, page: str) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page).text)
        assert found, f"no form on {page}"
        return found[1]

    def sign_in(
        self, member_no: str = ENTERPRISE, password: str = PASSWORD, **more: Any
    ) -> TestResponse:
        return self.submit("/login/", member_no=member_no, password=password, **more)

    def is_signed_in(self) -> bool:
        return self.get("/password/").status_code == 200

    def captcha(self) -> tuple[str, str]:
        """Return id and answer of the current 验证码."""
        with self.client.session_transaction() as session:
            captcha_id = session["captcha"]
        with self.app.app_context():
            answer = captcha.answer_of(captcha_id)
        return captcha_id, answer or ""


@pytest.fixture
def people(app: Flask) -> dict[str, int]:
    """Register an enterprise and its neighbour, an authority and the administrators."""
    with app.app_context():
        accounts = [
            Account(member_no=ENTERPRISE, name="市场通测试030207", province="42"),
            Account(member_no=OTHER, name="华中水泥", province="42"),
        ]
        db.session.add_all(accounts)
        db.session.flush()

        def register(member_no: str, name: str, role: str, **more: Any) -> int:
            return register_member(
                NewMember(member_no, name, role, **more), PASSWORD, must_change=False
            )

        ids = {
            ENTERPRISE: register(
                ENTERPRISE, "市场通测试030207", "enterprise", account_id=accounts[0].id
            ),
            OTHER: register(OTHER, "华中水泥", "enterprise", account_id=accounts[1].id),
            PROVINCE: register(PROVINCE, "湖北省生态环境厅", "province", province="42"),
            SECURITY_ADMIN: register(SECURITY_ADMIN, "安全管理员", "security_admin"),
            SYSTEM_ADMIN: register(SYSTEM_ADMIN, "系统管理员", "system_admin"),
            AUDITOR: register(AUDITOR, "审计员", "auditor"),
        }
        db.session.commit()
    return ids


@pytest.fixture
def browser(app: Flask, people: dict[str, int]) -> Browser:
    return Browser(app)


@pytest.fixture
def new_browser(app: Flask, people: dict[str, int]) -> Callable[..., Browser]:
    return lambda address="198.51.100.2": Browser(app, address)


@pytest.fixture
def with_captcha(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "CAPTCHA_ENABLED", True)


@pytest.fixture
def count(app: Flask) -> Callable[..., int]:
    """Count the rows of a table that meet the conditions."""

    def count(model: Any, *conditions: Any) -> int:
        with app.app_context():
            query = select(func.count()).select_from(model).where(*conditions)
            return db.session.scalar(query) or 0

    return count


@pytest.fixture
def member_of(app: Flask) -> Callable[[str], Member]:
    """Read a member from the database."""

    def read(member_no: str) -> Member:
        with app.app_context():
            member = db.session.scalars(select(Member).where(Member.username == member_no)).one()
            db.session.expunge(member)
            return member

    return read


@pytest.fixture
def execute(app: Flask) -> Callable[..., None]:
    """Run a statement as the application's role, committed."""

    def run(statement: Any, parameters: Any = None) -> None:
        with app.app_context():
            db.session.execute(statement, parameters)
            db.session.commit()

    return run


def fail(ip: str, times: int, member_no: str = "") -> None:
    """Take guesses of an address, at a member or at nobody, and let them be failures."""
    for _each in range(times):
        if member_no:
            lockout.take_a_guess(member_no, lockout.Source(ip))
        else:
            lockout.take_a_guess_from(ip)


@pytest.fixture
def age_failures(cluster: Any) -> Callable[[timedelta], None]:
    """Return a function that makes all failures older, as nobody but a superuser can."""

    def age(by: timedelta) -> None:
        with cluster.connect("registry") as connection:
            connection.execute("UPDATE login_failure SET at = at - %s", [by])

    return age


def messages(response: TestResponse) -> list[str]:
    """Return the messages on the page."""
    return [unescape(text) for text in re.findall(r'message-body"><p>(.*?)</p>', response.text)]


@pytest.fixture
def said() -> Callable[[TestResponse], list[str]]:
    return messages
