"""A CCER registry for tests: its simulator, the line to it, and enterprises bound to it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import urllib3
from joserfc.jwk import ECKey
from sqlalchemy import select

from app.delivery import ccer as delivery
from app.delivery.ccer_line import HttpCcerLine
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case
from app.extensions import db, transaction
from app.models import OffsetMessage, OffsetUnit
from app.operations.applications import engine
from app.operations.offsets import applying
from app.operations.records import clock
from app.operations.records.actor import SYSTEM, Actor
from simulators.ccer import CcerRegistry, served
from tests import factories

MORNING = datetime(2026, 11, 23, 10, 0, tzinfo=BEIJING)
OURS, THEIRS = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
_NUMBERS = itertools.count(1)
_LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def jwk(key: ECKey, *, private: bool = False) -> str:
    """Return a key as the settings have it."""
    return json.dumps(key.as_dict(private=private))


def uscc() -> str:
    """Return a credit code that no other account has; its check character is not looked at here."""
    n, text = next(_NUMBERS), ""
    for _place in range(8):
        text, n = _LETTERS[n % 31] + text, n // 31
    return f"91420100M{text}0"


@dataclass
class Line:
    """The simulator of the CCER registry and the line to it."""

    registry: CcerRegistry
    http: HttpCcerLine

    def exchange(self) -> None:
        """Do what is due with the CCER registry."""
        delivery.exchange_with(self.http)

    def member(self, name: str = "甲发电有限公司") -> Any:
        """Open an account whose CCER account is bound; return its operator."""
        member = factories.member(of=factories.account(name, uscc=uscc()))
        self.bind(member)
        return member

    def bind(self, member: Any) -> None:
        """Bind a CCER account to the member's: started there, confirmed here."""
        account = db.session.get_one(factories.Account, member.account_id)
        self.registry.bind(ccer_account(member), account.uscc, account.name)
        self.exchange()
        answer_binding(member)
        self.exchange()

    def freeze(self, member: Any, quantity: int, **facts: Any) -> OffsetUnit:
        """Freeze units there, and return what is mirrored."""
        number = self.registry.freeze(ccer_account(member), quantity, **facts)
        self.exchange()
        outcome, reason = self.registry.reply_to(number)
        assert outcome == "done", reason
        found = select(OffsetUnit).join(OffsetMessage, OffsetMessage.unit_id == OffsetUnit.id)
        return db.session.scalars(found.where(OffsetMessage.number == number)).one()


def ccer_account(member: Any) -> str:
    """Return the account in the CCER registry of a member's enterprise."""
    return f"CC{member.account_id:08d}"


def answer_binding(member: Any, answer: str = "confirmed") -> Case:
    """Confirm the binding that waits, or decline it."""
    proposal = applying.binding_proposal(member.account_id, answer)
    draft = engine.Draft("offset_binding", member.account_id, (), str(uuid4()), proposal=proposal)
    with transaction():
        made = engine.start([draft], Actor.of(member), now=clock.now())
        return engine.submit(made, Actor.of(member), now=clock.now()).one()


def apply_for(member: Any, notice_id: int, *units: OffsetUnit) -> Case:
    """Submit a CCER抵销申请."""
    made = drafted(member, notice_id, *units)
    with transaction():
        return engine.submit([made], Actor.of(member), now=clock.now()).one()


def drafted(member: Any, notice_id: int, *units: OffsetUnit) -> int:
    """Save a CCER抵销申请; return its id."""
    draft = engine.Draft(
        "offset",
        member.account_id,
        (),
        str(uuid4()),
        notice_id=notice_id,
        proposal=applying.proposal(member.account_id, [each.id for each in units]),
    )
    with transaction():
        return engine.start([draft], Actor.of(member), now=clock.now())[0]


def state_of(unit: OffsetUnit) -> str:
    """Return the state of a unit."""
    db.session.rollback()
    return str(db.session.scalar(select(OffsetUnit.state).where(OffsetUnit.id == unit.id)))


def message_of(unit: OffsetUnit, kind: str) -> OffsetMessage:
    """Return the last message of ours about a unit."""
    db.session.rollback()
    found = select(OffsetMessage).where(
        OffsetMessage.unit_id == unit.id, OffsetMessage.kind == kind
    )
    return db.session.scalars(found.order_by(OffsetMessage.id.desc()).limit(1)).one()


def at(moment: datetime) -> None:
    """Set the business clock."""
    with transaction():
        clock.set_to(moment, SYSTEM)


def later(**how_much: int) -> None:
    """Let the business clock go on."""
    at(clock.now() + timedelta(**how_much))


@contextmanager
def line_to(registry: CcerRegistry | None = None) -> Iterator[Line]:
    """Serve a CCER registry, and yield the line to it."""
    registry = registry or CcerRegistry(jwk(THEIRS, private=True), jwk(OURS))
    with served(registry) as address:
        timeout = urllib3.Timeout(connect=1.0, read=2.0)
        yield Line(registry, HttpCcerLine(address, jwk(OURS, private=True), jwk(THEIRS), timeout))
