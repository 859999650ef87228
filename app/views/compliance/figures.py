"""核定数据 and 多退少补: what was pushed beside what we compute, and what is issued (N03, N04, N22-N24)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from flask import abort, flash, g, redirect, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    case,
    exists,
    func,
    literal,
    select,
)

from app.domain.compliance import true_up
from app.domain.compliance.figures import BASES, STAGES
from app.domain.errors import RuleError
from app.domain.kinds.compliance.deduction import AllowanceDeduction
from app.domain.trading_day import BEIJING
from app.domain.workflow import Status
from app.extensions import db, transaction
from app.models import Account, Application, ImportFile, Instrument
from app.models.figures import claim_part, current_figure
from app.models.figures import true_up as true_ups
from app.operations.imports import figure_import
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.security.roles import READERS, REGISTRY_MAKER
from app.security.scope import scoped
from app.views.applications.imports import chosen_table, template_file
from app.views.chapters import ISSUANCE, MenuEntry
from app.views.compliance.deductions import GUIDE
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import current_actor

AGREES, DIFFERS, AWAITED, OVERDUE, REPLACED = "agrees", "differs", "awaited", "overdue", "replaced"
STATES = {
    AGREES: (_("Agrees"), "green"),
    DIFFERS: (_("Differs"), "red"),
    AWAITED: (_("To be approved anew"), "amber"),
    OVERDUE: (_("Approval overdue"), "red"),
    REPLACED: (_("Approved anew"), "grey"),
}
FILE, MACHINE = "file", "machine"
SOURCES = {FILE: _("File import"), MACHINE: _("Platform interface")}
WHOLE = "*"  # instead of a unit: the row of an enterprise and sector
_NAMED = (
    Column("member_no", _("Member number"), is_of_others=True, kind="code", is_shown=False),
    Column("account", _("Member name"), is_of_others=True),
    Column("year", _("Compliance year"), kind="code"),
    Column("sector", _("Sector"), choices=SECTORS),
)
_FILTERS = (
    Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    Filter("year", _("Compliance year"), kind="number"),
    Filter("sector", _("Sector"), kind="choice", choices=SECTORS),
)


class AllocationFigureView(ListPage):
    """核定数据: the newest row of every unit and enterprise, and the table's import."""

    route_base = "/allocation-figures"
    title = _("Approved figures")
    menu = MenuEntry(ISSUANCE, 6)
    guide = GUIDE
    grants = {READERS: "list export", REGISTRY_MAKER: "write"}
    account_column = "account_id"
    columns = (
        *_NAMED,
        Column("stage", _("Stage"), choices=STAGES),
        Column("unit", _("Unit (line, cell line)"), choices={WHOLE: _("Enterprise as a whole")}),
        Column("basis", _("Kind of calculation"), choices=BASES, is_shown=False),
        Column("verified", _("Verified emissions"), kind="number", unit=_("tonnes")),
        Column("share", _("Pre-allocation share (%)"), kind="number", is_shown=False),
        Column("quantity", _("Allocated quantity"), kind="quantity"),
        Column("expected", _("Computed here"), kind="quantity"),
        Column("difference", _("Difference"), kind="change"),
        Column("state", _("Status"), kind="status", choices=STATES),
        Column("due_on", _("Approve by"), kind="date", is_shown=False),
        Column("source", _("Came by"), choices=SOURCES),
        Column("remark", _("Remarks"), is_shown=False),
        Column("recorded_at", _("Imported at"), kind="datetime", is_shown=False),
    )
    filters = (
        *_FILTERS,
        Filter("stage", _("Stage"), kind="choice", choices=STAGES),
        Filter("state", _("Status"), kind="choice", choices=STATES),
        Filter("import", _("Import batch"), kind="number", on=("import_id",), is_hidden=True),
    )
    help = (
        _("The registry computes every row that the reporting platform pushes; a difference is shown"),
        _("An enterprise with a row that differs is issued nothing of that year before a corrected table"),
        _("A table imported again takes the place of the earlier one of its enterprise, year and stage"),
        _("A verification that changes is approved anew within ten working days; what is overdue is marked"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return current rows with the difference, and of a changed verification whether it was followed."""
        each = current_figure.c
        today = clock.now().astimezone(BEIJING).date()
        return select(
            each.id,
            each.account_id,
            each.import_id,
            Account.member_no,
            Account.name.label("account"),
            case((each.unit == "", literal(WHOLE)), else_=each.unit).label("unit"),
            *(func.trim_scale(each[name]).label(name) for name in ("verified", "share")),
            *(each[name] for name in ("year", "sector", "stage", "basis", "quantity", "expected",
                                      "due_on", "remark", "recorded_at")),
            case((each.is_differing, each.quantity - each.expected)).label("difference"),
            case(
                (each.is_differing, literal(DIFFERS)),
                (each.stage != figure_import.VERIFICATION, literal(AGREES)),
                (_is_followed(), literal(REPLACED)),
                (each.due_on < today, literal(OVERDUE)),
                else_=literal(AWAITED),
            ).label("state"),
            case((ImportFile.client_id.is_(None), literal(FILE)), else_=literal(MACHINE))
            .label("source"),
        ).join(Account, Account.id == each.account_id
        ).join(ImportFile, ImportFile.id == each.import_id)  # fmt: skip

    def tools(self) -> Iterable[RowAction]:
        if self.may("write"):
            yield RowAction(
                _("Import approved figures"), self.url("import_table"), icon="file-upload"
            )

    @expose("/import", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def import_table(self) -> Any:
        """Store a table and show how many of its rows differ, or show all errors."""
        if request.method == "GET":
            return self._import_page(None)
        table = chosen_table(figure_import.COLUMNS)
        try:
            with transaction():
                done = figure_import.take(table, current_actor(), now=clock.now())
        except RuleError as error:
            if table.is_clear:
                table.refuse(0, "", error.message)
            return self._import_page(table), 400
        if done.differing:
            message = gettext(
                "%(rows)s rows were imported; %(differing)s of them differ from our own computing",
                rows=done.rows,
                differing=done.differing,
            )
            flash(message, "warning")
        else:
            flash(
                gettext("%(rows)s rows were imported; all of them agree", rows=done.rows), "success"
            )
        return redirect(self.url("list", **{"import": done.import_id}))

    @expose("/import/template.<form>")
    @has_access
    @permission_name("write")
    def import_template(self, form: str) -> Any:
        return template_file(_("Approved figures"), figure_import.COLUMNS, form)

    def _import_page(self, table: Any) -> Any:
        return self.render_template(
            "applications/import.html",
            title=_("Import approved figures"),
            table=table,
            templates=[
                (form.upper(), self.url("import_template", form=form)) for form in ("xlsx", "csv")
            ],
            cancel_url=self.url("list"),
        )


def _is_followed() -> Any:
    """Return the condition that an approval came after a change of the verification."""
    each, later = current_figure.c, current_figure.alias("later").c
    return exists().where(
        later.account_id == each.account_id,
        later.year == each.year,
        later.sector == each.sector,
        later.stage == figure_import.APPROVED,
        later.import_id > each.import_id,
    )


_LEFT = claim_part.c.quantity - claim_part.c.drawn


def _claimed(figure: ColumnElement[Any]) -> ScalarSelect[Any]:
    """Return a figure of what is open of claims on an enterprise's year, whoever owes it by now."""
    return (
        select(figure)
        .select_from(claim_part)
        .join(Application, Application.id == claim_part.c.application_id)
        .join(Instrument, Instrument.id == claim_part.c.instrument_id)
        .join(Account, Account.id == claim_part.c.account_id)
        .where(
            Application.account_id == true_ups.c.account_id,
            Instrument.vintage == true_ups.c.year,
            _LEFT > 0,
        )
        .correlate(true_ups)
        .scalar_subquery()
    )


class TrueUpView(ListPage):
    """多退少补: of each enterprise, year and sector what the two stages issue, deductions taken off."""

    route_base = "/true-ups"
    title = _("True-up and deductions")
    menu = MenuEntry(ISSUANCE, 7)
    guide = GUIDE
    grants = {READERS: "list export show"}
    account_column = "account_id"
    columns = (
        *_NAMED,
        Column("pre_allocated", _("Pre-allocation"), kind="quantity"),
        Column("approved", _("Approved allocation"), kind="quantity"),
        Column("due", _("To deduct"), kind="quantity"),
        Column("issue_1", _("Issued at pre-allocation"), kind="quantity"),
        Column("issue_2", _("Issued at approval"), kind="change"),
        Column("total", _("Issued in total"), kind="quantity"),
        Column("remaining", _("Deduction remaining"), kind="quantity"),
        Column("claimed", _("Still to be returned"), kind="quantity"),
        Column("owed_by", _("Owed by"), is_shown=False),
        Column("is_differing", _("Differs"), kind="boolean", is_shown=False),
    )
    filters = _FILTERS
    help = (
        _("A deduction is taken from the pre-allocation first, then from what is approved above it"),
        _("A second stage below zero is due to be returned: the registry claims it (adjustment notices)"),
        _("Still to be returned: what is open of adjustment notices on the vintage, by this enterprise or"
          " by its successors"),
        _("Issued in total = approved - (to deduct - remaining); what remains is deducted later"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        each = true_ups.c
        return select(
            each.id,
            each.account_id,
            Account.member_no,
            Account.name.label("account"),
            *(each[name] for name in ("year", "sector", "pre_allocated", "approved", "due", "issue_1",
                                      "issue_2", "remaining", "is_differing")),
            (each.issue_1 + func.coalesce(each.issue_2, 0)).label("total"),
            _claimed(func.coalesce(func.sum(_LEFT), 0)).label("claimed"),
            _claimed(func.string_agg(Account.name.distinct(), "、")).label("owed_by"),
        ).join(Account, Account.id == each.account_id)  # fmt: skip

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield RowAction(_("Details"), self.url("show", id=row.id))
        if row.issue_2 is not None and row.issue_2 < 0 and self.may("write", "ClaimView"):
            yield RowAction(_("Claim"), url_for("ClaimView.new", account=row.account_id))

    @expose("/<int:id>")
    @has_access
    @permission_name("show")
    def show(self, id: int) -> Any:
        """Show how the deductions of a year were spread over the two stages."""
        found = scoped(self.rows(Conditions()), true_ups.c.account_id, g.user)
        row = db.session.execute(found.where(true_ups.c.id == id)).one_or_none() or abort(404)
        sector = SECTORS.get(row.sector, row.sector)
        detail = {
            "title": self.title,
            "number": gettext("%(year)s, %(sector)s", year=row.year, sector=sector),
            "sections": [{"items": [
                (_("Member name"), row.account, "text"),
                *((column.title, getattr(row, column.key), "number", _("tonnes"))
                  for column in self.columns if column.kind in ("quantity", "change")
                  and getattr(row, column.key) is not None),
            ]}],
            "tables": [_items_table(row)],
            "help": self.help,
            "back_url": back_url(self.url("list")),
        }  # fmt: skip
        return self.render_template("parts/detail.html", detail=detail)


def _items_table(row: Any) -> dict[str, Any]:
    """Return what of each deduction was taken and given back, in order of the documents' dates (N24)."""
    approved = row.pre_allocated if row.approved is None else row.approved
    result = true_up.true_up(row.pre_allocated, approved, row.due)
    items = _items(row)
    columns = (
        (_("Application number"), "code"),
        (_("Date of the document"), "date"),
        (_("Deduction"), "number"),
        (_("Deducted at pre-allocation"), "number"),
        (_("Given back"), "number"),
        (_("Deducted at approval"), "number"),
        (_("Deduction remaining"), "number"),
    )
    return {
        "title": gettext("Deductions"),
        "columns": [{"label": label, "kind": kind} for label, kind in columns],
        "rows": [
            [share.item.number, share.item.documented_on, share.item.tonnes, share.deducted_1,
             share.returned, share.deducted_2, share.remaining]
            for share in true_up.shares(items, result)
        ],
    }  # fmt: skip


def _items(row: Any) -> list[true_up.Item]:
    said = Application.proposal
    found = db.session.execute(
        select(Application.number, Application.starts_on, said["tonnes"].as_integer()).where(
            Application.kind == AllowanceDeduction.code,
            Application.status == Status.APPROVED,
            Application.revoked_by_id.is_(None),
            Application.account_id == row.account_id,
            said["year"].astext == str(row.year),
            said["sector"].astext == row.sector,
        )
    )
    return [true_up.Item(number, day or date.min, tonnes) for number, day, tonnes in found]
