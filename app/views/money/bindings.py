"""银行账户绑定: applications for binding an account of the enterprise's own name (rules-2026 N145)."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, select
from wtforms import SelectField

from app.domain.errors import RuleError
from app.domain.kinds.money.bank_transfers import BankBindingApplication
from app.domain.workflow import Status
from app.extensions import db
from app.models import Account, Application, BankBinding, BankBindingAnswer, SettlementBank
from app.operations.accounts import bindings
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import (
    PLEASE_CHOOSE,
    ApplicationForm,
    Filled,
    Required,
    choices_of,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.texts import StringField
from app.views.chapters import MONEY, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions

ANSWERS = {True: (_("Confirmed"), "green"), False: (_("Refused"), "red")}


class BindingForm(ApplicationForm):
    """Bank, holder and number; the number is never shown again."""

    bank = SelectField(_("Settlement bank"), [Required()], validate_choice=False)
    holder_name = StringField(_("Account holder"), [Required()], render_kw={"maxlength": 200})
    bank_account = StringField(
        _("Bank account number"),
        [Required()],
        render_kw={"maxlength": 40, "inputmode": "numeric", "autocomplete": "off"},
    )


class BankBindingView(ApplicationDesk):
    """银行账户绑定: what was applied for, what was bound, and what the bank said."""

    route_base = "/money/bank-accounts"
    kind = BankBindingApplication.code
    title = _("Bound bank accounts")
    menu = MenuEntry(MONEY, 6)
    guide = {"enterprise": "二银行账户绑定", "province": "查询", "registry": "资金管理"}
    form_title = _("Binding of a bank account")
    form = BindingForm
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("bank", _("Settlement bank")),
        Column("holder_name", _("Account holder"), is_shown=False),
        Column("account_ending", _("Last digits of the account"), kind="code"),
        Column("withdrawals_from", _("Withdrawals from"), kind="date"),
        Column("is_confirmed", _("Confirmed by the bank"), kind="status", choices=ANSWERS),
        Column("answer", _("Reason of the bank"), is_shown=False),
        Column("ended_at", _("Ended at"), kind="datetime", is_shown=False),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters(has_lines=False)
    help = (
        _("Only a bank account in the enterprise's own name can be bound; one at a time"),
        _("Two officers of the registry review it; then the bank confirms it"),
        _("Another bank can be bound only once no money is left at the one bound so far"),
        _("After a new bank account is bound, withdrawals begin on the next working day"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the account, and what became of the binding."""
        proposal = Application.proposal
        return (
            super()
            .rows(conditions)
            .outerjoin(BankBinding, BankBinding.application_id == Application.id)
            .outerjoin(BankBindingAnswer, BankBindingAnswer.binding_id == BankBinding.id)
            .add_columns(
                proposal["bank_name"].astext.label("bank"),
                proposal["holder_name"].astext.label("holder_name"),
                proposal["account_ending"].astext.label("account_ending"),
                BankBinding.withdrawals_from,
                BankBinding.ended_at,
                BankBindingAnswer.is_confirmed,
                BankBindingAnswer.reason.label("answer"),
            )
        )

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return the account bound so far."""
        binding = bindings.current(account_id)
        if binding is None:
            return []
        return [
            (_("Bound so far"), f"{binding.bank_name} {binding.holder_name}", "text"),
            (_("Last digits of the account"), binding.ending, "code"),
        ]

    def new_form(self, account_id: int) -> Any:
        """Return the form with the enterprise's own name."""
        name = db.session.get_one(Account, account_id).name
        return _with_banks(self.form(data={"holder_name": name}))

    def edit_form(self, application: Application) -> Any:
        """Return the form of an application; its number is kept where the field is left empty."""
        proposal = application.proposal
        data = {name: proposal.get(name, "") for name in ("bank", "holder_name")}
        form = _with_banks(self.form(data=data | {"reason": application.reason}))
        form.known = bindings.proposed(proposal).get("account_no", "")
        if form.known:
            form.bank_account.description = gettext(
                "Now %(value)s; leave empty to keep it", value=f"…{proposal['account_ending']}"
            )
        return form

    def content(self, filled: Filled) -> dict[str, Any]:
        """Return the proposal.  Raises RuleError for an invalid field."""
        form = filled.form
        number = (form.bank_account.data or "").strip() or getattr(form, "known", "")
        if form.bank.data not in form.names:
            raise RuleError(_("Choose one of the settlement banks"), field="bank")
        proposal = bindings.propose(
            form.bank.data, form.names[form.bank.data], form.holder_name.data or "", number
        )
        return {"reason": (form.reason.data or "").strip(), "proposal": proposal}

    def next_step(self, application: Application) -> Any:
        return gettext("Two officers of the registry review it; then the bank confirms it")

    def detail_facts(self, application: Application) -> list[tuple[Any, Any, str]]:
        """Add what the bank said, and from when on money can be withdrawn."""
        facts = super().detail_facts(application)
        if application.status != Status.APPROVED:
            return facts
        row = db.session.execute(
            select(BankBinding, BankBindingAnswer)
            .outerjoin(BankBindingAnswer, BankBindingAnswer.binding_id == BankBinding.id)
            .where(BankBinding.application_id == application.id)
        ).one_or_none()
        if row is not None:
            binding, answer = row
            said = str(ANSWERS[answer.is_confirmed][0]) if answer else gettext("Not answered yet")
            facts += [
                (_("Withdrawals from"), binding.withdrawals_from, "date"),
                (_("Confirmed by the bank"), said, "text"),
                (_("Reason of the bank"), answer.reason if answer else "", "text"),
                (_("Ended at"), binding.ended_at, "datetime"),
            ]
        return facts


def _with_banks(form: Any) -> Any:
    """Offer the settlement banks."""
    rows = db.session.execute(
        select(SettlementBank.code, SettlementBank.name).order_by(SettlementBank.code)
    )
    form.names = dict(rows.all())
    form.bank.choices = choices_of(form.names, PLEASE_CHOOSE)
    return form
