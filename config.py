"""Settings from the environment: one declaration per variable, read by `load`."""

from __future__ import annotations

import contextlib
import hmac
import importlib.util
import ipaddress
import itertools
import json
import math
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
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
    """The settings are invalid; the message says which and why, in both languages, a line each."""


# (predicate of a value and the other settings that is true for an invalid one, Chinese message,
# English message).  What the predicate returns is `found` in the messages.  Rules of a value know the
# settings declared above it; `strict` ones, which production asks before it serves, know all.
Rule = tuple[Callable[[Any, Any], Any], str, str]


def setting(
    variable: str,
    meaning: str,
    default: str | Callable[[Any], str] = "",
    *rules: Rule,
    read: Callable[[str], Any] = str,
    is_secret: bool = False,
    strict: tuple[Rule, ...] = (),
) -> Any:
    """Declare a setting: variable, meaning, default for an unset or empty variable, and rules."""
    declared = {"variable": variable, "meaning": meaning, "default": default, "strict": strict}
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


def _bank_lines(text: str) -> tuple[tuple[str, str, str], ...]:
    """Read CODE=key@address, separated by commas."""
    found = []
    for each in filter(None, (line.strip() for line in text.split(","))):
        code, _equals, rest = each.partition("=")
        key, _at, address = rest.partition("@")
        found.append((code.strip(), key.strip(), address.strip()))
    return tuple(found)


def _is_bank_line(line: tuple[str, str, str]) -> bool:
    code, key, address = line
    return bool(re.fullmatch(r"[A-Z0-9]{2,10}", code)) and len(key) >= 32 and _is_gateway(address)


def _is_p256(text: str, *, is_private: bool) -> bool:
    try:
        key = json.loads(text)
    except ValueError:
        return False
    return (
        isinstance(key, dict)
        and (key.get("kty"), key.get("crv")) == ("EC", "P-256")
        and ("d" in key) is is_private
        and {"x", "y"} <= key.keys()
    )


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


def _is_clamd(address: str) -> bool:
    host, _colon, port = address.rpartition(":")
    return address.startswith("/") or bool(host and port.isdecimal() and 0 < int(port) < 65536)


def _is_sent(address: str) -> bool:
    return address not in ("off", "mailbox")


def _wildcards(names: tuple[str, ...], _known: Any) -> str:
    # werkzeug takes a leading dot for all subdomains.
    return "、".join(name for name in names if "*" in name or name.startswith("."))


def _mail_in_clear(address: str, known: Any) -> str:
    if not address or not _is_sent(address) or "mail" in known.without_tls:
        return ""
    server = MailServer.read(address)
    return server.host if server.tls == "off" and not is_loopback(server.host) else ""


def _database_in_clear(address: str, known: Any) -> str:
    """Return host and sslmode, as libpq reads them, of a database whose identity TLS does not prove.

    This machine's loopback and sockets need no TLS.
    """
    from psycopg import pq

    if not address or "database" in known.without_tls:
        return ""
    # With what PGHOST and PGSSLMODE say.
    usual = {
        each.keyword.decode(): (each.val or b"").decode() for each in pq.Conninfo.get_defaults()
    }
    url = make_url(address)
    _, told = url.get_dialect()().create_connect_args(url)
    given = usual | {name: str(value) for name, value in told.items()}
    hosts = (given["hostaddr"] or given["host"]).split(",")
    is_near = all(not host or host[0] in "/@" or is_loopback(host) for host in hosts)
    if is_near or given["sslmode"] in ("verify-ca", "verify-full"):
        return ""
    return f"{','.join(hosts)}, sslmode={given['sslmode']}"


# fmt: off
HTTPS: Rule = (lambda value, known: value and not value.startswith("https://"),
               "{name} 为 {value}，须为 https 地址", "{name} is {value}: it must be an https address")
DATABASE_TLS: Rule = (
    _database_in_clear,
    "{name} 所连的数据库（{found}）未以 TLS 核实对方：请加 ?sslmode=verify-full&sslrootcert=证书文件，"
    "确实不用的须写明 WITHOUT_TLS=database",
    "{name} names a database ({found}) that TLS does not prove: add ?sslmode=verify-full&sslrootcert=FILE,"
    " or say WITHOUT_TLS=database")
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
    folder: Path = setting(
        "DATA_FOLDER", "where demo and test keep their database, keys and logs",
        lambda known: str(folder_of(known.profile)), read=_folder)
    secret_key: str = setting(
        "SECRET_KEY", "signs cookies", lambda known: _kept(known, "secret_key", secrets.token_hex(32)),
        LONG, is_secret=True)
    host: str = setting(
        "HOST", "where to listen; demo and test listen on this machine only", "127.0.0.1",
        (lambda value, known: not known.is_production and not is_loopback(value),
         "演示和测试只能在本机监听", "{known.profile} listens on this machine only: {value}"),
        strict=((lambda value, known: not is_loopback(value) and known.trusted_proxies,
                 "{name} 为 {value}，而 TRUSTED_PROXIES 为 {found}：绕过代理者可以伪造来访地址，"
                 "请设 HOST=127.0.0.1，没有代理的设 TRUSTED_PROXIES=0",
                 "{name} is {value} and TRUSTED_PROXIES {found}: whoever passes the proxy by may forge an"
                 " address; set HOST=127.0.0.1, or TRUSTED_PROXIES=0 where there is none"),))
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
        NEEDED, read=_names,
        strict=((_wildcards, "{name} 含通配 {found}：请逐个写明域名",
                 "{name} holds wildcards, {found}: name each host"),))
    trusted_proxies: int = setting(
        "TRUSTED_PROXIES", "how many reverse proxies stand before us (0: believe no forwarded address)",
        "0", whole(0, 5), read=_whole)
    site_url: str = setting(
        "SITE_URL", "the address that letters name (otherwise the first of TRUSTED_HOSTS, by https; in"
        " demo and test HOST and PORT)",
        read=_address, strict=(HTTPS,))
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
        read=_address, strict=(HTTPS,))
    assistant_port: int = setting(
        "ASSISTANT_PORT", "where pages find the USBKey assistant on their own machine",
        "17890", whole(1, 65535), read=_whole)
    demo_keys: Path = setting(
        "DEMO_KEYS", "folder of the demonstration's soft keys", of_suite("keys"), read=_folder)
    without_tls: tuple[str, ...] = setting(
        "WITHOUT_TLS", "database, mail: what production may reach over a network without TLS", "",
        (lambda value, known: not {"database", "mail"}.issuperset(value),
         "{name} 只能含 database、mail", "{name} may hold database and mail"), read=_names)
    mail_url: str = setting(
        "MAIL_URL", "smtp://user:password@host:587?tls=starttls (or implicit, off); off sends none",
        lambda known: "" if known.is_production else "mailbox", NEEDED_OR_OFF,
        read=_mail, is_secret=True,
        strict=((_mail_in_clear,
                 "{name} 所连的邮件服务器 {found} 不用 TLS：请用 tls=starttls 或 implicit，"
                 "确实不用的须写明 WITHOUT_TLS=mail",
                 "{name} names a mail server, {found}, without TLS: use tls=starttls or implicit,"
                 " or say WITHOUT_TLS=mail"),))
    mail_from: str = setting(
        "MAIL_FROM", "the address that mails come from",
        lambda known: "" if _is_sent(known.mail_url) else "registry@registry.example",
        (lambda value, known: not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", value),
         "{name} 须为邮件地址", "{name} is a mail address"))
    bank_lines: tuple[tuple[str, str, str], ...] = setting(
        "BANK_LINES", "lines to settlement banks, separated by commas: CODE=key@https://address",
        lambda known: _demo_bank(known),
        (lambda value, known: not all(_is_bank_line(each) for each in value),
         "{name} 每项应为 银行代码=密钥@https://地址（本机可用 http），密钥不少于32个字符",
         "{name} holds CODE=key@https://address (http on this machine), keys of 32 characters or more"),
        (lambda value, known: len({code for code, _key, _address in value}) < len(value),
         "{name} 中同一银行出现两次", "{name} names a bank twice"),
        read=_bank_lines, is_secret=True)
    ccer_line: str = setting(
        "CCER_LINE", "the CCER registry's address: https://address; needs the two keys that follow",
        lambda known: _demo_ccer(known, "line"),
        (lambda value, known: value and not _is_gateway(value),
         "{name} 须为 https 地址（本机可用 http）", "{name} is an https address (http on this machine)"),
        read=_address)
    ccer_key: str = setting(
        "CCER_KEY", "our private key (JWK, P-256), by which messages to the CCER registry are signed",
        lambda known: _demo_ccer(known, "own"),
        (lambda value, known: bool(value or known.ccer_line) and not _is_p256(value, is_private=True),
         "{name} 须为 P-256 私钥（JWK）", "{name} is a private key of P-256, as a JWK"),
        is_secret=True)
    ccer_public_key: str = setting(
        "CCER_PUBLIC_KEY", "the CCER registry's public key (JWK, P-256)",
        lambda known: _demo_ccer(known, "theirs"),
        (lambda value, known: bool(value or known.ccer_line) and not _is_p256(value, is_private=False),
         "{name} 须为 P-256 公钥（JWK）", "{name} is a public key of P-256, as a JWK"))
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
    unsubmitted_files: int = setting(
        "UNSUBMITTED_FILES", "how many files an enterprise, or an officer, may store for applications that"
        " are not submitted", "200", whole(20, 10_000), read=_whole)
    unsubmitted_mb: int = setting(
        "UNSUBMITTED_MB", "how many megabytes these files may have together", "200",
        whole(20, 100_000), read=_whole)
    unsubmitted_drafts: int = setting(
        "UNSUBMITTED_DRAFTS", "how many drafts an enterprise, or an officer, may store", "200",
        whole(10, 10_000), read=_whole)
    orphans_kept_hours: int = setting(
        "ORPHANS_KEPT_HOURS", "how long files of a form are kept that was never saved", "48",
        # Longer than any session, so that no form loses its files while it is filled in.
        whole(25, 24 * 30), read=_whole)
    sweep_every_hours: int = setting(
        "SWEEP_EVERY_HOURS", "how often the worker deletes files that were kept for so long", "1",
        whole(1, 24), read=_whole)
    exports_each: int = setting(
        "EXPORTS_PER_MEMBER", "how many lists a member may export in ten minutes", "30",
        whole(1, 1000), read=_whole)
    clamd_address: str = setting(
        "CLAMD_ADDRESS", "clamd, which scans every upload: a socket's path, or host:port; off scans none",
        "off",
        (lambda value, known: value and not _is_clamd(value),
         "{name} 须为套接字的绝对路径、主机:端口，或 off",
         "{name} is a socket's absolute path, host:port, or off"),
        read=lambda text: "" if text.lower() == "off" else text)
    # Demo and test fall back to the bundled PostgreSQL.
    database_url: str = setting(
        "DATABASE_URL", "the application's connection",
        lambda known: "" if known.is_production else embedded.ensure_running(known.folder).app,
        ADDRESS, NEEDED, POSTGRESQL, read=_database, is_secret=True, strict=(DATABASE_TLS,))
    database_owner_url: str = setting(
        "DATABASE_OWNER_URL", "the schema owner's connection, for `flask init`; empty where this machine"
        " does not migrate", lambda known: _owner(known), ADDRESS, POSTGRESQL,
        (lambda value, known: known.is_production and value and known.database_url
         and make_url(value).username == make_url(known.database_url).username,
         "{name} 与 DATABASE_URL 不得使用同一数据库用户",
         "the application must not connect as the owner of the schema"),
        read=_database, is_secret=True, strict=(DATABASE_TLS,))
    database_audit_url: str = setting(
        "DATABASE_AUDIT_URL", "the second book's connection, for `flask audit-day`; empty where this machine"
        " does not check", lambda known: "" if known.is_production else known.database_owner_url,
        ADDRESS, POSTGRESQL,
        (lambda value, known: known.is_production and value and known.database_url
         and make_url(value).username == make_url(known.database_url).username,
         "{name} 与 DATABASE_URL 不得使用同一数据库用户",
         "the second book must not be written by the application's database user"),
        read=_database, is_secret=True, strict=(DATABASE_TLS,))
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
    def has_demo_market(self) -> bool:
        """Tell whether the demonstration has a bank of its own beside the server, and an exchange."""
        return self.profile == "demo" and not os.environ.get("BANK_LINES")

    @property
    def demo_ccer_keys(self) -> dict[str, str]:
        """The keys of the demonstration's CCER registry, as its simulator reads them: its own, and ours."""
        keys = json.loads((self.folder / "ccer_keys").read_text())
        keys["own"].pop("d")
        return {
            "CCER_SIMULATOR_KEY": json.dumps(keys["theirs"]),
            "CCER_REGISTRY_KEY": json.dumps(keys["own"]),
        }

    @property
    def assistant_pairing(self) -> str:
        """Return the pairing code of the assistant that `app.py` starts; "" where members start it."""
        if self.is_production or self.cert_login != "agent":
            return ""
        return hmac.new(self.secret_key.encode(), b"pairing", "sha256").hexdigest()

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
            "HAS_DEMO_MARKET": self.has_demo_market,
            "CAPTCHA_ENABLED": self.captcha_enabled,
            "CERT_LOGIN": self.cert_login,
            "CERT_PROXY_SECRET": self.cert_proxy_secret,
            "CRYPTO_SUITE": self.crypto_suite,
            "CA_FOLDER": str(self.ca_folder),
            "CA_URL": self.ca_url,
            "SITE_URL": self.site_url or self._own_address(),
            "UNSUBMITTED_FILES": self.unsubmitted_files,
            "UNSUBMITTED_MB": self.unsubmitted_mb,
            "UNSUBMITTED_DRAFTS": self.unsubmitted_drafts,
            "ORPHANS_KEPT": timedelta(hours=self.orphans_kept_hours),
            "EXPORTS_PER_MEMBER": self.exports_each,
            "CLAMD_ADDRESS": self.clamd_address,
            "ASSISTANT_URL": f"http://127.0.0.1:{self.assistant_port}",
            "ASSISTANT_PAIRING": self.assistant_pairing,
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
                "pool_use_lifo": True,  # the same few connections, which have prepared more
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
    # Of the machines' interfaces: a list of 1,000 transfers has about 300 kB.
    "MACHINE_BODY_BYTES": 1024 * 1024,
    "MACHINE_REQUESTS_PER_MINUTE": 600,  # of a client
    "MACHINE_SIGN_INS_PER_MINUTE": 60,  # from an address
    "MACHINE_TABLES_PER_MINUTE": 20,  # of verified data, that a client pushes
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

    Raises ConfigurationError for invalid settings and, in production, for missing secrets: there for
    all at once, with their weaknesses.
    """
    known = SimpleNamespace(environ=environ, is_production=False)
    refused: list[str] = []
    for each in fields(Settings):
        try:
            value = _read(each, known)
        except ConfigurationError as error:
            # Elsewhere at once: the next default may start a database.
            if not known.is_production:
                raise
            refused.append(str(error))
            value = each.metadata["read"]("")  # As unset, for the rules of others.
        setattr(known, each.name, value)
        if each.name == "profile":
            known.is_production = value == "production"
    if refused:
        raise ConfigurationError("\n".join([*refused, *weaknesses(known)]))
    del known.environ, known.is_production
    return Settings(**vars(known))


def _read(declared: Any, known: Any) -> Any:
    name, default = declared.metadata["variable"], declared.metadata["default"]
    text = known.environ.get(name, "")
    if unfilled := UNFILLED.search(text):
        raise refusal(
            f"{name} 尚未填写：其中还有 {unfilled[0]}",
            f"{name} still holds {unfilled[0]}: fill it in",
        )
    try:
        if not text.strip(" ,"):
            text = default(known) if callable(default) else default
        value = declared.metadata["read"](text)
        for message in _broken(declared.metadata["rules"], name, value, known):
            raise ConfigurationError(message)
    except OSError as error:  # A generated secret or the demonstration's database, in a folder.
        path, reason = error.filename, error.strerror
        raise refusal(
            f"{name} 用到的 {path} 不能读写：{reason}", f"{name}: {path} cannot be used: {reason}"
        ) from error
    except ValueError as error:  # Whose own words may hold a password.
        raise refusal(f"{name} 的写法有误，请核对", f"{name} is malformed") from error
    return value


UNFILLED = re.compile(r"<[^<>]*[\u4e00-\u9fff][^<>]*>")  # as the samples in deploy/ hold: <口令>


def _broken(rules: tuple[Rule, ...], name: str, value: Any, known: Any) -> Iterator[str]:
    """Yield the messages of the rules that a value breaks."""
    for is_wrong, chinese, english in rules:
        if found := is_wrong(value, known):
            told = {"name": name, "value": value, "known": known, "found": found}
            yield str(refusal(chinese.format(**told), english.format(**told)))


def weaknesses(settings: Any) -> list[str]:
    """Return why valid settings do not do for production, in both languages; no secret is in it.

    Commands run regardless, such as the one that changes keys.
    """
    found = [
        message
        for each in fields(Settings)
        for message in _broken(
            each.metadata["strict"],
            each.metadata["variable"],
            getattr(settings, each.name),
            settings,
        )
    ]
    return found + [str(each) for each in _weak_secrets(settings)]


def _weak_secrets(settings: Any) -> Iterator[ConfigurationError]:
    found = {name: secret for name, secret in _secrets(settings).items() if secret[0]}
    for name, (secret, least) in found.items():
        if (bits := strength(secret)) < least:
            yield refusal(
                f"{name} 的密钥或口令易猜（约 {bits} 比特，至少 {least}）："
                "请用 python3 -c 'import secrets; print(secrets.token_hex(32))' 生成",
                f"the secret of {name} is easy to guess (about {bits} bits, {least} are needed):"
                " generate it by secrets.token_hex(32)",
            )
    for (one, (secret, _)), (other, (same, _)) in itertools.combinations(found.items(), 2):
        if secret.casefold() == same.casefold():
            yield refusal(
                f"{one} 与 {other} 的密钥或口令相同：请各自生成",
                f"{one} and {other} hold the same secret: generate one for each",
            )


def _secrets(settings: Any) -> dict[str, tuple[str, int]]:
    """Return each secret and the bits that it needs: keys are generated, passwords may be shorter."""
    keys = {
        "SECRET_KEY": settings.secret_key,
        "CERT_PROXY_SECRET": settings.cert_proxy_secret,
        "SMS_KEY": settings.sms_key,
    }
    for key_id, key in settings.personal_data_keys:
        keys[f"PERSONAL_DATA_KEY {key_id}"] = key
    for code, key, _address in settings.bank_lines:
        keys[f"BANK_LINES {code}"] = key
    passwords = {
        name: str(make_url(url).password or make_url(url).query.get("password", ""))
        for name, url in (
            ("DATABASE_URL", settings.database_url),
            ("DATABASE_OWNER_URL", settings.database_owner_url),
            ("DATABASE_AUDIT_URL", settings.database_audit_url),
        )
        # Demonstration and tests check their books as the owner.
        if url and (name != "DATABASE_AUDIT_URL" or url != settings.database_owner_url)
    }
    if settings.mail_url and _is_sent(settings.mail_url):
        passwords["MAIL_URL"] = MailServer.read(settings.mail_url).password
    return {name: (key, KEY_BITS) for name, key in keys.items()} | {
        name: (password, PASSWORD_BITS) for name, password in passwords.items()
    }


KEY_BITS = 80  # Of 20,000 keys of 32 random hex digits none was estimated below 85.
PASSWORD_BITS = 36  # Of 20,000 passwords of 16 random letters and digits none below 43.
# A key that contains one of these was not generated; each counts as one character.
WORDS = re.compile(
    "password|passw0rd|secret|registry|production|carbon|changeme|change-me|example|letmein|admin"
    "|qwerty|asdfgh|zxcvbn|welcome|test|demo|key|tanpaifang|zhongguo",
    re.IGNORECASE,
)


def strength(secret: str) -> int:
    """Estimate a secret's entropy in bits: distinct pieces, times the Shannon entropy of a character.

    A word, what was there before and a run such as 4567 are one piece each.  Sentences are
    overestimated; it finds what was typed, not what was badly generated.
    """
    secret = WORDS.sub("\0", secret)
    place = pieces = 0
    while place < len(secret):
        place += _predictable(secret, place) or 1
        pieces += 1
    shares = [count / len(secret) for count in Counter(secret).values()]
    return int(pieces * -sum(share * math.log2(share) for share in shares))


def _predictable(secret: str, place: int) -> int:
    """Return how many characters from a place on repeat earlier ones or go on in one step; 0 below 4."""
    longest = 0
    for end in range(place + 4, len(secret) + 1):
        piece = secret[place:end]
        steps = {ord(after) - ord(before) for before, after in itertools.pairwise(piece)}
        if piece not in secret[: end - 1] and len(steps) > 1:
            break
        longest = end - place
    return longest


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


def _demo_bank(known: Any) -> str:
    """Return the line to the demonstration's own bank, which app.py runs beside it."""
    if known.profile != "demo":
        return ""
    port = known.port + 1000 if known.port + 1000 < 65536 else known.port - 1000
    return f"ICBC={_kept(known, 'bank_key', secrets.token_hex(32))}@http://127.0.0.1:{port}"


def _demo_ccer(known: Any, part: str) -> str:
    """Return a part of the line to the demonstration's own CCER registry."""
    if known.profile != "demo" or known.environ.get("CCER_LINE"):
        return ""
    if part == "line":
        port = known.port + 1001 if known.port + 1001 < 65536 else known.port - 1001
        return f"http://127.0.0.1:{port}"
    keys = json.loads(_kept(known, "ccer_keys", _fresh_ccer_keys()))
    if part == "theirs":
        keys["theirs"].pop("d")
    return json.dumps(keys[part])


def _fresh_ccer_keys() -> str:
    from joserfc.jwk import ECKey

    fresh = {part: ECKey.generate_key("P-256") for part in ("own", "theirs")}
    return json.dumps({part: key.as_dict(private=True) for part, key in fresh.items()})


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
    """Return the usual data folder of a profile."""
    return ROOT / "var" / profile
