"""Uploads beside each other and beside the sweep: quotas hold, and no file is swept that is taken."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import func, select

from app.domain.errors import RuleError
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Application, Attachment
from app.operations.applications import attachments, desk, engine, unsubmitted
from app.operations.applications.desk import SentForm
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import files
from tests.factories import at

KIND = "voluntary_cancellation"
UPLOADS = [attachments.Upload("说明.pdf", attachments.PDF, files.pdf())]


@pytest.fixture
def actor(operator):
    return Actor.of(operator)


def count(table) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(table))


def keep(actor: Actor, key: str) -> None:
    with transaction():
        attachments.keep(UPLOADS, key, actor.account_id, actor, now=clock.now())


def save(actor: Actor, what_id: int, key: str) -> None:
    content = engine.Draft(KIND, actor.account_id, (Line(what_id, 1),), key, "碳中和")
    with transaction():
        taken = desk.take(
            SentForm(content, uploads=()), actor, now=at("10:00"), submits=False, is_signed=False
        )
    if taken.error:
        raise taken.error


@pytest.fixture
def quotas(app, monkeypatch):
    monkeypatch.setitem(app.config, "UNSUBMITTED_FILES", 4)
    monkeypatch.setitem(app.config, "UNSUBMITTED_DRAFTS", 4)


def test_uploads_at_once_do_not_pass_the_quota(together, quotas, actor):
    results = together(*(partial(keep, actor, f"form {n}") for n in range(8)))
    assert [error.code for error in results.failed] == ["files_quota"] * 4
    assert count(Attachment) == 4


def test_drafts_at_once_do_not_pass_the_quota(together, quotas, actor, cea):
    results = together(*(partial(save, actor, cea.id, f"form {n}") for n in range(8)))
    assert [error.code for error in results.failed] == ["drafts_quota"] * 4
    assert count(Application) == 4


def test_without_the_lock_uploads_at_once_pass_the_quota(together, quotas, actor, monkeypatch):
    monkeypatch.setattr(unsubmitted, "_lock", lambda actor: None)
    used = unsubmitted._used

    def count_slowly(actor):
        found = used(actor)
        db.session.execute(db.text("SELECT pg_sleep(0.1)"))
        return found

    monkeypatch.setattr(unsubmitted, "_used", count_slowly)
    together(*(partial(keep, actor, f"form {n}") for n in range(8)))
    assert count(Attachment) > 4


def sweep() -> int:
    with transaction():
        return unsubmitted.sweep(now=clock.now() + timedelta(days=3))


def swept_while_saving(app, actor, cea) -> tuple[int, int]:
    """Sweep while a form that takes its file is not yet committed; return swept and left."""
    keep(actor, "form")
    content = engine.Draft(KIND, actor.account_id, (Line(cea.id, 1),), "form", "碳中和")
    swept: list[int] = []

    def sweep_elsewhere() -> None:
        with app.app_context():
            swept.append(sweep())
            db.session.remove()

    other = threading.Thread(target=sweep_elsewhere)
    with transaction():
        desk.take(
            SentForm(content, uploads=()), actor, now=at("10:00"), submits=False, is_signed=False
        )
        other.start()
        other.join(timeout=1)  # Unless it waits for the row.
    other.join(timeout=60)
    return swept[0], count(Attachment)


def test_a_file_that_a_form_is_taking_is_not_swept(app, actor, cea):
    assert swept_while_saving(app, actor, cea) == (0, 1)
    (file,) = db.session.scalars(select(Attachment))
    assert file.application_id is not None


def test_without_the_row_lock_the_sweep_takes_it(app, actor, cea, monkeypatch):
    monkeypatch.setattr(type(select(Attachment.id)), "with_for_update", lambda self, **_more: self)
    assert swept_while_saving(app, actor, cea) == (1, 0)


def test_a_form_is_saved_while_its_file_is_swept(together, actor, cea):
    """Either the form came first and has its file, or the file was gone before."""
    for n in range(6):
        key = f"form {n}"
        keep(actor, key)
        results = together(partial(save, actor, cea.id, key), sweep)
        assert results.failed == []
        left = list(db.session.scalars(select(Attachment).where(Attachment.request_key == key)))
        assert len(left) == 1 - results.returned[1]
        assert all(file.application_id is not None for file in left)


def test_a_refusal_names_the_limit(app, quotas, actor):
    for n in range(4):
        keep(actor, f"form {n}")
    with pytest.raises(RuleError, match="最多存放 4 个，现已有 4 个"):
        keep(actor, "one more")
