"""Settings: what each profile reads from the environment, and what production refuses."""

from __future__ import annotations

import re
import secrets
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
STRICT = PRODUCTION | {
    "DATABASE_URL": f"postgresql://registry_app:{secrets.token_hex(16)}@db/registry?sslmode=verify-full",
    "DATABASE_OWNER_URL": f"postgresql://registry_owner:{secrets.token_hex(16)}@/registry",
    "SECRET_KEY": secrets.token_hex(32),
    "PERSONAL_DATA_KEY": f"2026a:{secrets.token_hex(32)},index:{secrets.token_hex(32)}",
    "MAIL_URL": f"smtp://registry:{secrets.token_hex(16)}@mail.example:587",
    "SMS_KEY": secrets.token_urlsafe(32),
    "CERT_PROXY_SECRET": secrets.token_hex(16),
    "CA_URL": "https://registry.example/ca",
    "SITE_URL": "https://registry.example",
    "TRUSTED_HOSTS": "registry.example,192.0.2.7",
    "TRUSTED_PROXIES": "1",
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


def test_the_site_knows_the_pairing_code_of_its_own_assistant_alone():
    agent = DEMO | {"APP_PROFILE": "test", "CERT_LOGIN": "agent"}
    assert load(DEMO).assistant_pairing == load(agent).assistant_pairing != ""
    assert load(DEMO | {"SECRET_KEY": "x" * 32}).assistant_pairing != load(DEMO).assistant_pairing
    assert (
        load(PRODUCTION).assistant_pairing
        == load(DEMO | {"CERT_LOGIN": "mtls"}).assistant_pairing
        == ""
    )


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


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "DATABASE_URL",
            "postgresql://registry_app:<口令>@db/registry",
            "尚未填写：其中还有 <口令>",
        ),
        ("SECRET_KEY", "<不少于 32 个字符，由程序生成的随机字符>" * 2, "尚未填写"),
        ("DATABASE_URL", "postgresql://registry_app:hidden@db:port/registry", "写法有误"),
        ("SMS_URL", "https://[gateway", "写法有误"),
        ("PORT", "1" * 5000, "写法有误"),
        ("PERSONAL_DATA_KEY_FILE", "/nowhere/keys", "PERSONAL_DATA_KEY_FILE 无法读取"),
        ("PERSONAL_DATA_KEY_FILE", "/tmp", "PERSONAL_DATA_KEY_FILE 无法读取"),  # noqa: S108
    ],
)
def test_what_is_unfilled_malformed_or_unreadable_is_one_sentence(name, value, told):
    for given in (PRODUCTION, DEMO):
        environ = given | {name: value}
        if name == "PERSONAL_DATA_KEY_FILE":
            environ.pop("PERSONAL_DATA_KEY", None)
        with pytest.raises(ConfigurationError, match=told) as refused:
            load(environ)
        line = str(refused.value).splitlines()[0]
        assert "hidden" not in line


def test_a_key_file_that_is_no_text_is_one_sentence(tmp_path):
    (tmp_path / "keys").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="PERSONAL_DATA_KEY 的写法有误"):
        load(DEMO | {"PERSONAL_DATA_KEY_FILE": str(tmp_path / "keys")})


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="不能读写"):
        load({"DATABASE_URL": APP, "DATA_FOLDER": str(tmp_path / "file" / "data")})


def test_all_that_is_invalid_is_told_at_once_and_what_is_weak_besides():
    wrong = {
        "SECRET_KEY": "short",
        "SMS_URL": "http://gateway.example",
        "PORT": "0",
        "SITE_URL": "http://r",
    }
    with pytest.raises(ConfigurationError) as refused:
        load(STRICT | wrong)
    lines = str(refused.value).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["SECRET_KEY", "PORT", "SMS_URL", "SITE_URL"]


def test_the_demo_says_one_thing_and_starts_nothing(monkeypatch):
    monkeypatch.setattr(config.embedded, "ensure_running", lambda folder: pytest.fail("started"))
    with pytest.raises(ConfigurationError) as refused:
        load({"SECRET_KEY": "short", "PORT": "0"})
    assert str(refused.value).count("\n") == 0


def test_generated_secrets_and_proven_addresses_are_strict_enough():
    assert config.weaknesses(load(STRICT)) == []


SAME = secrets.token_hex(32)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"SECRET_KEY": "k" * 40}, "SECRET_KEY 的密钥或口令易猜（约 0 比特"),
        ({"SECRET_KEY": "0123456789abcdef" * 4}, "SECRET_KEY 的密钥"),
        ({"SECRET_KEY": "registry-production-secret-key-2026"}, "SECRET_KEY 的密钥"),
        ({"SMS_KEY": "change-me-" * 4}, "SMS_KEY 的密钥"),
        ({"CERT_PROXY_SECRET": "qwertyuiop" * 4}, "CERT_PROXY_SECRET 的密钥"),
        ({"PERSONAL_DATA_KEY": f"2026a:{'ab' * 32},index:{SAME}"}, "PERSONAL_DATA_KEY 2026a 的"),
        ({"PERSONAL_DATA_KEY": f"2026a:{SAME},index:{'0' * 64}"}, "PERSONAL_DATA_KEY index 的"),
        ({"DATABASE_URL": "postgresql://registry_app:Registry2026@/registry"}, "DATABASE_URL 的"),
        (
            {"DATABASE_OWNER_URL": "postgresql://registry_owner:12345678@/r"},
            "DATABASE_OWNER_URL 的",
        ),
        (
            {"DATABASE_URL": "postgresql:///r?user=registry_app&password=12345678"},
            "DATABASE_URL 的",
        ),
        ({"MAIL_URL": "smtp://registry:mail2026@mail.example"}, "MAIL_URL 的"),
        ({"SECRET_KEY": SAME, "SMS_KEY": SAME}, "SECRET_KEY 与 SMS_KEY 的密钥或口令相同"),
        (
            {"SECRET_KEY": SAME, "PERSONAL_DATA_KEY": f"a:{SAME.upper()},index:{SAME[::-1]}"},
            "SECRET_KEY 与 PERSONAL_DATA_KEY a 的密钥或口令相同",
        ),
        (
            {
                "DATABASE_URL": f"postgresql://registry_app:{SAME}@/r",
                "DATABASE_OWNER_URL": f"postgresql://registry_owner:{SAME}@/r",
            },
            "DATABASE_URL 与 DATABASE_OWNER_URL 的密钥或口令相同",
        ),
        ({"TRUSTED_HOSTS": "registry.example,*.example"}, "TRUSTED_HOSTS 含通配 *.example："),
        ({"TRUSTED_HOSTS": ".example"}, "TRUSTED_HOSTS 含通配 .example："),
        ({"HOST": "0.0.0.0"}, "HOST 为 0.0.0.0，而 TRUSTED_PROXIES 为 1"),  # noqa: S104
        ({"HOST": "::"}, "HOST 为 ::，而 TRUSTED_PROXIES 为 1"),
        (
            {"SITE_URL": "http://registry.example"},
            "SITE_URL 为 http://registry.example，须为 https",
        ),
        ({"SITE_URL": "registry.example"}, "SITE_URL 为 registry.example，须为 https"),
        (
            {"CA_URL": "http://registry.example/ca"},
            "CA_URL 为 http://registry.example/ca，须为 https",
        ),
        (
            {"MAIL_URL": "smtp://mail.example?tls=off"},
            "MAIL_URL 所连的邮件服务器 mail.example 不用 TLS",
        ),
    ],
)
def test_production_is_told_of_every_weakness(change, told):
    found = config.weaknesses(load(STRICT | change))
    assert len(found) == 1, found
    assert told in found[0]
    assert "。" in found[0]
    secret = [text for name, text in change.items() if name.endswith(("KEY", "SECRET"))]
    assert not any(
        text in found[0] for text in [*secret, SAME, "Registry2026", "12345678", "mail2026"]
    )


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("@db/registry", "（db, sslmode=prefer）"),
        ("@192.0.2.7/registry?sslmode=require", "（192.0.2.7, sslmode=require）"),
        ("@127.0.0.1,db/registry", "（127.0.0.1,db, sslmode=prefer）"),
        ("@/registry?host=db", "（db, sslmode=prefer）"),
        ("@/registry?host=db:5432&host=127.0.0.1:5432", "（db,127.0.0.1, sslmode=prefer）"),
        ("@127.0.0.1/registry?hostaddr=192.0.2.7", "（192.0.2.7, sslmode=prefer）"),
        ("@db/registry?sslmode=verify-ca", ""),
        ("@127.0.0.1:5432/registry", ""),
        ("@[::1]/registry", ""),
        ("@/registry?host=/run/postgresql", ""),
        ("@/registry", ""),
    ],
)
def test_a_database_over_the_network_proves_who_it_is(address, told):
    password = secrets.token_hex(16)
    change = {"DATABASE_URL": f"postgresql://registry_app:{password}{address}"}
    found = config.weaknesses(load(STRICT | change))
    assert [line.startswith("DATABASE_URL 所连的数据库") for line in found] == [True] * bool(told)
    assert told in "".join(found)
    assert password not in "".join(found)
    assert config.weaknesses(load(STRICT | change | {"WITHOUT_TLS": "database"})) == []


def test_what_the_environment_says_to_libpq_counts(monkeypatch):
    local = STRICT | {
        "DATABASE_URL": f"postgresql://registry_app:{secrets.token_hex(16)}@/registry"
    }
    monkeypatch.setenv("PGHOST", "db")
    assert "sslmode=prefer" in config.weaknesses(load(local))[0]
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert config.weaknesses(load(local)) == []


def test_mail_in_clear_is_allowed_on_this_machine_and_where_it_is_said():
    near = STRICT | {"MAIL_URL": "smtp://127.0.0.1?tls=off"}
    said = STRICT | {"MAIL_URL": "smtp://mail.example?tls=off", "WITHOUT_TLS": "mail"}
    assert config.weaknesses(load(near)) == config.weaknesses(load(said)) == []
    with pytest.raises(ConfigurationError, match="WITHOUT_TLS 只能含 database、mail"):
        load(STRICT | {"WITHOUT_TLS": "mail,sms"})


def test_generated_keys_are_never_taken_for_typed_ones():
    assert all(config.strength(secrets.token_hex(16)) >= config.KEY_BITS for _ in range(200))
    assert all(
        config.strength(secrets.token_urlsafe(12)) >= config.PASSWORD_BITS for _ in range(200)
    )


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
