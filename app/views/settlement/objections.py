"""结算异议: a participant objects to its statement, in writing, before the next opening."""

from __future__ import annotations

from typing import Any

from flask import abort, g, redirect, request
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, or_, select

from app.domain.kinds.settlement import SettlementObjection
from app.extensions import db
from app.models import Application, DayPackage, Trade
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import ProposalForm
from app.views.applications.list import usual_columns, usual_filters
from app.views.chapters import SETTLEMENT, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions
from app.views.page import named_in_address

MOST_DAYS = 10


class SettlementObjectionView(ApplicationDesk):
    """结算异议: silence until the next opening accepts a statement."""

    route_base = "/settlement-objections"
    kind = SettlementObjection.code
    title = _("Objections to settlements")
    menu = MenuEntry(SETTLEMENT, 4)
    guide = {"enterprise": "结算异议", "registry": "交易结算", "province": "查询"}
    form_title = _("Object to a statement")
    form = ProposalForm
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("day", _("Trading day")),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    help = (
        _("An objection is accepted until the opening of the next trading day, 09:30"),
        _("Silence until then accepts the statement"),
        _("The registry answers; a deal itself stands as it was matched"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the day objected to."""
        day = Application.proposal["day"].astext.label("day")
        return super().rows(conditions).add_columns(day)

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        """Ask for the day first, where the member traded on several."""
        if "package" in request.args:
            return super().new()
        found = _traded()
        if len(found) == 1:
            return redirect(self.url("new", package=found[0].id))
        return self.render_template(
            "applications/choose.html",
            title=self.form_title,
            question=gettext("Choose the trading day"),
            columns=[gettext("Trading day")],
            rows=[
                {
                    "name": row.day,
                    "cells": [(row.day, True)],
                    "url": self.url("new", package=row.id),
                }
                for row in found
            ],
            cancel_url=self.url("list"),
        )

    def new_form(self, account_id: int) -> Any:
        form, package = self.form(), _named_package()
        form.proposal = {"package": package.id, "day": package.day.isoformat()}
        return form

    def title_of(self, form: Any) -> Any:
        """Name the day."""
        return gettext("Object to the statement of %(day)s", day=form.proposal["day"])

    def next_step(self, application: Application) -> Any:
        return gettext("The registry looks into it and answers")


def _traded() -> list[DayPackage]:
    """Return the latest days on which the member traded."""
    if g.user.account_id is None:
        abort(404)
    statement = (
        select(DayPackage)
        .where(
            select(Trade.id)
            .where(
                Trade.package_id == DayPackage.id,
                or_(Trade.buyer_id == g.user.account_id, Trade.seller_id == g.user.account_id),
            )
            .exists()
        )
        .order_by(DayPackage.day.desc())
        .limit(MOST_DAYS)
    )
    return list(db.session.scalars(statement))


def _named_package() -> DayPackage:
    named = named_in_address("package")
    package = next((each for each in _traded() if each.id == named), None)
    return package or abort(404)
