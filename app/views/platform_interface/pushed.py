"""平台推送: tables that the reporting platform pushed, for an officer to review, and their rows (N03-N05)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, func, literal, select

from app.domain.compliance.figures import BASES, STAGES
from app.domain.kinds.compliance.figure_table import FigureTable
from app.models import Account, AllocationFigure, Application
from app.operations.records.catalogue import SECTORS
from app.security.roles import OFFICERS
from app.views.applications.list import ApplicationList, usual_columns, usual_filters
from app.views.chapters import ISSUANCE, MenuEntry
from app.views.compliance.deductions import GUIDE
from app.views.compliance.figures import AGREES, DIFFERS, STATES, WHOLE
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction

_GUIDE = {"registry": GUIDE["registry"]}
_YEAR = Column("year", _("Compliance year"), kind="code")
_SECTOR = Column("sector", _("Sector"), choices=SECTORS)
_STAGE = Column("stage", _("Stage"), choices=STAGES)
_ASKED = (
    Filter("year", _("Compliance year"), kind="number"),
    Filter("sector", _("Sector"), kind="choice", choices=SECTORS),
    Filter("stage", _("Stage"), kind="choice", choices=STAGES),
)


class FigureTableView(ApplicationList):
    """平台推送数据表: one an application of the platform's machine; reviewed where all is reviewed."""

    route_base = "/figure-tables"
    kind = FigureTable.code
    title = _("Tables pushed by the platform")
    menu = MenuEntry(ISSUANCE, 15)
    guide = _GUIDE
    grants = {OFFICERS: "list export show"}
    columns = (
        *usual_columns("number"),
        _YEAR,
        _SECTOR,
        _STAGE,
        Column("document_no", _("Number of the authority document"), kind="code"),
        Column("starts_on", _("Date of the document"), kind="date"),
        Column("rows", _("Rows"), kind="number"),
        Column("enterprises", _("Number of enterprises"), kind="number"),
        Column("differing", _("Rows that differ"), kind="number"),
        Column("client", _("Client code"), kind="code", is_shown=False),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *(
            each
            for each in usual_filters("in_review", "approved", "returned", has_lines=False)
            if each.name != "member"
        ),
        *_ASKED,
    )
    help = (
        _(
            "The platform's machine submits a table; an officer compares it with the sealed document"
        ),
        _("Its rows count once it is approved; those that differ stop their enterprises alone"),
        _("A table that is sent back is not changed: the platform pushes a corrected one"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what each table says."""
        said = Application.proposal
        numbers = ("year", "rows", "enterprises", "differing")
        return (
            super()
            .rows(conditions)
            .add_columns(
                *(said[name].as_integer().label(name) for name in numbers),
                *(said[name].astext.label(name) for name in ("sector", "stage", "client")),
            )
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        yield from super().actions(row)
        yield _rows_of(row.number)

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        yield _rows_of(application.number)


def _rows_of(number: str) -> RowAction:
    return RowAction(_("All rows"), url_for("PushedFigureView.list", table=number))


class PushedFigureView(ListPage):
    """平台推送明细: every row that was pushed, whether its table counts yet or not."""

    route_base = "/pushed-figures"
    title = _("Rows pushed by the platform")
    menu = MenuEntry(ISSUANCE, 16)
    guide = _GUIDE
    grants = {OFFICERS: "list export"}
    account_column = "account_id"
    columns = (
        Column("table", _("Table number"), kind="code"),
        Column("member_no", _("Member number"), kind="code", is_shown=False),
        Column("account", _("Member name")),
        _YEAR,
        _SECTOR,
        _STAGE,
        Column("unit", _("Unit (line, cell line)"), choices={WHOLE: _("Enterprise as a whole")}),
        Column("basis", _("Kind of calculation"), choices=BASES, is_shown=False),
        Column("verified", _("Verified emissions"), kind="number", unit=_("tonnes")),
        Column("quantity", _("Allocated quantity"), kind="quantity"),
        Column("expected", _("Computed here"), kind="quantity"),
        Column("difference", _("Difference"), kind="change"),
        Column("state", _("Status"), kind="status", choices=STATES),
        Column("remark", _("Remarks"), is_shown=False),
        Column("recorded_at", _("Received at"), kind="datetime", is_shown=False),
    )
    filters = (
        Filter("table", _("Table number"), kind="prefix"),
        Filter("member", _("Member"), on=("member_no", "account")),
        *_ASKED,
        Filter(
            "state", _("Status"), kind="choice",
            choices={name: STATES[name] for name in (AGREES, DIFFERS)},
        ),
    )  # fmt: skip
    help = (
        _(
            "Rows of tables under review, or sent back, are here as well; what counts: Approved figures"
        ),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return the rows of every pushed table, with their difference."""
        each = AllocationFigure
        return (
            select(
                each.id,
                each.account_id,
                Application.number.label("table"),
                Account.member_no,
                Account.name.label("account"),
                case((each.unit == "", literal(WHOLE)), else_=each.unit).label("unit"),
                func.trim_scale(each.verified).label("verified"),
                each.year, each.sector, each.stage, each.basis, each.quantity, each.expected,
                each.remark, each.recorded_at,
                case((each.is_differing, each.quantity - each.expected)).label("difference"),
                case((each.is_differing, literal(DIFFERS)), else_=literal(AGREES)).label("state"),
            )
            .join(Account, Account.id == each.account_id)
            .join(Application, Application.import_id == each.import_id)
            .where(Application.kind == FigureTable.code)
        )  # fmt: skip
