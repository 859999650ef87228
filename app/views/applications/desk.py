"""The applicant's desk: 新增, 修改, 提交, 保存, 撤回, for kinds that members start themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, TableClause, select

from app.domain.errors import RuleError
from app.domain.workflow import EDITABLE, Action, Status, line_key
from app.extensions import db, transaction, undone
from app.models import Account, Application
from app.operations.applications import attachments, desk, engine
from app.operations.applications.desk import Changed, FormOutcome
from app.operations.people import unfinished
from app.operations.people.members import permissions_of
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security.roles import APPLICANTS, READERS
from app.views.applications import form as application_form
from app.views.applications import money, signing
from app.views.applications.choosable_lines import SOURCE_COLUMNS, holdings_of, lines_left
from app.views.applications.conflict import compared
from app.views.applications.form import INSTRUMENT_COLUMNS, Choosable, Filled
from app.views.applications.list import (
    SETTLED,
    ApplicationList,
    last_event_text,
    waits_for_colleague,
)
from app.views.lists.listing import RowAction, back_url
from app.views.page import current_actor

_WITHDRAWABLE = (Status.IN_REVIEW, Status.PENDING_SETTLEMENT)


class ApplicationDesk(ApplicationList):
    """A list with 新增; drafts can be edited, submitted applications withdrawn."""

    form: type[Any]
    # Members of enterprises enter; others see what is in their row scope.
    grants = {READERS: "list export show", APPLICANTS: "write"}
    form_title: Any
    form_columns: Sequence[dict[str, Any]] = ()
    picker_title: Any = ""
    picker_columns: Sequence[dict[str, Any]] = INSTRUMENT_COLUMNS
    can_save_draft = True
    accepts_attachments = True
    new_label: Any = _("New")
    confirm: Any = ""  # Question before 提交, where submitting is final.

    def offered(self, account_id: int) -> list[Choosable]:
        """Return the lines of the picker: every instrument held, where the form has lines to pick."""
        return holdings_of(account_id) if self.form_columns else []

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return the facts above the form: (label, value, kind[, unit])."""
        return []

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the content of the draft besides its lines."""
        return filled.form.content()

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        """Return the draft of a form without errors.  Raises RuleError."""
        return engine.Draft(
            kind=self.kind,
            account_id=account_id,
            lines=tuple(filled.lines),
            request_key=application_form.request_key(),
            **self.content(filled),
        )

    def needs_attachments(self, account_id: int) -> bool:
        """Tell whether a submission requires a file."""
        return False

    def account_id(self) -> int:
        """Return the account of a new application."""
        if g.user.account_id is None:
            abort(404)
        return g.user.account_id

    def next_step(self, application: Application) -> Any:
        """Return what follows the submission, as a sentence for the result page."""
        raise NotImplementedError

    # The list -----------------------------------------------------------------------------------

    def tools(self) -> Iterable[RowAction]:
        if self.may("write"):
            yield RowAction(self.new_label, self.url("new"), icon="plus")

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield from super().actions(row)
        if not self.may("write"):
            return
        if row.stored_status in EDITABLE:
            yield RowAction(_("Edit"), self.url("edit", id=row.id))
        if row.stored_status == Status.DRAFT and not getattr(row, "import_id", None):
            yield self._deletion(row.id, row.number)
        if row.stored_status in _WITHDRAWABLE and row.status != SETTLED:
            yield self._withdrawal(row.id, row.number)

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        if not self.may("write"):
            return
        if application.status in EDITABLE:
            yield RowAction(_("Edit"), self.url("edit", id=application.id))
        if application.status == Status.DRAFT and application.import_id is None:
            yield self._deletion(application.id, application.number)
        if application.status in _WITHDRAWABLE and status != SETTLED:
            yield self._withdrawal(application.id, application.number)

    def _deletion(self, id_: int, number: str) -> RowAction:
        return RowAction(
            _("Delete draft"),
            self.url("discard", id=id_),
            method="post",
            confirm=gettext(
                "Delete draft %(number)s? Its content and attachments are lost.", number=number
            ),
            is_dangerous=True,
        )

    def _withdrawal(self, id_: int, number: str) -> RowAction:
        return RowAction(
            _("Withdraw"),
            self.url("withdraw", id=id_),
            method="post",
            confirm=gettext("Withdraw application %(number)s?", number=number),
            is_dangerous=True,
        )

    # The form -----------------------------------------------------------------------------------

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        account_id = self.account_id()
        filled = application_form.fill(self.new_form(account_id), self.offered(account_id))
        return self._form_page(filled, account_id, None)

    @expose("/<int:id>/edit", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def edit(self, id: int) -> Any:
        """Edit a draft or a returned application, and submit it again."""
        application = self.load(id)
        if application.status not in EDITABLE and request.method == "GET":
            flash(gettext("This application can no longer be changed"), "warning")
            flash(last_event_text(application), "info")
            return redirect(self.url("show", id=id))
        form = self.edit_form(application)
        filled = application_form.fill(form, self.offered(application.account_id))
        return self._form_page(filled, application.account_id, application)

    def new_form(self, account_id: int) -> Any:
        return self.form()

    def edit_form(self, application: Application) -> Any:
        """Return the form filled in from an application."""
        form = self.form(data=self.typed_before(application))
        if isinstance(form, application_form.ProposalForm):
            form.proposal = dict(application.proposal)
        return form

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Return an application as form data."""
        found = {name: getattr(application, name) for name in application_form.CONTENT}
        found["lines"] = [
            {
                "choice": line_key(line.instrument_id, line.source_line_id, line.account_id),
                "quantity": str(line.quantity),
                "venue": str(line.venue_id or ""),
            }
            for line in application.lines
        ]
        return found

    def title_of(self, form: Any) -> Any:
        """Return the heading of a form."""
        return self.form_title

    def obstacle(self, filled: Filled, account_id: int) -> str:
        """Return what must be done before this form can be used, or nothing."""
        return ""

    def _form_page(self, filled: Filled, account_id: int, application: Application | None) -> Any:
        filled.account_id = account_id
        if filled.form.is_submitted():
            takes = self._keep_typed if application_form.is_picking() else self._save_or_submit
            answer = takes(filled, account_id, application)
            if answer is not None:
                return answer
        context = application_form.page(
            filled,
            title=self.title_of(filled.form),
            cancel_url=self.url("list"),
            version=application_form.version_shown(filled, application),
            facts=self.form_facts(account_id),
            obstacle=" ".join(
                filter(None, (self.obstacle(filled, account_id), _return_comment(application)))
            ),
            line_columns=self.form_columns,
            picker_title=self.picker_title,
            picker_columns=self.picker_columns,
            help=self.help,
            can_save_draft=self.can_save_draft,
            confirm=self.confirm,
            attachments=self._attachments(application),
            attachments_required=self.needs_attachments(account_id),
        )
        refused = filled.form.is_submitted() and not filled.is_clear
        return self.render_template(
            "applications/form.html", form_page=context
        ), 400 if refused else 200

    def _keep_typed(self, filled: Filled, account_id: int, _application: Any) -> Any:
        """Store the form data and redirect to a page that shows it; None where it cannot be stored."""
        key = application_form.request_key()
        self._keep_files(filled, account_id, self._uploads(filled))
        for error in filled.errors:
            flash(str(error), "danger")
        typed = [
            (name, text)
            for name, text in request.form.items(multi=True)
            if name not in ("csrf_token", "request_key")
        ]
        with transaction():
            is_kept = unfinished.keep(g.user.id, key, [*typed, ("request_key", key)])
        address = {**(request.view_args or {}), **request.args, "form": key}
        return redirect(url_for(request.endpoint or "", **address), 303) if is_kept else None

    def _save_or_submit(
        self, filled: Filled, account_id: int, application: Application | None
    ) -> Any:
        """Return the response, or None where the form has to be shown with its errors."""
        uploads = self._uploads(filled)
        lacks_lines = "lines" in filled.form and not (filled.lines or filled.line_errors)
        if lacks_lines and filled.is_clear:
            filled.errors.append(_("Choose at least one instrument"))
        draft = self._draft_of(filled, account_id)
        if draft is None:
            self._keep_files(filled, account_id, uploads)
            return None
        form = desk.SentForm(
            draft,
            application.id if application else None,
            application_form.version_read(),
            uploads if self.accepts_attachments else None,
            attachments.removed_from(request.form),
        )
        submits = not (self.can_save_draft and "save" in request.form)
        with transaction():
            taken = desk.take(
                form,
                self.actor(),
                now=clock.now(),
                submits=submits,
                is_signed=signing.is_required(),
            )
        if taken.error is not None and taken.ending is FormOutcome.REFUSED:
            if taken.files_error is not None:
                filled.refuse(taken.files_error)
            return self._show_refusal(filled, draft, taken.error)
        return self._redirect_after(taken)

    def _redirect_after(self, taken: desk.FormResult) -> Any:
        """Lead on from what became of a form."""
        id_ = taken.application_id
        if taken.ending is FormOutcome.TO_SIGN:
            return signing.ask_for_submission(id_, self.actor())
        if taken.ending is FormOutcome.SAVED:
            flash(gettext("Saved as a draft"), "success")
            return redirect(self.url("list"))
        if taken.ending is FormOutcome.KEPT:
            flash(str(taken.error), "danger")
            flash(gettext("Your entries are kept as a draft"), "info")
            return redirect(self.url("show", id=id_))
        if taken.ending is FormOutcome.REPEATED:
            application = self.load(id_)
            flash(last_event_text(application), "info")
            if application.status not in _WITHDRAWABLE:
                return redirect(self.url("show", id=id_))
        return redirect(self.url("done", id=id_))

    def _show_refusal(self, filled: Filled, draft: engine.Draft, error: RuleError) -> None:
        """Add a refusal to the form, with both versions where the application has changed."""
        filled.refuse(error)
        if isinstance(error, Changed):
            filled.conflict = {"version": error.version, "rows": [], "url": ""}
            if error.is_there:
                application = self.load(error.application_id)
                filled.conflict["rows"] = compared(application, draft)
                filled.conflict["url"] = self.url("show", id=application.id)

    def _draft_of(self, filled: Filled, account_id: int) -> engine.Draft | None:
        """Return the draft that the form describes, or None where it has errors."""
        if not filled.is_clear:
            return None
        try:
            return self.draft(filled, account_id)
        except RuleError as error:
            filled.refuse(error)
            return None

    # Attachments: stored with the form until it is valid, then with the application.

    def _uploads(self, filled: Filled) -> list[attachments.Upload]:
        """Return the files that are accepted, and add what is wrong with the others to the form."""
        if not self.accepts_attachments:
            return []
        uploads, refused = attachments.sorted_out(request.files)
        filled.errors += [error.message for error in refused]
        return uploads

    def _keep_files(
        self, filled: Filled, account_id: int, uploads: Sequence[attachments.Upload]
    ) -> None:
        """Store the files of a form that is not saved; what stands against it is added to the form."""
        key, removed = application_form.request_key(), attachments.removed_from(request.form)
        actor, now = self.actor(), clock.now()
        with transaction():
            error = desk.keep_files(uploads, removed, key, account_id, actor, now=now)
        if error is not None:
            filled.refuse(error)

    def keep_files(self, actor: Actor) -> list[str]:
        """Store the files that are accepted where the member may write here."""
        account_id = actor.account_id or self._account_of_address()
        names = super().keep_files(actor)
        held = permissions_of(actor.member_id or 0)
        may_write = ("can_write", self.class_permission_name) in held
        if not names or not account_id or not self.accepts_attachments or not may_write:
            return names
        uploads, _refused = attachments.sorted_out(request.files)
        key, now = application_form.request_key(), clock.now()
        if desk.keep_files(uploads, (), key, account_id, actor, now=now) is not None:
            return names
        kept = {each.name for each in uploads}
        return [name for name in names if attachments.clean_name(name) not in kept]

    def _account_of_address(self) -> int | None:
        """Return the enterprise that an officer's form is about."""
        if id_ := (request.view_args or {}).get("id"):
            return db.session.scalar(select(Application.account_id).where(Application.id == id_))
        asked = request.args.get("account", "")
        number = int(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else 0
        return db.session.scalar(select(Account.id).where(Account.id == number))

    def _attachments(self, application: Application | None) -> list[Any] | None:
        if not self.accepts_attachments:
            return None
        id_ = application.id if application else None
        return attachments.of_form(application_form.request_key(), self.actor(), id_)

    # Afterwards ---------------------------------------------------------------------------------

    @expose("/<int:id>/done")
    @has_access
    @permission_name("write")
    def done(self, id: int) -> Any:
        application = self.load(id)
        facts: list[Any] = [(_("Application number"), application.number, "code")]
        facts += [
            (
                f"{line.instrument.code} {line.instrument.name}",
                line.quantity,
                *money.measure(line.instrument.kind),
            )
            for line in application.lines
        ]
        result = {
            "facts": facts,
            "next_step": waits_for_colleague(application) or self.next_step(application),
            "back_url": self.url("list"),
            "links": [
                (_("Details"), self.url("show", id=id)),
                (_("New"), self.url("new")),
            ],
        }
        return self.render_template("parts/result.html", result=result)

    @expose("/<int:id>/withdraw", methods=["POST"])
    @has_access
    @permission_name("write")
    def withdraw(self, id: int) -> Any:
        """Withdraw an application before it takes effect."""
        application, is_signed = self.load(id), signing.is_required()
        try:
            with transaction(), undone() if is_signed else nullcontext():
                engine.withdraw([application.id], self.actor(), now=clock.now()).one()
        except RuleError as error:
            flash(str(error), "danger")
        else:
            if is_signed:
                return signing.ask_for_withdrawal([id], self.actor(), self.url("show", id=id))
            flash(
                gettext("Application %(number)s was withdrawn", number=application.number),
                "success",
            )
        return redirect(self.url("show", id=id))

    @expose("/<int:id>/discard", methods=["POST"])
    @has_access
    @permission_name("write")
    def discard(self, id: int) -> Any:
        """Delete a draft that was never submitted."""
        application = self.load(id)
        try:
            with transaction():
                case = desk.discard(application.id, self.actor(), now=clock.now())
        except RuleError as error:
            flash(str(error), "danger")
            return redirect(self.url("show", id=id))
        flash(gettext("Draft %(number)s was deleted", number=case.number), "success")
        return redirect(back_url(self.url("list")))

    def actor(self) -> Actor:
        """Return the actor: only members of an enterprise have a desk."""
        if g.user.account_id is None:
            abort(404)
        return current_actor()


def _return_comment(application: Application | None) -> str:
    """Return the comment with which an application was returned."""
    if application is None or application.status != Status.RETURNED:
        return ""
    said = [each.comment for each in application.events if each.action == Action.SEND_BACK]
    return gettext("Sent back: %(comment)s", comment=said[-1]) if said else ""


class DrawsOnDocuments:
    """Of a desk whose lines draw on earlier documents, or on the one that the address names."""

    draws_on: str
    draws_whole = False  # The form begins with all that is left.
    parts: TableClause | None = (
        None  # the view of them, where several accounts have a part of a line
    )
    told: Any = None  # of each document, beside its number; None: the number of the authority's
    picker_columns: Sequence[dict[str, Any]] = SOURCE_COLUMNS

    def drawable(self) -> Sequence[ColumnElement[bool]]:
        """Return what further holds of the lines that may be drawn on."""
        return ()

    def offered(self, account_id: int) -> list[Choosable]:
        """Return what is left of the earlier documents, or of the one that the address names."""
        source = request.args.get("source", type=int)
        named = (Application.id == source,) if source else ()
        return lines_left(account_id, self.draws_on, *named, *self.drawable(), told=self.told,
                          parts=self.parts)  # fmt: skip

    def _form_page(self, filled: Filled, account_id: int, application: Application | None) -> Any:
        """Begin with the lines of the document that the address names."""
        begins = application is None and not (
            filled.form.is_submitted() or application_form.is_picking()
        )
        if "source" in request.args and begins:
            for key, each in filled.offered.items():
                if not each.refusal:
                    whole = {"quantity": str(each.available)} if self.draws_whole else {}
                    filled.form.lines.append_entry({"choice": key} | whole)
        return super()._form_page(filled, account_id, application)  # type: ignore[misc]
