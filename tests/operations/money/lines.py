"""A settlement bank for tests: its simulator, the line to it, and participants bound to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import urllib3
from sqlalchemy import select

from app.delivery import banks as delivery
from app.delivery.bank_line import HttpBankLine
from app.domain.money import fen
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case
from app.extensions import db, transaction
from app.models import Account, Application, BankOrder, Holding, Member, SettlementBank
from app.operations.accounts import bindings
from app.operations.applications import engine
from app.operations.money import applying, banks
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from simulators.bank import Bank, served
from tests import factories

KEY = "9f2c" * 10
MORNING = datetime(2026, 11, 23, 10, 0, tzinfo=BEIJING)  # Monday: bindings were made on Friday
ENDINGS = iter(range(10**6, 10**7))


@dataclass
class Line:
    """The bank 工商银行, the simulator behind it, and the line between."""

    bank: Bank
    http: HttpBankLine
    bank_id: int
    instrument_id: int
    officers: tuple[Member, Member]

    def exchange(self) -> None:
        """Do what is due with the bank."""
        delivery.exchange_with(self.http)

    def participant(self, name: str, yuan: str = "0") -> Member:
        """Open an account, bound and confirmed on an earlier day, with money; return its operator."""
        member = factories.member(of=factories.account(name))
        before = clock.now()
        at(MORNING - timedelta(days=3))
        self.bind(member)
        self.exchange()
        at(before)
        if fen(yuan, may_be_zero=True):
            self.deposit(member, yuan)
            self.exchange()
        return member

    def bind(self, member: Member, *, number: str = "", bank: str = "ICBC") -> Case:
        """Bind a bank account of the participant's own name, approved by two officers."""
        number = number or f"62220200{next(ENDINGS)}"
        made = binding_application(member, number, bank=bank)
        for officer in self.officers:
            with transaction():
                case = engine.approve([made], Actor.of(officer), now=clock.now()).one()
        return case

    def deposit(self, member: Member, yuan: str) -> int:
        """入金: submit it; return the application's id."""
        return apply_for("deposit", member, yuan)

    def withdraw(self, member: Member, yuan: str) -> int:
        """出金: submit it; return the application's id."""
        return apply_for("withdrawal", member, yuan)

    def money(self, member: Member) -> tuple[int, int]:
        """Return what a participant can withdraw, and what withdrawals hold, in fen."""
        db.session.rollback()
        row = db.session.get(
            Holding, (member.account_id, self.instrument_id), populate_existing=True
        )
        return (row.available, row.reserved) if row else (0, 0)

    @property
    def owed(self) -> int:
        """What the bank holds by our books, in fen."""
        db.session.rollback()
        return banks.owed_by(self.bank_id)


def binding_application(
    member: Member, number: str, *, bank: str = "ICBC", holder: str = ""
) -> int:
    """Submit a binding."""
    account = db.session.get_one(Account, member.account_id)
    content = engine.Draft(
        kind="bank_binding",
        account_id=account.id,
        lines=(),
        request_key=str(uuid4()),
        proposal=bindings.propose(bank, "工商银行", holder or account.name, number),
    )
    with transaction():
        (made,) = engine.start([content], Actor.of(member), now=clock.now())
        engine.submit([made], Actor.of(member), now=clock.now()).one()
    return made


def apply_for(kind: str, member: Member, yuan: str) -> int:
    """Submit a deposit or withdrawal."""
    with transaction():
        draft = applying.draft(kind, member.account_id, fen(yuan), str(uuid4()))
        (made,) = engine.start([draft], Actor.of(member), now=clock.now())
        engine.submit([made], Actor.of(member), now=clock.now()).one()
    return made


def at(moment: datetime) -> None:
    """Set the business clock."""
    with transaction():
        clock.set_to(moment, SYSTEM)


def status_of(application_id: int) -> str:
    db.session.rollback()
    found = select(Application.status).where(Application.id == application_id)
    return str(db.session.scalar(found))


def order_of(application_id: int) -> BankOrder:
    """Return an application's last order."""
    db.session.rollback()
    found = select(BankOrder).where(BankOrder.application_id == application_id)
    return db.session.scalars(found.order_by(BankOrder.id.desc()).limit(1)).one()


@contextmanager
def line_to(bank: Bank, maker: Member, checker: Member, *, code: str = "ICBC") -> Iterator[Line]:
    """Open a bank with the registry, and serve its simulator."""
    with transaction():
        row: SettlementBank = banks.open_bank(code, f"{code}银行", Actor.of(maker))
        bank_id, instrument_id = row.id, row.instrument_id
    with served(bank) as address:
        http = HttpBankLine(code, address, KEY, urllib3.Timeout(connect=1.0, read=0.5))
        yield Line(bank, http, bank_id, instrument_id, (maker, checker))
