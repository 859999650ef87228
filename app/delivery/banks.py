"""The exchange with settlement banks: nothing is asked of a bank inside a transaction.

Each step commits what it is about to do, asks, and commits what the bank said.  A transfer is sent
after its order says so; whoever dies in between leaves an order that is queried, never sent again.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, time

from sqlalchemy.exc import DBAPIError

from app.delivery.bank_line import BankLine, HttpBankLine, LineError
from app.extensions import db, transaction
from app.operations.money import banks, files, incoming, orders, sessions
from app.operations.money.exchange import DayFile, OrderState, RuleError, Said
from app.operations.records import clock
from config import Settings

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 500  # orders a run, then the worker checks whether it is to stop
CLOSING = time(17, 0)  # from when on we sign out, once nothing waits to be sent
LATEST_CLOSING = time(22, 0)


def exchange(settings: Settings) -> None:
    """Exchange with every bank whose line is set up."""
    for code, key, address in settings.bank_lines:
        try:
            exchange_with(HttpBankLine(code, address, key))
        except (RuleError, DBAPIError):  # The other banks go on.
            logger.exception("bank %s: its messages cannot be worked through", code)
            db.session.rollback()


def exchange_with(line: BankLine) -> None:
    """Do everything that is due with one bank; what it does not answer is done at the next run."""
    bank_id = banks.of_code(line.code)
    db.session.rollback()
    if bank_id is None:
        return
    try:
        if _is_open(line, bank_id):
            _bind(line, bank_id)
            _take_incoming(line, bank_id)
            _send(line, bank_id)
        _query(line, bank_id)
        _close(line, bank_id)
        for day in _days_due(bank_id):
            if not _take_file(line, bank_id, day):
                break  # A later file does not tell what this one would.
    except LineError as error:
        logger.warning("bank %s: %s", line.code, error)


def _now() -> datetime:
    now = clock.now()
    db.session.rollback()  # Reading the clock began a transaction; none is open while a bank is asked.
    return now


def _is_open(line: BankLine, bank_id: int) -> bool:
    """Sign in where that is due today; False once we have signed out."""
    now = _now()
    day = banks.today(now)
    is_in, is_out = (banks.has(bank_id, day, event) for event in ("sign_in", "sign_out"))
    db.session.rollback()
    if not is_in:
        line.sign_in(day)
        with transaction():
            banks.note(bank_id, day, "sign_in", now)
    return not is_out


def _bind(line: BankLine, bank_id: int) -> None:
    waiting = banks.to_bind(bank_id)
    db.session.rollback()
    for each in waiting:
        said = line.bind(each)
        if said.outcome in (OrderState.DONE, OrderState.REFUSED):
            with transaction():
                banks.bound(
                    each.binding_id,
                    is_confirmed=said.outcome is OrderState.DONE,
                    message=said.message,
                    reason=said.reason,
                    now=clock.now(),
                )


def _take_incoming(line: BankLine, bank_id: int) -> None:
    for item in line.incoming():
        with transaction():
            reply = incoming.receive(bank_id, item, now=clock.now())
        line.acknowledge(item, reply)


def _send(line: BankLine, bank_id: int) -> None:
    with transaction():
        orders.register(bank_id, now=clock.now())
    for _each in range(MOST_AT_ONCE):
        with transaction():
            now = clock.now()
            order = orders.next_to_send(bank_id, now=now)
        if order is None:
            return
        try:
            said = line.transfer(order, banks.today(now))
        except LineError as error:
            # It may have been carried out; the others are not sent to a bank that does not answer.
            _answered(order.order_id, Said(OrderState.UNKNOWN, "", reason=str(error)), "answer")
            return
        _answered(order.order_id, said, "answer")


def _query(line: BankLine, bank_id: int) -> None:
    for _each in range(MOST_AT_ONCE):
        with transaction():
            order = orders.next_to_query(bank_id, now=clock.now())
        if order is None:
            return
        order_id, serial = order
        _answered(order_id, line.query(serial), "query")


def _answered(order_id: int, said: Said, source: str) -> None:
    try:
        with transaction():
            orders.answer(order_id, said, source, now=clock.now())
    except RuleError as error:  # It stays 待查, where officers see it.
        logger.error("order %s: the bank's answer cannot be booked: %s", order_id, error)


def _close(line: BankLine, bank_id: int) -> None:
    """Sign out in the evening, and compare the balance; withdrawals that are held are waited for."""
    now = _now()
    day, hour = banks.today(now), banks.local(now).time()
    is_late = hour >= LATEST_CLOSING or (hour >= CLOSING and sessions.may_pay_out(now))
    is_over = banks.has(bank_id, day, "sign_out") or not banks.has(bank_id, day, "sign_in")
    left = list(banks.unclosed(bank_id, day))
    db.session.rollback()
    if is_over or not is_late:
        return
    for earlier in left:  # Nobody was there in the evening; without it there is no file of the day.
        line.sign_out(earlier)
        with transaction():
            banks.note(bank_id, earlier, "sign_out", now)
    theirs = line.balance()
    line.sign_out(day)
    with transaction():
        ours = banks.owed_by(bank_id)
        banks.note(bank_id, day, "balance", now, ours=ours, theirs=theirs)
        banks.note(bank_id, day, "sign_out", now)


def _days_due(bank_id: int) -> list[date]:
    days = list(files.days_due(bank_id, now=clock.now()))
    db.session.rollback()
    return days


def _take_file(line: BankLine, bank_id: int, day: date) -> bool:
    """Work through a day's file, each row in a transaction of its own; False where it is not ready."""
    file = line.day_file(day)
    if file is None:
        return False
    with transaction():
        files.keep(bank_id, file, now=clock.now())
    for row in file.rows:
        with transaction():
            files.take(bank_id, file, row, now=clock.now())
    _end_missing(bank_id, file)
    with transaction():
        files.finish(bank_id, file, now=clock.now())
    return True


def _end_missing(bank_id: int, file: DayFile) -> None:
    missing = files.missing_from(bank_id, file)
    db.session.rollback()
    for order_id in missing:
        with transaction():
            files.refuse(order_id, file, now=clock.now())
