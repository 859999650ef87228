"""配额核减: decisions to deduct from a year's allowance, by two officers of one authority (N24, N25)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import g
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, cast, select
from wtforms import SelectField

from app.domain.compliance.deductions import Deduction
from app.domain.kinds.compliance.deduction import AllowanceDeduction
from app.domain.moves import whole_tonnes
from app.extensions import db
from app.models import Application, Member
from app.operations.accounts import sectors
from app.operations.applications.engine import LONGEST_REASON
from app.operations.records.catalogue import DEDUCTION_REASONS, SECTORS
from app.security.roles import AUTHORITIES, PROVINCE, REGISTRY_MAKER
from app.views.applications.form import (
    DATE_INPUT,
    PLEASE_CHOOSE,
    ApplicationForm,
    DayField,
    Filled,
    OfferedField,
    Required,
    choices_of,
    typed_year,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk, Revocable
from app.views.applications.texts import StringField, TextAreaField
from app.views.chapters import ISSUANCE, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction

# The section of each guide that tells of figures, deductions, claims and returns.
GUIDE = dict.fromkeys(("enterprise", "province", "registry"), "多退少补与配额缴回")
OF_OFFICERS = {name: GUIDE[name] for name in ("province", "registry")}


REASON = TextAreaField(
    _("Reason for the application"),
    [Required()],
    render_kw={"rows": 3, "maxlength": LONGEST_REASON},
)


class DeductionForm(ApplicationForm):
    """A year, a sector and tonnes, by a document."""

    year = StringField(_("Compliance year"), [Required()], render_kw={"maxlength": 4})
    sector = SelectField(_("Sector"), [Required()], validate_choice=False)
    category = OfferedField(_("Reason"), DEDUCTION_REASONS, PLEASE_CHOOSE)
    tonnes = StringField(_("Deduction (tonnes)"), [Required()], render_kw={"maxlength": 20})
    allowance = StringField(
        _("Allowance of the next year (tonnes)"),
        description=_("For data fraud alone: 50 to 100 percent of it are deducted"),
        render_kw={"maxlength": 20},
    )
    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    starts_on = DayField(_("Date of the document"), [Required()], render_kw=DATE_INPUT)
    reason = REASON


class DeductionView(Revocable, OfficerDesk):
    """配额核减: a province decides for its own enterprises, the registry for all."""

    route_base = "/allowance-deductions"
    kind = AllowanceDeduction.code
    title = _("Allowance deductions")
    menu = MenuEntry(ISSUANCE, 8)
    guide = OF_OFFICERS
    grants = {AUTHORITIES: "list export show", f"{PROVINCE} {REGISTRY_MAKER}": "write"}
    form_title = _("New allowance deduction")
    form = DeductionForm
    columns = (
        *usual_columns("number", "member_no", "account", hidden=("member_no",)),
        Column("year", _("Compliance year"), kind="code"),
        Column("sector", _("Sector"), choices=SECTORS),
        Column("category", _("Reason"), choices=DEDUCTION_REASONS),
        Column("tonnes", _("Deduction"), kind="quantity"),
        Column("document_no", _("Number of the authority document"), kind="code"),
        Column("starts_on", _("Date of the document"), kind="date"),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(has_lines=False),
        Filter("year", _("Compliance year"), kind="number"),
        Filter("sector", _("Sector"), kind="choice", choices=SECTORS),
        Filter("reason", _("Reason"), kind="choice", on=("category",), choices=DEDUCTION_REASONS),
    )
    confirm = _("It takes effect once another officer has approved it. Submit it?")
    help = (
        _(
            "A deduction is of an enterprise, a year and a sector; two officers of one authority decide"
        ),
        _(
            "It is taken from the pre-allocation first, then from what is approved; the rest remains"
        ),
        _("Several of a year are taken in order of their documents' dates"),
        _("A shortfall is deducted by documents dated before the Code took effect alone"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what is deducted, and whose decision it is."""
        said = Application.proposal
        office = select(Member.province).where(Member.id == Application.created_by)
        return (
            super()
            .rows(conditions)
            .add_columns(
                cast(said["year"].astext, BigInteger).label("year"),
                said["sector"].astext.label("sector"),
                cast(said["tonnes"].astext, BigInteger).label("tonnes"),
                office.scalar_subquery().label("office"),
            )
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """Only the authority that entered it goes on with it."""
        found = super().actions(row)
        if row.office != g.user.province:
            return (each for each in found if each.url == self.url("show", id=row.id))
        return found

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        """Only the authority that entered it goes on with it."""
        entered_by = db.session.get(Member, application.created_by)
        if entered_by and entered_by.province == g.user.province:
            yield from super().detail_actions(application, status)

    def next_step(self, application: Application) -> Any:
        return gettext("Another officer of the same authority approves it")

    def new_form(self, account_id: int) -> Any:
        return _prepared(self.form(), account_id)

    def edit_form(self, application: Application) -> Any:
        """Return the form filled in with what is proposed."""
        said = Deduction.read(application.proposal)
        found = self.typed_before(application) | {
            "year": str(said.year or ""),
            "sector": said.sector,
            "tonnes": str(said.tonnes or ""),
            "allowance": str(said.allowance or ""),
        }
        return _prepared(self.form(data=found), application.account_id)

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the decision.  Raises RuleError where a figure cannot be read."""
        form = filled.form
        decision = Deduction(
            typed_year(form.year.data),
            form.sector.data or "",
            whole_tonnes(form.tonnes.data, field="tonnes"),
            whole_tonnes(form.allowance.data, field="allowance")
            if (form.allowance.data or "").strip()
            else None,
        )
        return {**form.content(), "proposal": decision.stored()}


def _prepared(form: Any, account_id: int) -> Any:
    mine = sectors.of_accounts([account_id]).get(account_id, [])
    form.sector.choices = choices_of(
        {code: SECTORS.get(code, code) for code in mine}, PLEASE_CHOOSE
    )
    return form
