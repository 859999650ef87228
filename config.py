"""Settings from the environment: one frozen dataclass, filled according to the deployment profile.

| variable | meaning |
|---|---|
| APP_PROFILE | `demo` (default), `test` (no captcha) or `production` |
| DATABASE_URL | the application's connection; demo and test fall back to the bundled PostgreSQL |
| DATABASE_OWNER_URL | the schema owner's connection, for `flask init` alone |
| SECRET_KEY | signs cookies; production requires one of 32 characters or more |
| HOST, PORT | where to listen; demo and test listen on this machine only |
| TRUSTED_HOSTS | names under which the site may be called, separated by commas |
| TRUSTED_PROXIES | how many reverse proxies stand before us (0: believe no forwarded address) |
| CAPTCHA | `off` turns the picture off; refused in production |
| CERT_LOGIN | what follows the password: `agent` (the USBKey assistant), `mtls`, or, in tests, `off` |
| CRYPTO_SUITE | `intl` (default), or `gm`: SM2, SM3, SM4, which need the extra `gm` |
| CA_FOLDER | where the authority's certificates and the signing process's socket are |
| CA_URL | under which anybody reaches the revocation list and OCSP, as certificates name it |
| SITE_URL | the address that letters to people name (otherwise the first of TRUSTED_HOSTS, by https) |
| CERT_PROXY_SECRET | what the trusted proxy sends along with a client certificate (`mtls` behind nginx) |
| ASSISTANT_PORT | where pages find the USBKey assistant on their own machine |
| DEMO_KEYS | folder of the demonstration's soft keys |
| WORKER | `off`: `app.py` starts no worker beside the server; production never does |
| MAIL_URL | `smtp://user:password@host:587?tls=starttls` (or `implicit`, `off`); `off` sends none |
| MAIL_FROM | the address that mails come from |
| SMS_URL, SMS_KEY | the gateway of text messages, and the key that signs what is posted; `off` |
| SESSION_IDLE_MINUTES, SESSION_ABSOLUTE_HOURS | when a session ends, until the registry sets it itself |
| PERSONAL_DATA_KEY | personal data: `id:64 hex digits`, commas between, the current first, and `index:` |
| PERSONAL_DATA_KEY_FILE | a file with the same, one a line, in place of the variable |
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app import embedded

ROOT = Path(__file__).resolve().parent
PROFILES = ("demo", "test", "production")
CERT_LOGINS = ("agent", "mtls", "off")
CRYPTO_SUITES = ("intl", "gm")
APP_ROLE = "registry_app"


class ConfigurationError(RuntimeError):
    """The settings do not allow a start; the message says in both languages which and why."""


@dataclass(frozen=True)
class Settings:
    """Everything that differs between installations."""

    profile: str
    database_url: str = field(repr=False)
    # Empty where this machine does not migrate.
    database_owner_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8080
    captcha_enabled: bool = True
    cert_login: str = "off"  # one of CERT_LOGINS: what signing in asks for after the password
    crypto_suite: str = "intl"  # one of CRYPTO_SUITES: of new keys, certificates and signatures
    ca_folder: Path | None = None
    ca_url: str = ""
    site_url: str = ""  # what letters to people name
    cert_proxy_secret: str = field(repr=False, default="")
    assistant_port: int = 17890
    demo_keys: Path = Path()
    has_own_clock: bool = False
    has_own_worker: bool = False  # `app.py` starts one beside the server
    # A server's address, "off", or (demo and test) "mailbox": the page that shows what was sent.
    mail_url: str = field(default="mailbox", repr=False)
    mail_from: str = "registry@registry.example"
    sms_url: str = "mailbox"
    sms_key: str = field(default="", repr=False)
    session_idle_minutes: int = 15
    session_absolute_hours: int = 8
    trusted_proxies: int = 0
    trusted_hosts: tuple[str, ...] = ()
    cookie_secure: bool = False
    # (id, hex) of each key of personal data, the current one first; "index" finds equal values.
    personal_data_keys: tuple[tuple[str, str], ...] = field(repr=False, default=())

    @property
    def is_production(self) -> bool:
        """Tell whether this is the real registry."""
        return self.profile == "production"

    @property
    def folder(self) -> Path:
        """Return the folder of this profile's data, which nothing else shares."""
        return folder_of(self.profile)

    def flask_config(self) -> dict[str, Any]:
        """Return the configuration of Flask and its extensions."""
        return {
            **self._own_config(),
            **self._cookie_config(),
            **self._database_config(),
            **LANGUAGE_CONFIG,
            **APPBUILDER_CONFIG,
            "SECRET_KEY": self.secret_key,
            "TESTING": False,
            "TRUSTED_HOSTS": list(self.trusted_hosts) or None,
            "MAX_CONTENT_LENGTH": 20 * 1024 * 1024,
            # A signed manifest of ten thousand reviews comes in one field.
            "MAX_FORM_MEMORY_SIZE": 4 * 1024 * 1024,
            "SEND_FILE_MAX_AGE_DEFAULT": timedelta(hours=1),
            # The session, not a clock, ends a form: nobody loses an hour's typing.
            "WTF_CSRF_TIME_LIMIT": None,
            # A test's members are many and their passwords guard nothing.
            "FAB_PASSWORD_HASH_METHOD": "scrypt:1024:8:1" if self.profile == "test" else "scrypt",
        }

    def _own_config(self) -> dict[str, Any]:
        return {
            "SETTINGS": self,
            "PROFILE": self.profile,
            "HAS_OWN_CLOCK": self.has_own_clock,
            "CAPTCHA_ENABLED": self.captcha_enabled,
            "CERT_LOGIN": self.cert_login,
            "CERT_PROXY_SECRET": self.cert_proxy_secret,
            "CRYPTO_SUITE": self.crypto_suite,
            "CA_FOLDER": str(self.ca_folder or self.folder / "authority"),
            "CA_URL": self.ca_url,
            "SITE_URL": self.site_url or self._address(),
            "ASSISTANT_URL": f"http://127.0.0.1:{self.assistant_port}",
            "SESSION_IDLE": timedelta(minutes=self.session_idle_minutes),
            "SESSION_ABSOLUTE": timedelta(hours=self.session_absolute_hours),
            "TRANSFER_CUT_OFF": time(15, 0),  # 登记转交易 is accepted before 15:00.
        }

    def _address(self) -> str:
        """Return under which address people find the pages, where nothing else was said."""
        if self.trusted_hosts:
            return f"https://{self.trusted_hosts[0]}"
        return f"http://{self.host}:{self.port}"

    def _cookie_config(self) -> dict[str, Any]:
        # Cookies do not know ports: two demos on one machine need two names.  Browsers keep a
        # __Host- cookie from being set by a neighbouring site, but only over TLS.
        name = "__Host-registry" if self.cookie_secure else f"registry_{self.profile}_{self.port}"
        return {
            "SESSION_COOKIE_NAME": name,
            "SESSION_COOKIE_HTTPONLY": True,
            "SESSION_COOKIE_SAMESITE": "Lax",
            "SESSION_COOKIE_SECURE": self.cookie_secure,
            "SESSION_REFRESH_EACH_REQUEST": False,
            "PERMANENT_SESSION_LIFETIME": timedelta(hours=self.session_absolute_hours),
        }

    def _database_config(self) -> dict[str, Any]:
        # The queue of jobs has a schema of its own.
        options = "-c timezone=Asia/Shanghai -c search_path=public,job_queue"
        if self.database_url == self.database_owner_url:
            # Demo and test on a server of one's own with a single login: take the small role.
            options += f" -c role={APP_ROLE}"
        return {
            "SQLALCHEMY_DATABASE_URI": self.database_url,
            "SQLALCHEMY_ENGINE_OPTIONS": {
                "pool_size": 5,
                "max_overflow": 10,
                "pool_timeout": 10,
                "pool_recycle": 1800,
                "pool_pre_ping": True,  # A restarted database costs nobody an error page.
                "connect_args": {
                    "options": options,
                    "application_name": "registry",
                    "connect_timeout": 10,
                },
            },
        }


LANGUAGE_CONFIG: dict[str, Any] = {
    "BABEL_DEFAULT_LOCALE": "zh",
    "BABEL_DEFAULT_TIMEZONE": "Asia/Shanghai",
    # Absolute: a relative folder would be looked for inside the package.
    "BABEL_TRANSLATION_DIRECTORIES": str(ROOT / "translations"),
    "LANGUAGES": {
        "zh": {"flag": "cn", "name": "中文"},
        "en": {"flag": "gb", "name": "English"},
    },
}

# Flask-AppBuilder's own tables, views, interfaces and conveniences that we do not want.
APPBUILDER_CONFIG: dict[str, Any] = {
    "APP_NAME": "全国碳排放权注册登记系统",
    "APP_THEME": "",  # Its other themes load fonts from foreign hosts.
    "AUTH_TYPE": 1,  # AUTH_DB
    "AUTH_USER_REGISTRATION": False,
    "AUTH_RATE_LIMITED": False,  # Its counters live in one process; ours in the database.
    "RATELIMIT_ENABLED": False,
    "FAB_CREATE_DB": False,  # Alembic alone owns the schema.
    "FAB_UPDATE_PERMS": False,  # `flask init` alone writes roles and permissions.
    "FAB_ADD_SECURITY_VIEWS": False,
    "FAB_ADD_SECURITY_PERMISSION_VIEW": False,
    "FAB_ADD_SECURITY_VIEW_MENU_VIEW": False,
    "FAB_ADD_SECURITY_PERMISSION_VIEWS_VIEW": False,
    "FAB_ADD_SECURITY_API": False,
    "FAB_ADD_MENU_API": False,
    "FAB_ADD_OPENAPI_VIEWS": False,
    "FAB_API_SWAGGER_UI": False,
    "FAB_API_KEY_ENABLED": False,
    "FAB_API_SHOW_STACKTRACE": False,
    "FAB_ALLOW_GET_UNSAFE_MUTATIONS": False,
    "FAB_SAFE_REDIRECT_HOSTS": [],
}


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; starts the bundled PostgreSQL where no DATABASE_URL is given.

    Raises ConfigurationError where they are wrong or, in production, where a secret is missing.
    """
    profile = environ.get("APP_PROFILE") or "demo"
    if profile not in PROFILES:
        raise refusal(f"APP_PROFILE 须为 {'、'.join(PROFILES)} 之一", f"not a profile: {profile}")
    is_production = profile == "production"
    host = environ.get("HOST") or "127.0.0.1"
    if not is_production and not is_loopback(host):
        raise refusal(
            "演示和测试只能在本机监听",
            f"{profile} listens on this machine only: {host}",
        )
    captcha_enabled = _switch(environ, "CAPTCHA", default=profile != "test")
    if is_production and not captcha_enabled:
        raise refusal("生产环境不得关闭验证码", "the captcha cannot be off in production")
    secret_key = _secret_key(profile, environ)
    database_url, database_owner_url = _databases(profile, environ)
    return Settings(
        profile=profile,
        database_url=database_url,
        database_owner_url=database_owner_url,
        secret_key=secret_key,
        host=host,
        port=_number(environ, "PORT", 8080, least=1, most=65535),
        captcha_enabled=captcha_enabled,
        has_own_clock=not is_production,
        has_own_worker=_switch(environ, "WORKER", default=True) and not is_production,
        **_certificates(profile, environ),
        **_messages(environ, is_production=is_production),
        session_idle_minutes=_number(environ, "SESSION_IDLE_MINUTES", 15, least=1, most=24 * 60),
        session_absolute_hours=_number(environ, "SESSION_ABSOLUTE_HOURS", 8, least=1, most=24),
        trusted_proxies=_number(environ, "TRUSTED_PROXIES", 0, least=0, most=5),
        trusted_hosts=_trusted_hosts(host, environ, is_production=is_production),
        cookie_secure=is_production,
        personal_data_keys=_personal_data_keys(profile, environ),
    )


def _certificates(profile: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of the second step of signing in."""
    cert_login = environ.get("CERT_LOGIN") or ("off" if profile == "test" else "agent")
    if cert_login not in CERT_LOGINS:
        raise refusal(
            f"CERT_LOGIN 须为 {'、'.join(CERT_LOGINS)} 之一", f"CERT_LOGIN cannot be {cert_login}"
        )
    if cert_login == "off" and profile != "test":
        raise refusal("证书登录只能在测试中关闭", "CERT_LOGIN is off in tests alone")
    if profile == "production" and not environ.get("TRUSTED_HOSTS", "").strip(" ,"):
        # What is signed names our address: it must not be one that a relaying site has sent us.
        raise refusal("生产环境须设置 TRUSTED_HOSTS", "production needs TRUSTED_HOSTS")
    secret = environ.get("CERT_PROXY_SECRET", "")
    if secret and len(secret) < 32:
        raise refusal(
            "CERT_PROXY_SECRET 须不少于32个字符", "CERT_PROXY_SECRET needs 32 characters or more"
        )
    suite = _suite(environ, cert_login)
    # An authority and its members' keys are of one suite: the demonstration keeps two of each.
    beside = folder_of(profile) / ("authority" if suite == "intl" else f"authority-{suite}")
    keys = folder_of(profile) / ("keys" if suite == "intl" else f"keys-{suite}")
    return {
        "cert_login": cert_login,
        "crypto_suite": suite,
        "cert_proxy_secret": secret,
        "assistant_port": _number(environ, "ASSISTANT_PORT", 17890, least=1, most=65535),
        "ca_folder": Path(environ.get("CA_FOLDER") or beside).absolute(),
        "ca_url": environ.get("CA_URL", "").rstrip("/"),
        "site_url": environ.get("SITE_URL", "").rstrip("/"),
        "demo_keys": Path(environ.get("DEMO_KEYS") or keys).absolute(),
    }


def _suite(environ: Mapping[str, str], cert_login: str) -> str:
    suite = environ.get("CRYPTO_SUITE") or "intl"
    if suite not in CRYPTO_SUITES:
        raise refusal(
            f"CRYPTO_SUITE 须为 {'、'.join(CRYPTO_SUITES)} 之一", f"CRYPTO_SUITE cannot be {suite}"
        )
    if suite == "gm" and importlib.util.find_spec("tongsuopy") is None:
        raise refusal(
            "CRYPTO_SUITE=gm 须先安装国密组件：pip install 'tongsuopy>=1.0,<2'（仅 Linux x86_64）",
            "CRYPTO_SUITE=gm needs the extra `gm`, tongsuopy, which has files for Linux x86_64 alone",
        )
    if suite == "gm" and cert_login == "mtls":
        raise refusal(
            "国密证书不能用于 CERT_LOGIN=mtls，请用 agent",
            "browsers and TLS here know no SM2: CERT_LOGIN=mtls cannot be used with gm",
        )
    return suite


@dataclass(frozen=True)
class MailServer:
    """What a MAIL_URL says: where to send mail, how the line is kept secret, as whom to sign in."""

    host: str
    port: int
    tls: str
    user: str
    password: str = field(repr=False)
    ca: str = ""

    @classmethod
    def read(cls, text: str) -> MailServer:
        """Read `smtp://user:password@host:port?tls=starttls&ca=/path`.  Raises ConfigurationError."""
        wrong = refusal(
            "MAIL_URL 应为 smtp://用户:口令@主机:端口?tls=starttls|implicit|off",
            "MAIL_URL reads smtp://user:password@host:port?tls=starttls|implicit|off",
        )
        try:
            parts = urlsplit(text)
            port, options = (
                parts.port,
                dict(parse_qsl(parts.query, strict_parsing=bool(parts.query))),
            )
        except ValueError as error:
            raise wrong from error
        tls = options.pop("tls", "starttls")
        ca = options.pop("ca", "")
        known = tls in ("starttls", "implicit", "off")
        if parts.scheme != "smtp" or not parts.hostname or not known or options:
            raise wrong
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if user and tls == "off" and not is_loopback(parts.hostname):
            raise refusal(
                "不加密的邮件连接不得登录", "a mail line in clear must not carry a password"
            )
        usual = {"starttls": 587, "implicit": 465, "off": 25}[tls]
        return cls(parts.hostname, port or usual, tls, user, password, ca)


def _messages(environ: Mapping[str, str], *, is_production: bool) -> dict[str, Any]:
    """Read where mails and text messages go; production has to say so, be it `off`."""
    found = {}
    for name in ("MAIL_URL", "SMS_URL"):
        text = environ.get(name) or ("" if is_production else "mailbox")
        if not text or (is_production and text == "mailbox"):
            raise refusal(f"生产环境须设置 {name}，或写明 off", f"production needs {name}, or off")
        found[name.lower()] = text
    if found["mail_url"] not in ("off", "mailbox"):
        MailServer.read(found["mail_url"])
    if found["mail_url"] not in ("off", "mailbox") or environ.get("MAIL_FROM"):
        found["mail_from"] = environ.get("MAIL_FROM", "")
        if not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", found["mail_from"]):
            raise refusal("MAIL_FROM 须为邮件地址", "MAIL_FROM is a mail address")
    if found["sms_url"] not in ("off", "mailbox"):
        found["sms_key"] = environ.get("SMS_KEY", "")
        _check_gateway(found["sms_url"], found["sms_key"])
    return found


def _check_gateway(url: str, key: str) -> None:
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or (
        parts.scheme == "http" and is_loopback(parts.hostname or "")
    )
    if not is_safe or not parts.hostname:
        raise refusal("SMS_URL 须为 https 地址", "SMS_URL is an https address")
    if len(key) < 32:
        raise refusal("SMS_KEY 须不少于32个字符", "SMS_KEY needs 32 characters or more")


def refusal(chinese: str, english: str) -> ConfigurationError:
    """Return the error that says one thing in both languages."""
    return ConfigurationError(f"{chinese}。{english[0].upper()}{english[1:]}.")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def folder_of(profile: str) -> Path:
    """Return the folder where a profile keeps its data."""
    return ROOT / "var" / profile


def _secret_key(profile: str, environ: Mapping[str, str]) -> str:
    secret_key = environ.get("SECRET_KEY", "")
    if profile == "production" or secret_key:
        if len(secret_key) < 32:
            raise refusal("SECRET_KEY 须不少于32个字符", "SECRET_KEY needs 32 characters or more")
        return secret_key
    return _kept_secret(folder_of(profile) / "secret_key")


def _personal_data_keys(profile: str, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the keys of personal data; a demonstration makes its own beside its database."""
    text = environ.get("PERSONAL_DATA_KEY") or _personal_data_file(environ)
    if not text and profile == "production":
        raise refusal("生产环境须设置 PERSONAL_DATA_KEY", "production needs a PERSONAL_DATA_KEY")
    if not text:
        fresh = f"demo:{secrets.token_hex(32)}\nindex:{secrets.token_hex(32)}\n"
        text = _kept_secret(folder_of(profile) / "personal_data_key", fresh)
    lines = [line.strip() for line in text.replace(",", "\n").splitlines()]
    parts = [line.partition(":") for line in lines if line and not line.startswith("#")]
    keys = {key_id: key for key_id, _colon, key in parts}
    are_keys = all(
        re.fullmatch(r"[\w-]{1,20}", key_id) and re.fullmatch(r"[0-9a-fA-F]{64}", key)
        for key_id, key in keys.items()
    )
    if not are_keys or "index" not in keys or len(parts) != len(keys) or len(keys) < 2:
        raise refusal(
            "PERSONAL_DATA_KEY 须为 编号:64位十六进制，并含 index",
            "PERSONAL_DATA_KEY needs id:64 hex digits, the current key first, and one named index",
        )
    return tuple(keys.items())


def _personal_data_file(environ: Mapping[str, str]) -> str:
    path = environ.get("PERSONAL_DATA_KEY_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise refusal(
            "PERSONAL_DATA_KEY_FILE 无法读取", "PERSONAL_DATA_KEY_FILE cannot be read"
        ) from error


def _kept_secret(path: Path, text: str = "") -> str:
    """Return the secret in a file that only we can read, made at the first call."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(text or secrets.token_hex(32))
        # Of two first starts at once one makes the file, and both read that one.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_text()


def _databases(profile: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the application's and the owner's database address."""
    app_text, owner_text = (
        environ.get("DATABASE_URL"),
        environ.get("DATABASE_OWNER_URL"),
    )
    if profile == "production":
        return _production_databases(app_text, owner_text)
    if not app_text:
        urls = embedded.ensure_running(folder_of(profile))
        return urls.app, urls.owner
    app = _as_text(_postgresql("DATABASE_URL", app_text))
    owner = _as_text(_postgresql("DATABASE_OWNER_URL", owner_text)) if owner_text else app
    return app, owner


def _production_databases(app_text: str | None, owner_text: str | None) -> tuple[str, str]:
    if not app_text:
        raise refusal("生产环境须设置 DATABASE_URL", "production needs a DATABASE_URL")
    app = _postgresql("DATABASE_URL", app_text)
    if not owner_text:
        return _as_text(app), ""  # Only `flask init` asks for it.
    owner = _postgresql("DATABASE_OWNER_URL", owner_text)
    if owner.username == app.username:
        raise refusal(
            "DATABASE_OWNER_URL 与 DATABASE_URL 不得使用同一数据库用户",
            "the application must not connect as the owner of the schema",
        )
    return _as_text(app), _as_text(owner)


def _postgresql(name: str, text: str) -> URL:
    """Read a PostgreSQL address, and choose our driver for it."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise refusal(f"{name} 不是数据库地址", f"{name} is not a database address") from error
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise refusal(f"{name} 须为 PostgreSQL 地址", f"{name} must name a PostgreSQL database")
    return url.set(drivername="postgresql+psycopg")


def _as_text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _trusted_hosts(
    host: str, environ: Mapping[str, str], *, is_production: bool
) -> tuple[str, ...]:
    names = [name.strip() for name in environ.get("TRUSTED_HOSTS", "").split(",")]
    given = tuple(name for name in names if name)
    if given or is_production:
        return given
    # A foreign page cannot reach the demo by letting its own name point to this machine.
    return tuple(dict.fromkeys(("127.0.0.1", "localhost", "[::1]", host)))


def _switch(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environ.get(name, "").lower()
    if text in ("", "on", "off"):
        return default if text == "" else text == "on"
    raise refusal(f"{name} 须为 on 或 off", f"{name} is on or off, not {text}")


def _number(environ: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = environ.get(name) or str(default)
    if text.isascii() and text.isdigit() and least <= int(text) <= most:
        return int(text)
    raise refusal(
        f"{name} 须为 {least} 到 {most} 的整数",
        f"{name} is a whole number of {least} to {most}",
    )
