"""Settings: what each profile reads from the environment, and what production refuses."""

from __future__ import annotations

import re
import stat
from dataclasses import fields
from datetime import timedelta

import pytest

import config
from config import ConfigurationError, load

APP = "postgresql://registry_app:a@db/registry"
OWNER = "postgresql://registry_owner:b@db/registry"
PRODUCTION = {
    "APP_PROFILE": "production",
    "DATABASE_URL": APP,
    "DATABASE_OWNER_URL": OWNER,
    "SECRET_KEY": "k" * 32,
    "PERSONAL_DATA_KEY": f"2026a:{'a' * 64},index:{'b' * 64}",
    "MAIL_URL": "smtp://registry:p%40ss@mail.example:587",
    "MAIL_FROM": "registry@registry.example",
    "SMS_URL": "https://gateway.example/send",
    "SMS_KEY": "s" * 32,
    "TRUSTED_HOSTS": "registry.example",
}
DEMO = {"DATABASE_URL": APP, "DATABASE_OWNER_URL": OWNER, "SECRET_KEY": "k" * 32}


def test_the_demo_is_the_default_and_listens_on_this_machine():
    settings = load(DEMO)
    assert (settings.profile, settings.host, settings.port) == ("demo", "127.0.0.1", 8080)
    assert settings.captcha_enabled
    assert settings.has_own_clock
    assert not settings.cookie_secure


def test_the_test_profile_alone_has_no_captcha():
    assert not load(DEMO | {"APP_PROFILE": "test"}).captcha_enabled


def test_production_starts_with_its_secrets_and_keeps_to_the_wall_clock():
    settings = load(PRODUCTION | {"HOST": "0.0.0.0"})  # noqa: S104
    assert settings.is_production
    assert settings.captcha_enabled
    assert not settings.has_own_clock
    assert settings.flask_config()["SESSION_COOKIE_SECURE"]
    assert settings.flask_config()["SESSION_COOKIE_NAME"].startswith("__Host-")


def test_a_certificate_is_asked_for_but_in_tests():
    assert load(PRODUCTION).cert_login == load(DEMO).cert_login == "agent"
    assert load(PRODUCTION | {"CERT_LOGIN": "mtls"}).cert_login == "mtls"
    assert load(DEMO | {"APP_PROFILE": "test"}).cert_login == "off"
    assert load(DEMO | {"APP_PROFILE": "test", "CERT_LOGIN": "agent"}).cert_login == "agent"
    with pytest.raises(ConfigurationError, match="off in tests alone"):
        load(DEMO | {"CERT_LOGIN": "off"})


def test_each_suite_has_its_authority_and_keys(monkeypatch):
    """gm needs tongsuopy, and no browser shows an SM2 certificate."""
    monkeypatch.setattr(config.importlib.util, "find_spec", lambda name: name)
    usual, gm = load(DEMO), load(DEMO | {"CRYPTO_SUITE": "gm"})
    assert (usual.crypto_suite, gm.crypto_suite) == ("intl", "gm")
    assert (gm.ca_folder.name, gm.demo_keys.name) == ("authority-gm", "keys-gm")
    assert (usual.ca_folder.name, usual.demo_keys.name) == ("authority", "keys")
    with pytest.raises(ConfigurationError, match="know no SM2"):
        load(PRODUCTION | {"CRYPTO_SUITE": "gm", "CERT_LOGIN": "mtls"})
    monkeypatch.setattr(config.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="tongsuopy") as refused:
        load(PRODUCTION | {"CRYPTO_SUITE": "gm"})
    assert "国密组件" in str(refused.value)


def test_the_demo_alone_starts_a_worker_beside_the_server():
    assert load(DEMO).has_own_worker
    assert not load(DEMO | {"WORKER": "off"}).has_own_worker
    assert not load(PRODUCTION | {"WORKER": "on"}).has_own_worker


def test_production_may_run_without_the_owner_s_secret():
    environ = {name: text for name, text in PRODUCTION.items() if name != "DATABASE_OWNER_URL"}
    assert load(environ).database_owner_url == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"SECRET_KEY": "k" * 31}, "SECRET_KEY"),
        ({"PERSONAL_DATA_KEY": ""}, "PERSONAL_DATA_KEY"),
        ({"PERSONAL_DATA_KEY": f"2026a:{'a' * 64}"}, "index"),
        ({"PERSONAL_DATA_KEY": f"2026a:{'a' * 63},index:{'b' * 64}"}, "64 hex"),
        ({"PERSONAL_DATA_KEY": f"index:{'b' * 64}"}, "64 hex"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:///registry.db"}, "PostgreSQL"),
        ({"DATABASE_URL": "not an address"}, "database address"),
        ({"DATABASE_OWNER_URL": APP}, "must not connect as the owner"),
        ({"CAPTCHA": "off"}, "captcha"),
        ({"CERT_LOGIN": "off"}, "off in tests alone"),
        ({"CERT_LOGIN": "password"}, "CERT_LOGIN cannot be"),
        ({"CRYPTO_SUITE": "sm2"}, "CRYPTO_SUITE cannot be"),
        ({"CERT_PROXY_SECRET": "short"}, "CERT_PROXY_SECRET needs"),
        ({"TRUSTED_HOSTS": " , "}, "needs TRUSTED_HOSTS"),
        ({"PORT": "0"}, "PORT"),
        ({"MAIL_URL": ""}, "MAIL_URL, or off"),
        ({"MAIL_URL": "mailbox"}, "MAIL_URL, or off"),
        ({"MAIL_URL": "mail.example"}, "MAIL_URL reads"),
        ({"MAIL_URL": "smtp://mail.example:x"}, "MAIL_URL reads"),
        ({"MAIL_URL": "smtp://mail.example?tls=no"}, "MAIL_URL reads"),
        ({"MAIL_URL": "smtp://mail.example?tsl=off"}, "MAIL_URL reads"),
        ({"MAIL_URL": "smtp://a:b@mail.example?tls=off"}, "in clear"),
        ({"MAIL_FROM": ""}, "MAIL_FROM"),
        ({"MAIL_FROM": "registry"}, "MAIL_FROM"),
        ({"SMS_URL": ""}, "SMS_URL, or off"),
        ({"SMS_URL": "http://gateway.example/"}, "https"),
        ({"SMS_KEY": "short"}, "SMS_KEY"),
        ({"PORT": "８０８０"}, "PORT"),
        ({"TRUSTED_PROXIES": "-1"}, "TRUSTED_PROXIES"),
        ({"APP_PROFILE": "prod"}, "APP_PROFILE"),
    ],
)
def test_production_refuses(change, message):
    with pytest.raises(ConfigurationError, match=message) as refused:
        load(PRODUCTION | change)
    assert "。" in str(refused.value)  # In Chinese and in English.


def test_messages_go_where_they_are_told():
    settings = load(PRODUCTION)
    server = config.MailServer.read(settings.mail_url)
    assert (server.host, server.port, server.tls) == ("mail.example", 587, "starttls")
    assert (server.user, server.password) == ("registry", "p@ss")
    assert "p%40ss" not in repr(settings)
    assert "s" * 32 not in repr(settings)
    assert "p@ss" not in repr(server)
    nowhere = load(PRODUCTION | {"MAIL_URL": "off", "MAIL_FROM": "", "SMS_URL": "off"})
    assert (nowhere.mail_url, nowhere.sms_url) == ("off", "off")
    assert (load(DEMO).mail_url, load(DEMO).sms_url) == ("mailbox", "mailbox")


@pytest.mark.parametrize("profile", ["demo", "test"])
@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "registry.example"])  # noqa: S104
def test_what_is_not_production_is_for_this_machine_alone(profile, host):
    with pytest.raises(ConfigurationError, match="this machine only"):
        load(DEMO | {"APP_PROFILE": profile, "HOST": host})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_every_name_of_this_machine_is_allowed(host):
    assert load(DEMO | {"HOST": host}).host == host


def test_a_single_database_address_serves_the_demo_in_the_small_role():
    settings = load({"DATABASE_URL": OWNER, "SECRET_KEY": "k" * 32})
    assert settings.database_owner_url == settings.database_url
    options = settings.flask_config()["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"]["options"]
    assert "-c role=registry_app" in options


def test_the_driver_is_ours_whatever_the_address_says():
    assert load(DEMO | {"DATABASE_URL": "postgres://u:p%40ss@h:1/d"}).database_url == (
        "postgresql+psycopg://u:p%40ss@h:1/d"
    )


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        (DEMO, "http://127.0.0.1:8080"),
        (DEMO | {"PORT": "8123"}, "http://127.0.0.1:8123"),
        (DEMO | {"HOST": "localhost", "PORT": "8123"}, "http://localhost:8123"),
        (DEMO | {"HOST": "::1"}, "http://[::1]:8080"),
        (DEMO | {"SITE_URL": "https://demo.example/"}, "https://demo.example"),
        (PRODUCTION | {"PORT": "8123"}, "https://registry.example"),
        (
            PRODUCTION | {"SITE_URL": "https://registry.example:8443"},
            "https://registry.example:8443",
        ),
    ],
)
def test_letters_name_the_address_that_the_site_has(environment, address):
    assert load(environment).flask_config()["SITE_URL"] == address


def test_an_empty_list_of_names_leaves_the_demo_to_this_machine():
    assert load(DEMO | {"TRUSTED_HOSTS": " , "}).trusted_hosts == (
        "127.0.0.1",
        "localhost",
        "[::1]",
    )


def test_the_guide_lists_every_variable():
    guide = (config.ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (chapter,) = re.findall(r"## 3\. 全部环境变量\n(.*?)\n## ", guide, flags=re.DOTALL)
    listed = {
        variable
        for row in re.findall(r"^\| (`.*?) \|", chapter, flags=re.MULTILINE)
        for variable in re.findall(r"`(\w+)`", row)
    }
    declared = {each.metadata["variable"] for each in fields(config.Settings)}
    assert listed - {"PERSONAL_DATA_KEY_FILE"} == declared
    assert all(each.metadata["meaning"] for each in fields(config.Settings))


def test_no_secret_is_shown_when_settings_are_printed():
    shown = repr(load(PRODUCTION))
    assert "kkkk" not in shown
    assert "registry_owner" not in shown


def test_the_demo_keeps_a_secret_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "folder_of", lambda profile: tmp_path / profile)
    environ = {"DATABASE_URL": APP, "DATABASE_OWNER_URL": OWNER}
    secret_key = load(environ).secret_key
    assert len(secret_key) >= 32
    assert load(environ).secret_key == secret_key
    assert stat.S_IMODE((tmp_path / "demo" / "secret_key").stat().st_mode) == 0o600


def test_appbuilder_adds_nothing_of_its_own():
    flask_config = load(DEMO).flask_config()
    wanted = [name for name, value in flask_config.items() if name.startswith("FAB_ADD") and value]
    assert wanted == []
    assert not flask_config["FAB_CREATE_DB"]
    assert not flask_config["FAB_UPDATE_PERMS"]


def test_sessions_end_when_the_settings_say():
    flask_config = load(DEMO | {"SESSION_IDLE_MINUTES": "5"}).flask_config()
    assert flask_config["SESSION_IDLE"] == timedelta(minutes=5)
    assert flask_config["SESSION_ABSOLUTE"] == timedelta(hours=8)
