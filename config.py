"""Settings from the environment: one declaration per variable, read by `load`."""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import time, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from app import embedded

ROOT = Path(__file__).resolve().parent
APP_ROLE = "registry_app"


class ConfigurationError(RuntimeError):
    """The settings are invalid; the message says which and why, in both languages."""


# (predicate of a value and the earlier settings that is true for an invalid one, Chinese message,
# English message)
Rule = tuple[Callable[[Any, Any], Any], str, str]


def setting(
    variable: str,
    meaning: str,
    default: str | Callable[[Any], str] = "",
    *rules: Rule,
    read: Callable[[str], Any] = str,
    is_secret: bool = False,
) -> Any:
    """Declare a setting: variable, meaning, default for an unset or empty variable, and rules."""
    declared = {"variable": variable, "meaning": meaning, "default": default}
    return field(repr=not is_secret, metadata=declared | {"rules": rules, "read": read})


def one_of(*words: str, english: str = "{name} cannot be {value}") -> Rule:
    """Require one of these words."""
    chinese = f"{{name}} 须为 {'、'.join(words)} 之一"
    return lambda value, known: value not in words, chinese, english


def whole(least: int, most: int) -> Rule:
    """Require an integer within these limits."""
    chinese = f"{{name}} 须为 {least} 到 {most} 的整数"
    english = f"{{name}} is a whole number of {least} to {most}"
    return lambda value, known: not least <= value <= most, chinese, english


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1


def _switch(text: str) -> bool | str:
    return {"on": True, "off": False}.get(text.lower(), text.lower())


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _mail(text: str) -> str:
    if text and _is_sent(text):
        MailServer.read(text)
    return text


def _folder(text: str) -> Path:
    return Path(text).absolute()


def _address(text: str) -> str:
    return text.rstrip("/")


def _keys(text: str) -> tuple[tuple[str, str], ...]:
    lines = [line.strip() for line in text.replace(",", "\n").splitlines()]
    parts = [line.partition(":") for line in lines if line and not line.startswith("#")]
    return tuple((key_id, key) for key_id, _colon, key in parts)


def _database(text: str) -> str | None:
    """Return the URL with our driver, or None for a malformed one."""
    try:
        url = make_url(text) if text else None
    except ArgumentError:
        return None
    if url and url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False) if url else ""


def _are_keys(keys: tuple[tuple[str, str], ...]) -> bool:
    return (
        len(keys) == len(dict(keys)) >= 2
        and "index" in dict(keys)
        and all(
            re.fullmatch(r"[\w-]{1,20}", key_id) and re.fullmatch(r"[0-9a-fA-F]{64}", key)
            for key_id, key in keys
        )
    )


def _is_gateway(address: str) -> bool:
    parts = urlsplit(address)
    is_near = parts.scheme == "http" and is_loopback(parts.hostname or "")
    return bool(parts.hostname) and (parts.scheme == "https" or is_near)


def _is_sent(address: str) -> bool:
    return address not in ("off", "mailbox")


# fmt: off
NEEDED: Rule = (lambda value, known: known.is_production and not value,
                "生产环境须设置 {name}", "production needs {name}")
NEEDED_OR_OFF: Rule = (lambda value, known: not value or (known.is_production and value == "mailbox"),
                       "生产环境须设置 {name}，或写明 off", "production needs {name}, or off")
LONG: Rule = (lambda value, known: len(value) < 32,
              "{name} 须不少于32个字符", "{name} needs 32 characters or more")
LONG_OR_NONE: Rule = (lambda value, known: value and len(value) < 32, *LONG[1:])
SWITCH: Rule = (lambda value, known: not isinstance(value, bool),
                "{name} 须为 on 或 off", "{name} is on or off, not {value}")
ADDRESS: Rule = (lambda value, known: value is None,
                 "{name} 不是数据库地址", "{name} is not a database address")
POSTGRESQL: Rule = (lambda value, known: value and not value.startswith("postgresql+psycopg:"),
                    "{name} 须为 PostgreSQL 地址", "{name} must name a PostgreSQL database")
# fmt: on


def of_suite(name: str) -> Callable[[Any], str]:
    """Return the default folder by suite, since an authority and its keys are of one suite."""
    return lambda known: str(
        known.folder / (name if known.crypto_suite == "intl" else f"{name}-{known.crypto_suite}")
    )


@dataclass(frozen=True)
class Settings:
    """The settings of an installation; defaults and rules may use those declared above."""

    # fmt: off
    profile: str = setting(
        "APP_PROFILE", "demo, test (no captcha) or production", "demo",
        one_of("demo", "test", "production", english="not a profile: {value}"))
    secret_key: str = setting(
        "SECRET_KEY", "signs cookies", lambda known: _kept(known, "secret_key", secrets.token_hex(32)),
        LONG, is_secret=True)
    host: str = setting(
        "HOST", "where to listen; demo and test listen on this machine only", "127.0.0.1",
        (lambda value, known: not known.is_production and not is_loopback(value),
         "演示和测试只能在本机监听", "{known.profile} listens on this machine only: {value}"))
    port: int = setting("PORT", "where to listen", "8080", whole(1, 65535), read=_whole)
    captcha_enabled: bool = setting(
        "CAPTCHA", "off turns the picture off", lambda known: "off" if known.profile == "test" else "on",
        SWITCH, (lambda value, known: known.is_production and not value,
                 "生产环境不得关闭验证码", "the captcha cannot be off in production"), read=_switch)
    wants_worker: bool = setting(
        "WORKER", "off: app.py starts no worker beside the server; production never does", "on",
        SWITCH, read=_switch)
    trusted_hosts: tuple[str, ...] = setting(
        "TRUSTED_HOSTS", "names under which the site may be called, separated by commas",
        # Prevents DNS rebinding.
        lambda known: "" if known.is_production else f"127.0.0.1,localhost,[::1],{known.host}",
        # Signed content names our origin, which must not come from a forged Host header.
        NEEDED, read=_names)
    trusted_proxies: int = setting(
        "TRUSTED_PROXIES", "how many reverse proxies stand before us (0: believe no forwarded address)",
        "0", whole(0, 5), read=_whole)
    site_url: str = setting(
        "SITE_URL", "the address that letters name (otherwise the first of TRUSTED_HOSTS, by https; in"
        " demo and test HOST and PORT)",
        read=_address)
    session_idle_minutes: int = setting(
        "SESSION_IDLE_MINUTES", "when an idle session ends, until the registry sets it itself",
        "15", whole(1, 24 * 60), read=_whole)
    session_absolute_hours: int = setting(
        "SESSION_ABSOLUTE_HOURS", "when every session ends, until the registry sets it itself",
        "8", whole(1, 24), read=_whole)
    cert_login: str = setting(
        "CERT_LOGIN", "what follows the password: agent (the USBKey assistant), mtls or, in tests, off",
        lambda known: "off" if known.profile == "test" else "agent", one_of("agent", "mtls", "off"),
        (lambda value, known: value == "off" and known.profile != "test",
         "证书登录只能在测试中关闭", "{name} is off in tests alone"))
    cert_proxy_secret: str = setting(
        "CERT_PROXY_SECRET", "what the trusted proxy sends along with a client certificate (mtls)",
        "", LONG_OR_NONE, is_secret=True)
    crypto_suite: str = setting(
        "CRYPTO_SUITE", "intl, or gm: SM2, SM3, SM4, which need the extra gm", "intl", one_of("intl", "gm"),
        (lambda value, known: value == "gm" and importlib.util.find_spec("tongsuopy") is None,
         "CRYPTO_SUITE=gm 须先安装国密组件：pip install 'tongsuopy>=1.0,<2'（仅 Linux x86_64）",
         "CRYPTO_SUITE=gm needs the extra `gm`, tongsuopy, which has files for Linux x86_64 alone"),
        (lambda value, known: value == "gm" and known.cert_login == "mtls",
         "国密证书不能用于 CERT_LOGIN=mtls，请用 agent",
         "browsers and TLS here know no SM2: CERT_LOGIN=mtls cannot be used with gm"))
    ca_folder: Path = setting(
        "CA_FOLDER", "where the authority's certificates and the signing process's socket are",
        of_suite("authority"), read=_folder)
    ca_url: str = setting(
        "CA_URL", "under which anybody reaches the revocation list and OCSP, as certificates name it",
        read=_address)
    assistant_port: int = setting(
        "ASSISTANT_PORT", "where pages find the USBKey assistant on their own machine",
        "17890", whole(1, 65535), read=_whole)
    demo_keys: Path = setting(
        "DEMO_KEYS", "folder of the demonstration's soft keys", of_suite("keys"), read=_folder)
    mail_url: str = setting(
        "MAIL_URL", "smtp://user:password@host:587?tls=starttls (or implicit, off); off sends none",
        lambda known: "" if known.is_production else "mailbox", NEEDED_OR_OFF,
        read=_mail, is_secret=True)
    mail_from: str = setting(
        "MAIL_FROM", "the address that mails come from",
        lambda known: "" if _is_sent(known.mail_url) else "registry@registry.example",
        (lambda value, known: not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", value),
         "{name} 须为邮件地址", "{name} is a mail address"))
    sms_url: str = setting(
        "SMS_URL", "the gateway of text messages, or off",
        lambda known: "" if known.is_production else "mailbox", NEEDED_OR_OFF,
        (lambda value, known: _is_sent(value) and not _is_gateway(value),
         "SMS_URL 须为 https 地址", "SMS_URL is an https address"))
    sms_key: str = setting(
        "SMS_KEY", "the key that signs what is posted to the gateway", "",
        (lambda value, known: _is_sent(known.sms_url) and len(value) < 32, *LONG[1:]), is_secret=True)
    personal_data_keys: tuple[tuple[str, str], ...] = setting(
        "PERSONAL_DATA_KEY", "`id:64 hex digits`, commas between, the current first, and `index:`;"
        " or PERSONAL_DATA_KEY_FILE, a file with the same, one a line",
        lambda known: _personal_data(known), NEEDED,
        (lambda value, known: not _are_keys(value), "{name} 须为 编号:64位十六进制，并含 index",
         "{name} needs id:64 hex digits, the current key first, and one named index"),
        read=_keys, is_secret=True)
    # Demo and test fall back to the bundled PostgreSQL.
    database_url: str = setting(
        "DATABASE_URL", "the application's connection",
        lambda known: "" if known.is_production else embedded.ensure_running(known.folder).app,
        ADDRESS, NEEDED, POSTGRESQL, read=_database, is_secret=True)
    database_owner_url: str = setting(
        "DATABASE_OWNER_URL", "the schema owner's connection, for `flask init`; empty where this machine"
        " does not migrate", lambda known: _owner(known), ADDRESS, POSTGRESQL,
        (lambda value, known: known.is_production and value
         and make_url(value).username == make_url(known.database_url).username,
         "{name} 与 DATABASE_URL 不得使用同一数据库用户",
         "the application must not connect as the owner of the schema"),
        read=_database, is_secret=True)
    # fmt: on

    @property
    def is_production(self) -> bool:
        """Tell whether this is production: wall clock and TLS."""
        return self.profile == "production"

    @property
    def has_own_clock(self) -> bool:
        """Tell whether the business clock may be moved."""
        return not self.is_production

    @property
    def has_own_worker(self) -> bool:
        """Tell whether `app.py` starts a worker beside the server."""
        return self.wants_worker and not self.is_production

    @property
    def folder(self) -> Path:
        """Return the folder of this profile's data."""
        return folder_of(self.profile)

    @property
    def cookie_secure(self) -> bool:
        """Tell whether cookies are restricted to TLS."""
        return self.is_production

    def flask_config(self) -> dict[str, Any]:
        """Return the configuration of Flask and its extensions."""
        return {
            **FLASK_CONFIG,
            **self._engine_config(),
            "SETTINGS": self,
            "PROFILE": self.profile,
            "SECRET_KEY": self.secret_key,
            "TRUSTED_HOSTS": list(self.trusted_hosts),
            "HAS_OWN_CLOCK": self.has_own_clock,
            "CAPTCHA_ENABLED": self.captcha_enabled,
            "CERT_LOGIN": self.cert_login,
            "CERT_PROXY_SECRET": self.cert_proxy_secret,
            "CRYPTO_SUITE": self.crypto_suite,
            "CA_FOLDER": str(self.ca_folder),
            "CA_URL": self.ca_url,
            "SITE_URL": self.site_url or self._own_address(),
            "ASSISTANT_URL": f"http://127.0.0.1:{self.assistant_port}",
            "SESSION_IDLE": timedelta(minutes=self.session_idle_minutes),
            "SESSION_ABSOLUTE": timedelta(hours=self.session_absolute_hours),
            "PERMANENT_SESSION_LIFETIME": timedelta(hours=self.session_absolute_hours),
            # Cookies are shared between ports: two demos on one machine need two names.  The prefix
            # __Host- prevents sibling domains from setting the cookie, but requires TLS.
            "SESSION_COOKIE_NAME": "__Host-registry"
            if self.cookie_secure
            else f"registry_{self.profile}_{self.port}",
            "SESSION_COOKIE_SECURE": self.cookie_secure,
            # Fast hashes for tests.
            "FAB_PASSWORD_HASH_METHOD": "scrypt:1024:8:1" if self.profile == "test" else "scrypt",
        }

    def _own_address(self) -> str:
        """Return where people reach the site: by TLS in production, else where it listens."""
        if self.is_production:
            return f"https://{self.trusted_hosts[0]}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def _engine_config(self) -> dict[str, Any]:
        # job_queue is the queue's schema.
        options = "-c timezone=Asia/Shanghai -c search_path=public,job_queue"
        if self.database_url == self.database_owner_url:
            # Demo and test on an external server with a single login: drop to the application's role.
            options += f" -c role={APP_ROLE}"
        return {
            "SQLALCHEMY_DATABASE_URI": self.database_url,
            "SQLALCHEMY_ENGINE_OPTIONS": {
                "pool_size": 5,
                "max_overflow": 10,
                "pool_timeout": 10,
                "pool_recycle": 1800,
                "pool_pre_ping": True,  # survive a restart of the database
                "connect_args": {
                    "options": options,
                    "application_name": "registry",
                    "connect_timeout": 10,
                },
            },
        }


# The same for all installations.
FLASK_CONFIG: dict[str, Any] = {
    "TESTING": False,
    "MAX_CONTENT_LENGTH": 20 * 1024 * 1024,
    # A signed manifest of 10,000 reviews is one form field.
    "MAX_FORM_MEMORY_SIZE": 4 * 1024 * 1024,
    "SEND_FILE_MAX_AGE_DEFAULT": timedelta(hours=1),
    # Tokens live as long as the session, so that a form left open can still be sent.
    "WTF_CSRF_TIME_LIMIT": None,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SESSION_REFRESH_EACH_REQUEST": False,
    "TRANSFER_CUT_OFF": time(15, 0),  # for 登记转交易
    "BABEL_DEFAULT_LOCALE": "zh",
    "BABEL_DEFAULT_TIMEZONE": "Asia/Shanghai",
    # Absolute, since a relative folder is resolved within the package.
    "BABEL_TRANSLATION_DIRECTORIES": str(ROOT / "translations"),
    "LANGUAGES": {
        "zh": {"flag": "cn", "name": "中文"},
        "en": {"flag": "gb", "name": "English"},
    },
    # Flask-AppBuilder, with the features we do not use switched off.
    "APP_NAME": "全国碳排放权注册登记系统",
    "APP_THEME": "",  # other themes load fonts from other hosts
    "AUTH_TYPE": 1,  # AUTH_DB
    "AUTH_USER_REGISTRATION": False,
    "AUTH_RATE_LIMITED": False,  # counts per process; app.security.lockout counts in the database
    "RATELIMIT_ENABLED": False,
    "FAB_CREATE_DB": False,  # Alembic owns the schema
    "FAB_UPDATE_PERMS": False,  # only `flask init` writes roles and permissions
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
    """Read the settings; starts the bundled PostgreSQL without a DATABASE_URL.

    Raises ConfigurationError for invalid settings and, in production, for missing secrets.
    """
    known = SimpleNamespace(environ=environ)
    for each in fields(Settings):
        name, default = each.metadata["variable"], each.metadata["default"]
        text = environ.get(name, "")
        if not text.strip(" ,"):
            text = default(known) if callable(default) else default
        value = each.metadata["read"](text)
        for is_wrong, chinese, english in each.metadata["rules"]:
            if is_wrong(value, known):
                told = {"name": name, "value": value, "known": known}
                raise refusal(chinese.format(**told), english.format(**told))
        setattr(known, each.name, value)
        if each.name == "profile":
            known.is_production, known.folder = value == "production", folder_of(value)
    del known.environ, known.is_production, known.folder
    return Settings(**vars(known))


def _owner(known: Any) -> str:
    """Return the default of the owner's URL: the bundled PostgreSQL's, or the application's URL."""
    if known.is_production:
        return ""
    if known.environ.get("DATABASE_URL"):
        return str(known.database_url)
    return embedded.Cluster(known.folder).url(embedded.OWNER)


def _personal_data(known: Any) -> str:
    path = known.environ.get("PERSONAL_DATA_KEY_FILE")
    if not path:
        fresh = f"demo:{secrets.token_hex(32)}\nindex:{secrets.token_hex(32)}\n"
        return _kept(known, "personal_data_key", fresh)
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise refusal(
            "PERSONAL_DATA_KEY_FILE 无法读取", "PERSONAL_DATA_KEY_FILE cannot be read"
        ) from error


def _kept(known: Any, name: str, text: str) -> str:
    """Return a generated secret from a private file, created at the first call; "" in production."""
    if known.is_production:
        return ""
    path: Path = known.folder / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        # Of two concurrent first starts one creates the file, and both read it.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_text()


@dataclass(frozen=True)
class MailServer:
    """The parts of MAIL_URL: server, TLS mode and credentials."""

    host: str
    port: int
    tls: str
    user: str
    password: str = field(repr=False)
    ca: str = ""

    @classmethod
    def read(cls, text: str) -> MailServer:
        """Parse `smtp://user:password@host:port?tls=starttls&ca=/path`.  Raises ConfigurationError."""
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


def refusal(chinese: str, english: str) -> ConfigurationError:
    """Return a bilingual error."""
    return ConfigurationError(f"{chinese}。{english[0].upper()}{english[1:]}.")


def is_loopback(host: str) -> bool:
    """Tell whether a host is the loopback interface."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def folder_of(profile: str) -> Path:
    """Return the data folder of a profile."""
    return ROOT / "var" / profile
