"""结算银行: the banks, what they hold by our books, and what passed on their lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import flash, redirect
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, cast, func, select

from app.domain.banks import OrderState
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.models import BankLineEvent, BankOrder, Holding, Receivable, SettlementBank
from app.models import ReceivablePayment as Payment
from app.operations.money import banks
from app.security.roles import OFFICERS, REGISTRY_MAKER
from app.views.applications.form import Required
from app.views.applications.texts import StringField
from app.views.chapters import MONEY, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import PageForm, carried_out, current_actor


class BankForm(PageForm):
    """新增结算银行."""

    code = StringField(_("Code of the bank"), [Required()], render_kw={"maxlength": 10})
    name = StringField(
        _("Name of the bank"), [Required()], render_kw={"maxlength": banks.LONGEST_NAME}
    )


class SettlementBankView(ListPage):
    """结算银行."""

    route_base = "/money/banks"
    title = _("Settlement banks")
    menu = MenuEntry(MONEY, 7)
    guide = {"registry": "资金管理"}
    grants = {OFFICERS: "list export", REGISTRY_MAKER: "write"}
    account_column = None  # Banks belong to no account.
    columns = (
        Column("code", _("Code of the bank"), kind="code"),
        Column("name", _("Name of the bank")),
        Column("held", _("Held for participants"), kind="money"),
        Column("receivable", _("Receivable"), kind="money"),
        Column("unknown", _("Outcome unknown"), kind="number"),
        Column("theirs", _("Last balance that the bank reported"), kind="money"),
        Column("ours", _("Our books at that time"), kind="money"),
        Column("compared_at", _("Compared at"), kind="datetime"),
        Column("unmatched", _("Rows of its files that fit nothing"), kind="number"),
    )
    filters = (
        Filter("code", _("Code of the bank"), kind="prefix", on=("code",)),
        Filter("name", _("Name of the bank"), on=("name",)),
    )
    help = (
        _("The balance that the bank reports is held for participants, less the receivables"),
        _("The line to a bank is set up by the operator of this system (BANK_LINES)"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a bank."""
        return select(
            SettlementBank.id,
            SettlementBank.code,
            SettlementBank.name,
            func.coalesce(_held(), 0).label("held"),
            (func.coalesce(_owed(), 0) - func.coalesce(_paid(), 0)).label("receivable"),
            _unknown().label("unknown"),
            _of_balance(cast(BankLineEvent.detail["theirs"].astext, BigInteger)).label("theirs"),
            _of_balance(cast(BankLineEvent.detail["ours"].astext, BigInteger)).label("ours"),
            _of_balance(BankLineEvent.at).label("compared_at"),
            _unmatched().label("unmatched"),
        )

    def tools(self) -> Iterable[RowAction]:
        if self.may("write"):
            yield RowAction(_("New settlement bank"), self.url("new"), icon="plus")

    @expose("/new", methods=["GET", "POST"])
    @has_access
    @permission_name("write")
    def new(self) -> Any:
        form = BankForm()
        if form.validate_on_submit():
            name = carried_out(
                form,
                lambda: (
                    banks.open_bank(
                        form.code.data or "", form.name.data or "", current_actor()
                    ).name
                ),
                "code",
            )
            if name:
                flash(gettext("%(name)s is a settlement bank now", name=name), "success")
                return redirect(back_url(self.url("list")))
        return self.form_page(
            _("New settlement bank"),
            form,
            submit_label=_("Create"),
            cancel_url=back_url(self.url("list")),
            help=self.help,
        )


def _held() -> Any:
    return (
        select(-Holding.issued)
        .where(
            Holding.account_id == ISSUANCE_ACCOUNT_ID,
            Holding.instrument_id == SettlementBank.instrument_id,
        )
        .scalar_subquery()
    )


def _of_bank() -> Any:
    """Return the condition that a receivable is what a bank paid; what the reserve paid never left it."""
    at_bank = Receivable.instrument_id == SettlementBank.instrument_id
    return at_bank & Receivable.booking_id.is_not(None)


def _owed() -> Any:
    owed = cast(func.sum(Receivable.amount), BigInteger)
    return select(owed).where(_of_bank()).scalar_subquery()


def _paid() -> Any:
    return (
        select(cast(func.sum(Payment.amount), BigInteger))
        .join(Receivable, Receivable.id == Payment.receivable_id)
        .where(_of_bank())
        .correlate(SettlementBank)
        .scalar_subquery()
    )


def _unknown() -> Any:
    mine = BankOrder.bank_id == SettlementBank.id
    return (
        select(func.count())
        .select_from(BankOrder)
        .where(mine, BankOrder.state == OrderState.UNKNOWN)
        .scalar_subquery()
    )


def _of_balance(value: Any) -> Any:
    """Return a figure of the last comparison of balances."""
    return (
        select(value)
        .where(BankLineEvent.bank_id == SettlementBank.id, BankLineEvent.event == "balance")
        .order_by(BankLineEvent.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _unmatched() -> Any:
    return (
        select(func.count())
        .select_from(BankLineEvent)
        .where(BankLineEvent.bank_id == SettlementBank.id, BankLineEvent.event == "unmatched")
        .scalar_subquery()
    )
