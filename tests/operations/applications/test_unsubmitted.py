"""Quotas for what is not submitted, and the sweep of what nobody saved."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from app.domain.errors import RuleError
from app.domain.workflow import Line
from app.extensions import db, transaction
from app.models import Application, Attachment, OperationLog, UnfinishedForm
from app.operations.applications import attachments, desk, engine, unsubmitted
from app.operations.applications.desk import FormOutcome, SentForm
from app.operations.people import unfinished
from app.operations.records import clock
from app.operations.records.actor import Actor
from tests import factories, files

CANCELLATION = "voluntary_cancellation"


@pytest.fixture
def limits(app, monkeypatch):
    """Return a function that sets limits for the test."""

    def put(**changed: int) -> None:
        for name, value in changed.items():
            monkeypatch.setitem(app.config, name, value)

    return put


@pytest.fixture
def actor(operator):
    return Actor.of(operator)


def pdf(size: int = 0, name: str = "说明.pdf") -> attachments.Upload:
    """A file of this many bytes, at least those of a small one."""
    whole = files.pdf()
    return attachments.Upload(name, attachments.PDF, whole + b"\n" * max(size - len(whole), 0))


def keep(actor: Actor, account_id: int, key: str, *uploads: attachments.Upload) -> None:
    with transaction():
        attachments.keep(uploads, key, account_id, actor, now=clock.now())


def send(
    actor: Actor, what, key: str, *uploads, tonnes: int = 1, submits: bool = False, by: int = 0
) -> desk.FormResult:
    """Send a form about the actor's account, or the one named."""
    content = engine.Draft(
        CANCELLATION, by or actor.account_id, (Line(what.id, tonnes),), key, "碳中和"
    )
    with transaction():
        return desk.take(
            SentForm(content, uploads=uploads),
            actor,
            now=factories.at("10:00"),
            submits=submits,
            is_signed=False,
        )


def count(table=Attachment) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(table))


def test_files_of_forms_and_drafts_count_together_and_those_submitted_do_not(
    limits, actor, plant, cea
):
    limits(UNSUBMITTED_FILES=3)
    keep(actor, plant.id, "form-1", pdf(), pdf())
    send(actor, cea, "form-2", pdf())

    with pytest.raises(
        RuleError, match=r"At most 3 files .* there are 3 and this would be 1"
    ) as no:
        keep(actor, plant.id, "form-3", pdf())
    assert (no.value.code, no.value.field, count()) == ("files_quota", "attachments", 3)

    (draft,) = db.session.scalars(select(Application.id))
    with transaction():
        engine.submit([draft], actor, now=factories.at("10:00")).one()
    keep(actor, plant.id, "form-3", pdf())
    with transaction():
        engine.send_back(
            [draft], Actor.of(factories.member("registry_maker")), now=clock.now(), comment="补充"
        ).one()
    with pytest.raises(RuleError, match="At most 3 files"):
        keep(actor, plant.id, "form-4", pdf())
    assert count() == 4


def test_bytes_are_limited_as_well(limits, actor, plant):
    limits(UNSUBMITTED_MB=2)
    keep(actor, plant.id, "form-1", pdf(1_500_000))
    with pytest.raises(
        RuleError, match=r"at most 2 MB; there are 1.4 MB .* 0.7 MB more"
    ) as refused:
        keep(actor, plant.id, "form-2", pdf(700_000))
    assert (refused.value.code, count()) == ("bytes_quota", 1)
    keep(actor, plant.id, "form-2", pdf(500_000))


def test_the_members_of_an_enterprise_share_its_quota_and_others_have_their_own(
    limits, actor, operator, plant
):
    limits(UNSUBMITTED_FILES=1)
    keep(actor, plant.id, "form-1", pdf())
    colleague = Actor.of(factories.member(of=operator.account))
    with pytest.raises(RuleError, match="At most 1 files"):
        keep(colleague, plant.id, "form-2", pdf())

    other = factories.account("乙水泥有限公司")
    keep(Actor.of(factories.member(of=other)), other.id, "form-3", pdf())
    for officer in (Actor.of(factories.member("registry_maker")) for _ in range(2)):
        keep(officer, plant.id, f"form of {officer.member_no}", pdf())
        with pytest.raises(RuleError, match="At most 1 files"):
            keep(officer, plant.id, "form-5", pdf())
    assert count() == 4


def test_what_is_removed_makes_room_for_what_is_added(limits, actor, cea):
    limits(UNSUBMITTED_FILES=1)
    made = send(actor, cea, "form-1", pdf()).application_id
    (old,) = attachments.of_application(made)
    with transaction():
        attachments.change(made, actor, now=clock.now(), add=[pdf(name="新.pdf")], remove=[old.id])
    assert [each.name for each in attachments.of_application(made)] == ["新.pdf"]


def test_a_refused_form_without_room_keeps_the_words_and_says_both(limits, actor, cea):
    limits(UNSUBMITTED_FILES=20)
    for number in range(20):
        keep(actor, actor.account_id, f"form-{number}", pdf())
    taken = send(actor, cea, "form", pdf(), tonnes=701, submits=True)

    assert taken.ending is FormOutcome.REFUSED
    # The files are counted before the tonnes are.
    assert taken.error.code == "files_quota"
    assert taken.files_error is None
    assert (count(), count(Application)) == (20, 0)

    kept = send(actor, cea, "form", tonnes=701, submits=True)
    assert kept.error.code == "insufficient_quantity"
    assert count(Application) == 0
    limits(UNSUBMITTED_DRAFTS=0)
    both = send(actor, cea, "form", pdf())
    assert (both.error.code, both.files_error.code) == ("drafts_quota", "files_quota")


def test_drafts_are_limited_and_deleting_one_makes_room(limits, actor, cea):
    limits(UNSUBMITTED_DRAFTS=2)
    first = send(actor, cea, "form-1").application_id
    send(actor, cea, "form-2")
    refused = send(actor, cea, "form-3")
    assert refused.error.code == "drafts_quota"
    assert "At most 2 drafts are stored, and there are 2" in str(refused.error)

    # The same form again is no new draft.
    assert send(actor, cea, "form-2").ending is FormOutcome.SAVED
    assert send(actor, cea, "form-2", tonnes=2).ending is FormOutcome.SAVED
    with transaction():
        desk.discard(first, actor, now=clock.now())
    assert send(actor, cea, "form-3").ending is FormOutcome.SAVED
    with transaction():
        engine.submit(
            list(db.session.scalars(select(Application.id).where(Application.status == "draft"))),
            actor,
            now=factories.at("10:00"),
        )
    assert send(actor, cea, "form-4").ending is FormOutcome.SAVED


def test_typed_forms_are_kept_up_to_a_number_and_the_oldest_go(app, actor, monkeypatch):
    monkeypatch.setattr(unfinished, "MOST", 3)
    other = Actor.of(factories.member("registry_maker"))
    for key in ("a", "b", "c", "d"):
        with transaction():
            unfinished.keep(actor.member_id, key, [("reason", key)])
            unfinished.keep(other.member_id, "other", [("reason", key)])
    kept = db.session.execute(select(UnfinishedForm.member_id, UnfinishedForm.request_key)).all()
    assert sorted(kept) == sorted(
        [*((actor.member_id, key) for key in "bcd"), (other.member_id, "other")]
    )


# The sweep ----------------------------------------------------------------------------------


def sweep(*, days: int = 0) -> int:
    with transaction():
        return unsubmitted.sweep(now=clock.now() + timedelta(days=days))


def test_files_of_a_form_that_nobody_saved_are_deleted_after_two_days(actor, plant, cea):
    keep(actor, plant.id, "form-1", pdf(), pdf())
    send(actor, cea, "form-2", pdf(name="草稿.pdf"))
    submitted = send(actor, cea, "form-3", pdf(name="提交.pdf"), submits=True)
    assert submitted.ending is FormOutcome.SUBMITTED

    assert (sweep(days=1), count()) == (0, 4)
    assert (sweep(days=3), count()) == (2, 2)
    assert set(db.session.scalars(select(Attachment.name))) == {"草稿.pdf", "提交.pdf"}
    logged = db.session.scalars(
        select(OperationLog).where(OperationLog.action == "attachment.sweep")
    ).one()
    assert logged.detail == {"rows": 2, "bytes": 2 * len(files.pdf())}
    assert (sweep(days=300), count()) == (0, 2)


def test_a_form_that_is_still_stored_keeps_its_files(actor, plant):
    keep(actor, plant.id, "form-1", pdf())
    with transaction():
        unfinished.keep(actor.member_id, "form-1", [("reason", "碳中和")])
    assert sweep(days=3) == 0
    with transaction():
        db.session.execute(text("UPDATE unfinished_form SET kept_at = now() - interval '25 hours'"))
    assert (sweep(days=3), count(UnfinishedForm)) == (1, 0)


def test_a_deleted_draft_leaves_no_file(actor, cea):
    made = send(actor, cea, "form-1", pdf()).application_id
    with transaction():
        desk.discard(made, actor, now=clock.now())
    assert count() == 0


def test_a_large_heap_goes_in_pieces(app, actor, plant, monkeypatch):
    monkeypatch.setattr(unsubmitted, "SWEPT_AT_ONCE", 2)
    keep(actor, plant.id, "form-1", pdf(), pdf(), pdf())
    assert [sweep(days=3) for _ in range(3)] == [2, 1, 0]
    keep(actor, plant.id, "form-2", pdf(), pdf(), pdf())
    with transaction():
        clock.set_to(clock.now() + timedelta(days=3), actor)
    result = app.test_cli_runner().invoke(args=["sweep-files"])
    assert (result.exit_code, re.findall("[0-9]+", result.output), count()) == (0, ["3"], 0)
