"""Run the registry: start the bundled PostgreSQL where it is needed, install, seed, serve.

`python app.py` is what `make run` calls.  Nothing imports this file: `import app` is the package.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from sqlalchemy.exc import OperationalError

from app import installation, memory
from app.embedded import EmbeddedDatabaseError
from app.extensions import db
from app.installation import demo, demo_keys, demo_market, demo_offsets
from app.pki.errors import SignerAbsent
from app.pki.signer import Signer, is_established, wait_until_ready
from app.web import create_app, no_answer
from config import ROOT, ConfigurationError, Settings, load, refusal


def main() -> None:
    """Start everything and serve until stopped."""
    try:
        refuse_taken_port(os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8080")
        settings = load()
        with (
            starting(settings) as lock,
            running(settings),
            certified(settings) as signer,
            banking(settings),
        ):
            application = create_app(settings)
            prepare(application, settings, signer)
            with working(settings):
                memory.settle()
                Server(application, settings, lock).run()
    except (ConfigurationError, EmbeddedDatabaseError) as error:
        sys.exit("\n".join(f"✗ {line}" for line in str(error).splitlines()))
    except OperationalError as error:
        sys.exit(f"✗ {no_answer(error)}")
    except OSError as error:
        path, reason = error.filename or "", error.strerror or error
        sys.exit(f"✗ {refusal(f'{path} 不能读写：{reason}', f'cannot use {path}: {reason}')}")


@contextlib.contextmanager
def starting(settings: Settings) -> Iterator[IO[str] | None]:
    """Be the only start in a demonstration's folder; yield the lock, to be let go of once it listens.

    Another start waits, and then finds what the first one has made, or its port taken.
    """
    if settings.is_production:
        yield None
        return
    settings.folder.mkdir(parents=True, exist_ok=True)
    with (settings.folder / "start.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("··· 同一文件夹中的另一次启动尚未完成，正在等候", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        refuse_taken_port(settings.host, str(settings.port))
        yield lock


def prepare(application: Flask, settings: Settings, signer: subprocess.Popen[bytes] | None) -> None:
    """Install and seed outside production, and close all connections."""
    with application.app_context():
        # In production `flask init` migrates, with the owner's credentials.
        if not settings.is_production:
            installation.install()
            if settings.cert_login != "off":
                await_signer(settings, signer)  # It seals what the demonstration certifies.
            demo.seed_once()
            if settings.has_demo_market:
                demo_market.seed_once(settings)
                demo_offsets.introduce(settings)
            installation.note_mode()
            if settings.cert_login != "off":
                demo_keys.issue(settings.demo_keys)
            print_logins(demo.logins(), with_pin=settings.cert_login != "off")
        # Connections must not be shared across the fork of the workers.
        for engine in db.engines.values():
            engine.dispose()


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Keep a pid file for `make reset`."""
    # gunicorn's own refuses to start where a killed server's pid has been reused.
    settings.folder.mkdir(parents=True, exist_ok=True)
    file = settings.folder / f"server-{settings.port}.pid"
    file.write_text(str(os.getpid()))
    try:
        yield
    finally:
        if file.exists() and file.read_text() == str(os.getpid()):
            file.unlink()


def await_signer(settings: Settings, signer: subprocess.Popen[bytes] | None) -> None:
    """Wait for the signing process.  Raises ConfigurationError with its last words where it ended."""
    try:
        wait_until_ready(
            settings.ca_folder, may_come=lambda: signer is None or signer.poll() is None
        )
    except SignerAbsent:
        words = log_of_signer(settings).read_text(errors="replace").strip().splitlines()[-1:]
        why = words[0] if words else f"{settings.ca_folder}"
        raise refusal(f"签名进程没有启动：{why}", "the signing process did not start") from None


def log_of_signer(settings: Settings) -> Path:
    """Return where the signing process beside the server writes."""
    return settings.folder / "signer.log"


def establish(settings: Settings) -> None:
    """Set up the demonstration's authority in a process of its own, which alone opens the token."""
    if is_established(settings.ca_folder):
        return
    arguments = ["demo", str(settings.ca_folder), f"--suite={settings.crypto_suite}"]
    command = [sys.executable, "-m", "app.pki.ceremony", *arguments]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [""])[-1]
        raise refusal(f"未能建立演示的签发机构：{why}", "the authority could not be set up")


@contextlib.contextmanager
def certified(settings: Settings) -> Iterator[subprocess.Popen[bytes] | None]:
    """Run the signing process and the USBKey assistant beside the server; yield the first, if it is ours.

    In production the one is a service, and the other runs on members' machines.
    """
    if settings.is_production or settings.cert_login == "off":
        yield None
        return
    if settings.cert_login == "agent":
        refuse_taken_port("127.0.0.1", str(settings.assistant_port), "ASSISTANT_PORT")
    establish(settings)
    signer = None
    with contextlib.ExitStack() as stack:
        if not Signer(settings.ca_folder).is_ready():
            log = stack.enter_context(log_of_signer(settings).open("ab"))
            signer = stack.enter_context(
                beside(
                    settings,
                    "app.pki.signer",
                    str(settings.ca_folder),
                    "--with-parent",
                    f"--url={settings.ca_url}",
                    log=log,
                )
            )
        if settings.cert_login == "agent":
            # Not as an argument, which every program of this computer can read.
            code = {"ASSISTANT_PAIRING": settings.assistant_pairing}
            arguments = assistant_arguments(settings)
            stack.enter_context(beside(settings, "assistant", *arguments, environment=code))
        yield signer


@contextlib.contextmanager
def banking(settings: Settings) -> Iterator[None]:
    """Run the demonstration's bank and CCER registry beside the server."""
    if not settings.has_demo_market:
        yield
        return
    ((_code, key, address),) = settings.bank_lines
    with contextlib.ExitStack() as stack:
        stack.enter_context(outside(settings, "bank", "BANK_LINES", address, {"BANK_KEY": key}))
        if not os.environ.get("CCER_LINE"):
            keys, line = settings.demo_ccer_keys, settings.ccer_line
            stack.enter_context(outside(settings, "ccer", "CCER_LINE", line, keys))
        yield


def outside(
    settings: Settings, name: str, variable: str, address: str, environment: dict[str, str]
) -> contextlib.AbstractContextManager[Any]:
    """Run a simulator of what stands outside, which keeps its books in the demonstration's folder."""
    port = address.rpartition(":")[2]
    refuse_taken_port("127.0.0.1", port, variable)
    store = f"--store={settings.folder / f'{name}.json'}"
    arguments = (f"--port={port}", store, "--with-parent")
    return beside(settings, f"simulators.{name}", *arguments, environment=environment)


def assistant_arguments(settings: Settings) -> list[str]:
    """Return the arguments of the demonstration's assistant: our origins, soft keys."""
    hosts = dict.fromkeys((bracketed(settings.host), "127.0.0.1", "localhost"))
    sites = [f"--site=http://{host}:{settings.port}" for host in hosts]
    port = f"--port={settings.assistant_port}"
    suite = f"--suite={settings.crypto_suite}"
    return [*sites, port, suite, f"--demo-keys={settings.demo_keys}", "--with-parent"]


@contextlib.contextmanager
def beside(
    settings: Settings,
    module: str,
    *arguments: str,
    log: Any = None,
    environment: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of ours as a child process, which ends when its stdin is closed by our end."""
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, **(environment or {}), "APP_PROFILE": settings.profile}
    # In its own process group, so that Ctrl-C stops the server first, which then stops its children.
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def working(settings: Settings) -> Iterator[None]:
    """Run a worker beside the server; in production it is a service.

    It ends with this process, even where that is killed.
    """
    if not settings.has_own_worker:
        yield
        return
    environment = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "DATABASE_OWNER_URL": settings.database_owner_url,
        "SECRET_KEY": settings.secret_key,
    }
    command = [sys.executable, "-m", "flask", "worker", "--parent", str(os.getpid())]
    worker = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(timeout=10)
        except subprocess.TimeoutExpired:
            worker.kill()


class Server(BaseApplication):
    """gunicorn within this process, so that there is one process to stop."""

    def __init__(
        self, application: Flask, settings: Settings, starting: IO[str] | None = None
    ) -> None:
        self.flask_application = application
        self.settings = settings
        self.starting = starting
        super().__init__()

    def load_config(self) -> None:
        """Set the options that differ from gunicorn's defaults."""
        options: dict[str, Any] = {
            "bind": f"{bracketed(self.settings.host)}:{self.settings.port}",
            "worker_class": "gthread",
            "workers": 2,
            "threads": 4,
            "preload_app": True,
            "graceful_timeout": 5,
            "keepalive": 5,
            # A control socket in the home folder, open to any program of this user.
            "control_socket_disable": True,
            "forwarded_allow_ips": "",
            "proc_name": "registry",
            "loglevel": "warning",
            "when_ready": self.announce,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Return the application, created before the fork."""
        return self.flask_application

    def announce(self, _server: Any) -> None:
        """Print the URL once the server listens, and let another start go on."""
        if self.starting:
            # Closing it would not do: the server's workers have it open, too.
            fcntl.flock(self.starting, fcntl.LOCK_UN)
        address = f"http://{bracketed(self.settings.host)}:{self.settings.port}"
        print(f"\n  全国碳排放权注册登记系统: {address}    (Ctrl-C 停止)\n", flush=True)


def print_logins(logins: list[dict[str, str]], *, with_pin: bool) -> None:
    """Print the table of logins, aligned for double-width characters."""
    rows = [("角色", "会员编号", "密码", "USBKey的PIN码")]
    rows += [(each["role"], each["login"], each["password"], demo_keys.PIN) for each in logins]
    if not with_pin:
        rows = [row[:3] for row in rows]
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        cells = (cell + " " * (widths[i] - width(cell)) for i, cell in enumerate(row))
        print("  " + "   ".join(cells))


def width(text: str) -> int:
    """Return a text's width in terminal columns."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def bracketed(host: str) -> str:
    """Put an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def refuse_taken_port(host: str, port: str, name: str = "PORT") -> None:
    """Exit at once where a port is taken or not allowed, before the database is started."""
    if not port.isdigit():
        return  # refused by the settings
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except (OSError, OverflowError) as error:
            number = getattr(error, "errno", None)
            if number == errno.EADDRINUSE:
                raise ConfigurationError(
                    f"端口 {port} 已被占用。Port {port} is taken: {name}={int(port) + 1} make run"
                ) from error
            if number in (errno.EACCES, errno.EPERM):
                raise ConfigurationError(
                    f"没有权限监听端口 {port}，请用 1024 以上的端口。"
                    f"Port {port} needs a privilege: {name}=8080 make run"
                ) from error


if __name__ == "__main__":
    main()
