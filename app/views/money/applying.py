"""入金 and 出金: an amount in yuan, between the bound bank account and the registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, select

from app.domain.banks import ORDER_TITLES, OrderState
from app.domain.kinds.money.bank_transfers import Deposit, Withdrawal
from app.domain.money import fen, plain_yuan
from app.extensions import db
from app.models import Application, BankOrder, Holding, SettlementBank, parameter
from app.operations.accounts import bindings
from app.operations.applications import engine
from app.operations.applications.banking import FEN
from app.operations.money import applying, orders
from app.operations.records import clock
from app.views.applications import form as application_form
from app.views.applications.desk import ApplicationDesk
from app.views.applications.form import ApplicationForm, Filled, Required
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.texts import StringField
from app.views.chapters import MONEY, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction


class AmountForm(ApplicationForm):
    """An amount in yuan, kept as it was typed."""

    amount = StringField(
        _("Amount (yuan)"),
        [Required()],
        render_kw={"maxlength": 20, "inputmode": "decimal", "autocomplete": "off"},
    )


def typed_amount(application: Application) -> dict[str, Any]:
    """Return amount and reason of an application as form data."""
    amount = sum(line.quantity for line in application.lines)
    return {"amount": plain_yuan(amount), "reason": application.reason}


SERIALS = (
    Column("serial", _("Our serial"), kind="code"),
    Column("bank_serial", _("Serial of the bank"), kind="code"),
    Column("platform_serial", _("Serial of the platform"), kind="code", is_shown=False),
)
ORDER_STATE = Column("order_state", _("State at the bank"), kind="status", choices=ORDER_TITLES)
MONEY_GUIDE = {"enterprise": "一入金与出金", "province": "查询", "registry": "资金管理"}


class _MoneyDesk(ApplicationDesk):
    """A list of deposits or withdrawals with their serials, and the form for an amount."""

    guide = MONEY_GUIDE
    form = AmountForm
    accepts_attachments = False
    quantity_title = _("Amount")
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("bank", _("Settlement bank")),
        Column("amount", _("Amount"), kind="money"),
        ORDER_STATE,
        *SERIALS,
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(has_lines=False),
        Filter("state", _("State at the bank"), kind="choice", on=("order_state",),
               choices=ORDER_TITLES),
        Filter("serial", _("Serial"), kind="prefix", on=("serial", "bank_serial")),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the bank, and state and serials of the last order."""
        bank = Application.proposal["bank_name"].astext
        return (
            super()
            .rows(conditions)
            .add_columns(
                bank.label("bank"),
                _of_order(BankOrder.state).label("order_state"),
                _of_order(BankOrder.serial).label("serial"),
                _of_order(BankOrder.bank_serial).label("bank_serial"),
                _of_order(BankOrder.platform_serial).label("platform_serial"),
            )
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """What is on its way to the bank is not taken back."""
        return self._without_withdrawal(super().actions(row), row.id, row.order_state)

    def detail_actions(self, application: Application, status: str) -> Iterable[RowAction]:
        last = select(BankOrder.state).where(BankOrder.application_id == application.id)
        state = db.session.scalar(last.order_by(BankOrder.id.desc()).limit(1))
        found = super().detail_actions(application, status)
        return self._without_withdrawal(found, application.id, state)

    def _without_withdrawal(
        self, found: Iterable[RowAction], id_: int, state: str | None
    ) -> Iterable[RowAction]:
        is_sent = state in (OrderState.SENT, OrderState.UNKNOWN)
        address = self.url("withdraw", id=id_)
        return [each for each in found if not (is_sent and each.url == address)]

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Return the bound bank account, what can be withdrawn and used, and the limits."""
        binding = bindings.current(account_id)
        if binding is None:
            return []
        held = db.session.get(Holding, (account_id, binding.instrument_id))
        withdrawable = held.available if held else 0
        facts: list[tuple[Any, ...]] = [
            (_("Settlement bank"), binding.bank_name, "text"),
            (_("Account holder"), binding.holder_name, "text"),
            (_("Last digits of the account"), binding.ending, "code"),
            (_("Withdrawable"), withdrawable, "money", _("yuan")),
            (_("Usable"), withdrawable + (held.proceeds if held else 0), "money", _("yuan")),
        ]
        limits = parameter.settings(db.session)
        return [
            *facts,
            *((title, limits[name] * FEN, "money", _("yuan")) for name, title in self.limits),
        ]

    limits: tuple[tuple[str, Any], ...] = ()

    def obstacle(self, filled: Filled, account_id: int) -> str:
        """Say what the binding lacks."""
        binding = bindings.current(account_id)
        if binding is None:
            return gettext(
                "Bind a bank account first; money moves between it and the registry alone"
            )
        if binding.refusal:
            return gettext("The bank did not confirm the binding: %(why)s", why=binding.refusal)
        if not binding.is_confirmed:
            return gettext("The bank has not confirmed the bound bank account yet")
        return ""

    def draft(self, filled: Filled, account_id: int) -> engine.Draft:
        return applying.draft(
            self.kind,
            account_id,
            fen(filled.form.amount.data),
            application_form.request_key(),
            reason=(filled.form.reason.data or "").strip(),
        )

    def typed_before(self, application: Application) -> dict[str, Any]:
        return typed_amount(application)

    def detail_tables(self, application: Application, **how: Any) -> list[dict[str, Any]]:
        """Add what became of it at the bank."""
        return [*super().detail_tables(application, **how), _orders_of(application.id)]


def _of_order(column: Any) -> ColumnElement[Any]:
    """Return a column of an application's last order, for the rows shown alone."""
    return (
        select(column)
        .where(BankOrder.application_id == Application.id)
        .order_by(BankOrder.id.desc())
        .limit(1)
        .correlate(Application)
        .scalar_subquery()
    )


def _orders_of(application_id: int) -> dict[str, Any]:
    now = clock.now()
    found = db.session.execute(
        select(BankOrder, SettlementBank.name)
        .join(SettlementBank, SettlementBank.id == BankOrder.bank_id)
        .where(BankOrder.application_id == application_id)
        .order_by(BankOrder.id)
    )
    return {
        "title": _("At the bank"),
        "columns": [
            {"label": _("Our serial"), "kind": "code"},
            {"label": _("Serial of the bank"), "kind": "code"},
            {"label": _("Serial of the platform"), "kind": "code"},
            {"label": _("Settlement bank")},
            {"label": _("State at the bank"), "kind": "status"},
            {"label": _("Changed at"), "kind": "datetime"},
            {"label": _("Note")},
        ],
        "rows": [
            [
                order.serial,
                order.bank_serial,
                order.platform_serial,
                name,
                dict(zip(("label", "tone"), ORDER_TITLES[order.state], strict=True)),
                order.changed_at,
                orders.waits_for(order, now=now),
            ]
            for order, name in found
        ],
    }


class DepositView(_MoneyDesk):
    """入金: the bank takes the money from the bound account, and it is credited then."""

    route_base = "/money/deposits"
    kind = Deposit.code
    title = _("Deposits of money")
    menu = MenuEntry(MONEY, 3)
    form_title = _("Deposit of money")
    limits = (("largest_deposit", _("Largest deposit of money")),)
    help = (
        _("The bank takes the money from the bound bank account; it is credited once the bank has"
          " said that it is done"),
        _("Money that you pay in at the bank's counter for the registry appears here by itself"),
        _("Where the bank's answer is missing the state is “outcome unknown”: it is queried, and"
          " nothing is sent twice"),
    )  # fmt: skip

    def next_step(self, application: Application) -> Any:
        return gettext(
            "It is sent to the bank, and credited once the bank has said that it is done"
        )


class WithdrawalView(_MoneyDesk):
    """出金: what is withdrawable goes to the bound account."""

    route_base = "/money/withdrawals"
    kind = Withdrawal.code
    title = _("Withdrawals of money")
    menu = MenuEntry(MONEY, 4)
    form_title = _("Withdrawal of money")
    limits = (
        ("largest_withdrawal", _("Largest withdrawal of money")),
        ("withdrawals_a_day", _("Most withdrawn by an enterprise a day")),
    )
    confirm = _("The amount is held at once, and paid to the bound bank account. Submit it?")
    help = (
        _("Withdrawable is what is not held; proceeds of today's sales become withdrawable on the"
          " next trading day"),
        _("Between the opening of a trading day and the delivery of its trades a withdrawal is held,"
          " and sent to the bank afterwards"),
        _("It can be taken back until it is sent to the bank"),
        _("After a new bank account is bound, withdrawals begin on the next working day"),
    )  # fmt: skip

    def next_step(self, application: Application) -> Any:
        return gettext("The amount is held; it leaves once the bank has said that it is done")
