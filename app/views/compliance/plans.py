"""年度方案: what holds for a compliance year and sector; to read for all, changed by two officers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import abort, g, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, case, cast, func, literal, select
from wtforms import SelectField

from app.domain.compliance.plans import FIELDS, STANDINGS, PlanDecision, PlanField, read
from app.domain.errors import RuleError
from app.domain.kinds.compliance.plan import PlanApplication
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Account, AccountSector, Application, Plan
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.security.roles import READERS
from app.security.scope import scope_of, scoped
from app.views.applications.form import (
    DATE_INPUT,
    PLEASE_CHOOSE,
    ApplicationForm,
    DayField,
    Filled,
    Required,
    choices_of,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url

DESK = "PlanDecisionView"  # where plans are decided upon
LONG = 200  # From this length on a field is an area of several lines.
GUIDE = dict.fromkeys(("enterprise", "province", "registry"), "年度方案")
ACTS = {"issue": (_("New plan"), "blue"), "change": (_("Adjust"), "amber")}
BEGUN, TO_COME = "begun", "to_come"
BEGINNINGS = {BEGUN: (_("In effect"), "green"), TO_COME: (_("Not in force yet"), "amber")}


def sectors_in_scope(member: Any) -> Any:
    """Return the codes of the sectors that a member's enterprises are or were in; None: all."""
    if scope_of(member) == "all":
        return None
    mine = select(AccountSector.sector).join(Account, Account.id == AccountSector.account_id)
    return scoped(mine, AccountSector.account_id, member)


class PlanView(ListPage):
    """The plans by year and sector, with their latest versions."""

    route_base = "/plans"
    title = _("Plans of the years")
    menu = MenuEntry(COMPLIANCE, 7)
    guide = GUIDE
    grants = {READERS: "list export show"}
    account_column = None  # They are of sectors.
    key = ("year", "sector")
    columns = (
        Column("year", _("Compliance year"), kind="code"),
        Column("sector", _("Sector"), choices=SECTORS),
        Column("method", _("Allocation method")),
        Column("share", _("Pre-allocation share (%)"), kind="code"),
        Column("surrender_by", _("Surrender by"), kind="datetime"),
        Column("vintages", _("Vintages accepted"), kind="code"),
        Column("offset_percent", _("Share of CCER (%)"), kind="code"),
        Column("standing", _("Standing"), choices=STANDINGS),
        Column("document_no", _("Number of the document"), kind="code", is_shown=False),
        Column("documented_on", _("Date of the document"), kind="date", is_shown=False),
        Column("starts_on", _("In force from"), kind="date"),
        Column("state", _("Status"), kind="status", choices=BEGINNINGS),
    )
    filters = (
        Filter("year", _("Compliance year"), kind="number"),
        Filter("sector", _("Sector"), kind="choice", choices=SECTORS),
        Filter("standing", _("Standing"), kind="choice", choices=STANDINGS),
    )
    help = (
        _(
            "A plan says for a year and a sector how allowances are given out, and how they are surrendered"
        ),
        _(
            "Notices follow their plan: a deadline that is prolonged here is prolonged for all of them"
        ),
        _("Drafts for consultation, and what was not read in full, say so"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return the latest version of each plan in scope."""
        newest = select(func.max(Plan.id)).group_by(Plan.year, Plan.sector)
        today = clock.now().astimezone(BEIJING).date()
        statement: Select = select(
            Plan.id,
            Plan.year,
            Plan.sector,
            Plan.method,
            func.trim_scale(Plan.pre_allocation_share).label("share"),
            Plan.surrender_by,
            func.array_to_string(Plan.vintages, "、").label("vintages"),
            func.trim_scale(Plan.offset_percent).label("offset_percent"),
            case((Plan.is_draft, literal("draft")), else_=literal("final")).label("standing"),
            Plan.document_no,
            Plan.documented_on,
            Plan.starts_on,
            case((Plan.starts_on <= today, literal(BEGUN)), else_=literal(TO_COME)).label("state"),
        ).where(Plan.id.in_(newest))
        mine = sectors_in_scope(g.user)
        return statement if mine is None else statement.where(Plan.sector.in_(mine))

    def tools(self) -> Iterable[RowAction]:
        if self.may("write", DESK):
            yield RowAction(_("New plan"), url_for(f"{DESK}.new"), icon="plus")

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Details"), self.url("show", id=row.id))
        if self.may("write", DESK):
            yield RowAction(_("Adjust"), url_for(f"{DESK}.new", plan=row.id))

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show one version, and all versions of its year and sector."""
        plan, mine = db.session.get(Plan, id), sectors_in_scope(g.user)
        if plan is None or (mine is not None and plan.sector not in set(db.session.scalars(mine))):
            abort(404)
        versions = db.session.scalars(
            select(Plan)
            .where(Plan.year == plan.year, Plan.sector == plan.sector)
            .order_by(Plan.id.desc())
        ).all()
        values = plan.values()
        actions = []
        if self.may("write", DESK) and plan.id == versions[0].id:
            address = url_for(f"{DESK}.new", plan=plan.id)
            actions.append({"label": gettext("Adjust"), "url": address})
        label, tone = BEGINNINGS[_state(plan)]
        detail = {
            "title": self.title,
            "number": gettext(
                "%(year)s, %(sector)s", year=plan.year, sector=SECTORS.get(plan.sector, plan.sector)
            ),
            "status": {"label": label, "tone": tone},
            "actions": actions,
            "sections": [
                {"items": _document_facts(plan)},
                {"title": gettext("What it says"), "items": [
                    (field.title, field.shown(values[field.name]), "text") for field in FIELDS
                ]},
            ],
            "tables": [_versions_table(self, versions)],
            "help": self.help,
            "back_url": back_url(self.url("list")),
        }  # fmt: skip
        return self.render_template("parts/detail.html", detail=detail)


def _state(plan: Plan) -> str:
    return BEGUN if plan.starts_on <= clock.now().astimezone(BEIJING).date() else TO_COME


def _document_facts(plan: Plan) -> list[tuple[Any, ...]]:
    return [
        (_("Number of the document"), plan.document_no, "text"),
        (_("Date of the document"), plan.documented_on, "date"),
        (_("In force from"), plan.starts_on, "date"),
    ]


def _versions_table(page: ListPage, versions: Iterable[Plan]) -> dict[str, Any]:
    numbers = dict(
        db.session.execute(
            select(Application.id, Application.number).where(
                Application.id.in_([each.application_id for each in versions])
            )
        ).all()
    )
    columns = (
        (_("In force from"), "date"),
        (_("Number of the document"), "link"),
        (_("Date of the document"), "date"),
        (_("Surrender by"), "datetime"),
        (_("Vintages accepted"), "text"),
        (_("Application number"), "code"),
        (_("Approved at"), "datetime"),
    )
    return {
        "title": gettext("Versions"),
        "columns": [{"label": label, "kind": kind} for label, kind in columns],
        "rows": [
            [
                each.starts_on,
                {"label": each.document_no, "url": page.url("show", id=each.id)},
                each.documented_on,
                each.surrender_by,
                "、".join(map(str, each.vintages)),
                numbers.get(each.application_id, "") or gettext("As installed"),
                each.approved_at,
            ]
            for each in versions
        ],
    }


# Deciding -------------------------------------------------------------------------------------


def field_of(field: PlanField) -> Any:
    """Return the form's field of what a plan, or a round of a carry-over, says."""
    marks = [Required()] if field.is_required else []
    if field.choices:
        choices = choices_of(field.choices, PLEASE_CHOOSE)
        return SelectField(field.title, marks, choices=choices, validate_choice=False)
    kind = TextAreaField if field.longest >= LONG and field.name != "vintages" else StringField
    words: dict[str, Any] = {"maxlength": field.longest, "autocomplete": "off"}
    if kind is TextAreaField:
        words["rows"] = 2
    if field.is_day:
        words = {**DATE_INPUT}
    return kind(field.title, marks, description=field.hint, render_kw=words)


class _Decided(ApplicationForm):
    """The fields of both forms; ``plan`` is the version that is changed, if there is one."""

    plan: Plan | None = None


DOCUMENT: dict[str, Any] = {
    "document_no": StringField(
        _("Number of the document"), [Required()], render_kw={"maxlength": 100}
    ),
    "documented_on": DayField(_("Date of the document"), [Required()], render_kw=DATE_INPUT),
    "starts_on": DayField(_("In force from"), [Required()], render_kw=DATE_INPUT),
    "reason": TextAreaField(
        _("Reason for the application"), [Required()], render_kw={"rows": 3, "maxlength": 500}
    ),
}
_KEY: dict[str, Any] = {
    "year": StringField(_("Compliance year"), [Required()], render_kw={"maxlength": 4}),
    "sector": SelectField(_("Sector"), [Required()], validate_choice=False),
}
_SAYS: dict[str, Any] = {field.name: field_of(field) for field in FIELDS}
NewPlanForm = type("NewPlanForm", (_Decided,), {**_KEY, **_SAYS, **DOCUMENT})
ChangePlanForm = type("ChangePlanForm", (_Decided,), {**_SAYS, **DOCUMENT})


class PlanDecisionView(OfficerDesk):
    """年度方案办理: entered by one officer, approved by another, signed like all applications."""

    route_base = "/plan-decisions"
    kind = PlanApplication.code
    title = _("Plan decisions")
    menu = MenuEntry(COMPLIANCE, 8)
    guide = {"registry": "年度方案"}
    form_title = _("New plan")
    new_label = _("New plan")
    form = NewPlanForm
    columns = (
        *usual_columns("number"),
        Column("act", _("What"), kind="status", choices=ACTS),
        Column("year", _("Compliance year"), kind="code"),
        Column("sector", _("Sector"), choices=SECTORS),
        Column("document_no", _("Number of the document"), kind="code"),
        Column("starts_on", _("In force from"), kind="date"),
        Column("reason", _("Reason for the application"), is_shown=False),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *(each for each in usual_filters(has_lines=False) if each.name != "member"),
        Filter("year", _("Compliance year"), kind="number"),
        Filter("sector", _("Sector"), kind="choice", choices=SECTORS),
    )
    help = (
        _("One officer enters a plan or its change by a document, another approves it"),
        _("A deadline that notices rest on is only prolonged, with a reason"),
        _("Vintages stay accepted once they have been surrendered for notices of the plan"),
        _("Every version stays, with the document that it rests on"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add year and sector."""
        act = case(
            (~Application.proposal.has_key("before"), literal("issue")), else_=literal("change")
        )
        return (
            super()
            .rows(conditions)
            .add_columns(
                act.label("act"),
                cast(Application.proposal["year"].astext, BigInteger).label("year"),
                Application.proposal["sector"].astext.label("sector"),
            )
        )

    def account_id(self) -> int:
        """Return the registry's own account: a plan is of nobody else."""
        return ISSUANCE_ACCOUNT_ID

    def choose(self) -> None:
        """No enterprise has to be chosen first."""

    def title_of(self, form: Any) -> Any:
        """Name what the form does."""
        return self.form_title if form.plan is None else _("Adjust a plan")

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Name the plan that is changed."""
        plan = self._plan()
        if plan is None:
            return []
        return [
            (_("Compliance year"), str(plan.year), "text"),
            (_("Sector"), str(SECTORS.get(plan.sector, plan.sector)), "text"),
            *_document_facts(plan),
        ]

    def new_form(self, account_id: int) -> Any:
        plan = self._plan()
        if plan is None:
            return _prepared(NewPlanForm(), None)
        return _prepared(ChangePlanForm(data=_typed(plan.values())), plan)

    def edit_form(self, application: Application) -> Any:
        """Return the form filled in with what is proposed."""
        decision, plan = PlanDecision.read(application.proposal), self._plan()
        found = {**self.typed_before(application), **_typed(decision.after)}
        found |= {"documented_on": decision.documented_on}
        if plan is not None:
            return _prepared(ChangePlanForm(data=found), plan)
        found |= {"year": str(decision.year or ""), "sector": decision.sector}
        return _prepared(NewPlanForm(data=found), None)

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the decision.  Raises RuleError where a field cannot be read."""
        form, plan = filled.form, filled.form.plan
        values, wrong = read({each.name: form[each.name].data or "" for each in FIELDS})
        for name, message in wrong.items():
            filled.refuse(RuleError(message, field=name))
        typed = "" if plan else (form.year.data or "").strip()
        if plan is None and not (typed.isascii() and typed.isdigit() and len(typed) == 4):
            message = _("Enter the year in four digits, not %(typed)s", typed=typed[:30] or "–")
            filled.refuse(RuleError(message, field="year"))
        if not filled.is_clear:
            raise RuleError(gettext("Please correct the fields marked"), code="fields")
        decision = PlanDecision(
            plan.year if plan else int(typed),
            plan.sector if plan else form.sector.data or "",
            plan.id if plan else None,
            plan.values() if plan else None,
            values,
            form.documented_on.data,
        )
        return {**form.content(), "proposal": decision.stored()}

    def _plan(self) -> Plan | None:
        """Return the version that the application or the address names; 404 for an unknown one."""
        if id_ := (request.view_args or {}).get("id"):
            decision = PlanDecision.read(db.session.get_one(Application, id_).proposal)
            return db.session.get(Plan, decision.replaces) if decision.replaces else None
        text = request.args.get("plan", "")
        if not text:
            return None
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        return db.session.get(Plan, number) or abort(404)


def _typed(values: Mapping[str, str]) -> dict[str, str]:
    """Return a plan's values as people type them."""
    return {**values, "vintages": values.get("vintages", "").replace(",", "、")}


def _prepared(form: Any, plan: Plan | None) -> Any:
    form.plan = plan
    if "sector" in form:
        form.sector.choices = choices_of(SECTORS.offered(), PLEASE_CHOOSE)
    return form
