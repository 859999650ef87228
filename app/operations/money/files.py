"""日终文件: what a bank carried out on a day, against our book of serials (rules-2026 N143)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import insert, select

from app.domain.banks import OrderState, Said
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import BankFile, BankLineEvent, BankOrder, SettlementBank
from app.models.figures import bank_difference
from app.operations.money import banks, incoming, orders
from app.operations.records import log
from app.operations.records.actor import BANK


@dataclass(frozen=True, slots=True)
class FileRow:
    """A transfer of a bank's file: done or reversed; fields as in `incoming.Incoming`."""

    serial: str  # ours, "" where the bank started it and we never answered
    outcome: OrderState
    direction: str
    bank_serial: str
    platform_serial: str
    member_no: str
    holder_name: str
    bank_account: str
    amount: int


@dataclass(frozen=True, slots=True)
class DayFile:
    """A bank's file of a day; ``content`` is the text that it signed."""

    day: date
    content: str
    rows: tuple[FileRow, ...]


def days_due(bank_id: int, *, now: datetime) -> Sequence[date]:
    """Return the days on which the bank was signed in and whose file is not worked through."""
    day = banks.today(now)
    done = select(BankLineEvent.day).where(
        BankLineEvent.bank_id == bank_id, BankLineEvent.event == "day_file"
    )
    closed = select(BankLineEvent.day).where(
        BankLineEvent.bank_id == bank_id, BankLineEvent.event == "sign_out"
    )
    return db.session.scalars(
        select(BankLineEvent.day)
        .distinct()
        .where(
            BankLineEvent.bank_id == bank_id,
            BankLineEvent.event == "sign_in",
            BankLineEvent.day.not_in(done),
            (BankLineEvent.day < day) | BankLineEvent.day.in_(closed),
        )
        .order_by(BankLineEvent.day)
    ).all()


def keep(bank_id: int, file: DayFile, *, now: datetime) -> None:
    """Keep a day's file as it was signed, once."""
    found = select(BankFile.id).where(BankFile.bank_id == bank_id, BankFile.day == file.day)
    if db.session.scalar(found) is not None:
        return
    db.session.execute(
        insert(BankFile).values(
            bank_id=bank_id, day=file.day, rows=len(file.rows), content=file.content,
            received_at=now,
        )
    )  # fmt: skip
    log.record(BANK, "bank.file", subject=file.day.isoformat(), rows=len(file.rows))


def take(bank_id: int, file: DayFile, row: FileRow, *, now: datetime) -> None:
    """Carry out one row: a late success is booked from it; repeated, it does nothing."""
    order = orders.of_serial(bank_id, row.serial, row.bank_serial)
    message = _about(file, row)
    if order is None and not row.serial and row.direction == "in":
        if row.outcome is OrderState.REVERSED:  # It came and went: nothing was credited here.
            return
        item = incoming.Incoming(
            row.bank_serial, row.platform_serial, row.member_no, row.holder_name,
            row.bank_account, row.amount, message,
        )  # fmt: skip
        reply = incoming.receive(bank_id, item, now=now, source="file")
        if not reply.is_done:
            _unmatched(bank_id, file, row, reply.reason, now)
        return
    if order is None or not _is_of(order, row):
        _unmatched(bank_id, file, row, _("No transfer of ours has this serial and amount"), now)
        return
    if row.outcome is OrderState.REVERSED and order.state == OrderState.REVERSED:
        return  # It says what is booked; that it was done before is no contradiction.
    order_id = order.id
    said = Said(OrderState.DONE, message, row.bank_serial, row.platform_serial)
    orders.answer(order_id, said, "file", now=now)
    if row.outcome is OrderState.REVERSED:
        orders.answer(order_id, Said(OrderState.REVERSED, message), "file", now=now)


def _is_of(order: BankOrder, row: FileRow) -> bool:
    """Tell whether a row says of an order what is known of it; a bank may leave the member out."""
    is_same = (order.amount, order.direction) == (row.amount, row.direction)
    return is_same and row.member_no in ("", orders.member_no_of(order))


def missing_from(bank_id: int, file: DayFile) -> list[int]:
    """Return the orders sent until the day's end whose outcome is open and which the file lacks."""
    end = datetime.combine(file.day + timedelta(days=1), time(), tzinfo=BEIJING)
    named = {row.serial for row in file.rows}
    rows = db.session.execute(
        select(BankOrder.id, BankOrder.serial).where(
            BankOrder.bank_id == bank_id,
            BankOrder.state.in_((OrderState.SENT, OrderState.UNKNOWN)),
            BankOrder.sent_at < end,
        )
    )
    return [row.id for row in rows if row.serial not in named]


def refuse(order_id: int, file: DayFile, *, now: datetime) -> None:
    """End an order that the bank's file lacks: it was not carried out on its day."""
    reason = _("Not in the bank's file of %(day)s", day=file.day.isoformat())
    said = Said(OrderState.REFUSED, f"{file.day.isoformat()}: -", reason=reason)
    orders.answer(order_id, said, "file", now=now)


def finish(bank_id: int, file: DayFile, *, now: datetime) -> None:
    """Note that a day's file is worked through."""
    if not banks.has(bank_id, file.day, "day_file"):
        banks.note(bank_id, file.day, "day_file", now, rows=len(file.rows))


def _about(file: DayFile, row: FileRow) -> str:
    return f"{file.day.isoformat()}: {row.serial or row.bank_serial} {row.outcome} {row.amount}"


def _unmatched(bank_id: int, file: DayFile, row: FileRow, reason: str, now: datetime) -> None:
    """Note a row that fits nothing of ours, once; officers look into it."""
    found = select(BankLineEvent.id).where(
        BankLineEvent.bank_id == bank_id,
        BankLineEvent.event == "unmatched",
        BankLineEvent.detail["bank_serial"].astext == row.bank_serial,
    )
    if db.session.scalar(found) is not None:
        return
    banks.note(
        bank_id, file.day, "unmatched", now, bank_serial=row.bank_serial, serial=row.serial,
        amount=row.amount, direction=row.direction, reason=reason,
    )  # fmt: skip
    log.record(BANK, "bank.unmatched", subject=row.bank_serial, result="refused", reason=reason)


def proposal_for(event_id: int) -> dict[str, Any] | None:
    """Return what the resolution of a difference with a bank names; None where there is none."""
    found = bank_difference.c
    row = db.session.execute(
        select(found.day, found.event, found.detail, SettlementBank.code)
        .join(SettlementBank, SettlementBank.id == found.bank_id)
        .where(found.id == event_id)
    ).one_or_none()
    if row is None:
        return None
    about = {"event": event_id, "what": row.event, "bank": row.code, "day": row.day.isoformat()}
    return {**row.detail, **about}
