"""Background jobs, run in chunks, each in its own transaction.

A kind of job is data: a permission and a function that processes the next items.  Results and
position are committed together, so that a job whose worker died resumes without processing an item
twice (docs/adr/0016-outbox-and-jobs.md).  A kind that is all or nothing has one chunk (0065).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import procrastinate
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import func, insert, select

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.workflow import Case
from app.extensions import db
from app.models import Account, Certificate, Job, JobFailure, Member
from app.operations.applications import deciding, engine, evidence
from app.operations.people import signatures
from app.operations.people.members import permissions_of
from app.operations.records import log
from app.operations.records.actor import Actor
from app.pki.canonical import parse

TASK, QUEUE = "run_job", "jobs"  # names in the queue; the task is in app/worker.py
SUBMISSION = "submission"  # kind of job
CHUNK = 2_000
OPEN_STATES = ("queued", "running")

# For enqueuing on the connection of the caller's transaction; never opened.
_queue = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that a rule refused."""

    item: int | None
    reason: str
    number: str = ""
    subject: str = ""


@dataclass(slots=True)
class Chunk:
    """The result of a chunk; ``result`` is added to the job's."""

    done: int = 0
    failures: Sequence[Failure] = ()
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """The input of a kind's function: actor, arguments and position."""

    job_id: int
    arguments: Mapping[str, Any]
    position: int
    total: int
    actor: Actor
    now: datetime

    def next_items(self, name: str = "ids", most: int = CHUNK) -> list[Any]:
        """Return the next items of a list argument."""
        return self.arguments[name][self.position : self.position + most]


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of job.

    ``step`` processes the next items; its done and failures must add up to their number.
    ``permission``, or the one that it returns for the arguments, is checked before every step.
    With ``is_whole`` the step processes all items, and once it runs it is not stopped.  Without a step
    somebody else looks for the job and carries it out.
    """

    code: str
    title: Any
    step: Callable[[Work], Chunk] | None
    permission: tuple[str, str] | Callable[[Mapping[str, Any]], tuple[str, str]] | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None  # of the arguments; raises RuleError
    is_whole: bool = False

    def permission_for(self, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return the permission that a job needs, such as ("can_bulk", "ReviewView")."""
        return self.permission(arguments) if callable(self.permission) else self.permission


def start(
    kind: str,
    arguments: Mapping[str, Any],
    actor: Actor,
    *,
    total: int,
    now: datetime,
    title: str = "",
) -> int:
    """Write a job and enqueue it, in the caller's transaction; return its id.

    ``total`` is the number of items, at least one.  Raises RuleError of the kind's check.
    """
    known = JOB_KINDS[kind]
    assert actor.member_id is not None, "a job belongs to a person"
    assert total > 0
    if known.check:
        known.check(arguments)
    job_id = db.session.scalars(
        insert(Job)
        .values(
            kind=kind,
            title=(title or str(known.title))[:200],
            member_id=actor.member_id,
            account_id=actor.account_id,
            ip=actor.ip,
            arguments=dict(arguments),
            total=total,
            created_at=now,
        )
        .returning(Job.id)
    ).one()
    log.record(
        actor, "job.start", subject=str(job_id), account_id=actor.account_id, kind=kind, rows=total
    )
    if known.step is not None:
        _enqueue(job_id)
    return job_id


def begin(job_id: int, *, now: datetime) -> None:
    """Note that a job has begun, so that its page shows it before the first chunk is done."""
    job = db.session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    if job.state == "queued":
        job.state, job.started_at = "running", now
    db.session.flush()


def advance(job_id: int, *, now: datetime) -> bool:
    """Process the next chunk of a job; tell whether the job is finished.

    Locks the job's row, so that no two workers run it.  Raises RuleError where the member has lost
    the permission; the caller rolls back and calls `fail`.
    """
    job = db.session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    if job.state not in OPEN_STATES:
        return True
    kind = JOB_KINDS[job.kind]
    assert kind.step is not None
    work = Work(
        job_id=job.id,
        arguments=job.arguments,
        position=job.position,
        total=job.total,
        actor=_actor(job, kind),
        now=now,
    )
    chunk = kind.step(work)
    _require_progress(work, chunk)
    _write_failures(job.id, chunk.failures)
    job.state, job.started_at = "running", job.started_at or now
    job.done += chunk.done
    job.failed += len(chunk.failures)
    job.position = job.done + job.failed
    job.result = {**job.result, **chunk.result}
    job.changed_at = func.clock_timestamp()
    if job.position == job.total:
        job.state, job.ended_at = "done", now
    db.session.flush()
    return job.state == "done"


def fail(job_id: int, reason: str, *, now: datetime, failures: Sequence[Failure] = ()) -> None:
    """Mark a job as failed, with the items that stood against it; committed chunks stay."""
    job = db.session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    if job.state in OPEN_STATES:
        job.state, job.error, job.ended_at = "failed", reason[:500], now
        job.failed += len(failures)
        _write_failures(job.id, failures)
    db.session.flush()


def failures_of(error: RuleError) -> list[Failure]:
    """Return the items that an error of an all-or-nothing step names."""
    return _failures(error.refused) if isinstance(error, engine.NoneSubmitted) else []


def abort(job_id: int, actor: Actor, *, now: datetime) -> None:
    """Stop the actor's own job after the running chunk.

    Raises NotFound for another member's job and NotAllowed for a finished one, and for one that is
    all or nothing and has begun.
    """
    mine = select(Job).where(Job.id == job_id, Job.member_id == actor.member_id)
    job = db.session.scalar(mine)
    if job is not None and may_abort(job):  # Otherwise its chunk would be waited for.
        job = db.session.scalar(mine.with_for_update().execution_options(populate_existing=True))
    if job is None:
        raise NotFound(_("There is no such job"))
    if job.state == "running" and JOB_KINDS[job.kind].is_whole:
        raise NotAllowed(_("The job is being carried out as a whole"), code="job_whole")
    if job.state not in OPEN_STATES:
        raise NotAllowed(_("The job is over already"), code="job_over")
    job.state, job.ended_at = "aborted", now
    log.record(actor, "job.abort", subject=str(job_id), account_id=actor.account_id)
    db.session.flush()


def may_abort(job: Job) -> bool:
    """Tell whether a job can be stopped now."""
    if job.state == "running" and JOB_KINDS[job.kind].is_whole:
        return False
    return job.state in OPEN_STATES


def open_submission(import_id: int | None) -> Job | None:
    """Return the job that is submitting an import batch, or is about to."""
    if import_id is None:
        return None
    return db.session.scalar(
        select(Job)
        .where(
            Job.kind == SUBMISSION,
            Job.state.in_(OPEN_STATES),
            Job.arguments["import_id"].as_integer() == import_id,
        )
        .order_by(Job.id)
        .limit(1)
    )


def _enqueue(job_id: int) -> None:
    connection = db.session.connection().connection.driver_connection
    _queue.configure_task(
        TASK, queue=QUEUE, lock=f"job:{job_id}", connection=connection, allow_unknown=True
    ).defer(job_id=job_id)


def _actor(job: Job, kind: JobKind) -> Actor:
    """Return the actor by the member's current data and the job's address."""
    member = db.session.get_one(Member, job.member_id, populate_existing=True)
    if not member.active:
        raise NotAllowed(_("The member was disabled meanwhile"), code="member_disabled")
    permission = kind.permission_for(job.arguments)
    if permission and permission not in permissions_of(job.member_id):
        raise NotAllowed(_("The member may no longer do this"), code="permission_lost")
    if member.account_id != job.account_id:
        raise NotAllowed(_("The member belongs to another account now"), code="account_changed")
    return Actor.of(member, job.ip)


def _require_progress(work: Work, chunk: Chunk) -> None:
    dealt_with = chunk.done + len(chunk.failures)
    assert 0 < dealt_with <= work.total - work.position, "a step answers for each of its items"


def _write_failures(job_id: int, failures: Sequence[Failure]) -> None:
    if failures:
        rows = [
            {
                "job_id": job_id,
                "item": failure.item,
                "number": failure.number[:120],
                "subject": failure.subject[:200],
                "reason": failure.reason[:500],
            }
            for failure in failures
        ]
        db.session.execute(insert(JobFailure), rows)


# The kinds ---------------------------------------------------------------------------------


def _check_review(arguments: Mapping[str, Any]) -> None:
    deciding.checked_comment(arguments["action"], arguments.get("comment", ""))


def _review(work: Work) -> Chunk:
    """通过 or 退回 of the next applications, by the signature of the member whose job it is."""
    decision, comment = work.arguments["action"], work.arguments.get("comment", "")
    signature = work.arguments.get("signature")
    if signatures.is_required():
        signatures.require_deciding(signature, decision, comment, work.actor.member_id)
    outcome = deciding.decide(
        work.next_items(), decision, work.actor, now=work.now, comment=comment, signature=signature
    )
    return Chunk(done=len(outcome.done), failures=_failures(outcome.refused))


def _submit(work: Work) -> Chunk:
    """提交 of all applications of a signed manifest, or of none.

    The signature is kept with what it covers, in one transaction.  Raises NoneSubmitted, and
    NotAllowed where the signature does not count any more.
    """
    certificate = db.session.get_one(Certificate, work.arguments["certificate"])
    content, cms = (b64decode(work.arguments[name]) for name in ("content", "cms"))
    signed_at = datetime.fromisoformat(parse(content)["at"])
    signature = evidence.keep(certificate, content, cms, purpose="submit", signed_at=signed_at)
    signatures.require_submitting(signature, work.actor.member_id)
    deciding.submit_signed(work.arguments["ids"], signature, work.actor, now=work.now)
    return Chunk(done=work.total)


def _failures(refused: Sequence[tuple[Case, RuleError]]) -> list[Failure]:
    accounts = {case.account_id for case, _error in refused}
    named = select(Account.id, Account.name).where(Account.id.in_(accounts))
    names = dict(db.session.execute(named).all()) if accounts else {}
    return [
        Failure(case.id, str(error), case.number, names.get(case.account_id, ""))
        for case, error in refused
    ]


JOB_KINDS: dict[str, JobKind] = {
    kind.code: kind
    for kind in (
        JobKind(
            "review",
            lazy_gettext("Review of applications"),
            _review,
            permission=("can_bulk", "ReviewView"),
            check=_check_review,
        ),
        JobKind(
            SUBMISSION,
            lazy_gettext("Submission of applications"),
            _submit,
            permission=lambda arguments: ("can_write", arguments["view"]),
            is_whole=True,
        ),
        # operations/settlement/demo_days.py; there is none outside the demonstration.
        JobKind("demo_day", lazy_gettext("Next trading day"), None, is_whole=True),
    )
}
