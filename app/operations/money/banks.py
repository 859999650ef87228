"""Settlement banks (结算银行), and what passes on their lines besides transfers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import exists, insert, select, text

from app.domain.errors import NotAllowed, RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import Party
from app.extensions import db
from app.models import (
    Account,
    BankBinding,
    BankBindingAnswer,
    BankLineEvent,
    Instrument,
    SettlementBank,
)
from app.operations.applications import engine
from app.operations.records import log
from app.operations.records.actor import BANK, Actor

_CODE = re.compile(r"[A-Z0-9]{2,10}")
LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class ToBind:
    """A binding that its bank is to confirm; the number in clear."""

    binding_id: int
    member_no: str
    holder_name: str
    bank_account: str


def open_bank(code: str, name: str, actor: Actor) -> SettlementBank:
    """Open a settlement bank with its money; its line is a setting (BANK_LINES).

    Raises NotAllowed unless the actor is the registry, and RuleError for a code or name that is
    malformed or taken.
    """
    if engine.party(actor) is not Party.REGISTRY:
        raise NotAllowed(_("Only the registry may do this"), code="not_the_registry")
    code, name = code.strip(), name.strip()
    if not _CODE.fullmatch(code):
        raise RuleError(
            _("The code of a bank has 2 to 10 capital letters or digits, such as ICBC: %(typed)s",
              typed=code[:30]),
            field="code", code="bank_code_malformed",
        )  # fmt: skip
    if not name or len(name) > LONGEST_NAME:
        raise RuleError(
            _("Enter a name of at most %(most)d characters", most=LONGEST_NAME),
            field="name", code="name_missing",
        )  # fmt: skip
    taken = select(SettlementBank.id).where(
        (SettlementBank.code == code) | (SettlementBank.name == name)
    )
    if db.session.scalar(taken) is not None:
        raise RuleError(
            _("There is a settlement bank of this code or name"), field="code", code="bank_taken"
        )
    money = Instrument(code=f"CNY-{code}", name=f"资金（{name}）", vintage=0, kind="money")
    db.session.add(money)
    db.session.flush()
    bank = SettlementBank(code=code, name=name, instrument_id=money.id)
    db.session.add(bank)
    log.record(actor, "bank.open", subject=code, name=name)
    db.session.flush()
    return bank


def of_code(code: str) -> int | None:
    """Return the id of a bank, or None."""
    return db.session.scalar(select(SettlementBank.id).where(SettlementBank.code == code))


def to_bind(bank_id: int) -> Sequence[ToBind]:
    """Return the bindings that the bank has not answered."""
    rows = db.session.execute(
        select(BankBinding, Account.member_no)
        .join(Account, Account.id == BankBinding.account_id)
        .outerjoin(BankBindingAnswer, BankBindingAnswer.binding_id == BankBinding.id)
        .where(
            BankBinding.bank_id == bank_id,
            BankBinding.ended_at.is_(None),
            BankBindingAnswer.binding_id.is_(None),
        )
        .order_by(BankBinding.id)
    )
    return [ToBind(row.id, no, row.holder_name, row.bank_account) for row, no in rows]


def bound(
    binding_id: int, *, is_confirmed: bool, message: str, now: datetime, reason: str = ""
) -> None:
    """Record what the bank said of a binding, once."""
    if db.session.get(BankBindingAnswer, binding_id) is not None:
        return
    binding = db.session.get_one(BankBinding, binding_id)
    db.session.execute(
        insert(BankBindingAnswer).values(
            binding_id=binding_id, is_confirmed=is_confirmed, reason=reason[:200],
            message=message, at=now,
        )
    )  # fmt: skip
    log.record(
        BANK, "bank.binding", subject=str(binding_id), account_id=binding.account_id,
        result="done" if is_confirmed else "refused", reason=reason,
    )  # fmt: skip


def note(bank_id: int, day: date, event: str, now: datetime, **detail: Any) -> None:
    """Note what passed on a bank's line."""
    db.session.execute(
        insert(BankLineEvent).values(bank_id=bank_id, day=day, event=event, detail=detail, at=now)
    )


def has(bank_id: int, day: date, event: str) -> bool:
    """Tell whether something passed on a bank's line on a day."""
    found = exists().where(
        BankLineEvent.bank_id == bank_id, BankLineEvent.day == day, BankLineEvent.event == event
    )
    return bool(db.session.scalar(select(found)))


def unclosed(bank_id: int, before: date) -> Sequence[date]:
    """Return the earlier days on which the bank was signed in and never out."""
    closed = select(BankLineEvent.day).where(
        BankLineEvent.bank_id == bank_id, BankLineEvent.event == "sign_out"
    )
    return db.session.scalars(
        select(BankLineEvent.day)
        .distinct()
        .where(
            BankLineEvent.bank_id == bank_id,
            BankLineEvent.event == "sign_in",
            BankLineEvent.day < before,
            BankLineEvent.day.not_in(closed),
        )
        .order_by(BankLineEvent.day)
    ).all()


def local(now: datetime) -> datetime:
    """Return the time in Beijing."""
    return now.astimezone(BEIJING)


def today(now: datetime) -> date:
    """Return the day in Beijing."""
    return local(now).date()


def owed_by(bank_id: int) -> int:
    """Return the fen that a bank holds by our books: what participants have there, less receivables.

    What the reserve paid for a buyer never left the bank.
    """
    return int(db.session.scalar(_OWED, {"bank": bank_id}) or 0)


_OWED = text("""
    SELECT coalesce((SELECT -h.issued FROM holding h
                      WHERE h.instrument_id = b.instrument_id AND h.account_id = 1), 0)
           - coalesce((SELECT sum(r.amount) FROM receivable r
                        WHERE r.instrument_id = b.instrument_id AND r.booking_id IS NOT NULL), 0)
           + coalesce((SELECT sum(p.amount) FROM receivable_payment p
                         JOIN receivable r ON r.id = p.receivable_id
                        WHERE r.instrument_id = b.instrument_id AND r.booking_id IS NOT NULL), 0)
      FROM settlement_bank b WHERE b.id = :bank
""")
