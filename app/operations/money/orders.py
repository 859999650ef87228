"""Transfers at a bank: each is sent once, and ends as the bank says (rules-2026 N142, N143).

Lock order: transfers (shared), accounts, applications, orders, holdings.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, DateTime, bindparam, insert, select, text

from app.domain.banks import OrderState, Said
from app.domain.errors import NotFound
from app.domain.workflow import Case, Status
from app.extensions import db
from app.models import Account, Application, BankAnswer, BankBinding, BankOrder, SettlementBank
from app.operations.accounts import bindings
from app.operations.applications import engine, evidence
from app.operations.ledger import posting
from app.operations.money import sessions
from app.operations.records import log
from app.operations.records.actor import BANK, SYSTEM, Actor

logger = logging.getLogger(__name__)

ANSWER_WITHIN = timedelta(minutes=2)  # then the outcome is unknown, and queried
LONGEST_WAIT = timedelta(minutes=15)  # between two queries
HELD_UP = timedelta(hours=1)  # before an altered application is looked at again
LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Sending:
    """A transfer as it is sent; the bank account's number in clear, the amount in fen."""

    order_id: int
    serial: str
    direction: str
    amount: int
    member_no: str
    holder_name: str
    bank_account: str


# What awaits the bank and has no order yet: its serial follows from application and version.
_REGISTER = text("""
    INSERT INTO bank_order (serial, bank_id, application_id, version, direction, started_by, amount,
                            state, due_at, created_at, changed_at)
    SELECT 'R' || lpad(a.id::text, 12, '0') || lpad(a.version::text, 4, '0'), b.id, a.id, a.version,
           CASE a.kind WHEN 'deposit' THEN 'in' ELSE 'out' END, 'registry', l.quantity,
           'pending', :now, :now, :now
      FROM application a
      JOIN application_line l ON l.application_id = a.id
      JOIN settlement_bank b ON b.instrument_id = l.instrument_id
     WHERE a.kind IN ('deposit', 'withdrawal') AND a.status = 'in_review' AND a.step = 0
       AND b.id = :bank
       AND NOT EXISTS (SELECT FROM bank_order o WHERE o.application_id = a.id AND o.version = a.version)
     ORDER BY a.id
    ON CONFLICT DO NOTHING
""").bindparams(bindparam("now", type_=DateTime(timezone=True)))


def register(bank_id: int, *, now: datetime) -> int:
    """Enter what awaits the bank into the book of serials; return how many."""
    return db.session.execute(_REGISTER, {"bank": bank_id, "now": now}).rowcount


def next_to_send(bank_id: int, *, now: datetime) -> Sending | None:
    """Mark the next transfer as sent and return it: once this is committed, it is sent, and only then.

    Withdrawals wait while a day's trades are undelivered (docs/adr/0077).
    """
    directions = ("in", "out") if sessions.may_pay_out(now) else ("in",)
    while True:
        waiting = db.session.execute(
            select(BankOrder.id, BankOrder.application_id)
            .where(
                BankOrder.bank_id == bank_id,
                BankOrder.state == OrderState.PENDING,
                BankOrder.direction.in_(directions),
                BankOrder.due_at <= now,
            )
            .order_by(BankOrder.id)
            .limit(1)
        ).one_or_none()
        if waiting is None:
            return None
        (case,) = engine.hold([waiting.application_id], SYSTEM)
        order = _locked(waiting.id)
        if order.state == OrderState.PENDING and _is_to_be_sent(order, case, now):
            order.state, order.sent_at = OrderState.SENT, now
            order.changed_at, order.due_at = now, now + ANSWER_WITHIN
            db.session.flush()
            return _sending(order, case)


def _is_to_be_sent(order: BankOrder, case: Case, now: datetime) -> bool:
    """Tell whether the application still stands as it was signed; end or hold up its order otherwise."""
    if case.status is not Status.IN_REVIEW or case.version != order.version:
        order.state, order.changed_at = OrderState.REFUSED, now
        db.session.flush()
        return False
    altered, _lapsed = evidence.unfit([case.id], set())
    if altered or not _is_bound_as_signed(case):
        logger.error("%s differs from what was signed and is not sent to the bank", case.number)
        order.due_at = now + HELD_UP
        db.session.flush()
        return False
    return True


def _is_bound_as_signed(case: Case) -> bool:
    """Tell whether the binding is the applicant's, in force, and of the account that two officers bound."""
    binding = db.session.get_one(BankBinding, case.proposal["binding"], populate_existing=True)
    if binding.account_id != case.account_id or binding.ended_at is not None:
        return False
    if not binding.bank_account.endswith(case.proposal["account_ending"]):
        return False
    approved = db.session.get(Application, binding.application_id or 0)
    named = bindings.proposed(approved.proposal) if approved else {}
    return named.get("account_no") in (None, binding.bank_account)


def _locked(order_id: int) -> BankOrder:
    found = select(BankOrder).where(BankOrder.id == order_id).with_for_update()
    return db.session.scalars(found.execution_options(populate_existing=True)).one()


def _sending(order: BankOrder, case: Case) -> Sending:
    binding = db.session.get_one(BankBinding, case.proposal["binding"])
    return Sending(
        order.id,
        order.serial,
        order.direction,
        order.amount,
        db.session.get_one(Account, case.account_id).member_no,
        binding.holder_name,
        binding.bank_account,
    )


def next_to_query(bank_id: int, *, now: datetime) -> tuple[int, str] | None:
    """Return the next order whose outcome is to be queried, as (id, serial); it is 待查 from then on."""
    found = (
        select(BankOrder)
        .where(
            BankOrder.bank_id == bank_id,
            BankOrder.state.in_((OrderState.SENT, OrderState.UNKNOWN)),
            BankOrder.due_at <= now,
        )
        .order_by(BankOrder.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    order = db.session.scalars(found.execution_options(populate_existing=True)).one_or_none()
    if order is None:
        return None
    if order.state == OrderState.SENT:
        order.state, order.changed_at = OrderState.UNKNOWN, now
    order.queries += 1
    order.due_at = now + min(timedelta(seconds=15 * 2 ** min(order.queries, 10)), LONGEST_WAIT)
    db.session.flush()
    return order.id, order.serial


def query_now(order_id: int, actor: Actor, *, now: datetime) -> None:
    """Let the worker query an order at once.  Raises NotFound where its outcome is not open."""
    order = db.session.get(BankOrder, order_id, with_for_update=True, populate_existing=True)
    if order is None or order.state not in (OrderState.SENT, OrderState.UNKNOWN):
        raise NotFound(_("There is no such transfer whose outcome is unknown"))
    order.due_at = min(order.due_at, now)
    log.record(actor, "bank.query", subject=order.serial)
    db.session.flush()


def answer(order_id: int, said: Said, source: str, *, now: datetime) -> OrderState:
    """Carry out what a bank said of an order, and return the order's state; repeated, it does nothing.

    Done: the application is approved, or what came too late is booked.  Refused: it is sent back,
    and what it held is released.  Reversed: the opposite is booked.  Unknown: it is 待查.  An answer
    with another amount than the order's is a contradiction, and changes nothing.
    """
    application_id = db.session.scalar(
        select(BankOrder.application_id).where(BankOrder.id == order_id)
    )
    if application_id is None:
        raise NotFound(_("There is no such transfer"))
    engine.hold([application_id], SYSTEM)
    order = _locked(order_id)
    state = OrderState(order.state)
    if said.amount not in (None, order.amount):
        _note_contradiction(order, said)
        return state
    if (state, said.outcome) not in _NEWS:
        if (state, said.outcome) in _CONTRADICTIONS:
            _note_contradiction(order, said)
        return state
    _record(order, said, source, now)
    if said.outcome is OrderState.UNKNOWN:
        order.state, order.changed_at, order.due_at = OrderState.UNKNOWN, now, now
        db.session.flush()
        return OrderState.UNKNOWN
    order.bank_serial = order.bank_serial or said.bank_serial or None
    order.platform_serial = order.platform_serial or said.platform_serial or None
    if state in (OrderState.SENT, OrderState.UNKNOWN):
        _end(order, said, now)
    else:
        _book(order, now)
    db.session.expire_all()
    return said.outcome


_OPEN = (OrderState.SENT, OrderState.UNKNOWN)
# (state, what the bank says) that changes something.
_NEWS = {
    *((state, said) for state in _OPEN for said in (OrderState.DONE, OrderState.REFUSED)),
    (OrderState.SENT, OrderState.UNKNOWN),
    (OrderState.REFUSED, OrderState.DONE),
    (OrderState.DONE, OrderState.REVERSED),
}
_CONTRADICTIONS = {
    (OrderState.DONE, OrderState.REFUSED),
    (OrderState.PENDING, OrderState.DONE),
    (OrderState.REVERSED, OrderState.DONE),
}


def _record(order: BankOrder, said: Said, source: str, now: datetime) -> None:
    db.session.execute(
        insert(BankAnswer).values(
            order_id=order.id,
            source=source,
            outcome=str(said.outcome),
            reason=said.reason[:LONGEST_REASON],
            message=said.message,
            received_at=now,
        )
    )


def _end(order: BankOrder, said: Said, now: datetime) -> None:
    """End an order and its application together."""
    order.state, order.changed_at = said.outcome, now
    db.session.flush()
    if said.outcome is OrderState.DONE:
        case = engine.approve([order.application_id], BANK, now=now).one()
        if order.direction == "in":
            _pay_receivables(case.account_id, now)
    else:
        reason = said.reason or _("The bank refused the transfer")
        engine.send_back([order.application_id], BANK, now=now, comment=reason).one()


def _book(order: BankOrder, now: datetime) -> None:
    """Book what happened after the application's end; never silently."""
    db.session.flush()
    before, serial, account_id = order.state, order.serial, order.application.account_id
    with posting.ledger_errors():
        missing = db.session.scalar(_BOOK, {"order": order.id, "at": now})
    db.session.refresh(order)
    log.record(
        BANK, "bank.correct", subject=serial, account_id=account_id,
        before={"state": before}, after={"state": order.state},
        fen=order.amount, receivable=missing, restricted=bool(missing),
    )  # fmt: skip
    if not missing:
        _pay_receivables(account_id, now)


def _pay_receivables(account_id: int, now: datetime) -> None:
    paid = db.session.scalar(_PAY, {"account": account_id, "at": now})
    if paid:
        log.record(BANK, "receivable.pay", account_id=account_id, fen=paid)


def _note_contradiction(order: BankOrder, said: Said) -> None:
    """Log what a bank says against what it said before; nothing is moved by it."""
    logger.error("order %s is %s, and the bank says %s", order.serial, order.state, said.outcome)
    log.record(
        BANK, "bank.contradiction", subject=order.serial, result="refused",
        before={"state": str(order.state), "fen": order.amount},
        after={"state": str(said.outcome), "fen": said.amount or order.amount},
    )  # fmt: skip


def member_no_of(order: BankOrder) -> str:
    """Return the number of the member whose transfer an order is."""
    account = db.session.get_one(Account, order.application.account_id)
    return account.member_no


def of_serial(bank_id: int, serial: str, bank_serial: str = "") -> BankOrder | None:
    """Return a bank's order by our serial, or else by the bank's."""
    mine = select(BankOrder).where(BankOrder.bank_id == bank_id)
    found = None
    if serial:
        found = db.session.scalars(mine.where(BankOrder.serial == serial)).one_or_none()
    if found is None and bank_serial:
        found = db.session.scalars(mine.where(BankOrder.bank_serial == bank_serial)).one_or_none()
    return found


def bank_of(instrument_id: int) -> SettlementBank | None:
    """Return the bank whose money an instrument is."""
    mine = select(SettlementBank).where(SettlementBank.instrument_id == instrument_id)
    return db.session.scalars(mine).one_or_none()


_BOOK = text("SELECT book_bank_order(:order, :at)").bindparams(
    bindparam("order", type_=BigInteger), bindparam("at", type_=DateTime(timezone=True))
)
_PAY = text("SELECT pay_receivables(:account, :at)").bindparams(
    bindparam("at", type_=DateTime(timezone=True))
)


def waits_for(order: BankOrder, *, now: datetime) -> Any:
    """Return why a pending withdrawal is not sent yet, or nothing."""
    is_held = order.direction == "out" and order.state == OrderState.PENDING
    if is_held and not sessions.may_pay_out(now):
        return _("It is sent to the bank once the day's trades are delivered")
    return ""
