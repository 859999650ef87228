"""Threads, each with its own application context, session and connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.domain.moves import Bucket
from app.extensions import db
from app.migrations import buckets
from app.operations.applications import rows
from tests.factories import issued_to


@dataclass
class Results:
    """Result or exception of each thread, in order."""

    returned: list[Any] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)


@pytest.fixture
def together(app) -> Callable[..., Results]:
    """Return a function that runs its arguments concurrently and collects the results."""

    def run(*acts: Callable[[], Any]) -> Results:
        db.session.rollback()
        results = Results([None] * len(acts), [])
        start = threading.Barrier(len(acts))

        def act(n: int) -> None:
            with app.app_context():
                try:
                    db.session.connection()  # Connected before the start.
                    db.session.rollback()
                    start.wait(timeout=60)
                    results.returned[n] = acts[n]()
                except BaseException as error:  # The test looks at it.
                    results.failed.append(error)
                finally:
                    db.session.rollback()
                    db.session.remove()

        threads = [threading.Thread(target=act, args=(n,), daemon=True) for n in range(len(acts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a thread hangs"
        db.session.expire_all()
        return results

    return run


@pytest.fixture
def cea(plant):
    """An instrument of which the plant already holds 100: a new holding would serialise."""
    return issued_to(plant, 100)


@contextmanager
def without(module: Any, name: str, *taken_out: str):
    """Run with words removed from a module's SQL statement."""
    original = getattr(module, name)
    changed = str(original)
    for words in taken_out:
        assert words in changed
        changed = changed.replace(words, "")
    binds = [original._bindparams[key] for key in original._bindparams]
    setattr(module, name, db.text(changed).bindparams(*binds))
    try:
        yield
    finally:
        setattr(module, name, original)


@pytest.fixture
def without_account_lock():
    """Remove the lock on the applicants' accounts from the engine."""
    with without(rows, "_LOCK_ACCOUNTS", "FOR NO KEY UPDATE"):
        yield


@pytest.fixture
def without_any_lock_on_applications():
    """Remove both locks from the engine: the accounts' and the applications'."""
    with (
        without(rows, "_LOCK_ACCOUNTS", "FOR NO KEY UPDATE"),
        without(rows, "_LOCK_APPLICATIONS", "FOR UPDATE"),
    ):
        yield


@pytest.fixture
def posting_function(cluster):
    """Return a function that removes words from post_movements() for the rest of the test."""
    names = [bucket.column for bucket in Bucket]
    whole = buckets.render(buckets.POSTING.read_text(encoding="utf-8"), names)

    def replace(taken_out: str, put_in: str = "") -> None:
        assert taken_out in whole
        install(whole.replace(taken_out, put_in))

    def install(text: str) -> None:
        with cluster.connect("registry") as connection:
            connection.execute("SET ROLE registry_owner")
            connection.execute(text)

    yield replace
    install(whole)
