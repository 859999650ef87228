"""What a bank starts: deposits at its counter, and reversals (rules-2026 N142)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.banks import OrderState, Said
from app.domain.errors import RuleError
from app.domain.kinds.money.bank_transfers import Deposit
from app.extensions import db
from app.models import Account, Application, BankAnswer, BankOrder, Holding, SettlementBank
from app.operations.accounts import bindings
from app.operations.applications import engine
from app.operations.money import applying, orders
from app.operations.records import log
from app.operations.records.actor import BANK

CONTRADICTION = "serial_contradiction"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A transfer that the bank started, or its reversal of one (``reverses``: the bank's serial)."""

    bank_serial: str
    platform_serial: str
    member_no: str
    holder_name: str
    bank_account: str
    amount: int
    message: str
    reverses: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """Our answer to the bank: our serial, or why it is refused."""

    is_done: bool
    serial: str = ""
    reason: str = ""


def receive(bank_id: int, item: Incoming, *, now: datetime, source: str = "notice") -> Reply:
    """Carry out what a bank started; repeated, it returns the first result.

    ``source`` is `notice`, or `file` where its day's file told of it first.  A serial that comes again
    with another content is refused as a contradiction.
    """
    try:
        with db.session.begin_nested():
            if item.reverses:
                return _reverse(bank_id, item, now)
            return _deposit(bank_id, item, now, source)
    except RuleError as error:
        action = "bank.contradiction" if error.code == CONTRADICTION else "bank.incoming"
        log.record(BANK, action, subject=item.bank_serial, result="refused", reason=str(error))
        return Reply(False, reason=str(error))


def _deposit(bank_id: int, item: Incoming, now: datetime, source: str) -> Reply:
    known = orders.of_serial(bank_id, "", item.bank_serial)
    if known is not None:
        _require_same(known, item)
        return Reply(True, known.serial)
    account_id = _account_of(bank_id, item)
    bank = db.session.get_one(SettlementBank, bank_id)
    key = f"bank:{bank.code}:{item.bank_serial}"
    draft = applying.draft(Deposit.code, account_id, item.amount, key)
    (application_id,) = engine.start([draft], BANK, now=now)
    case = engine.submit([application_id], BANK, now=now).one()
    order = BankOrder(
        serial=f"B{case.id:012d}{case.version:04d}",
        bank_id=bank_id,
        application_id=case.id,
        version=case.version,
        direction="in",
        started_by="bank",
        amount=item.amount,
        state=str(OrderState.SENT),
        sent_at=now,
        due_at=now,
        created_at=now,
        changed_at=now,
    )
    db.session.add(order)
    db.session.flush()
    said = Said(OrderState.DONE, item.message, item.bank_serial, item.platform_serial)
    serial = order.serial
    orders.answer(order.id, said, source, now=now)
    return Reply(True, serial)


def _require_same(known: BankOrder, item: Incoming) -> None:
    """Compare a repeated notice with what its serial stands for.  Raises RuleError.

    The first message tells payer and account number, besides what the bank notes of our answer; an order
    that a day's file told of has none.
    """
    is_same = (known.direction, known.amount, orders.member_no_of(known)) == (
        "in", item.amount, item.member_no,
    )  # fmt: skip
    first = db.session.scalars(
        select(BankAnswer.message)
        .where(BankAnswer.order_id == known.id, BankAnswer.source == "notice")
        .order_by(BankAnswer.id)
        .limit(1)
    ).one_or_none()
    told = json.loads(first) if first else {}
    payer = {"holder_name": item.holder_name, "bank_account": item.bank_account}
    if is_same and all(told.get(name, value) == value for name, value in payer.items()):
        return
    raise RuleError(
        _("Serial %(serial)s was used before for another transfer", serial=item.bank_serial),
        code=CONTRADICTION,
    )


def _account_of(bank_id: int, item: Incoming) -> int:
    """Return the account whose bound bank account the money comes from.  Raises RuleError."""
    named = select(Account.id).where(Account.member_no == item.member_no)
    account_id = db.session.scalar(named)
    binding = bindings.current(account_id) if account_id is not None else None
    if account_id is None or binding is None:
        raise RuleError(
            _("No bank account is bound for %(number)s", number=item.member_no[:30]),
            code="not_bound",
        )
    bound = (binding.bank_id, binding.bank_account, binding.holder_name)
    if bound != (bank_id, item.bank_account, item.holder_name):
        raise RuleError(
            _("The money does not come from the bank account bound for %(number)s",
              number=item.member_no[:30]),
            code="other_bank_account",
        )  # fmt: skip
    return account_id


def _reverse(bank_id: int, item: Incoming, now: datetime) -> Reply:
    """Reverse a transfer at the bank's wish: a deposit only while all of its money is there."""
    order = orders.of_serial(bank_id, "", item.reverses)
    if order is None or order.amount != item.amount:
        raise RuleError(
            _("There is no transfer %(serial)s of this amount", serial=item.reverses[:60]),
            code="reverses_nothing",
        )
    serial, order_id = order.serial, order.id
    if order.state == OrderState.REVERSED:
        if _reversed_by(order_id) not in ("", item.bank_serial):
            raise RuleError(
                _("Transfer %(serial)s was reversed already, by another request", serial=serial),
                code="reverses_nothing",
            )
        return Reply(True, serial)
    engine.hold([order.application_id], BANK)
    if order.direction == "in" and _available(order) < order.amount:
        raise RuleError(
            _("The money of transfer %(serial)s has been used meanwhile", serial=serial),
            code="reversal_not_covered",
        )
    said = Said(OrderState.REVERSED, item.message, reason=item.bank_serial)
    if orders.answer(order_id, said, "notice", now=now) is not OrderState.REVERSED:
        raise RuleError(
            _("Transfer %(serial)s was not carried out and is not reversed", serial=serial),
            code="reverses_nothing",
        )
    return Reply(True, serial)


def _reversed_by(order_id: int) -> str:
    """Return the bank's serial of an order's reversal; empty where its day's file told of it."""
    found = select(BankAnswer.reason).where(
        BankAnswer.order_id == order_id, BankAnswer.outcome == str(OrderState.REVERSED)
    )
    return db.session.scalars(found.order_by(BankAnswer.id).limit(1)).one_or_none() or ""


def _available(order: BankOrder) -> int:
    """Return what is withdrawable of an order's participant, locked until the transaction ends."""
    account = select(Application.account_id).where(Application.id == order.application_id)
    mine = select(Holding.available).where(
        Holding.account_id == account.scalar_subquery(),
        Holding.instrument_id == order.bank.instrument_id,
    )
    return int(db.session.scalar(mine) or 0)
