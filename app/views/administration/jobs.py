"""任务: a member's jobs, their progress and their failures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Response, abort, flash, g, make_response, redirect, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select

from app.domain.errors import NotFound, RuleError
from app.extensions import db, transaction
from app.models import Job, JobFailure
from app.operations.applications import jobs
from app.operations.records import clock
from app.security.roles import ALL_ROLES
from app.views.chapters import LAST, MenuEntry
from app.views.lists.listing import Column, Filter, ListPage, RowAction, back_url
from app.views.page import current_actor

STATES = {
    "queued": (_("Waiting"), "grey"),
    "running": (_("Running"), "blue"),
    "done": (_("Finished"), "green"),
    "failed": (_("Failed"), "red"),
    "aborted": (_("Stopped"), "amber"),
}
SHOWN_FAILURES = 100  # All of them are in JobFailureView.
REFRESH = 2  # Seconds; the page reloads without script.


class JobView(ListPage):
    route_base = "/jobs"
    title = _("My jobs")
    menu = MenuEntry(LAST, 1, "ti-progress-check")
    guide = {
        "enterprise": "任务与信箱",
        "province": "任务与信箱",
        "registry": "任务与信箱",
        "administration": "我的任务与演示信箱",
    }
    grants = {ALL_ROLES: "list export show abort"}
    account_column = None  # `rows` selects the member's own jobs.
    columns = (
        Column("id", _("Number"), "code"),
        Column("title", _("Job")),
        Column("state", _("State"), "status", choices=STATES),
        Column("total", _("Items"), "number"),
        Column("done", _("Succeeded"), "number"),
        Column("failed", _("Failed"), "number"),
        Column("created_at", _("Started at"), "datetime"),
        Column("ended_at", _("Ended at"), "datetime"),
    )
    filters = (
        Filter("title", _("Job")),
        Filter("state", _("State"), "choice", choices={k: v[0] for k, v in STATES.items()}),
        Filter("created", _("Started on"), "date_range", on=("created_at",)),
    )
    help = (
        _("Operations on many rows run as jobs; you may go on working or sign out meanwhile."),
        _("Each item is carried out at most once, whatever happens to the server."),
    )

    def rows(self, conditions: Any) -> Select:
        return select(
            Job.id,
            Job.title,
            Job.state,
            Job.total,
            Job.done,
            Job.failed,
            Job.created_at,
            Job.ended_at,
        ).where(Job.member_id == g.user.id)

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Details"), url_for("JobView.show", job_id=row.id))

    @expose("/<int:job_id>")
    @has_access
    @permission_name("show")
    def show(self, job_id: int) -> Response:
        """Show the progress; the page reloads itself until the job is over."""
        job = _own(job_id)
        is_open = job.state in jobs.OPEN_STATES
        failures = db.session.scalars(
            select(JobFailure)
            .where(JobFailure.job_id == job.id)
            .order_by(JobFailure.id)
            .limit(SHOWN_FAILURES)
        ).all()
        back = back_url(url_for("JobView.list"))
        page = self.render_template(
            "administration/job.html",
            detail=_detail(job, back),
            crumb=job.title,
            job=job,
            is_open=is_open,
            is_whole=jobs.JOB_KINDS[job.kind].is_whole,
            failures=failures,
            failures_url=url_for("JobFailureView.list", job=job.id),
            export_url=url_for("JobFailureView.export", job=job.id),
        )
        response = make_response(page)
        if is_open:
            response.headers["Refresh"] = str(REFRESH)
        return response

    @expose("/<int:job_id>/abort", methods=["POST"])
    @has_access
    @permission_name("abort")
    def abort(self, job_id: int) -> Any:
        """Stop a job; finished items stay."""
        try:
            with transaction():
                jobs.abort(job_id, current_actor(), now=clock.now())
        except NotFound:
            abort(404)
        except RuleError as error:
            flash(str(error), "warning")
        else:
            flash(gettext("The job was stopped; what it had done stays done"), "success")
        return redirect(url_for("JobView.show", job_id=job_id))


class JobFailureView(ListPage):
    """The failed items of the member's own jobs, as a list."""

    route_base = "/job-failures"
    title = _("What failed, and why")
    guide = {
        "enterprise": "任务与信箱",
        "province": "任务与信箱",
        "registry": "任务与信箱",
        "administration": "我的任务与演示信箱",
    }
    grants = {ALL_ROLES: "list export"}
    account_column = None  # As in JobView.
    usual_sort = "id"
    columns = (
        Column("id", _("Record"), "code", is_shown=False, is_sortable=True),
        Column("job", _("Job"), "code"),
        Column("number", _("Number"), "code"),
        Column("subject", _("Object")),
        Column("reason", _("Reason")),
    )
    filters = (
        Filter("job", _("Job"), "number"),
        Filter("number", _("Number"), "prefix"),
        Filter("reason", _("Reason")),
    )

    def rows(self, conditions: Any) -> Select:
        return (
            select(
                JobFailure.id,
                JobFailure.job_id.label("job"),
                JobFailure.number,
                JobFailure.subject,
                JobFailure.reason,
            )
            .join(Job, Job.id == JobFailure.job_id)
            .where(Job.member_id == g.user.id)
        )


def _own(job_id: int) -> Job:
    """Return one of the member's own jobs, or abort with 404."""
    job = db.session.scalars(
        select(Job).where(Job.id == job_id, Job.member_id == g.user.id)
    ).one_or_none()
    if job is None:
        abort(404)
    return job


def _detail(job: Job, back: str) -> dict[str, Any]:
    label, tone = STATES[job.state]
    facts = [
        (gettext("Items"), job.total, "number"),
        (gettext("Started at"), job.created_at, "datetime"),
        (gettext("Begun at"), job.started_at, "datetime"),
        (gettext("Ended at"), job.ended_at, "datetime"),
    ]
    if job.error:
        facts.append((gettext("Why it ended"), job.error, "long"))
    actions: list[dict[str, Any]] = []
    view, batch = job.arguments.get("view"), job.arguments.get("import_id")
    if view:
        url = url_for(f"{view}.imported", import_id=batch) if batch else url_for(f"{view}.list")
        where = gettext("Import batch") if batch else gettext("Back to the list")
        actions.append({"label": where, "url": url})
    if jobs.may_abort(job):
        actions.append(
            {
                "label": gettext("Stop"),
                "url": url_for("JobView.abort", job_id=job.id),
                "method": "post",
                "confirm": gettext("Stop this job? What is done stays done."),
                "tone": "danger",
            }
        )
    return {
        "title": job.title,
        "number": str(job.id),
        "status": {"label": str(label), "tone": tone},
        "actions": actions,
        "sections": [{"items": facts}],
        "back_url": back,
    }
