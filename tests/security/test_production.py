"""Production refuses to start with what only a demonstration may have."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import re
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from flask import request
from sqlalchemy import create_engine, update

import config
from app.domain.errors import RuleError
from app.extensions import db
from app.installation.demo import DEMO_PASSWORD
from app.models import Member
from app.operations.people import members, passwords
from app.pki import ceremony, signer
from app.security import production
from app.web import create_app
from config import ConfigurationError
from tests.security.certified import issue, make_authority, register
from tests.security.conftest import ENTERPRISE, PASSWORD, PROVINCE
from tests.signing import needs_sm2

DEFAULT = "Known-To-All-2026"


@pytest.fixture
def fit(app, people, settings, monkeypatch, tmp_path):
    """An installation that may start."""
    strict = dataclasses.replace(
        settings, secret_key=secrets.token_hex(32), trusted_hosts=("registry.example",)
    )
    monkeypatch.setitem(app.config, "SETTINGS", strict)
    monkeypatch.setitem(app.config, "CAPTCHA_ENABLED", True)
    monkeypatch.setitem(app.config, "TESTING", False)
    monkeypatch.setitem(app.config, "CA_FOLDER", str(tmp_path / "authority"))
    # Root may write everything: what is writable is tested as another user, below.
    monkeypatch.setattr(production, "writable", lambda folder: [])
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
def test_it_refuses_an_authority_of_another_suite(fit, tmp_path, monkeypatch):
    ceremony.establish(
        tmp_path / "authority", "a long passphrase", now=datetime.now(UTC), kind="sm2"
    )
    with pytest.raises(ConfigurationError, match="CRYPTO_SUITE"):
        production.check_production(fit, DEFAULT)
    monkeypatch.setitem(fit.config, "CRYPTO_SUITE", "gm")
    assert not any("CRYPTO_SUITE" in fault for fault in production.faults(fit, DEFAULT))


def test_it_refuses_the_demonstration_s_authority_and_keys_in_files(fit, tmp_path):
    folder = tmp_path / "authority"
    ceremony.establish(folder, "a long passphrase", now=datetime.now(UTC), prefix="演示")
    demo, files = production.faults(fit, DEFAULT)
    assert demo.startswith("CA_FOLDER 中是演示的签发机构（演示全国碳排放权注册登记系统根证书）")
    assert files.startswith("CA_FOLDER 的签发密钥与印章密钥是文件")
    (folder / "signer.json").unlink()
    assert "请先启动签名进程" in production.faults(fit, DEFAULT)[1]


def test_it_refuses_members_with_the_demonstration_s_certificates(fit):
    authority = make_authority()
    register(ENTERPRISE, issue(authority, ENTERPRISE))
    production.check_production(fit, DEFAULT)
    register(PROVINCE, issue(authority, PROVINCE), assurance="soft")
    with pytest.raises(ConfigurationError, match=f"软证书：{PROVINCE}，请吊销"):
        production.check_production(fit, DEFAULT)


def test_it_tells_everything_at_once(fit, settings, monkeypatch):
    weak = dataclasses.replace(settings, site_url="http://registry.example", host="0.0.0.0",  # noqa: S104
                               trusted_proxies=1, trusted_hosts=("*",))  # fmt: skip
    monkeypatch.setitem(fit.config, "SETTINGS", weak)
    monkeypatch.setitem(fit.config, "CAPTCHA_ENABLED", False)
    with pytest.raises(ConfigurationError) as refused:
        production.check_production(fit, PASSWORD)
    lines = str(refused.value).splitlines()
    wanted = ("SECRET_KEY 的", "SITE_URL 为", "HOST 为", "TRUSTED_HOSTS 含", "验证码", "默认密码")
    assert [sum(word in line for line in lines) for word in wanted] == [1] * len(wanted)
    assert len(lines) == len(wanted)
    assert settings.secret_key not in str(refused.value)


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


def test_everybody_is_tried_where_there_is_time(fit, people):
    """Neither one of the first of a role, nor of a batch, nor with a first password."""
    with fit.app_context():
        for number in ("P31", "P32", "P37"):
            newcomer = members.NewMember(number, "某省", "province", province="31")
            password = DEFAULT if number == "P37" else PASSWORD
            members.register_member(newcomer, password, must_change=False)
        db.session.commit()
    assert production.faults(fit, DEFAULT) == []
    (found,) = production.faults(fit, DEFAULT, every_member=True)
    assert found.startswith("以下会员仍使用默认密码：P37，请停用或重置")


def test_nobody_chooses_the_demonstration_s_password(app, people):
    member = db.session.get(Member, people[ENTERPRISE])
    with pytest.raises(RuleError) as refused:
        passwords.choose(member, DEMO_PASSWORD)
    assert refused.value.code == "password_common"


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


def test_only_production_is_checked_before_serving(fit, settings, monkeypatch):
    monkeypatch.setitem(fit.config, "CAPTCHA_ENABLED", False)
    production.check_before_serving(fit, settings, DEFAULT)
    serious = dataclasses.replace(settings, profile="production")
    with pytest.raises(ConfigurationError, match="验证码"):
        production.check_before_serving(fit, serious, DEFAULT)
    with (
        click.Context(click.Command("worker"), info_name="worker"),
        pytest.raises(ConfigurationError, match="验证码"),
    ):
        production.check_before_serving(fit, serious, DEFAULT)
    # It may be what mends the installation.
    with click.Context(click.Command("rotate"), info_name="rotate-personal-data"):
        production.check_before_serving(fit, serious, DEFAULT)


def test_the_server_does_not_start_and_says_why_at_once(people, cluster, app):
    members.register_member(
        members.NewMember("P31", "某省", "province", province="31"), DEMO_PASSWORD
    )
    db.session.commit()
    environment = {
        **os.environ,
        "APP_PROFILE": "production",
        "PYTHONUTF8": "1",
        "DATABASE_URL": cluster.urls().app,
        "SECRET_KEY": "k" * 40,
        "PERSONAL_DATA_KEY": f"2026a:{secrets.token_hex(32)},index:{secrets.token_hex(32)}",
        "MAIL_URL": "smtp://mail.example?tls=off",
        "MAIL_FROM": "registry@registry.example",
        "SMS_URL": "off",
        "TRUSTED_HOSTS": "*.example",
        "CA_URL": "http://registry.example/ca",
        "PORT": "18473",
    }
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=config.ROOT, env=environment, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    wanted = {
        "SECRET_KEY 的": 1, "TRUSTED_HOSTS 含通配 *.example": 1, "CA_URL 为 http:": 1, "MAIL_URL 所连": 1,
        "CA_FOLDER 为": 1, "默认密码：P31": 1, "Traceback": 0, "kkkk": 0,
    }  # fmt: skip
    assert {word: done.stderr.count(word) for word in wanted} == wanted
    assert all(line.startswith("✗ ") for line in done.stderr.splitlines())


AS_REGISTRY = """
import json, os, pwd, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path

from app.security import production
from app.web import create_app
from config import ConfigurationError

def start():
    try:
        return create_app().config["PROFILE"]
    except ConfigurationError as error:
        return str(error).splitlines()

as_root = start()  # It loads what the other user cannot read, too.
user = pwd.getpwnam("nobody")
os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
ours = production.writable(Path(sys.argv[1]))
print(json.dumps([as_root, start(), [str(path) for path in ours]]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_a_strict_installation_starts_as_a_user_who_cannot_write_the_authority(
    people, cluster, tmp_path
):
    folder, open_to_it = tmp_path / "authority", tmp_path / "open"
    established_in_softhsm(folder)
    open_to_it.mkdir()
    os.chown(open_to_it, pwd.getpwnam("nobody").pw_uid, -1)
    environment = {
        **os.environ,
        "APP_PROFILE": "production",
        "DATABASE_URL": f"{cluster.urls().app}?sslmode=disable",
        "SECRET_KEY": secrets.token_hex(32),
        "PERSONAL_DATA_KEY": f"2026a:{secrets.token_hex(32)},index:{secrets.token_hex(32)}",
        "MAIL_URL": "off",
        "MAIL_FROM": "registry@registry.example",
        "SMS_URL": "off",
        "TRUSTED_HOSTS": "registry.example",
        "CA_FOLDER": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-c", AS_REGISTRY, str(open_to_it / "authority")], cwd=config.ROOT,
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    as_root, fit, ours = json.loads(done.stdout)
    assert re.match(r"CA_FOLDER 为 .*，运行服务的用户（uid 0）可写 ", as_root[0])
    assert fit == "production"
    assert len(as_root) == 1
    assert ours == [str(open_to_it)]


def established_in_softhsm(folder: Path) -> None:
    """Set up an authority as the guide says, open to a group as by the signing process."""
    passphrase = folder.with_name("passphrase")
    passphrase.write_text("a long passphrase")
    subprocess.run(
        [sys.executable, "-m", "app.pki.ceremony", "establish", str(folder), "--softhsm"],
        cwd=config.ROOT, env={**os.environ, "ROOT_PASSPHRASE_FILE": str(passphrase)}, check=True,
    )  # fmt: skip
    signer._open_to(pwd.getpwnam("nobody").pw_gid, folder)
    for place in folder.parents:
        if place.stat().st_mode & 0o077 == 0:
            place.chmod(0o711)


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
