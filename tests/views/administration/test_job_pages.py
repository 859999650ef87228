"""任务: a member's own jobs, progress, failures; bulk operations that run as jobs."""

from __future__ import annotations

import pytest

from app import worker
from app.extensions import db, transaction
from app.models import Application, Job
from app.operations.applications import jobs
from app.operations.applications.jobs import Chunk, Failure, JobKind, Work
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.views.applications.review import ReviewView
from app.views.lists import listing
from app.views.lists.listing import BulkAction
from tests.factories import account, give, instrument, member, submitted


@pytest.fixture
def job(officer, monkeypatch) -> int:
    """A job of the officer's: ten items, four a chunk, the fifth and the tenth refused."""

    def step(work: Work) -> Chunk:
        items = work.next_items("items", 4)
        refused = [
            Failure(item, "受限账户 <b>", f"TO{item:04d}", "甲发电有限公司")
            for item in items
            if not item % 5
        ]
        return Chunk(len(items) - len(refused), refused)

    monkeypatch.setitem(jobs.JOB_KINDS, "toy", JobKind("toy", "批量审核", step))
    with transaction():
        arguments = {"items": list(range(1, 11))}
        return jobs.start("toy", arguments, Actor.of(officer), total=10, now=clock.now())


def test_a_job_s_page_renews_itself_until_the_job_is_over(app, officer, job, sign_in):
    browser = sign_in(officer)
    page = browser.get(f"/jobs/{job}")
    assert page.headers["Refresh"] == "2"
    assert 'max="10" value="0"' in page.text

    with transaction():
        jobs.advance(job, now=clock.now())
    page = browser.get(f"/jobs/{job}")
    assert page.headers["Refresh"] == "2"
    assert 'max="10" value="4"' in page.text

    worker.work_through(app, job, lambda: False)
    page = browser.get(f"/jobs/{job}")
    assert "Refresh" not in page.headers
    assert 'max="10" value="10"' in page.text
    assert "成功 8 条，失败 2 条" in page.text
    assert "受限账户 &lt;b&gt;" in page.text
    assert "TO0005" in page.text
    with browser.get(f"/job-failures/export.csv?job={job}") as answer:
        lines = answer.get_data(as_text=True).splitlines()
    assert len(lines) == 3
    assert "TO0010" in lines[2]


def test_the_list_shows_one_s_own_jobs_alone(job, officer, sign_in):
    assert "批量审核" in sign_in(officer).get("/jobs/").text
    for role in ("registry_checker", "auditor"):
        assert "批量审核" not in sign_in(member(role)).get("/jobs/").text


def test_another_member_s_job_does_not_exist(app, job, officer, sign_in):
    worker.work_through(app, job, lambda: False)
    other = sign_in(member("registry_checker"))
    assert other.get(f"/jobs/{job}").status_code == 404
    assert other.post(f"/jobs/{job}/abort").status_code == 404
    assert "TO0005" not in other.get(f"/job-failures/?job={job}").text
    assert "TO0005" in sign_in(officer).get(f"/job-failures/?job={job}").text


def test_a_job_is_stopped_once(job, officer, sign_in):
    browser = sign_in(officer)
    answer = browser.post(f"/jobs/{job}/abort", follow_redirects=True)
    assert "已停止" in answer.text
    assert "Refresh" not in answer.headers
    assert db.session.get_one(Job, job, populate_existing=True).state == "aborted"
    assert "任务已结束" in browser.post(f"/jobs/{job}/abort", follow_redirects=True).text


# Many rows of a list ------------------------------------------------------------------------


@pytest.fixture
def cases(app, monkeypatch) -> list[int]:
    approve = BulkAction("approve", "通过", "确定审核通过所选 %(count)s 条？", job="review")
    monkeypatch.setattr(ReviewView, "bulk", (approve,))
    monkeypatch.setattr(listing, "JOB_FROM", 3)
    plant, cea = account(), instrument()
    give(plant, cea, 100)
    operator = member(of=plant)
    kind = "voluntary_cancellation"
    return [submitted(kind, operator, {cea: 1}, reason="碳中和").id for _ in range(5)]


def states() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(db.select(Application.status).order_by(Application.id)))


def test_many_rows_become_a_job_and_few_are_done_at_once(app, officer, cases, sign_in):
    browser = sign_in(officer)
    few = {"action": "approve", "id": cases[:3], "count": "3"}
    assert "成功 3 条" in browser.post("/reviews/bulk", data=few).text
    assert db.session.query(Job).count() == 0
    assert states() == ["approved"] * 3 + ["in_review"] * 2


def test_a_confirmed_bulk_review_runs_as_a_job(app, officer, cases, sign_in):
    browser = sign_in(officer)
    many = {"action": "approve", "all": "1"}
    assert "确定审核通过所选 5 条？" in browser.post("/reviews/bulk", data=many).text
    assert db.session.query(Job).count() == 0

    answer = browser.post("/reviews/bulk", data={**many, "count": "5"})
    assert answer.status_code == 302
    job = db.session.query(Job).one()
    assert answer.headers["Location"].startswith(f"/jobs/{job.id}")
    assert (job.total, job.ip, job.state) == (5, "127.0.0.1", "queued")
    assert states() == ["in_review"] * 5

    worker.work_through(app, job.id, lambda: False)
    assert states() == ["approved"] * 5
    assert "成功 5 条，失败 0 条" in browser.get(answer.headers["Location"]).text


def test_a_bulk_review_too_long_in_words_does_not_begin(officer, cases, sign_in):
    form = {"action": "approve", "all": "1", "count": "5", "comment": "好" * 501}
    sign_in(officer).post("/reviews/bulk", data=form)
    db.session.rollback()
    assert db.session.query(Job).count() == 0
