"""履约通知书 for those who issue them: singly or by import, adjusting, bulk reminders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, cast, func, select
from wtforms import SelectMultipleField
from wtforms.widgets import CheckboxInput, ListWidget

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Account, Instrument, Notice
from app.operations.compliance import notices, reminders
from app.operations.compliance.notices import NewNotice
from app.operations.imports import notice_import
from app.operations.imports.tables import FORMS
from app.operations.records import clock
from app.security.roles import AUTHORITIES, PROVINCE, REGISTRY_MAKER
from app.views.applications.form import Required
from app.views.applications.imports import chosen_table, template_file
from app.views.applications.officer_desk import choose_account, chosen_account
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.obligations import (
    COUNTING,
    INSTRUMENT_KINDS,
    NoticeList,
    NoticePages,
    notice_facts,
    offset_facts,
    shown_percent,
)
from app.views.lists.columns import Column
from app.views.lists.listing import BulkResult, RowAction, action
from app.views.page import PageForm, current_actor


class NoticeForm(PageForm):
    """新增履约通知书; validated by the rules of the import."""

    year = StringField(_("Compliance year"), [Required()], render_kw={"maxlength": 4})
    obligation = StringField(
        _("Obligation (tonnes)"),
        [Required()],
        render_kw={"maxlength": 20, "inputmode": "numeric", "autocomplete": "off"},
    )
    deadline = StringField(
        _("Deadline"),
        [Required()],
        description=_("A day, until its end, or YYYY-MM-DD HH:mm"),
        render_kw={"maxlength": 19, "autocomplete": "off"},
    )
    instruments = SelectMultipleField(
        _("Instruments accepted"),
        [Required()],
        coerce=int,
        validate_choice=False,
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    offset_percent = StringField(
        _("Share of CCER (%)"),
        description=_("Of the obligation; empty: no CCER"),
        render_kw={"maxlength": 6, "inputmode": "decimal", "autocomplete": "off"},
    )


# Created before the fields of the document: forms show fields in order of creation.
_NEW_OBLIGATION = StringField(
    _("New obligation (tonnes)"),
    [Required()],
    render_kw={"maxlength": 20, "inputmode": "numeric", "autocomplete": "off"},
)


class _ByDocument(PageForm):
    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    reason = TextAreaField(_("Reason"), [Required()], render_kw={"maxlength": 500, "rows": 3})


class AdjustmentForm(_ByDocument):
    obligation = _NEW_OBLIGATION


class ScopeForm(_ByDocument):
    instruments = NoticeForm.instruments
    offset_percent = NoticeForm.offset_percent


def _status_first(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Move the status before the deadline: officers' tables have more columns than fit the screen."""
    last = ("deadline", "reminded_at")
    first = [each for each in columns if each.key not in last]
    return (*first, *(each for each in columns if each.key in last))


class NoticeView(NoticePages):
    """履约通知书: a province manages its own enterprises', the registry all."""

    route_base = "/compliance-notices"
    title = _("Compliance notices")
    menu = MenuEntry(COMPLIANCE, 3)
    guide = {"province": "履约通知书", "registry": "履约通知书与清缴记录"}
    grants = {
        AUTHORITIES: "list export show certificate",
        f"{PROVINCE} {REGISTRY_MAKER}": "write bulk",
    }
    detail_title = _("Compliance notice")
    columns = _status_first(NoticeList.columns)
    stacks_actions = True
    bulk_name, bulk_object = "number", "account"
    help = (
        *COUNTING,
        _("A reminder names obligation, gap and deadline; each enterprise gets one a day at most"),
        _("An obligation is never lowered beneath what was surrendered: refund first"),
    )

    def tools(self) -> Iterable[RowAction]:
        if self.may("write"):
            yield RowAction(_("New"), self.url("new"), icon="plus")
            yield RowAction(_("Import"), self.url("import_table"), icon="upload")

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Details"), self.url("show", id=row.id))
        if self.may("write"):
            yield RowAction(_("Adjust obligation"), self.url("adjust", id=row.id))
            yield RowAction(_("Adjust scope"), self.url("adjust_scope", id=row.id))
        yield from self.proof(row)

    def bulk_facts(self, ids: Sequence[int]) -> Sequence[tuple[Any, ...]]:
        """Return the enterprises and their obligations."""
        enterprises, obligation = db.session.execute(
            select(
                func.count(Notice.account_id.distinct()),
                cast(func.sum(Notice.obligation), BigInteger),
            ).where(Notice.id.in_(ids))
        ).one()
        return [
            (_("Number of enterprises"), enterprises, "number"),
            (_("Obligation"), obligation, "number", _("tonnes")),
        ]

    @action(
        "remind",
        _("Remind"),
        _("Send a reminder about the %(count)s notices chosen, by mail and text message?"),
        "bell",
        single=False,
    )
    def remind(self, ids: Sequence[int]) -> BulkResult:
        outcome = reminders.remind(ids, current_actor(), now=clock.now())
        refused = {id_: str(error) for id_, error in outcome.refused.items()}
        return BulkResult(done=outcome.done, refused=refused)

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Ask for the enterprise, then for the notice."""
        if "account" not in request.args:
            return choose_account(self, gettext("New compliance notice"))
        account = chosen_account()
        year = clock.now().year - 1
        offered = _instruments()
        usual = {
            "year": str(year),
            "deadline": f"{year + 1}-12-31 23:59:59",
            "instruments": [each.id for each in offered if _counts_for(each, year)],
        }
        form = NoticeForm(data=usual)
        form.instruments.choices = _choices(offered)
        if form.is_submitted() and form.validate():
            id_ = self._issue(form, account)
            if id_ is not None:
                return redirect(self.url("show", id=id_))
        facts = [
            (_("Member number"), account.member_no, "code"),
            (_("Member name"), account.name, "text"),
        ]
        return self._form(form, gettext("New compliance notice"), facts)

    def _issue(self, form: Any, account: Account) -> int | None:
        try:
            wanted = NewNotice(
                account.id,
                _year(form.year.data),
                notice_import.tonnes(form.obligation.data or ""),
                notice_import.moment(form.deadline.data or ""),
                tuple(form.instruments.data or ()),
                notice_import.percent(form.offset_percent.data or ""),
            )
            with transaction():
                (id_,) = notices.issue([wanted], current_actor(), now=clock.now())
        except RuleError as error:
            _refuse(form, error)
            return None
        flash(gettext("The compliance notice was issued"), "success")
        return id_

    @expose("/<int:id>/adjust", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def adjust(self, id: int) -> Any:
        notice = self.load(id)
        form = AdjustmentForm()
        if form.is_submitted() and form.validate():
            try:
                wanted = notice_import.tonnes(form.obligation.data or "")
                with transaction():
                    notices.adjust(
                        {notice.id: wanted},
                        current_actor(),
                        now=clock.now(),
                        document_no=form.document_no.data or "",
                        reason=form.reason.data or "",
                    ).one()
            except RuleError as error:
                _refuse(form, error)
            else:
                flash(gettext("The obligation was adjusted"), "success")
                return redirect(self.url("show", id=id))
        facts = notice_facts(self.figures(notice))
        return self._form(form, gettext("Adjust obligation"), facts, notice)

    @expose("/<int:id>/scope", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def adjust_scope(self, id: int) -> Any:
        notice = self.load(id)
        present = {
            "instruments": [each.id for each in notice.instruments],
            "offset_percent": shown_percent(notice.offset_percent),
        }
        form = ScopeForm(data=present)
        form.instruments.choices = _choices(_instruments())
        if form.is_submitted() and form.validate():
            try:
                with transaction():
                    notices.change_scope(
                        notice.id,
                        form.instruments.data or [],
                        notice_import.percent(form.offset_percent.data or ""),
                        current_actor(),
                        now=clock.now(),
                        document_no=form.document_no.data or "",
                        reason=form.reason.data or "",
                    )
            except RuleError as error:
                _refuse(form, error)
            else:
                flash(gettext("The scope of compliance was adjusted"), "success")
                return redirect(self.url("show", id=id))
        row = self.figures(notice)
        facts = [*notice_facts(row), *offset_facts(notice, row)]
        return self._form(form, gettext("Adjust scope"), facts, notice)

    @expose("/import", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def import_table(self) -> Any:
        """导入: all rows or none."""
        table = None
        if request.method == "POST":
            table = chosen_table(notice_import.COLUMNS)
            try:
                with transaction():
                    count = notice_import.import_table(table, current_actor(), now=clock.now())
            except RuleError as error:
                table.refuse(0, "", error.message)
            if table.is_clear:
                flash(gettext("%(count)s compliance notices were issued", count=count), "success")
                return redirect(self.url("list"))
        context = {
            "title": gettext("Import compliance notices"),
            "table": table,
            "templates": [(form.upper(), self.url("template", form=form)) for form in FORMS],
            "cancel_url": self.url("list"),
        }
        return self.render_template("compliance/import.html", **context), 400 if table else 200

    @expose("/import/template.<form>")
    @has_access
    @permission_name("write")
    def template(self, form: str) -> Any:
        return template_file(_("Compliance notices"), notice_import.COLUMNS, form)

    def _form(
        self, form: Any, title: str, facts: Sequence[Any], notice: Notice | None = None
    ) -> Any:
        page = self.render_template(
            "compliance/form.html",
            title=title,
            form=form,
            facts=facts,
            cancel_url=self.url("show", id=notice.id) if notice else self.url("list"),
        )
        return page, 400 if any(each.errors for each in form) else 200


def _instruments() -> Sequence[Instrument]:
    return db.session.scalars(
        select(Instrument).order_by(Instrument.vintage, Instrument.code)
    ).all()


def _choices(instruments: Sequence[Instrument]) -> list[tuple[int, str]]:
    return [
        (each.id, f"{each.code} {each.name}（{INSTRUMENT_KINDS[each.kind]}）")
        for each in instruments
    ]


def _counts_for(instrument: Instrument, year: int) -> bool:
    """Tell whether an instrument is ticked by default (domain.md 3.1); the officer decides."""
    if instrument.kind != "allowance":
        return False
    return instrument.vintage >= FIRST_NEW if year >= FIRST_NEW else instrument.vintage <= year


FIRST_NEW = 2025  # From this compliance year on, older vintages do not count.


def _year(text: str | None) -> int:
    typed = (text or "").strip()
    if not (typed.isascii() and typed.isdigit() and len(typed) == 4):
        raise RuleError(_("Enter the year in four digits"), field="year")
    return int(typed)


def _refuse(form: Any, error: RuleError) -> None:
    """Put a RuleError at its field, or at the form as a whole."""
    if error.field in form:
        form[error.field].errors = [*form[error.field].errors, error.message]
    else:
        flash(str(error), "danger")
