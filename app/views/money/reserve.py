"""计提结算风险准备金: fees that a bank holds become the reserve, by two officers."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select
from wtforms import SelectField

from app.domain.kinds.money.reserve import ReserveProvision
from app.domain.money import fen
from app.domain.moves import FEES_ACCOUNT_ID
from app.models import Application
from app.operations.applications import engine
from app.operations.money import reserve
from app.views.applications import form as application_form
from app.views.applications.form import PLEASE_CHOOSE, Filled, Required, choices_of
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import MONEY, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions
from app.views.money.applying import AmountForm, typed_amount


class ProvisionForm(AmountForm):
    """A bank, and an amount in yuan."""

    bank = SelectField(_("Settlement bank"), [Required()], validate_choice=False)


class ReserveProvisionView(OfficerDesk):
    """计提准备金."""

    route_base = "/money/reserve-provisions"
    kind = ReserveProvision.code
    title = _("Provisions for the reserve")
    menu = MenuEntry(MONEY, 10)
    guide = {"registry": "违约处理"}
    form_title = _("Provision for the settlement reserve")
    form = ProvisionForm
    accepts_attachments = False
    quantity_title = _("Amount")
    columns = (
        *usual_columns("number"),
        Column("bank", _("Settlement bank")),
        Column("amount", _("Amount"), kind="money"),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    help = (
        _("Settlement fees become the reserve at the same bank; another officer confirms it"),
        _("The reserve covers what a buyer lacks once its notice is over"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the bank."""
        bank = Application.proposal["bank_name"].astext.label("bank")
        return super().rows(conditions).add_columns(bank)

    def choose(self) -> Any:
        return None

    def account_id(self) -> int:
        return FEES_ACCOUNT_ID

    def new_form(self, account_id: int) -> Any:
        return _with_banks(self.form())

    def edit_form(self, application: Application) -> Any:
        data = typed_amount(application) | {"bank": application.proposal["bank"]}
        return _with_banks(self.form(data=data))

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return fees and reserve at each bank."""
        return [
            fact
            for each in reserve.at_banks()
            for fact in (
                (gettext("Fees at %(bank)s", bank=each.name), each.fees, "money", _("yuan")),
                (gettext("Reserve at %(bank)s", bank=each.name), each.reserve, "money", _("yuan")),
            )
        ]

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        form = filled.form
        return reserve.draft(
            form.bank.data,
            fen(form.amount.data),
            application_form.request_key(),
            reason=(form.reason.data or "").strip(),
        )


def _with_banks(form: Any) -> Any:
    form.bank.choices = choices_of(
        {each.code: each.name for each in reserve.at_banks()}, PLEASE_CHOOSE
    )
    return form
