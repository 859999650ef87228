"""Pages that import tables: the template, the upload, and the batch it made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any
from urllib.parse import quote

from flask import Response, abort, flash, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select

from app.domain.errors import NotFound, RuleError
from app.domain.kinds import KINDS
from app.domain.workflow import STATUS_TITLES, STATUS_TONES, Status
from app.extensions import db, transaction, undone
from app.models import Application, Job, Member
from app.operations.applications import engine, jobs
from app.operations.imports import batches, tables
from app.operations.imports.tables import FORMS, ImportColumn, Table
from app.operations.records import clock
from app.security.roles import OFFICERS, REGISTRY_MAKER
from app.security.scope import scoped
from app.views.applications import signing
from app.views.applications.officer_desk import OfficerDesk
from app.views.lists.listing import BulkResult, RowAction, action
from app.views.lists.workbook import MEDIA_TYPE

# The status of a batch: the first of these that one of its applications has.
_TELLING = (Status.DRAFT, Status.IN_REVIEW, Status.RETURNED, Status.APPROVED, Status.WITHDRAWN)
_MEDIA_TYPES = {"csv": "text/csv", "xlsx": MEDIA_TYPE}


def chosen_table(columns: Sequence[ImportColumn], field: str = "file") -> Table:
    """Read the uploaded file; without one the table has an error."""
    file = request.files.get(field)
    if file is None or not file.filename:
        table = Table("-", "", columns)
        table.refuse(0, "", tables.CHOOSE)
        return table
    return tables.read(file.stream, file.filename, columns)


def template_file(title: Any, columns: Sequence[ImportColumn], form: str) -> Response:
    """Return the template as a file; 404 for an unknown format."""
    if form not in FORMS:
        abort(404)
    name = quote(f"{title}.{form}")
    return Response(
        tables.template(columns, form),
        mimetype=_MEDIA_TYPES[form],
        headers={
            "Content-Disposition": f"attachment; filename=\"template.{form}\"; filename*=UTF-8''{name}"
        },
    )


class ImportDesk(OfficerDesk):
    """A desk whose applications may also be imported: submitted together, or not at all.

    ``importer`` is the operation's module: COLUMNS, FILE_KIND and `take`.
    """

    grants = {OFFICERS: "list export show", REGISTRY_MAKER: "write bulk"}

    importer: Any
    import_label: Any
    import_page: str  # Name of the template.
    file_title: Any  # Title of the table to fill in.
    outside_the_table: Mapping[str, Any] = {}  # Titles of fields besides the file.
    bulk_name, bulk_object = "number", "account"

    def take(self, table: Table) -> batches.Imported:
        return self.importer.take(table, self.actor(), now=clock.now(), only_tries=True)

    def preview(self, batch: batches.Batch) -> list[dict[str, Any]]:
        """Return tables of what a batch holds: (title, columns, rows), totals first."""
        return []

    def tools(self) -> Iterable[RowAction]:
        yield from super().tools()
        if self.may("write"):
            yield RowAction(self.import_label, self.url("import_table"), icon="file-upload")

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield from super().actions(row)
        if self.may("write") and row.import_id and row.stored_status == Status.DRAFT:
            yield RowAction(_("Import batch"), self.url("imported", import_id=row.import_id))

    @expose("/import", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def import_table(self) -> Any:
        """Read a table into drafts and show what they would do, or show all errors."""
        if request.method == "GET":
            return self._import_page(None)
        table = chosen_table(self.importer.COLUMNS)
        try:
            with transaction():
                done = self.take(table)
        except RuleError as error:
            place = self.outside_the_table.get(error.field, "")
            if place or table.is_clear:
                table.refuse(0, place, error.message)
            return self._import_page(table), 400
        return redirect(self.url("imported", import_id=done.import_id))

    @expose("/import/template.<form>")
    @has_access
    @permission_name("write")
    def import_template(self, form: str) -> Any:
        return template_file(self.file_title, self.importer.COLUMNS, form)

    def _import_page(self, table: Table | None) -> Any:
        return self.render_template(
            self.import_page,
            title=self.import_label,
            table=table,
            templates=[
                (form.upper(), self.url("import_template", form=form)) for form in ("xlsx", "csv")
            ],
            cancel_url=self.url("list"),
        )

    # Import batches -----------------------------------------------------------------------------

    @expose("/import/<int:import_id>")
    @has_access
    @permission_name("show")
    def imported(self, import_id: int) -> Any:
        """Show what a batch holds; its drafts are submitted or withdrawn together."""
        batch = self._batch(import_id)
        status = next((each for each in _TELLING if each in batch.statuses), Status.DISCARDED)
        job = jobs.open_submission(import_id) if status is Status.DRAFT else None
        facts = self.facts_of(batch)
        if job is not None:
            facts.append((_("Being submitted by"), job.member.username, "code"))
            actions = self._job_actions(job)
        else:
            actions = self.batch_actions(batch) if self.may("write") else []
        label, tone = self.batch_status(batch, status)
        rows = self.url("list", **{"import": import_id})
        actions.append({"label": gettext("Details"), "url": rows})
        detail = {
            "title": self.import_label,
            "number": str(import_id),
            "status": {"label": label, "tone": tone},
            "actions": actions,
            "sections": [{"items": facts}],
            "tables": self.preview(batch),
            "help": (
                _("Nothing takes effect before all of it is submitted, and another officer agrees"),
                _("Withdrawn as a whole, the same file may be imported again"),
            ),
            "back_url": self.url("list"),
        }
        crumb = gettext("Import batch")
        return self.render_template("parts/detail.html", detail=detail, crumb=crumb)

    @expose("/import/<int:import_id>/submit", methods=["POST"])
    @has_access
    @permission_name("write")
    def submit_import(self, import_id: int) -> Any:
        """Submit the drafts of a batch, all or none."""
        self._batch(import_id)
        page = self.url("imported", import_id=import_id)
        job = jobs.open_submission(import_id)
        if job is not None:
            return signing.being_submitted(job, page)
        ids = batches.drafts(import_id)
        if not ids:
            flash(gettext("There is nothing left to submit"), "warning")
            return redirect(page)
        try:
            asks_first = self._try(ids)
            if asks_first is None:
                with transaction():
                    engine.submit_all(ids, self.actor(), now=clock.now())
                flash(gettext("%(count)s applications were submitted", count=len(ids)), "success")
        except engine.NoneSubmitted as error:
            return signing.none_submitted(error, page)
        return asks_first or redirect(page)

    @expose("/import/<int:import_id>/withdraw", methods=["POST"])
    @has_access
    @permission_name("write")
    def withdraw_import(self, import_id: int) -> Any:
        """Withdraw the drafts of a batch, so that the file may be imported again."""
        self._batch(import_id)
        page, is_signed = self.url("imported", import_id=import_id), signing.is_required()
        ids = batches.drafts(import_id)
        try:
            with transaction(), undone() if is_signed else nullcontext():
                count = batches.withdraw(import_id, self.actor(), now=clock.now())
        except RuleError as error:
            flash(str(error), "danger")
        else:
            if is_signed and ids:
                return signing.ask_for_withdrawal(ids, self.actor(), page)
            flash(gettext("%(count)s applications were withdrawn", count=count), "success")
        return redirect(page)

    def _batch(self, import_id: int) -> batches.Batch:
        """Return a batch that is in scope as a whole, or abort with 404."""
        try:
            batch = batches.find(import_id, self.importer.FILE_KIND)
        except NotFound:
            abort(404)
        mine = select(func.count()).where(Application.import_id == import_id)
        whole = batch.statuses.total()
        if not whole or db.session.scalar(scoped(mine, Application.account_id, g.user)) != whole:
            abort(404)
        return batch

    def facts_of(self, batch: batches.Batch) -> list[tuple[Any, ...]]:
        importer = db.session.get(Member, batch.file.imported_by)
        found: list[tuple[Any, ...]] = [
            (_("Import batch"), str(batch.file.id), "code"),
            (_("File"), batch.file.name, "text"),
            (_("Rows"), batch.file.rows, "number"),
            (_("Applications"), batch.statuses.total(), "number"),
            (_("Imported by"), importer.username if importer else "", "code"),
            (_("Imported at"), batch.file.imported_at, "datetime"),
        ]
        if KINDS[self.kind].has_lines:
            found.insert(4, (_("Total"), batch.tonnes, "number", _("tonnes")))
        return found

    def _job_actions(self, job: Job) -> list[dict[str, Any]]:
        if job.member_id != g.user.id:
            return []
        return [{"label": gettext("See the job"), "url": url_for("JobView.show", job_id=job.id)}]

    def batch_status(self, batch: batches.Batch, status: Status) -> tuple[Any, str]:
        """Return title and tone of a batch's status, that of its applications."""
        return STATUS_TITLES[status], STATUS_TONES[status]

    def batch_actions(self, batch: batches.Batch) -> list[dict[str, Any]]:
        """Return what can be done with all of a batch, as actions of a detail page."""
        count = batch.statuses[Status.DRAFT]
        if not count:
            return []
        return [
            {
                "label": gettext("Submit"),
                "url": self.url("submit_import", import_id=batch.file.id),
                "method": "post",
                "tone": "primary",
            },
            {
                "label": gettext("Withdraw"),
                "url": self.url("withdraw_import", import_id=batch.file.id),
                "method": "post",
                "tone": "danger",
                "confirm": gettext("Withdraw the %(count)s drafts of this import?", count=count),
            },
        ]

    # Bulk submission ----------------------------------------------------------------------------

    def before_bulk(self, name: str, ids: Sequence[int]) -> Any:
        """Sign the submission of all of them once."""
        try:
            return self._try(ids)
        except engine.NoneSubmitted as error:
            return signing.none_submitted(error, self.url("list"))

    @action(
        "submit",
        _("Submit"),
        _("Submit the %(count)s applications chosen, all or none?"),
        "send",
        single=False,
    )
    def submit_many(self, ids: Sequence[int]) -> BulkResult:
        try:
            done = engine.submit_all(ids, self.actor(), now=clock.now())
        except engine.NoneSubmitted as error:
            flash(str(error), "danger")
            return BulkResult(refused={case.id: str(why) for case, why in error.refused})
        return BulkResult(done=[case.id for case in done])

    def _try(self, ids: Sequence[int]) -> Any:
        """Where submissions are signed, check all and roll back, then ask for the signature."""
        if not signing.is_required():
            return None
        with transaction(), undone():
            engine.submit_all(ids, self.actor(), now=clock.now())
        return signing.ask_for_submissions(ids, self.actor())
