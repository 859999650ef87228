"""Jobs: transactional, resumable, run in the name of the member who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import config
from app import worker
from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.workflow import Status
from app.extensions import db, transaction
from app.models import Application, Job, JobFailure, Member, OperationLog, OutboxMessage
from app.operations.applications import jobs
from app.operations.applications.jobs import Chunk, Failure, JobKind, Work
from app.operations.ledger.verification import verify_ledger
from app.operations.people.members import set_roles
from app.operations.records import clock, log, outbox
from app.operations.records.actor import SYSTEM, Actor
from tests.factories import account, give, instrument, member, submitted

CANCELLATION = "voluntary_cancellation"


@pytest.fixture
def counting(monkeypatch) -> list[list[int]]:
    """A kind of job that logs each item, refuses multiples of five, and records its chunks."""
    chunks: list[list[int]] = []

    def step(work: Work) -> Chunk:
        items = work.next_items("items", 4)
        chunks.append(items)
        for item in items:
            log.record(work.actor, "toy.item", subject=str(item))
        refused = [
            Failure(item, "a multiple of five", f"N{item}") for item in items if not item % 5
        ]
        return Chunk(len(items) - len(refused), refused, {"last": items[-1]})

    monkeypatch.setitem(
        jobs.JOB_KINDS, "toy", JobKind("toy", "Toy", step, permission=("can_bulk", "ReviewView"))
    )
    return chunks


def begin(by: Member, many: int = 10, kind: str = "toy", **more: object) -> int:
    actor = Actor.of(by, "192.0.2.9")
    arguments = {"items": list(range(1, many + 1)), **more}
    with transaction():
        return jobs.start(kind, arguments, actor, total=many, now=clock.now())


def work(app, job_id: int) -> None:
    worker.work_through(app, job_id, lambda: False)


def read(job_id: int) -> Job:
    db.session.rollback()
    return db.session.get_one(Job, job_id, populate_existing=True)


def processed() -> list[int]:
    db.session.rollback()
    rows = db.session.scalars(
        db.select(OperationLog.subject).where(OperationLog.action == "toy.item")
    )
    return sorted(map(int, rows))


def queued() -> list[tuple[str, dict]]:
    db.session.rollback()
    rows = db.session.execute(
        db.text("SELECT task_name, args FROM job_queue.procrastinate_jobs ORDER BY id")
    )
    return [tuple(row) for row in rows]


def test_a_job_is_queued_in_the_transaction_of_its_act(app, officer, counting):
    actor = Actor.of(officer)
    jobs.start("toy", {"items": [1]}, actor, total=1, now=clock.now())
    db.session.rollback()
    assert db.session.query(Job).count() == 0
    assert queued() == []

    job_id = begin(officer)
    assert queued() == [("run_job", {"job_id": job_id})]
    assert (read(job_id).state, read(job_id).total, read(job_id).ip) == ("queued", 10, "192.0.2.9")


def test_a_job_is_done_chunk_by_chunk_and_says_what_failed(app, officer, counting):
    job_id = begin(officer)
    work(app, job_id)

    job = read(job_id)
    assert counting == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert (job.state, job.done, job.failed, job.position) == ("done", 8, 2, 10)
    assert job.result == {"last": 10}
    assert job.started_at <= job.ended_at
    failures = db.session.scalars(db.select(JobFailure).order_by(JobFailure.id)).all()
    assert [(each.item, each.number, each.reason) for each in failures] == [
        (5, "N5", "a multiple of five"),
        (10, "N10", "a multiple of five"),
    ]


def test_a_job_that_is_over_is_not_done_again(app, officer, counting):
    job_id = begin(officer)
    work(app, job_id)
    work(app, job_id)
    assert processed() == list(range(1, 11))


def test_a_job_resumes_after_the_last_committed_chunk(app, officer, counting):
    job_id = begin(officer)
    with transaction():
        jobs.advance(job_id, now=clock.now())
    jobs.advance(job_id, now=clock.now())  # The worker dies here: nothing of it stays.
    db.session.rollback()

    work(app, job_id)
    assert counting == [[1, 2, 3, 4], [5, 6, 7, 8], [5, 6, 7, 8], [9, 10]]
    assert processed() == list(range(1, 11))
    assert db.session.query(JobFailure).count() == 2


def test_two_workers_on_one_job_do_each_item_once(app, officer, counting):
    job_id = begin(officer, 60)
    start = threading.Barrier(2)

    def run() -> None:
        start.wait(timeout=60)
        work(app, job_id)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert processed() == list(range(1, 61))
    assert (read(job_id).done, read(job_id).failed) == (48, 12)


def test_a_stopped_worker_leaves_the_rest_to_another(app, officer, counting):
    job_id = begin(officer)
    asked = iter([False, True])
    with pytest.raises(worker.StoppedMidway):
        worker.work_through(app, job_id, lambda: next(asked))
    assert (read(job_id).state, read(job_id).position) == ("running", 4)
    work(app, job_id)
    assert processed() == list(range(1, 11))


def test_an_unexpected_error_ends_the_job_and_rolls_back_its_chunk(app, officer, monkeypatch):
    def step(work: Work) -> Chunk:
        log.record(work.actor, "toy.item", subject="1")
        raise ZeroDivisionError

    monkeypatch.setitem(jobs.JOB_KINDS, "broken", JobKind("broken", "Broken", step))
    job_id = begin(officer, kind="broken")
    with pytest.raises(ZeroDivisionError):
        work(app, job_id)
    assert (read(job_id).state, read(job_id).error) == (
        "failed",
        "系统发生错误，已处理的不会撤销",
    )
    assert processed() == []


def test_a_step_that_gets_nowhere_is_a_fault(app, officer, monkeypatch):
    monkeypatch.setitem(jobs.JOB_KINDS, "idle", JobKind("idle", "Idle", lambda work: Chunk()))
    with pytest.raises(AssertionError, match="answers for each"):
        work(app, begin(officer, kind="idle"))


# Whose job it is ----------------------------------------------------------------------------


def _disable(officer: Member) -> None:
    officer.active = False


def _demote(officer: Member) -> None:
    set_roles(officer.id, ["auditor"], SYSTEM)


@pytest.mark.parametrize(("change", "reason"), [(_disable, "已被停用"), (_demote, "没有此项权限")])
def test_the_member_is_checked_at_every_chunk(app, officer, counting, change, reason):
    job_id = begin(officer)
    with transaction():
        jobs.advance(job_id, now=clock.now())
    with transaction():
        change(db.session.get_one(Member, officer.id))
    work(app, job_id)
    assert (read(job_id).state, read(job_id).position) == ("failed", 4)
    assert reason in read(job_id).error
    assert processed() == [1, 2, 3, 4]


def test_a_member_stops_a_job_of_their_own(app, officer, counting):
    job_id = begin(officer)
    with transaction():
        jobs.advance(job_id, now=clock.now())
    with pytest.raises(NotFound), transaction():
        jobs.abort(job_id, Actor.of(member("registry_checker")), now=clock.now())
    with transaction():
        jobs.abort(job_id, Actor.of(officer), now=clock.now())
    work(app, job_id)
    assert (read(job_id).state, processed()) == ("aborted", [1, 2, 3, 4])
    with pytest.raises(NotAllowed), transaction():
        jobs.abort(job_id, Actor.of(officer), now=clock.now())


# Reviews ------------------------------------------------------------------------------------


@pytest.fixture
def cases(app) -> list[int]:
    plant, cea = account(), instrument()
    give(plant, cea, 100)
    operator = member(of=plant)
    return [submitted(CANCELLATION, operator, {cea: 1}, reason="碳中和").id for _ in range(7)]


def review(by: Member, ids: list[int], action: str = "approve", comment: str = "") -> int:
    arguments = {"action": action, "ids": ids, "comment": comment}
    with transaction():
        actor = Actor.of(by, "192.0.2.9")
        return jobs.start("review", arguments, actor, total=len(ids), now=clock.now())


def statuses() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(db.select(Application.status).order_by(Application.id)))


def test_reviews_in_bulk_run_as_a_job(app, officer, cases, monkeypatch):
    monkeypatch.setattr(jobs.Work.next_items, "__defaults__", ("ids", 3))
    first, *rest = cases
    work(app, review(officer, [first]))
    job_id = review(officer, [first, *rest, 999_999])
    work(app, job_id)

    job = read(job_id)
    assert (job.state, job.done, job.failed) == ("done", 6, 2)
    assert statuses() == [Status.APPROVED] * 7
    failures = db.session.scalars(db.select(JobFailure).order_by(JobFailure.id)).all()
    assert [each.item for each in failures] == [first, 999_999]
    assert failures[0].number == db.session.get_one(Application, first).number
    assert failures[0].subject == "甲发电有限公司"
    ips = db.session.scalars(
        db.select(OperationLog.ip).where(OperationLog.action == f"{CANCELLATION}.approve")
    )
    assert set(ips) == {"192.0.2.9"}
    assert verify_ledger().is_sound


def test_sending_back_in_bulk_keeps_its_reason(app, officer, cases):
    work(app, review(officer, cases, "send_back", "数量有误"))
    assert statuses() == [Status.RETURNED] * 7
    assert verify_ledger().is_sound


@pytest.mark.parametrize("comment", ["", "  ", "x" * 501, "a\x00b"])
def test_a_reason_is_asked_for_before_the_job_begins(app, officer, cases, comment):
    with pytest.raises(RuleError), transaction():
        review(officer, cases, "send_back", comment)
    assert db.session.query(Job).count() == 0


# The worker's process -----------------------------------------------------------------------


@contextmanager
def process(settings, *command: str) -> Iterator[subprocess.Popen]:
    environment = {
        **os.environ,
        "APP_PROFILE": "test",
        "DATABASE_URL": settings.database_url,
        "DATABASE_OWNER_URL": settings.database_owner_url,
        "SECRET_KEY": settings.secret_key,
        "PYTHONPATH": str(config.ROOT),
    }
    started = subprocess.Popen(
        [sys.executable, *command], cwd=config.ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def wait_for(condition, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.1)


def test_a_killed_worker_s_job_is_taken_up_by_another(app, officer, settings, monkeypatch):
    monkeypatch.setitem(jobs.JOB_KINDS, "slow", JobKind("slow", "Slow", lambda work: Chunk()))
    job_id = begin(officer, 12, "slow")
    with process(settings, "tests/faults/slow_worker.py") as first:
        wait_for(lambda: read(job_id).position >= 4)
        first.send_signal(signal.SIGKILL)
        first.wait(timeout=60)
    assert read(job_id).state == "running"
    with process(settings, "tests/faults/slow_worker.py"):
        wait_for(lambda: read(job_id).state == "done")
    assert processed() == list(range(1, 13))


def test_the_worker_delivers_and_ends_with_the_process_that_started_it(app, settings):
    with transaction():
        outbox.send(outbox.Message("sms", "13800000000", "授权码 7H3K", "notice", has_secret=True))
    starter = (
        "import subprocess, sys, time, os;"
        "p = subprocess.Popen([sys.executable, '-m', 'flask', 'worker', '--parent', str(os.getpid())]);"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    environment = {
        **os.environ,
        "APP_PROFILE": "test",
        "DATABASE_URL": settings.database_url,
        "DATABASE_OWNER_URL": settings.database_owner_url,
        "SECRET_KEY": settings.secret_key,
    }
    with subprocess.Popen(
        [sys.executable, "-c", starter],
        cwd=config.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout
        worker_id = int(parent.stdout.readline())
        wait_for(lambda: _sent() == 1)
        parent.kill()
    wait_for(lambda: not _lives(worker_id), 15)


def _sent() -> int:
    db.session.rollback()
    return db.session.query(OutboxMessage).filter_by(state="sent", body=None).count()


def _lives(process_id: int) -> bool:
    try:
        with open(f"/proc/{process_id}/stat") as stat:
            return stat.read().split()[2] != "Z"
    except FileNotFoundError:
        return False
