"""履约通知书 (manual 五-一): an enterprise's own, with 履约范围; and the officers who issue them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from sqlalchemy import ColumnElement, Select, case, func, literal, select, true
from sqlalchemy.orm import joinedload, selectinload
from wtforms import SelectMultipleField, StringField, TextAreaField
from wtforms.widgets import CheckboxInput, ListWidget

from app.domain.errors import NotFound, RuleError
from app.domain.regions import PROVINCES
from app.extensions import db, transaction
from app.models import Account, Attestation, Instrument, Member, Notice, NoticeChange
from app.operations import attestations, clock, compliance, notice_import
from app.operations.account_details import SECTORS
from app.operations.actor import Actor
from app.operations.compliance import NewNotice
from app.operations.tables import FORMS
from app.security.scope import require_scope, scope_of, scoped
from app.views.application_form import Required
from app.views.columns import Column
from app.views.conditions import Filter
from app.views.imports import chosen_table, template_file
from app.views.listing import Action as RowAction
from app.views.listing import BulkAction, BulkResult, Conditions, ListPage, back_url
from app.views.officer_desk import MOST_ACCOUNTS

DUE, PARTIAL, FULFILLED, OVERDUE = "due", "partial", "fulfilled", "overdue"
STATES = {
    DUE: (_("Not fulfilled"), "amber"),
    PARTIAL: (_("Partly fulfilled"), "blue"),
    FULFILLED: (_("Fulfilled"), "green"),
    OVERDUE: (_("Overdue"), "red"),
}
INSTRUMENT_KINDS = {"allowance": _("Allowance"), "offset": _("CCER")}
COUNTING = (
    _("Obligation: all that must be surrendered; pending: submitted and waiting for the authority"),
    _("Surrendered: submitted, approved, and not refunded"),
    _("Remaining = obligation - surrendered - pending; no more than that can be submitted"),
)


def state_of(surrendered: Any, now: datetime) -> ColumnElement[str]:
    """Return how a notice stands, from what was surrendered for it and the time."""
    return case(
        (surrendered >= Notice.obligation, literal(FULFILLED)),
        (Notice.deadline < now, literal(OVERDUE)),
        (surrendered > 0, literal(PARTIAL)),
        else_=literal(DUE),
    )


def notices() -> Any:
    """Return a SELECT of every notice with its figures; the figures are read for shown rows alone."""
    figures = compliance.standing()
    remaining = Notice.obligation - figures.c.surrendered - figures.c.pending
    return (
        select(
            Notice.id,
            Notice.account_id,
            Notice.year,
            Notice.number,
            Notice.obligation,
            Notice.deadline,
            Notice.reminded_at,
            Notice.issued_at,
            Account.member_no,
            Account.name.label("account"),
            Account.province,
            Account.sector,
            *figures.c,
            func.greatest(remaining, 0).label("remaining"),
            func.greatest(Notice.obligation - figures.c.surrendered, 0).label("gap"),
            state_of(figures.c.surrendered, clock.now()).label("state"),
            Attestation.id.label("attestation_id"),
        )
        .join(Account, Account.id == Notice.account_id)
        .outerjoin(figures, true())
        .outerjoin(
            Attestation,
            (Attestation.notice_id == Notice.id) & Attestation.lapsed_at.is_(None),
        )
    )


class NoticeList(ListPage):
    """Notices with what was surrendered for them."""

    account_column = "account_id"
    key = ("id",)
    columns: tuple[Column, ...] = (
        Column("year", _("Compliance year"), kind="code"),
        Column("number", _("Notice number"), kind="code"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("province", _("Province"), is_shown=False, choices=PROVINCES),
        Column("sector", _("Sector"), is_shown=False, choices=SECTORS),
        Column("obligation", _("Obligation"), kind="quantity"),
        Column("pending", _("Quantity pending review"), kind="quantity"),
        Column("surrendered", _("Surrendered for the notice"), kind="quantity"),
        Column("remaining", _("Remaining"), kind="quantity"),
        Column("deadline", _("Deadline"), kind="datetime"),
        Column("reminded_at", _("Reminded at"), kind="datetime", is_shown=False),
        Column("state", _("Status"), kind="status", choices=STATES),
    )
    filters: tuple[Filter, ...] = (
        Filter("year", _("Compliance year"), kind="number"),
        Filter("state", _("Status"), kind="choice", choices=STATES),
        Filter("number", _("Notice number"), kind="prefix"),
        Filter("deadline", _("Deadline"), kind="date_range"),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
        Filter("sector", _("Sector"), kind="choice", is_of_others=True, choices=SECTORS),
        Filter("province", _("Province"), kind="choice", is_of_others=True, choices=PROVINCES),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return every notice."""
        return notices()

    def may(self, permission: str, view: str = "") -> bool:
        """Tell whether the member holds a permission on this page, or on another."""
        return self.appbuilder.sm.has_access(
            f"can_{permission}", view or self.class_permission_name
        )

    def url(self, method: str, **arguments: Any) -> str:
        """Return the address of one of this page's methods."""
        return url_for(f"{self.endpoint}.{method}", **arguments)


class _NoticePages(NoticeList):
    """A list whose rows have a page of their own, and their certificate."""

    detail_title: Any

    def load(self, id_: int) -> Notice:
        """Return a notice in the member's scope, or answer 404."""
        statement = (
            select(Notice)
            .where(Notice.id == id_)
            .options(joinedload(Notice.account), selectinload(Notice.instruments))
        )
        owner = Notice.__table__.c.account_id
        notice = db.session.scalars(scoped(statement, owner, g.user)).one_or_none()
        if notice is None:
            abort(404)
        return notice

    def figures(self, notice: Notice) -> Any:
        """Return the row that the list shows of a notice."""
        return db.session.execute(notices().where(Notice.id == notice.id)).one()

    def proof(self, row: Any) -> Iterable[RowAction]:
        """履约证明, once all is surrendered (R84)."""
        if row.state != FULFILLED or not self.may("certificate"):
            return
        label = _("Certificate of compliance")
        if row.attestation_id:
            url = url_for("AttestationView.pdf", id=row.attestation_id)
            yield RowAction(label, url, keeps_place=False)
        else:
            yield RowAction(label, self.url("certificate", id=row.id), method="post")

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """履约范围: what may be surrendered, the rule about CCER, what is used; and the history."""
        notice = self.load(id)
        row = self.figures(notice)
        label, tone = STATES[row.state]
        detail = {
            "title": self.detail_title,
            "number": notice.number,
            "status": {"label": label, "tone": tone},
            "actions": [
                {"label": each.label, "url": each.url, "method": each.method, "tone": ""}
                for each in self.actions(row)
                if each.url != self.url("show", id=id)
            ],
            "sections": [
                {"title": _("Compliance notice"), "items": notice_facts(row)},
                {"title": _("Rule about CCER"), "items": offset_facts(notice, row)},
            ],
            "lines": _scope_table(notice),
            "help": COUNTING,
            "back_url": back_url(self.url("list")),
        }
        return self.render_template(
            "compliance/notice.html", detail=detail, history=_history(notice.id)
        )

    @expose("/<int:id>/certificate", methods=["POST"])
    @has_access
    @permission_name("certificate")
    def certificate(self, id: int) -> Any:
        """Issue 履约证明 where the approval did not, and show it."""
        notice = self.load(id)
        try:
            with transaction():
                found = attestations.certify_notice(notice.id, _actor(), clock.now())
                attestation_id = found.id
        except RuleError as error:
            flash(str(error), "danger")
            return redirect(self.url("show", id=id))
        return redirect(url_for("AttestationView.pdf", id=attestation_id))


class ComplianceView(_NoticePages):
    """履约清缴 (manual 五-一): an enterprise's own notices."""

    route_base = "/compliance"
    title = _("Compliance")
    detail_title = _("Scope of compliance")
    filters = tuple(each for each in NoticeList.filters if not each.is_of_others)
    help = (
        *COUNTING,
        _("Scope of compliance: which instruments count, and the rule about CCER"),
        _("Once everything is surrendered the certificate of compliance can be downloaded"),
    )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """履约范围 and 履约申请."""
        yield RowAction(_("Scope of compliance"), self.url("show", id=row.id))
        if row.remaining > 0 and self.may("write", "SurrenderView"):
            yield RowAction(_("Surrender application"), url_for("SurrenderView.new", notice=row.id))
        yield from self.proof(row)


class NoticeForm(FlaskForm):
    """新增履约通知书; what is typed is read by the rules of the import."""

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


# Before those of the document, since forms show their fields in the order they were made.
_NEW_OBLIGATION = StringField(
    _("New obligation (tonnes)"),
    [Required()],
    render_kw={"maxlength": 20, "inputmode": "numeric", "autocomplete": "off"},
)


class _ByDocument(FlaskForm):
    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    reason = TextAreaField(_("Reason"), [Required()], render_kw={"maxlength": 500, "rows": 3})


class AdjustmentForm(_ByDocument):
    """调整应履约量."""

    obligation = _NEW_OBLIGATION


class ScopeForm(_ByDocument):
    """调整履约范围."""

    instruments = NoticeForm.instruments
    offset_percent = NoticeForm.offset_percent


def _status_first(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Put the status before the deadline: officers have more columns than a screen is wide."""
    last = ("deadline", "reminded_at")
    first = [each for each in columns if each.key not in last]
    return (*first, *(each for each in columns if each.key in last))


class NoticeView(_NoticePages):
    """履约通知书: a province issues and adjusts its own enterprises', the registry all."""

    route_base = "/compliance-notices"
    title = _("Compliance notices")
    detail_title = _("Compliance notice")
    columns = _status_first(NoticeList.columns)
    stacks_actions = True
    bulk = (
        BulkAction(
            "remind",
            _("Remind"),
            _("Send a reminder about the %(count)s notices chosen, by mail and text message?"),
            icon="bell",
        ),
    )
    bulk_name, bulk_object = "number", "account"
    help = (
        *COUNTING,
        _("A reminder names obligation, gap and deadline; each enterprise gets one a day at most"),
        _("An obligation is never lowered beneath what was surrendered: refund first"),
    )

    def tools(self) -> Iterable[RowAction]:
        """新增 and 导入."""
        if self.may("write"):
            yield RowAction(_("New"), self.url("new"), icon="plus")
            yield RowAction(_("Import"), self.url("import_table"), icon="upload")

    def actions(self, row: Any) -> Iterable[RowAction]:
        """详情 and what can be changed."""
        yield RowAction(_("Details"), self.url("show", id=row.id))
        if self.may("write"):
            yield RowAction(_("Adjust obligation"), self.url("adjust", id=row.id))
            yield RowAction(_("Adjust scope"), self.url("adjust_scope", id=row.id))
        yield from self.proof(row)

    def on_bulk(self, name: str, ids: Sequence[int]) -> BulkResult:
        """提醒."""
        outcome = compliance.remind(ids, _actor(), now=clock.now())
        refused = {id_: str(error) for id_, error in outcome.refused.items()}
        return BulkResult(done=outcome.done, refused=refused)

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Ask for the enterprise, then for the notice."""
        if "account" not in request.args:
            return self._choose_account()
        account = self._account()
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
                (id_,) = compliance.issue([wanted], _actor(), now=clock.now())
        except RuleError as error:
            _refuse(form, error)
            return None
        flash(gettext("The compliance notice was issued"), "success")
        return id_

    @expose("/<int:id>/adjust", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def adjust(self, id: int) -> Any:
        """调整应履约量."""
        notice = self.load(id)
        form = AdjustmentForm()
        if form.is_submitted() and form.validate():
            try:
                wanted = notice_import.tonnes(form.obligation.data or "")
                with transaction():
                    compliance.adjust(
                        {notice.id: wanted},
                        _actor(),
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
        """调整履约范围."""
        notice = self.load(id)
        present = {
            "instruments": [each.id for each in notice.instruments],
            "offset_percent": _shown_percent(notice.offset_percent),
        }
        form = ScopeForm(data=present)
        form.instruments.choices = _choices(_instruments())
        if form.is_submitted() and form.validate():
            try:
                with transaction():
                    compliance.change_scope(
                        notice.id,
                        form.instruments.data or [],
                        notice_import.percent(form.offset_percent.data or ""),
                        _actor(),
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
        """导入: a table of notices, all or none."""
        table = None
        if request.method == "POST":
            table = chosen_table(notice_import.COLUMNS)
            try:
                with transaction():
                    count = notice_import.import_table(table, _actor(), now=clock.now())
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
        """Give the table to fill in."""
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

    def _account(self) -> Account:
        """Return the enterprise that the address names, if it is in scope."""
        text = request.args.get("account", "")
        account = (
            db.session.get(Account, int(text))
            if text.isascii() and text.isdigit() and len(text) < 10
            else None
        )
        if account is None or account.kind != "enterprise":
            abort(404)
        try:
            require_scope(account.id, g.user)
        except NotFound:
            abort(404)
        return account

    def _choose_account(self) -> Any:
        asked = (request.args.get("q") or "").strip()[:100].replace("\x00", "")
        ids = Account.__table__.c.id
        statement = scoped(select(Account).where(Account.kind == "enterprise"), ids, g.user)
        if asked:
            statement = statement.where(
                Account.member_no.startswith(asked, autoescape=True)
                | Account.name.contains(asked, autoescape=True)
            )
        found = statement.order_by(Account.member_no).limit(MOST_ACCOUNTS)
        return self.render_template(
            "choose_account.html",
            title=gettext("New compliance notice"),
            asked=asked,
            rows=db.session.scalars(found).all(),
            most=MOST_ACCOUNTS,
            url=lambda account: self.url("new", account=account.id),
            cancel_url=self.url("list"),
        )


def notice_facts(row: Any) -> list[tuple[Any, ...]]:
    """Return the figures of a notice as forms and details show them."""
    facts: list[tuple[Any, ...]] = [
        (_("Notice number"), row.number, "code"),
        (_("Compliance year"), str(row.year), "text"),
    ]
    if scope_of(g.user) != "account":
        facts += [
            (_("Member number"), row.member_no, "code"),
            (_("Member name"), row.account, "text"),
        ]
    return [
        *facts,
        (_("Obligation"), row.obligation, "number", _("tonnes")),
        (_("Quantity pending review"), row.pending, "number", _("tonnes")),
        (_("Surrendered for the notice"), row.surrendered, "number", _("tonnes")),
        (_("Remaining"), row.remaining, "number", _("tonnes")),
        (_("Deadline"), row.deadline, "datetime"),
    ]


def offset_facts(notice: Notice, row: Any) -> list[tuple[Any, ...]]:
    """Return the rule about CCER and what of it is used."""
    if not notice.offset_percent:
        return [(_("Share of CCER"), _("Not accepted by this notice"), "text")]
    used = row.offset_surrendered + row.offset_pending
    limit = notice.offset_limit
    return [
        (_("Share of CCER"), f"{_shown_percent(notice.offset_percent)}%", "text"),
        (_("At most"), limit, "number", _("tonnes")),
        (_("Used, pending ones included"), used, "number", _("tonnes")),
        (_("Left"), max(limit - used, 0), "number", _("tonnes")),
    ]


def _scope_table(notice: Notice) -> dict[str, Any]:
    columns = (
        (_("Instrument code"), "code"),
        (_("Instrument name"), "text"),
        (_("Vintage"), "text"),
        (_("Type"), "text"),
    )
    return {
        "title": _("Instruments accepted"),
        "columns": [{"label": label, "kind": kind} for label, kind in columns],
        "rows": [
            [each.code, each.name, str(each.vintage), INSTRUMENT_KINDS[each.kind]]
            for each in notice.instruments
        ],
    }


def _history(notice_id: int) -> dict[str, Any]:
    """Return the changes of a notice; where the obligation stayed, the scope was changed."""
    rows = db.session.execute(
        select(NoticeChange, Member.first_name)
        .join(Member, Member.id == NoticeChange.changed_by)
        .where(NoticeChange.notice_id == notice_id)
        .order_by(NoticeChange.id.desc())
        .limit(200)
    )
    columns = (
        (_("Changed at"), "datetime"),
        (_("What"), "text"),
        (_("Before"), "number"),
        (_("After"), "number"),
        (_("Number of the authority document"), "text"),
        (_("Reason"), "text"),
        (_("Changed by"), "text"),
    )
    what = {True: _("Scope of compliance"), False: _("Obligation")}
    return {
        "columns": [
            {"label": label, "kind": kind, "unit": _("tonnes") if kind == "number" else ""}
            for label, kind in columns
        ],
        "rows": [
            (
                each.changed_at,
                what[each.before == each.after],
                each.before,
                each.after,
                each.document_no,
                each.reason,
                name,
            )
            for each, name in rows
        ],
    }


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
    """Tell what is ticked to begin with (domain.md 3.1); the officer decides."""
    if instrument.kind != "allowance":
        return False
    return instrument.vintage >= FIRST_NEW if year >= FIRST_NEW else instrument.vintage <= year


FIRST_NEW = 2025  # From this compliance year on, older vintages no longer count.


def _year(text: str | None) -> int:
    typed = (text or "").strip()
    if not (typed.isascii() and typed.isdigit() and len(typed) == 4):
        raise RuleError(_("Enter the year in four digits"), field="year")
    return int(typed)


def _shown_percent(percent: Decimal) -> str:
    return f"{percent.normalize():f}" if percent else ""


def _refuse(form: Any, error: RuleError) -> None:
    """Put a RuleError at its field, or on top of the page."""
    if error.field in form:
        form[error.field].errors = [*form[error.field].errors, error.message]
    else:
        flash(str(error), "danger")


def _actor() -> Actor:
    return Actor.of(g.user, request.remote_addr or "")
