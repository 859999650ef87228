"""履约通知书办理: issuing, changing and revoking notices, singly or by a table, by two people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from flask import abort, g, redirect, request
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, case, cast, func, literal, select
from wtforms import HiddenField, SelectField

from app.domain.compliance.notices import Decision, Terms
from app.domain.errors import RuleError
from app.domain.workflow import Status
from app.extensions import db, transaction, undone
from app.models import Account, Application, Member, Notice
from app.operations.accounts import sectors
from app.operations.applications import engine
from app.operations.compliance import notices as compliance
from app.operations.imports import batches, notice_import
from app.operations.imports.tables import Table
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.security.roles import AUTHORITIES, PROVINCE, REGISTRY_MAKER
from app.views.applications import signing
from app.views.applications.form import (
    PLEASE_CHOOSE,
    ApplicationForm,
    Filled,
    Required,
    choices_of,
)
from app.views.applications.imports import ImportDesk
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfOffices
from app.views.applications.proposals import ACTS
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.obligations import (
    notice_facts,
    notices,
    offset_facts,
)
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction
from app.views.page import PageForm

MOST_SHOWN = 200  # rows of a preview


class _Decided(ApplicationForm):
    """The fields of every decision; ``notice`` is the one that it is about, if there is one."""

    notice: Notice | None = None
    is_revocation = False
    before = HiddenField()  # what the notice said when the form was opened
    reason = TextAreaField(
        _("Reason for the application"), [Required()], render_kw={"rows": 3, "maxlength": 500}
    )


# Forms show their fields in order of creation.
_YEAR = StringField(_("Compliance year"), [Required()], render_kw={"maxlength": 4})
_SECTOR = SelectField(_("Sector"), [Required()], validate_choice=False)


class _TermsForm(_Decided):
    """What a notice is to say; validated by the rules of the import."""

    obligation = StringField(
        _("Obligation (tonnes)"),
        [Required()],
        render_kw={"maxlength": 20, "inputmode": "numeric", "autocomplete": "off"},
    )


def _document(*marks: Any) -> Any:
    return StringField(
        _("Number of the authority document"), list(marks), render_kw={"maxlength": 100}
    )


class IssueForm(_TermsForm):
    """新增履约通知书."""

    year = _YEAR
    sector = _SECTOR
    document_no = _document()


class ChangeForm(_TermsForm):
    """调整."""

    document_no = _document(Required())


class RevocationForm(_Decided):
    """撤销."""

    is_revocation = True
    document_no = _document(Required())


class TakeBackForm(PageForm):
    """撤销 of all that one file did."""

    document_no = _document(Required())
    reason = TextAreaField(_("Reason"), [Required()], render_kw={"maxlength": 500, "rows": 3})


def _tonnes(side: str) -> Any:
    return cast(Application.proposal[side]["obligation"].astext, BigInteger)


_TOTALS = [
    {"label": _("Compliance year"), "kind": "code"},
    {"label": _("Sector"), "kind": "text"},
    {"label": _("New notices"), "kind": "number"},
    {"label": _("Changed notices"), "kind": "number"},
    {"label": _("Revoked notices"), "kind": "number"},
    {"label": _("Obligation before"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Obligation after"), "kind": "number", "unit": _("tonnes")},
]
_ACT = case(
    (~Application.proposal.has_key("before"), literal("issue")),
    (~Application.proposal.has_key("after"), literal("withdraw")),
    else_=literal("change"),
)


class NoticeDecisionView(OfOffices, ImportDesk):
    """履约通知书办理: a province decides for its own enterprises, the registry for all."""

    route_base = "/notice-decisions"
    kind = "notice"
    title = _("Notice decisions")
    menu = MenuEntry(COMPLIANCE, 4)
    guide = {"province": "履约通知书", "registry": "履约通知书与清缴记录"}
    grants = {AUTHORITIES: "list export show", f"{PROVINCE} {REGISTRY_MAKER}": "write bulk"}
    form_title = _("New compliance notice")
    form = IssueForm
    importer = notice_import
    import_label = _("Import compliance notices")
    import_page = "compliance/import.html"
    file_title = _("Compliance notices")
    outside_the_table = {
        "reason": _("Reason for the application"),
        "document_no": _("Number of the authority document"),
    }
    columns = (
        *usual_columns("number", "member_no", "account", hidden=("member_no",)),
        Column("act", _("What"), kind="status", choices=ACTS),
        Column("year", _("Compliance year"), kind="code"),
        Column("sector", _("Sector"), choices=SECTORS),
        Column("before", _("Obligation before"), kind="quantity"),
        Column("after", _("Obligation after"), kind="quantity"),
        Column("document_no", _("Number of the authority document"), kind="code", is_shown=False),
        Column("import_id", _("Import batch"), kind="code"),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(has_lines=False),
        Filter("act", _("What"), kind="choice", choices=ACTS),
        Filter("year", _("Compliance year"), kind="number"),
        Filter("sector", _("Sector"), kind="choice", choices=SECTORS),
        Filter("import", _("Import batch"), kind="number", on=("import_id",)),
    )
    confirm = _("It takes effect once another officer has approved it. Submit it?")
    help = (
        _("Issuing, changing or revoking a notice takes two people of the same authority"),
        _(
            "A notice is of an enterprise, a year and a sector; the plan of both says when it is due"
        ),
        _("Revoking is possible before the first surrender; afterwards the notice is changed"),
        _("In the review list, the condition import batch finds all that came with one table"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what is decided."""
        return (
            super()
            .rows(conditions)
            .add_columns(
                _ACT.label("act"),
                cast(Application.proposal["year"].astext, BigInteger).label("year"),
                Application.proposal["sector"].astext.label("sector"),
                _tonnes("before").label("before"),
                _tonnes("after").label("after"),
                Application.import_id,
            )
        )

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        """Show its batch to all."""
        yield from super().detail_actions(application, status)
        if application.import_id:
            address = self.url("imported", import_id=application.import_id)
            yield RowAction(_("Import batch"), address)

    def bulk_facts(self, ids: Sequence[int]) -> Sequence[tuple[Any, ...]]:
        """Return enterprises, and obligations before and after."""
        before, after = db.session.execute(
            select(func.sum(_tonnes("before")), func.sum(_tonnes("after"))).where(
                Application.id.in_(ids)
            )
        ).one()
        return [
            *super().bulk_facts(ids),
            (_("Obligation before"), int(before or 0), "number", _("tonnes")),
            (_("Obligation after"), int(after or 0), "number", _("tonnes")),
        ]

    # The form -----------------------------------------------------------------------------------

    def title_of(self, form: Any) -> Any:
        """Name what the form does."""
        if form.notice is None:
            return self.form_title
        return _("Take back a notice") if form.is_revocation else _("Adjust a notice")

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Add the notice that is changed or revoked."""
        notice = self._notice(account_id)
        if notice is None:
            return super().form_facts(account_id)
        row = db.session.execute(notices().where(Notice.id == notice.id)).one()
        return [*notice_facts(row), *offset_facts(row)]

    def new_form(self, account_id: int) -> Any:
        notice = self._notice(account_id)
        if notice is None:
            return _prepared(IssueForm(data=_usual(account_id)), None, account_id)
        if request.args.get("act") == "withdraw":
            return _prepared(RevocationForm(data=_shown(notice)), notice)
        return _prepared(ChangeForm(data=_shown(notice)), notice)

    def edit_form(self, application: Application) -> Any:
        """Return the form filled in; a rule compares what the notice said then with what it says now."""
        decision, notice = Decision.read(application.proposal), application.notice
        found = {name: getattr(application, name) for name in ("reason", "document_no")}
        found |= _typed(decision.after) | {"year": str(decision.year), "sector": decision.sector}
        if notice is None:
            return _prepared(IssueForm(data=found), None, application.account_id)
        found["before"] = json.dumps(decision.before.stored()) if decision.before else ""
        form = RevocationForm if decision.after is None else ChangeForm
        return _prepared(form(data=found), notice)

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the decision.  Raises RuleError where a field cannot be read."""
        form = filled.form
        before = _before(form) if form.notice else None
        if form.notice and (before is None or form.notice.withdrawn_at):
            message = gettext("The notice was revoked or changed meanwhile; enter it anew")
            raise RuleError(message, field="obligation", code="changed_meanwhile")
        year = form.notice.year if form.notice else _year(filled)
        sector = form.notice.sector if form.notice else _sector(filled)
        after = None if form.is_revocation else _terms_of(filled)
        if not filled.is_clear:
            raise RuleError(gettext("Please correct the fields marked"), code="fields")
        return {
            **form.content(),
            "notice_id": form.notice.id if form.notice else None,
            "proposal": Decision(year, sector, before, after).stored(),
        }

    def _notice(self, account_id: int) -> Notice | None:
        """Return the notice that the application or the address names; 404 for another account's."""
        if id_ := (request.view_args or {}).get("id"):
            return db.session.get_one(Application, id_).notice
        text = request.args.get("notice", "")
        if not text:
            return None
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        notice = db.session.get(Notice, number)
        if notice is None or notice.withdrawn_at or notice.account_id != account_id:
            abort(404)
        return notice

    # Import batches -----------------------------------------------------------------------------

    def take(self, table: Table) -> batches.Imported:
        """Import with the reason and the document that the form names."""
        return notice_import.take(
            table,
            self.actor(),
            now=clock.now(),
            reason=request.form.get("reason", "").strip(),
            document_no=request.form.get("document_no", "").strip(),
            only_tries=True,
        )

    def facts_of(self, batch: batches.Batch) -> list[tuple[Any, ...]]:
        """Add the rows that change nothing, and the reason."""
        same = batch.file.rows - batch.statuses.total()
        found = [*super().facts_of(batch), (_("Rows that change nothing"), same, "number")]
        about = select(Application.reason, Application.document_no)
        row = db.session.execute(about.where(Application.import_id == batch.file.id)).first()
        if row:
            found.append((_("Number of the authority document"), row.document_no, "text"))
            found.append((_("Reason for the application"), row.reason, "text"))
        return found

    def preview(self, batch: batches.Batch) -> list[dict[str, Any]]:
        """Return totals by year and sector, what is changed, and what is issued."""
        of_batch = Application.import_id == batch.file.id
        each = (
            select(
                Application.proposal["year"].astext.label("year"),
                Application.proposal["sector"].astext.label("sector"),
                _ACT.label("act"),
                func.coalesce(_tonnes("before"), 0).label("before"),
                func.coalesce(_tonnes("after"), 0).label("after"),
            )
            .where(of_batch)
            .subquery("each")
        ).c
        totals = db.session.execute(
            select(
                each.year,
                each.sector,
                func.count().filter(each.act == "issue"),
                func.count().filter(each.act == "change"),
                func.count().filter(each.act == "withdraw"),
                cast(func.sum(each.before), BigInteger),
                cast(func.sum(each.after), BigInteger),
            )
            .group_by(each.year, each.sector)
            .order_by(each.year, each.sector)
        )
        rows = [[year, SECTORS.get(sector, sector or ""), *rest] for year, sector, *rest in totals]
        tables = [{"title": _("Totals"), "columns": _TOTALS, "rows": rows}]
        acts = {"change": _("Changed notices"), "issue": _("New notices"),
                "withdraw": _("Revoked notices")}  # fmt: skip
        for act, title in acts.items():
            tables += _differences(of_batch & (act == _ACT), title)
        return tables

    def batch_actions(self, batch: batches.Batch) -> list[dict[str, Any]]:
        """Only the authority that imported it goes on with it; add 撤销, once it has taken effect."""
        importer = db.session.get(Member, batch.file.imported_by)
        is_ours = importer is not None and importer.province == g.user.province
        found = super().batch_actions(batch) if is_ours else []
        if batch.statuses[Status.APPROVED]:
            address = self.url("take_back", import_id=batch.file.id)
            label = gettext("Revoke the batch")
            found.append({"label": label, "url": address, "method": "get", "tone": "danger"})
        return found

    @expose("/import/<int:import_id>/take-back", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def take_back(self, import_id: int) -> Any:
        """Propose the opposite of all that a file did; another officer approves it."""
        batch, form, page = (
            self._batch(import_id),
            TakeBackForm(),
            self.url("imported", import_id=import_id),
        )
        if form.validate_on_submit():
            try:
                made = self._take_back(batch, form)
            except engine.NoneSubmitted as error:
                return signing.none_submitted(error, page)
            except RuleError as error:
                field = form[error.field if error.field in form else "reason"]
                field.errors = [*field.errors, str(error)]
            else:
                return redirect(self.url("imported", import_id=made))
        return self.form_page(
            gettext("Revoke the batch"),
            form,
            cancel_url=page,
            facts=self.facts_of(batch),
            submit_label=gettext("Preview"),
            help=(
                _(
                    "Notices that the file issued are revoked; those that it changed are changed back"
                ),
                _("One notice with a surrender, and nothing is submitted: all of them are named"),
                _("Notices that were changed or revoked again since stay as they are"),
            ),
        )

    def _take_back(self, batch: batches.Batch, form: Any) -> int:
        """Draft the opposite as a batch of its own; what would be refused is not drafted."""
        with transaction():
            made = notice_import.take_back(
                batch.file.id,
                self.actor(),
                now=clock.now(),
                reason=(form.reason.data or "").strip(),
                document_no=(form.document_no.data or "").strip(),
            )
            with undone():
                engine.submit_all(batches.drafts(made), self.actor(), now=clock.now())
        return made


# Fields -----------------------------------------------------------------------------------------


def _prepared(form: Any, notice: Notice | None, account_id: int = 0) -> Any:
    form.notice = notice
    if "sector" in form:
        own = sectors.of_accounts([account_id]).get(account_id, [])
        if form.sector.data in SECTORS and form.sector.data not in own:
            own = [*own, form.sector.data]  # What was chosen stays to be seen.
        offered = {code: SECTORS.get(code, code) for code in own}
        form.sector.choices = choices_of(offered, PLEASE_CHOOSE)
    return form


def _before(form: Any) -> Terms | None:
    """Return what the notice said when the form was opened; a rule compares it with what it says now."""
    try:
        return Terms.read(json.loads(form.before.data or "{}"))
    except (ValueError, TypeError, KeyError, ArithmeticError):
        return None  # Not as this page wrote it.


def _shown(notice: Notice) -> dict[str, Any]:
    """Return a notice as form data."""
    terms = compliance.terms_of(notice.id)
    return _typed(terms) | {"before": json.dumps(terms.stored()) if terms else ""}


def _typed(terms: Terms | None) -> dict[str, Any]:
    return terms.stored() if terms else {}


def _usual(account_id: int) -> dict[str, Any]:
    """Return what a new notice usually is about: the past year, and the enterprise's only sector."""
    own = sectors.of_accounts([account_id]).get(account_id, [])
    return {"year": str(clock.now().year - 1), "sector": own[0] if len(own) == 1 else ""}


def _year(filled: Filled) -> int:
    typed = (filled.form.year.data or "").strip()
    if not (typed.isascii() and typed.isdigit() and len(typed) == 4):
        message = _("Enter the year in four digits, not %(typed)s", typed=typed[:30] or "–")
        filled.refuse(RuleError(message, field="year"))
        return 0
    return int(typed)


def _sector(filled: Filled) -> str:
    """Return the sector chosen; a rule says whether the enterprise is in it."""
    chosen = filled.form.sector.data or ""
    if chosen not in SECTORS:
        message = _("Choose a sector of the enterprise, not %(typed)s", typed=chosen[:20] or "–")
        filled.refuse(RuleError(message, field="sector"))
    return chosen


def _terms_of(filled: Filled) -> Terms | None:
    """Read the obligation; what cannot be read is marked."""
    try:
        return Terms(notice_import.tonnes(filled.form.obligation.data or ""))
    except RuleError as error:
        filled.refuse(RuleError(error.message, field="obligation"))
        return None


def _differences(condition: Any, title: Any) -> list[dict[str, Any]]:
    """Return a table of the notices concerned, old and new; nothing where there are none."""
    found = db.session.execute(
        select(Account.member_no, Account.name, Application.proposal)
        .join(Account, Account.id == Application.account_id)
        .where(condition)
        .order_by(Application.id)
        .limit(MOST_SHOWN + 1)
    ).all()
    if not found:
        return []
    rows = []
    for number, name, proposal in found[:MOST_SHOWN]:
        decision = Decision.read(proposal)
        sides = [each.obligation if each else None for each in (decision.before, decision.after)]
        sector = str(SECTORS.get(decision.sector, decision.sector))
        rows.append([number, name, str(decision.year), sector, *sides])
    columns = [
        {"label": _("Member number"), "kind": "code"},
        {"label": _("Member name"), "kind": "text"},
        {"label": _("Compliance year"), "kind": "code"},
        {"label": _("Sector"), "kind": "text"},
        {"label": _("Obligation before"), "kind": "number", "unit": _("tonnes")},
        {"label": _("Obligation after"), "kind": "number", "unit": _("tonnes")},
    ]
    if len(found) > MOST_SHOWN:
        title = gettext("%(title)s: the first %(most)s", title=title, most=MOST_SHOWN)
    return [{"title": title, "columns": columns, "rows": rows}]
