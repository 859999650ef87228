"""结转安排: what may be carried over into a vintage; to read for all, decided by two officers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import abort, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, cast, func, select
from wtforms import SelectField

from app.domain.compliance.carry_over import FIELDS, RoundDecision
from app.domain.compliance.plans import read
from app.domain.errors import RuleError
from app.domain.kinds.compliance.carry_over import CarryOverRound
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.extensions import db
from app.models import Application, Instrument
from app.models import CarryOverRound as Round
from app.operations.applications import engine
from app.operations.carry_over import drafts
from app.security.roles import READERS
from app.views.applications import form as application_form
from app.views.applications.form import (
    PLEASE_CHOOSE,
    ApplicationForm,
    Filled,
    Required,
    choices_of,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField
from app.views.chapters import CARRY_OVERS, MenuEntry
from app.views.compliance.plans import DOCUMENT, field_of
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import named_in_address

DESK = "CarryOverRoundDecisionView"
GUIDE = dict.fromkeys(("enterprise", "province", "registry"), "结转")


class CarryOverRoundView(ListPage):
    """The rounds, each in the version that holds."""

    route_base = "/carry-over-rounds"
    title = _("Carry-over rounds")
    menu = MenuEntry(CARRY_OVERS, 1)
    guide = GUIDE
    grants = {READERS: "list export show"}
    account_column = None
    columns = (
        Column("year", _("Carried over into"), kind="code"),
        Column("target", _("Instrument code"), kind="code"),
        Column("vintages", _("Vintages carried over"), kind="code"),
        Column("sold_from", _("Deals from"), kind="date"),
        Column("sold_until", _("Deals until"), kind="date"),
        Column("held_at", _("Holding at"), kind="datetime"),
        Column("apply_until", _("Applications until"), kind="date"),
        Column("document_no", _("Number of the document"), kind="code"),
    )
    filters = (Filter("year", _("Carried over into"), kind="number"),)
    help = (
        _(
            "What may be carried over = base + factor × net sales, rounded down, at most the holding"
        ),
        _("Who has not fulfilled the years named by their deadlines gets no notice"),
        _(
            "What is not carried over stays held and serves the years whose plans accept its vintage"
        ),
    )
    empty_hint = _("A carry-over is arranged by two officers, by a document")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return the newest version of each round."""
        newest = select(func.max(Round.id)).group_by(Round.year)
        return (
            select(
                Round.id,
                Round.year,
                Instrument.code.label("target"),
                func.array_to_string(Round.vintages, "、").label("vintages"),
                Round.sold_from,
                Round.sold_until,
                Round.held_at,
                Round.apply_until,
                Round.document_no,
            )
            .join(Instrument, Instrument.id == Round.target_id)
            .where(Round.id.in_(newest))
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Details"), self.url("show", id=row.id))
        if self.may("write", DESK):
            yield RowAction(_("Adjust"), url_for(f"{DESK}.new", round=row.id))
            yield RowAction(_("Make notices"), url_for("CarryOverNoticesView.new", year=row.year))
            yield RowAction(_("New batch"), url_for("CarryOverBatchView.new", year=row.year))

    def tools(self) -> Iterable[RowAction]:
        if self.may("write", DESK):
            yield RowAction(_("New carry-over round"), url_for(f"{DESK}.new"), icon="plus")

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show what a version says."""
        found = db.session.get(Round, id) or abort(404)
        values = found.values()
        detail = {
            "title": self.title,
            "number": str(found.year),
            "actions": [],
            "sections": [
                {
                    "items": [
                        (_("Number of the document"), found.document_no, "text"),
                        (_("Date of the document"), found.documented_on, "date"),
                        (_("Approved at"), found.approved_at, "datetime"),
                    ]
                },
                {
                    "title": gettext("What it says"),
                    "items": [
                        (each.title, each.shown(values[each.name]), "text") for each in FIELDS
                    ],
                },
            ],
            "help": self.help,
            "back_url": back_url(self.url("list")),
        }
        return self.render_template("parts/detail.html", detail=detail)


class _Decided(ApplicationForm):
    round: Round | None = None


_SAYS: dict[str, Any] = {each.name: field_of(each) for each in FIELDS} | {
    "target": SelectField(_("Carried over into"), [Required()], validate_choice=False)
}
_DOCUMENT = {name: each for name, each in DOCUMENT.items() if name != "starts_on"}
NewRoundForm = type(
    "NewRoundForm",
    (_Decided,),
    {
        "year": StringField(
            _("Year of the vintage carried over into"), [Required()], render_kw={"maxlength": 4}
        ),
        **_SAYS,
        **_DOCUMENT,
    },
)
ChangeRoundForm = type("ChangeRoundForm", (_Decided,), {**_SAYS, **_DOCUMENT})


class CarryOverRoundDecisionView(OfficerDesk):
    """结转安排办理: entered by one officer, approved by another."""

    route_base = "/carry-over-round-decisions"
    kind = CarryOverRound.code
    title = _("Carry-over round decisions")
    menu = MenuEntry(CARRY_OVERS, 2)
    guide = {"registry": "结转"}
    form_title = _("New carry-over round")
    form = NewRoundForm
    columns = (
        *usual_columns("number"),
        Column("year", _("Carried over into"), kind="code"),
        Column("document_no", _("Number of the document"), kind="code"),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = tuple(each for each in usual_filters(has_lines=False) if each.name != "member")
    help = (
        _("One officer enters a round or its change by a document, another approves it"),
        _("What notices follow from stays once they are made; applications end no earlier"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the year."""
        year = cast(Application.proposal["year"].astext, BigInteger).label("year")
        return super().rows(conditions).add_columns(year)

    def account_id(self) -> int:
        """Return the registry's own account: a round is of nobody else."""
        return ISSUANCE_ACCOUNT_ID

    def choose(self) -> None:
        """No enterprise has to be chosen first."""

    def title_of(self, form: Any) -> Any:
        """Name what the form does."""
        return self.form_title if form.round is None else _("Adjust a carry-over round")

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Name the round that is changed."""
        found = self._round()
        return [(_("Carried over into"), str(found.year), "text")] if found else []

    def new_form(self, account_id: int) -> Any:
        found = self._round()
        if found is None:
            return _prepared(NewRoundForm(), None)
        return _prepared(ChangeRoundForm(data=_typed(found.values())), found)

    def edit_form(self, application: Application) -> Any:
        """Return the form filled in with what is proposed."""
        decision, found = RoundDecision.read(application.proposal), self._round()
        data: dict[str, Any] = {**self.typed_before(application), **_typed(decision.after)}
        data |= {"documented_on": decision.documented_on, "year": str(decision.year or "")}
        form = NewRoundForm if found is None else ChangeRoundForm
        return _prepared(form(data=data), found)

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        """Return the decision.  Raises RuleError where a field cannot be read."""
        form, found = filled.form, filled.form.round
        values, wrong = read({each.name: form[each.name].data or "" for each in FIELDS}, FIELDS)
        for name, message in wrong.items():
            filled.refuse(RuleError(message, field=name))
        typed = "" if found else (form.year.data or "").strip()
        if found is None and not (typed.isascii() and typed.isdigit() and len(typed) == 4):
            message = _("Enter the year in four digits, not %(typed)s", typed=typed[:30] or "–")
            filled.refuse(RuleError(message, field="year"))
        if not filled.is_clear:
            raise RuleError(gettext("Please correct the fields marked"), code="fields")
        decision = RoundDecision(
            found.year if found else int(typed),
            found.id if found else None,
            found.values() if found else None,
            values,
            form.documented_on.data,
        )
        said = form.content()
        return drafts.of_round(
            decision,
            application_form.request_key(),
            document_no=said.get("document_no", ""),
            reason=said.get("reason", ""),
        )

    def _round(self) -> Round | None:
        """Return the version that the application or the address names; 404 for an unknown one."""
        if id_ := (request.view_args or {}).get("id"):
            decision = RoundDecision.read(db.session.get_one(Application, id_).proposal)
            return db.session.get(Round, decision.replaces) if decision.replaces else None
        if "round" not in request.args:
            return None
        return db.session.get(Round, named_in_address("round")) or abort(404)


def _typed(values: Any) -> dict[str, str]:
    """Return a round's values as people type them."""
    lists = {
        name: values.get(name, "").replace(",", "、") for name in ("vintages", "years", "batches")
    }
    return {**values, **lists}


def _prepared(form: Any, found: Round | None) -> Any:
    form.round = found
    rows = db.session.execute(
        select(Instrument.code, Instrument.name)
        .where(Instrument.kind == "allowance")
        .order_by(Instrument.vintage.desc(), Instrument.code)
    )
    named = {code: f"{code} {name}" for code, name in rows}
    form.target.choices = choices_of(named, PLEASE_CHOOSE)
    return form
