"""Killed under load: reported commits are there, others are complete or absent, the ledger verifies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import config
from app import embedded, installation
from app.extensions import db
from app.models import Application
from app.operations.ledger.verification import verify_ledger
from app.web import create_app
from tests.factories import account, give, instrument, sync_routes, venue

ROOT = Path(__file__).resolve().parents[2]
SECRET = "test" * 10
COMMITS = 60  # Before the kill.


@contextmanager
def load(urls, plant, instruments):
    """Run the load on a database until the end of the block."""
    environment = {
        **os.environ,
        "APP_PROFILE": "test",
        "DATABASE_URL": urls.app,
        "DATABASE_OWNER_URL": urls.owner,
        "SECRET_KEY": SECRET,
        "PYTHONPATH": str(ROOT),
    }
    arguments = [plant.id, venue().id, "2026-11-20T10:00", *(what.id for what in instruments)]
    db.session.commit()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("load.py")), *map(str, arguments)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # It logs the loss of the database.
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def holdings():
    plant = account()
    instruments = [instrument(f"标的{n}") for n in range(3)]
    for what in instruments:
        give(plant, what, 1_000_000)
    return plant, instruments


def read_commits(process, many: int) -> list[tuple[str, int]]:
    """Read this many reported commits."""
    lines = []
    for _ in range(many):
        line = process.stdout.readline()
        assert line, "the load ended by itself"
        lines.append(line)
    return _read(lines)


def read_rest(process) -> list[tuple[str, int]]:
    process.wait(timeout=60)
    return _read(line for line in process.stdout if line.endswith("\n"))


def _read(lines) -> list[tuple[str, int]]:
    return [(what, int(id_)) for what, id_ in map(str.split, lines)]


def assert_intact(committed: list[tuple[str, int]]) -> None:
    """Reported commits exist, and everything that exists is complete."""
    db.session.rollback()
    found = {row.id: row.status for row in db.session.query(Application)}
    submitted = {id_ for what, id_ in committed if what == "submitted"}
    withdrawn = {id_ for what, id_ in committed if what == "withdrawn"}
    assert submitted <= set(found)
    assert all(found[id_] == "withdrawn" for id_ in withdrawn)
    # No drafts: a request is committed as a whole, with its movements, or not at all.
    assert set(found.values()) <= {"pending_settlement", "withdrawn"}
    assert len(found) - len(submitted) <= 4  # At most one unreported per thread.
    report = verify_ledger()
    assert report.faults == []
    assert report.postings == 3 + len(found) + list(found.values()).count("withdrawn")


def test_a_program_killed_in_mid_load_leaves_a_ledger_that_verifies(app, cluster):
    plant, instruments = holdings()
    with load(cluster.urls(), plant, instruments) as process:
        committed = read_commits(process, COMMITS)
        os.kill(process.pid, signal.SIGKILL)
        committed += read_rest(process)
        # Its connections end when the server notices; what they had begun is taken back then.
        _wait_for_others_to_end(cluster)

    assert_intact(committed)


def _wait_for_others_to_end(cluster) -> None:
    with cluster.connect("registry") as connection:
        for _ in range(1200):
            others = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle'"
                " AND datname = 'registry' AND pid <> pg_backend_pid()"
            ).fetchone()[0]
            if not others:
                return
            connection.execute("SELECT pg_sleep(0.05)")
    pytest.fail("transactions of the killed program are still open")


def test_a_database_killed_in_mid_load_comes_back_with_all_that_was_committed():
    """A durable cluster, killed as by a power cut, recovers from its WAL."""
    with embedded.throwaway(safe=True) as cluster, _application(cluster) as _app:
        plant, instruments = holdings()
        with load(cluster.urls(), plant, instruments) as process:
            committed = read_commits(process, COMMITS)
            cluster.stop(immediately=True)
            process.kill()
            committed += read_rest(process)
        db.session.remove()
        db.engine.dispose()
        cluster.start()

        assert_intact(committed)


@contextmanager
def _application(cluster):
    urls = cluster.urls()
    app = create_app(
        config.load(
            {
                "APP_PROFILE": "test",
                "DATABASE_URL": urls.app,
                "DATABASE_OWNER_URL": urls.owner,
                "SECRET_KEY": SECRET,
            }
        )
    )
    with app.app_context():
        try:
            installation.install()
            sync_routes()
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()
