"""Production refuses to start with what only a demonstration may have."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from flask import request
from sqlalchemy import create_engine, update

from app.extensions import db
from app.models import Member
from app.operations.people import members
from app.pki import ceremony
from app.security import production
from app.web import create_app
from config import ConfigurationError
from tests.security.conftest import ENTERPRISE, PASSWORD
from tests.signing import needs_sm2

DEFAULT = "Known-To-All-2026"


@pytest.fixture
def fit(app, people, monkeypatch):
    """An installation that may start."""
    monkeypatch.setitem(app.config, "CAPTCHA_ENABLED", True)
    monkeypatch.setitem(app.config, "TESTING", False)
    return app


def test_a_fit_installation_starts(fit):
    production.check_production(fit, DEFAULT)


def test_it_refuses_without_captcha(fit, monkeypatch):
    monkeypatch.setitem(fit.config, "CAPTCHA_ENABLED", False)
    with pytest.raises(ConfigurationError, match="验证码"):
        production.check_production(fit, DEFAULT)


@pytest.mark.parametrize("secret", ["", "short", None])
def test_it_refuses_without_a_secret(fit, monkeypatch, secret):
    monkeypatch.setitem(fit.config, "SECRET_KEY", secret)
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        production.check_production(fit, DEFAULT)


@pytest.mark.parametrize("setting", ["DEBUG", "TESTING"])
def test_it_refuses_to_run_for_debugging(fit, monkeypatch, setting):
    monkeypatch.setitem(fit.config, setting, True)
    with pytest.raises(ConfigurationError, match="调试"):
        production.check_production(fit, DEFAULT)


@needs_sm2
def test_it_refuses_an_authority_of_another_suite(fit, monkeypatch, tmp_path):
    monkeypatch.setitem(fit.config, "CA_FOLDER", str(tmp_path))
    ceremony.establish(tmp_path, "a long passphrase", now=datetime.now(UTC), kind="sm2")
    with pytest.raises(ConfigurationError, match="CRYPTO_SUITE"):
        production.check_production(fit, DEFAULT)
    monkeypatch.setitem(fit.config, "CRYPTO_SUITE", "gm")
    production.check_production(fit, DEFAULT)


def test_it_refuses_while_a_member_has_the_demonstration_s_password(fit, people, execute):
    with pytest.raises(ConfigurationError, match=ENTERPRISE):
        production.check_production(fit, PASSWORD)


def test_it_finds_the_default_password_in_a_batch(fit, people):
    with fit.app_context():
        newcomers = [
            members.NewMember(f"3104230{n:04}", f"某企业{n}", "province", province="31")
            for n in range(40)
        ]
        members.register_members(newcomers, DEFAULT)
        db.session.commit()
    with pytest.raises(ConfigurationError, match="31042300000"):
        production.check_production(fit, DEFAULT)


def test_disabled_members_do_not_matter(fit, execute):
    execute(update(Member).values(active=False))
    production.check_production(fit, PASSWORD)


def test_it_refuses_to_connect_as_the_owner_of_the_tables(fit, settings, monkeypatch):
    owner = create_engine(settings.database_owner_url)
    with owner.connect() as connection:
        monkeypatch.setattr(production.db.session, "scalar", connection.scalar)
        with pytest.raises(ConfigurationError, match="数据库用户"):
            production.check_production(fit, DEFAULT)
    owner.dispose()


def test_production_settings_are_checked_before_serving(app, people, settings):
    serious = dataclasses.replace(settings, profile="production", captcha_enabled=False)
    with pytest.raises(ConfigurationError, match="验证码"):
        create_app(serious)


def test_behind_a_proxy_the_address_that_it_saw_counts(app, settings):
    """The last entry is the proxy's; earlier ones may be forged."""
    behind = create_app(dataclasses.replace(settings, trusted_proxies=1))
    seen = []
    behind.before_request_funcs.setdefault(None, []).insert(
        0, lambda: seen.append((request.remote_addr, request.is_secure))
    )
    behind.test_client().get(
        "/login/",
        headers={"X-Forwarded-For": "203.0.113.1, 198.51.100.200", "X-Forwarded-Proto": "https"},
    )
    assert seen == [("198.51.100.200", True)]
