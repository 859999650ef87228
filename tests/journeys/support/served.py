"""The server for journeys, started as by a newcomer, on a registry of its own."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from unittest.mock import patch
from urllib.error import URLError

from flask import Flask
from sqlalchemy import select

import config
from app import embedded, installation
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.installation import demo, demo_keys
from app.models import Member, encrypted
from app.operations.records import clock
from app.operations.records.actor import SYSTEM
from app.pki import suites
from app.pki.ceremony import establish, make_bootstrap
from app.pki.signer import wait_until_ready
from app.security import captcha, lost_forms, sessions
from app.web import create_app
from tests.installation import commands

TEMPLATE = "journey_template"
_ANSWERS_WITHIN = 240  # Seconds; a laden machine seeds slowly.


@dataclass
class Site:
    """A running server and its database."""

    url: str
    cluster: embedded.Cluster
    database: str
    environment: dict[str, str]

    @property
    def log(self) -> Path:
        """What its processes say."""
        return self.cluster.folder / f"{self.database}.log"

    @property
    def assistant_port(self) -> int:
        """Port of the USBKey assistant started with the server."""
        return int(self.environment["ASSISTANT_PORT"])

    def flask(self, *arguments: str) -> str:
        """Run a command and return its output."""
        done = commands.run(arguments, self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @cached_property
    def _app(self) -> Flask:
        app = create_app(config.load(self.environment))
        app.config["OWN_KEYS"] = encrypted.keys()
        return app

    @property
    def settings(self) -> config.Settings:
        """The settings of its processes."""
        settings: config.Settings = self._app.config["SETTINGS"]
        return settings

    @contextmanager
    def registry(self) -> Iterator[None]:
        """Act by the registry's operations on its database, beside the server."""
        app = self._app
        encrypted.set_keys(lambda: app.config["OWN_KEYS"])  # Another test has set its own.
        with app.app_context():
            try:
                yield
            finally:
                db.session.remove()
                for engine in db.engines.values():
                    engine.dispose()

    def today(self) -> date:
        """Return the day of the business clock."""
        with self.registry():
            return clock.now().astimezone(BEIJING).date()

    def on(self, day: date, hour: int = 10) -> None:
        """Set the business clock to a full hour of a day."""
        with self.registry(), transaction():
            clock.set_to(datetime(day.year, day.month, day.day, hour, tzinfo=BEIJING), SYSTEM)

    def cookie_of(self, login: str) -> dict[str, str]:
        """Begin a member's session, and return its cookie; test_chapter_two signs in by the page."""
        with self.registry():
            with transaction():
                member = db.session.scalars(select(Member).where(Member.username == login)).one()
                token = sessions.begin(member.id, ip="127.0.0.1")
            said = {"token": token, "csrf_token": lost_forms.token_seed(member.id)}
        interface = self._app.session_interface
        value = interface.get_signing_serializer(self._app).dumps(said)
        return {"name": interface.get_cookie_name(self._app), "value": value, "url": self.url}

    def reset(self) -> None:
        """Restore the seeded registry and the members' keys; the server's pool reconnects.

        No worker may be running: it would keep its connections.
        """
        self.cluster.drop_database(self.database)
        self.cluster.create_database(self.database, TEMPLATE)
        keys = Path(self.environment["DEMO_KEYS"])
        shutil.rmtree(keys)
        shutil.copytree(_unused(keys), keys)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Run a worker for deliveries and jobs; see `reset`."""
        with self.log.open("a") as words:
            worker = subprocess.Popen(
                [sys.executable, "-m", "flask", "worker", "--parent", str(os.getpid())],
                cwd=config.ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
            )
        try:
            yield
        finally:
            worker.terminate()
            try:
                worker.wait(60)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def captcha(self) -> str:
        """Return the answer of the latest 验证码, from the database and the site's SECRET_KEY."""
        with self.cluster.connect(self.database) as connection:
            row = connection.execute(
                "SELECT id FROM captcha ORDER BY created_at DESC LIMIT 1"
            ).fetchone()
        assert row
        return captcha.answer(row[0], self.environment["SECRET_KEY"])


def secrets_of(cluster: embedded.Cluster) -> dict[str, str]:
    """Return where the template's keys are: the authority's, members' soft ones, that of personal data."""
    personal = cluster.folder / "personal_data_key"
    if not personal.exists():
        personal.write_text(f"demo:{secrets.token_hex(32)}\nindex:{secrets.token_hex(32)}\n")
    return {
        "CA_FOLDER": str(cluster.folder / "ca"),
        "DEMO_KEYS": str(cluster.folder / "keys"),
        "PERSONAL_DATA_KEY_FILE": str(personal),
    }


def make_template(cluster: embedded.Cluster) -> None:
    """Seed the demonstration once, keys included; each journey works on a copy of it."""
    urls = cluster.create_database(TEMPLATE)
    app = create_app(
        config.load(
            {
                "APP_PROFILE": "test",
                "DATABASE_URL": urls.app,
                "DATABASE_OWNER_URL": urls.owner,
                "SECRET_KEY": "template" * 5,
                "CERT_LOGIN": "agent",  # What is certified bears the seal, as on the site.
                **secrets_of(cluster),
            }
        )
    )
    with app.app_context(), signing(Path(app.config["CA_FOLDER"])), _quick_codes():
        installation.install()
        assert demo.seed_once()
        keys = Path(secrets_of(cluster)["DEMO_KEYS"])
        demo_keys.issue(keys)
        shutil.copytree(keys, _unused(keys))
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()


def _quick_codes() -> AbstractContextManager[object]:
    """Derive from enrolment codes without delay: those of the template are used up at once."""
    return patch.object(
        suites.International,
        "derive",
        lambda _suite, secret, salt: hashlib.sha256(salt + secret).digest(),
    )


def _unused(keys: Path) -> Path:
    """Return the folder of the pristine keys, since journeys use and lock them."""
    return keys.with_name("keys-unused")


@contextmanager
def signing(folder: Path) -> Iterator[None]:
    """Run an authority and its signing process."""
    # In files: a test of this process may have set up the driver of tokens in its own way.
    establish(folder, "only for journeys", now=datetime.now(UTC), prefix="试验")
    make_bootstrap(folder)
    command = [sys.executable, "-m", "app.pki.signer", str(folder)]
    with (folder / "signer.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=config.ROOT, stderr=log)
        try:
            wait_until_ready(folder, 90)
            yield
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def serving(cluster: embedded.Cluster, profile: str) -> Iterator[Site]:
    """Run app.py on a free port and a copy of the template."""
    site = _site(cluster, profile, f"journey_{profile}", TEMPLATE)
    site.environment |= secrets_of(cluster)
    site.environment["WORKER"] = (
        "off"  # It would miss the database that `reset` drops; see `worker`.
    )
    with _running(site):
        yield site
    _require_no_traces(site)


@dataclass
class Demonstration:
    """A demonstration that seeded itself, with all of its processes; it can be stopped and started."""

    site: Site
    folder: Path
    _processes: ExitStack

    def restart(self) -> None:
        """Stop everything, as Ctrl-C does, and start it again on the same data."""
        self._processes.close()
        self._processes.enter_context(_running(self.site))

    @property
    def bank(self) -> str:
        """Return the address of its bank."""
        return f"http://127.0.0.1:{int(self.site.environment['PORT']) + 1000}"


@contextmanager
def demonstrating(cluster: embedded.Cluster) -> Iterator[Demonstration]:
    """Run app.py as a newcomer does: on nothing, with worker, bank, exchange and keys of its own."""
    folder = cluster.folder / "demonstration"
    site = _site(cluster, "demo", "journey_market", "")
    site.environment["DATA_FOLDER"] = str(folder)
    with ExitStack() as processes:
        processes.enter_context(_running(site))
        yield Demonstration(site, folder, processes)
    _require_no_traces(site)


def _site(cluster: embedded.Cluster, profile: str, database: str, template: str) -> Site:
    urls = (
        cluster.create_database(database, template)
        if template
        else cluster.create_database(database)
    )
    port = embedded.free_port()
    environment = {
        **os.environ,
        "APP_PROFILE": profile,
        "DATABASE_URL": urls.app,
        "DATABASE_OWNER_URL": urls.owner,
        "SECRET_KEY": "journey" * 6,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ASSISTANT_PORT": str(embedded.free_port()),
        "PYTHONUTF8": "1",
    }
    return Site(f"http://127.0.0.1:{port}", cluster, database, environment)


@contextmanager
def _running(site: Site) -> Iterator[None]:
    with site.log.open("a") as words:
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=config.ROOT,
            env=site.environment,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_it_answers(site.url, process, site.log)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # Quickly: browsers keep connections open.
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _require_no_traces(site: Site) -> None:
    traces = site.log.read_text()
    assert "Traceback" not in traces, traces[-4000:]


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _ANSWERS_WITHIN
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/login/", timeout=5):  # noqa: S310 - our own
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"no answer from {url}: {log.read_text()}")
