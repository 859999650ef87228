"""交易结算: 初审 of a day's trades by one officer; another one approves once the exchange has confirmed."""

from __future__ import annotations

from typing import Any

from flask import abort, flash, redirect, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select

from app.domain.errors import RuleError
from app.domain.kinds.settlement import TradeSettlement
from app.domain.money import yuan
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.models import Application
from app.operations.settlement import clearing
from app.views.applications.form import ProposalForm
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import SETTLEMENT, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions
from app.views.page import named_in_address


class TradeSettlementView(OfficerDesk):
    """交易结算, of one day package each."""

    route_base = "/trade-settlements"
    kind = TradeSettlement.code
    title = _("Settlement of trades")
    menu = MenuEntry(SETTLEMENT, 6)
    guide = {"registry": "交易结算"}
    form_title = _("First review of a day's trades")
    form = ProposalForm
    new_label = _("Choose a day package")
    accepts_attachments = False
    can_save_draft = False
    columns = (
        *usual_columns("number"),
        Column("day", _("Trading day")),
        Column("trades", _("Number of trades"), kind="number"),
        Column("turnover", _("Amount"), kind="money"),
        Column("short", _("Not covered"), kind="number"),
        *usual_columns("created_at", "status"),
    )
    filters = tuple(
        each for each in usual_filters(has_lines=False) if each.name not in ("member_no", "account")
    )
    confirm = _("Submit this result to the exchange for confirmation and to the second officer?")
    help = (
        _("The result goes to the exchange, which confirms it with its signature"),
        _("Another officer approves it then; only after that is anything delivered"),
        _(
            "A trade that is not covered moves nothing; its party is told until when to make it good"
        ),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what was settled."""
        proposal = Application.proposal
        return (
            super()
            .rows(conditions)
            .add_columns(
                proposal["day"].astext.label("day"),
                proposal["trades"].as_integer().label("trades"),
                proposal["amount"].as_integer().label("turnover"),
                proposal["short"].as_integer().label("short"),
            )
        )

    def choose(self) -> Any:
        """Lead to the packages; nothing once the address names one."""
        return None if "package" in request.args else redirect(url_for("DayPackageView.list"))

    def account_id(self) -> int:
        return ISSUANCE_ACCOUNT_ID

    def new_form(self, account_id: int) -> Any:
        """Return the form with what the package's trades come to."""
        form = self.form()
        try:
            form.proposal = clearing.proposal_for(named_in_address("package"))
        except RuleError as error:
            flash(str(error), "warning")
            abort(redirect(url_for("DayPackageView.list")))
        return form

    def edit_form(self, application: Application) -> Any:
        """Clear once more: what was sent back may have changed."""
        form = super().edit_form(application)
        form.proposal = clearing.proposal_for(application.proposal["package"])
        return form

    def title_of(self, form: Any) -> Any:
        """Say what the trades come to."""
        found = form.proposal
        return gettext(
            "First review of %(day)s: %(trades)s trades, %(amount)s yuan, %(short)s not covered",
            day=found["day"],
            trades=f"{found['trades']:,}",
            amount=yuan(found["amount"]),
            short=f"{found['short']:,}",
        )

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        return []

    def next_step(self, application: Application) -> Any:
        return gettext("The exchange confirms the result; then another officer approves it")
