"""The applicant's desk: 新增, 修改, 提交, 保存, 撤回, for kinds that members start themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flask import abort, flash, g, redirect, request
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app.domain.errors import OutsideTradingHours, RuleError
from app.domain.workflow import Status
from app.extensions import db, transaction
from app.models import Application, Holding, Instrument
from app.operations import applications, clock
from app.operations.actor import Actor
from app.views import application_form
from app.views.application_form import Choosable, Filled
from app.views.application_list import SETTLED, ApplicationList
from app.views.listing import Action as RowAction

_EDITABLE = (Status.DRAFT, Status.RETURNED)
_WITHDRAWABLE = (Status.IN_REVIEW, Status.PENDING_SETTLEMENT)


class ApplicationDesk(ApplicationList):
    """A list with 新增, whose rows can be changed while they are drafts and taken back after."""

    form: type[Any]
    form_title: Any
    form_columns: Sequence[dict[str, Any]] = ()
    can_save_draft = True
    new_label: Any = _("New")
    confirm: Any = ""  # Asked before 提交, where there is no way back.

    def offered(self) -> list[Choosable]:
        """Return what the picker offers: every instrument that the enterprise holds."""
        rows = db.session.execute(
            select(Instrument.id, Instrument.code, Instrument.name, Holding.available)
            .join(Instrument, Instrument.id == Holding.instrument_id)
            .where(Holding.account_id == g.user.account_id)
            .order_by(Instrument.code)
        )
        return [
            Choosable(*row, refusal="" if row.available else _("Nothing available")) for row in rows
        ]

    def next_step(self, application: Application) -> Any:
        """Return what happens after the submission, in a sentence for the result page."""
        raise NotImplementedError

    # The list -----------------------------------------------------------------------------------

    def tools(self) -> Iterable[RowAction]:
        """新增 stands first."""
        if self.may("write"):
            yield RowAction(self.new_label, self.url("new"), icon="plus")

    def actions(self, row: Any) -> Iterable[RowAction]:
        """A draft is changed, a submitted application taken back."""
        yield from super().actions(row)
        if not self.may("write"):
            return
        if row.stored_status in _EDITABLE:
            yield RowAction(_("Edit"), self.url("edit", id=row.id))
        if row.stored_status in _WITHDRAWABLE and row.status != SETTLED:
            yield self._withdrawal(row.id, row.number)

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        """The same on the detail page."""
        if not self.may("write"):
            return
        if application.status in _EDITABLE:
            yield RowAction(_("Edit"), self.url("edit", id=application.id))
        if application.status in _WITHDRAWABLE and status != SETTLED:
            yield self._withdrawal(application.id, application.number)

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
        """Show the empty form, or take what was filled in."""
        return self._form_page(application_form.fill(self.form(), self.offered()), None)

    @expose("/<int:id>/edit", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def edit(self, id: int) -> Any:
        """Change a draft, or what was sent back, and submit it again."""
        application = self.load(id)
        if application.status not in _EDITABLE:
            flash(gettext("This application can no longer be changed"), "warning")
            return redirect(self.url("show", id=id))
        form = self.form(data=_typed_before(application))
        return self._form_page(application_form.fill(form, self.offered()), application)

    def _form_page(self, filled: Filled, application: Application | None) -> Any:
        if filled.form.is_submitted() and not application_form.is_picking():
            answer = self._take(filled, application)
            if answer is not None:
                return answer
        context = application_form.page(
            filled,
            title=self.form_title,
            cancel_url=self.url("list"),
            line_columns=self.form_columns,
            help_lines=self.help,
            can_save_draft=self.can_save_draft,
            confirm=self.confirm,
        )
        refused = filled.form.is_submitted() and not filled.is_clear
        return self.render_template("form.html", form_page=context), 400 if refused else 200

    def _take(self, filled: Filled, application: Application | None) -> Any:
        """Save or submit; None where something stands against it, which the form then shows."""
        if not filled.lines and not filled.line_errors and filled.is_clear:
            filled.errors.append(_("Choose at least one instrument"))
        if not filled.is_clear:
            return None
        draft = applications.Draft(
            kind=self.kind,
            account_id=g.user.account_id,
            lines=tuple(filled.lines),
            request_key=application_form.request_key(),
            reason=(filled.form.reason.data or "").strip(),
        )
        saves = self.can_save_draft and "save" in request.form
        try:
            with transaction():
                id_ = self._save(draft, application)
                if not saves:
                    self._submit(id_)
        except OutsideTradingHours as error:
            return self._keep(draft, application, error)
        except RuleError as error:
            filled.refuse(error)
            return None
        if saves:
            flash(gettext("Saved as a draft"), "success")
            return redirect(self.url("list"))
        return redirect(self.url("done", id=id_))

    def _save(self, draft: applications.Draft, application: Application | None) -> int:
        now = clock.now()
        if application is None:
            return applications.start([draft], self.actor(), now=now)[0]
        return applications.edit(application.id, draft, self.actor(), now=now).id

    def _submit(self, id_: int) -> None:
        """Submit, unless the same form was sent before and has been taken."""
        status = db.session.scalar(
            select(Application.status).where(Application.id == id_).with_for_update()
        )
        if status in _EDITABLE:
            applications.submit([id_], self.actor(), now=clock.now()).one()

    def _keep(
        self, draft: applications.Draft, application: Application | None, error: RuleError
    ) -> Any:
        """Refuse outside trading hours, but keep the draft (domain.md 11.1)."""
        with transaction():
            id_ = self._save(draft, application)
        flash(str(error), "danger")
        flash(gettext("Your entries are kept as a draft"), "info")
        return redirect(self.url("show", id=id_))

    # Afterwards ---------------------------------------------------------------------------------

    @expose("/<int:id>/done")
    @has_access
    @permission_name("write")
    def done(self, id: int) -> Any:
        """操作成功."""
        application = self.load(id)
        facts: list[Any] = [(_("Application number"), application.number, "code")]
        facts += [
            (f"{line.instrument.code} {line.instrument.name}", line.quantity, "number", _("tonnes"))
            for line in application.lines
        ]
        result = {
            "facts": facts,
            "next_step": self.next_step(application),
            "back_url": self.url("list"),
            "links": [
                (_("Details"), self.url("show", id=id)),
                (_("New"), self.url("new")),
            ],
        }
        return self.render_template("result.html", result=result)

    @expose("/<int:id>/withdraw", methods=["POST"])
    @has_access
    @permission_name("write")
    def withdraw(self, id: int) -> Any:
        """Take an application back before it takes effect."""
        application = self.load(id)
        try:
            with transaction():
                applications.withdraw([application.id], self.actor(), now=clock.now()).one()
        except RuleError as error:
            flash(str(error), "danger")
        else:
            flash(
                gettext("Application %(number)s was withdrawn", number=application.number),
                "success",
            )
        return redirect(self.url("show", id=id))

    def actor(self) -> Actor:
        """Who acts: only a member of an enterprise has a desk."""
        if g.user.account_id is None:
            abort(404)
        return Actor.of(g.user, request.remote_addr or "")


def _typed_before(application: Application) -> dict[str, Any]:
    return {
        "reason": application.reason,
        "lines": [
            {
                "instrument_id": str(line.instrument_id),
                "quantity": str(line.quantity),
                "venue": str(line.venue_id or ""),
            }
            for line in application.lines
        ],
    }
