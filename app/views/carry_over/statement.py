"""结转报表 (rules-2026 N74): per vintage recalled, per enterprise granted, for the ministry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Response, abort
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, case, cast, func, literal, select
from sqlalchemy.orm import aliased

from app.domain.regions import PROVINCES
from app.extensions import db
from app.models import (
    Account,
    Application,
    ApplicationLine,
    CarryOverGrant,
    CarryOverNotice,
    Instrument,
)
from app.operations.compliance import carry_over
from app.security.roles import AUDITOR, OFFICERS, READERS
from app.views.carry_over import paper
from app.views.carry_over.rounds import GUIDE
from app.views.chapters import CARRY_OVERS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction

AGREES = {"yes": (_("Equal"), "green"), "no": (_("Different"), "red")}


class CarryOverStatementView(ListPage):
    """结转明细: what was recalled of each vintage, and granted, per enterprise and document."""

    route_base = "/carry-over-statement"
    title = _("Carried over, by enterprise")
    menu = MenuEntry(CARRY_OVERS, 7)
    guide = GUIDE | {"administration": "结转的查询"}
    grants = {READERS: "list export"}
    account_column = "account_id"
    columns = (
        Column("year", _("Carried over into"), kind="code"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("province", _("Province"), is_shown=False, choices=PROVINCES),
        Column("number", _("Application number"), kind="code"),
        Column("vintage", _("Vintage"), kind="code"),
        Column("source", _("Recalled"), kind="code"),
        Column("quantity", _("Quantity recalled"), kind="quantity"),
        Column("target", _("Granted"), kind="code"),
        Column("granted", _("Quantity granted"), kind="quantity"),
        Column("at", _("Carried out at"), kind="datetime"),
    )
    filters = (
        Filter("year", _("Carried over into"), kind="number"),
        Filter("vintage", _("Vintage"), kind="number"),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
        Filter("at", _("Carried out at"), kind="date_range"),
        Filter("province", _("Province"), kind="choice", is_of_others=True, choices=PROVINCES),
    )
    help = (_("One row an instrument recalled; the same tonnes were granted of the newer vintage"),)
    empty_hint = _("Nothing has been carried over yet")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a line of an application that was carried out."""
        target = aliased(Instrument)
        statement: Select = (
            select(
                ApplicationLine.id,
                CarryOverGrant.account_id,
                CarryOverNotice.year,
                Account.member_no,
                Account.name.label("account"),
                Account.province,
                Application.number,
                Instrument.vintage,
                Instrument.code.label("source"),
                ApplicationLine.quantity,
                target.code.label("target"),
                ApplicationLine.quantity.label("granted"),
                CarryOverGrant.at,
            )
            .join(Application, Application.id == ApplicationLine.application_id)
            .join(CarryOverGrant, CarryOverGrant.application_id == Application.id)
            .join(CarryOverNotice, CarryOverNotice.id == CarryOverGrant.notice_id)
            .join(Account, Account.id == CarryOverGrant.account_id)
            .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
            .join(target, target.id == CarryOverGrant.instrument_id)
        )
        return statement


class CarryOverTotalsView(ListPage):
    """结转统计: per vintage recalled; the sum of all is what was granted."""

    route_base = "/carry-over-totals"
    title = _("Carried over, by vintage")
    menu = MenuEntry(CARRY_OVERS, 8)
    guide = {"registry": "结转", "administration": "结转的查询"}
    grants = {f"{OFFICERS} {AUDITOR}": "list export download"}
    account_column = None
    key = ("year", "vintage")
    columns = (
        Column("year", _("Carried over into"), kind="code"),
        Column("vintage", _("Vintage"), kind="code"),
        Column("enterprises", _("Enterprises"), kind="number"),
        Column("applications", _("Applications"), kind="number"),
        Column("recalled", _("Recalled"), kind="quantity"),
        Column("year_recalled", _("Recalled of all vintages"), kind="quantity"),
        Column("year_granted", _("Granted of the newer vintage"), kind="quantity"),
        Column("agrees", _("Recalled and granted"), kind="status", choices=AGREES),
    )
    filters = (
        Filter("year", _("Carried over into"), kind="number"),
        Filter("vintage", _("Vintage"), kind="number"),
    )
    help = (
        _("Of each year all vintages recalled together equal what was granted of the newer one"),
        _("What was issued of the newer vintage is its allocation and what was carried over"),
    )
    empty_hint = _("Nothing has been carried over yet")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a year and vintage."""
        line = (
            select(
                CarryOverNotice.year,
                Instrument.vintage,
                cast(func.sum(ApplicationLine.quantity), BigInteger).label("recalled"),
                func.count(CarryOverGrant.account_id.distinct()).label("enterprises"),
                func.count(CarryOverGrant.application_id.distinct()).label("applications"),
            )
            .join(CarryOverGrant, CarryOverGrant.application_id == ApplicationLine.application_id)
            .join(CarryOverNotice, CarryOverNotice.id == CarryOverGrant.notice_id)
            .join(Instrument, Instrument.id == ApplicationLine.instrument_id)
            .group_by(CarryOverNotice.year, Instrument.vintage)
            .subquery("line")
        )
        granted = (
            select(
                CarryOverNotice.year,
                cast(func.sum(CarryOverGrant.quantity), BigInteger).label("granted"),
            )
            .join(CarryOverGrant, CarryOverGrant.notice_id == CarryOverNotice.id)
            .group_by(CarryOverNotice.year)
            .subquery("granted")
        )
        whole = cast(func.sum(line.c.recalled).over(partition_by=line.c.year), BigInteger)
        agrees = case((whole == granted.c.granted, literal("yes")), else_=literal("no"))
        found = (
            select(
                line,
                whole.label("year_recalled"),
                granted.c.granted.label("year_granted"),
                agrees.label("agrees"),
            )
            .join(granted, granted.c.year == line.c.year)
            .subquery("total")
        )
        return select(found)

    def actions(self, row: Any) -> Iterable[RowAction]:
        if self.may("download"):
            yield RowAction("PDF", self.url("pdf", year=row.year), keeps_place=False)

    @expose("/<int:year>/statement.pdf")
    @has_access
    @permission_name("download")
    def pdf(self, year: int) -> Response:
        """Send the 结转报表 of a year, for the ministry."""
        totals = self.rows(Conditions(())).subquery("total")
        asked = select(totals).where(totals.c.year == year).order_by(totals.c.vintage)
        found, round_ = db.session.execute(asked).all(), carry_over.latest(year)
        if not found or round_ is None:
            abort(404)
        return paper.of_year(round_, found)
