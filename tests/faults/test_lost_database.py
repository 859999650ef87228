"""The database is gone while people work: a page in Chinese, the form kept, one line of log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.exceptions import InternalServerError

from app import embedded
from app.extensions import db
from app.models import Application
from app.security import headers
from tests import factories

HOLDINGS = "/holdings/"
NEW = "/transfers/registry-to-trading/new"


@contextmanager
def gone(cluster: embedded.Cluster) -> Iterator[None]:
    """End the application's connections, and let nobody in meanwhile."""
    name = db.engine.url.database
    db.session.remove()
    with cluster.connect() as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND usename = %s",
            (name, db.engine.url.username),
        )
    try:
        yield
    finally:
        with cluster.connect() as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.fixture
def browser(sign_in, operator, cea, plant):
    factories.give(plant, cea, 100)
    browser = sign_in(operator)
    assert browser.get(HOLDINGS).status_code == 200
    return browser


@pytest.fixture(autouse=True)
def _no_incident_yet(app, monkeypatch):
    monkeypatch.setattr(app.extensions["incident"], "_told", float("-inf"))


def test_pages_say_so_in_chinese_and_come_back(cluster, browser, caplog):
    with gone(cluster):
        answers = [browser.get(HOLDINGS) for _time in range(5)]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "暂时无法服务" in answer.text
        assert f'href="{HOLDINGS}"' in answer.text
    assert browser.get(HOLDINGS).status_code == 200  # Still signed in.
    lines = [line for each in caplog.records for line in each.getMessage().splitlines()]
    assert [line for line in lines if "does not answer" in line] == lines
    assert len(lines) == 1


def test_a_form_is_kept_and_carried_out_once(cluster, browser, cea):
    page = browser.get(NEW).text
    key = re.search(r'name="request_key"[^>]*value="([^"]+)"', page)
    form = {
        "submit": "1",
        "reason": "交易需要\r\n<第二行>",
        "lines-0-choice": str(cea.id),
        "lines-0-quantity": "7",
        "lines-0-venue": str(factories.venue().id),
        **({"request_key": key[1]} if key else {}),
    }
    with gone(cluster):
        answer = browser.post(NEW, data=form)
    assert answer.status_code == 503
    kept = {
        name: unescape(text)
        for name, text in re.findall(
            r'<textarea name="([^"]+)" hidden>\n(.*?)</textarea>', answer.text, re.S
        )
    }
    assert {name: text.replace("\r\n", "\n") for name, text in kept.items()} == {
        name: text.replace("\r\n", "\n") for name, text in form.items()
    }
    for _time in range(2):
        assert browser.post(NEW, data=kept).status_code == 302
    assert db.session.scalar(select(func.count()).select_from(Application)) == 1


def test_what_is_secret_is_not_sent_back(cluster, browser):
    form = {"current_password": "Geheim-2026", "new_password": "Geheim-2027"}
    with gone(cluster):
        answer = browser.post("/password/", data=form)
    assert answer.status_code == 503
    assert "Geheim" not in answer.text
    assert "<textarea" not in answer.text


def test_a_machine_is_told_when_to_ask_again(cluster, app, client):
    with gone(cluster):
        answer = client.get(
            "/api/exchange/v1/calendar", headers={"Authorization": f"Bearer {'x' * 43}"}
        )
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.mimetype == "application/problem+json"
    assert json.loads(answer.text)["errors"][0]["code"] == "unavailable"


def test_a_monitor_sees_that_the_process_lives_and_is_not_ready(cluster, browser):
    with gone(cluster):
        alive, ready = browser.get("/healthz"), browser.get("/readyz")
    assert alive.status_code == 200
    assert (ready.status_code, ready.json["database"]) == (503, "failed")
    assert browser.get("/readyz").status_code == 200


def test_no_free_connection_is_the_same(browser, monkeypatch):
    db.session.remove()
    monkeypatch.setattr(db.engine.pool, "_timeout", 0.01)
    with ExitStack() as taken:
        for _each in range(db.engine.pool.size() + db.engine.pool._max_overflow):
            taken.enter_context(db.engine.connect())
        assert browser.get(HOLDINGS).status_code == 503
    assert browser.get(HOLDINGS).status_code == 200


def test_what_nothing_else_answers_is_answered_in_chinese_with_the_headers():
    app = Flask("broken")
    headers.init_app(app)

    @app.errorhandler(InternalServerError)
    def fail_again(_error):
        raise ValueError

    @app.route("/")
    def fail():
        raise ValueError

    answer = app.test_client().get("/", base_url="https://localhost")
    assert answer.status_code == 500
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "系统错误" in answer.text
    for name, value in headers.ALWAYS.items():
        assert answer.headers[name] == value
