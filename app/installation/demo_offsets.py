"""The demonstration's CCER: bound accounts, units that wait, offsets of the passed year that count.

What the CCER registry would tell is taken by the same operations as its messages; where its simulator runs
beside the server, that is told what this registry knows, so that the two agree.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import urllib3
from sqlalchemy import select

from app.extensions import db
from app.installation.demo_people import credit_code
from app.models import Account, Member, OffsetBinding, OffsetUnit
from app.operations.applications import engine
from app.operations.offsets import applying, incoming, messages
from app.operations.offsets.exchange import BINDING, FREEZE, Incoming, MessageState, Said, UnitFacts
from app.operations.records.actor import Actor
from config import Settings

FIRST_SERIAL = 9_000_000_000  # above what the simulator counts up to
PROJECTS = (
    ("CCER-01-2024-0003", "江苏如东海上风电并网项目", "并网海上风力发电"),
    ("CCER-02-2024-0011", "青海德令哈光热发电项目", "并网光热发电"),
    ("CCER-14-2024-0002", "内蒙古赤峰造林碳汇项目", "造林碳汇"),
    ("CCER-15-2024-0005", "广东湛江红树林营造项目", "红树林营造"),
)
MANUALS_UNITS = (30, 100)  # tonnes: what 5 % of its notice's 600 tonnes take, and more than that


@dataclass(slots=True)
class Mirror:
    """The enterprises whose CCER accounts are bound, and the next serial of each project."""

    members: Mapping[int, Member]
    bound: set[int]
    units: int = 0

    def freeze(self, account: Account, quantity: int, at: datetime) -> OffsetUnit:
        """Freeze a unit there, and return what is mirrored."""
        self.units += 1
        number, name, kind = PROJECTS[self.units % len(PROJECTS)]
        first = FIRST_SERIAL + self.units * 10_000_000
        unit = UnitFacts(
            number, name, kind, date(2022, 1, 1), date(2023, 12, 31), date(2024, 12, 20),
            first, first + quantity - 1, quantity, False,
        )  # fmt: skip
        _tell(account, FREEZE, at, unit)
        last = select(OffsetUnit).order_by(OffsetUnit.id.desc()).limit(1)
        return db.session.scalars(last).one()

    def offset(
        self, account: Account, notice_id: int, quantity: int, reviewer: Actor | None, at: datetime
    ) -> None:
        """Apply for offset with a unit of that quantity; reviewed, it is cancelled there and counts."""
        unit, actor = self.freeze(account, quantity, at), Actor.of(self.members[account.id])
        draft = engine.Draft(
            "offset", account.id, (), f"demo:offset:{notice_id}", "CCER抵销", notice_id=notice_id,
            proposal=applying.proposal(account.id, [unit.id]),
        )  # fmt: skip
        made = engine.start([draft], actor, now=at)
        engine.submit(made, actor, now=at).one()
        if reviewer is not None:
            engine.approve(made, reviewer, now=at, comment="经核对，同意").one()
            _confirm_all(at)


def bind(enterprises: Iterable[Account], members: Mapping[int, Member], at: datetime) -> Mirror:
    """Bind the CCER accounts of enterprises, started there and confirmed here."""
    found = list(enterprises)
    for account in found:
        # Numbers apart from those of the others, which have their codes from their details.
        account.uscc = account.uscc or credit_code(account, 500 + int(account.member_no[-5:]))
        db.session.flush()
        _tell(account, BINDING, at)
        actor = Actor.of(members[account.id])
        proposal = applying.binding_proposal(account.id, "confirmed")
        key = f"demo:offset:{account.member_no}"
        draft = engine.Draft("offset_binding", account.id, (), key, proposal=proposal)
        engine.submit(engine.start([draft], actor, now=at), actor, now=at).one()
    _confirm_all(at)
    return Mirror(members, {account.id for account in found})


def _tell(account: Account, kind: str, at: datetime, unit: UnitFacts | None = None) -> None:
    serial = unit.first_serial if unit else 0
    number = f"CCER-DEMO-{serial or account.member_no}"
    content = json.dumps({"number": number, "note": "演示数据"}, ensure_ascii=False)
    name = account.name
    item = Incoming(number, kind, _ccer_account(account), account.uscc or "", name, content, unit)
    assert incoming.receive(item, now=at).is_done


def _ccer_account(account: Account) -> str:
    return f"CCER{account.member_no}"


def _confirm_all(at: datetime) -> None:
    """Let the CCER registry carry out every message that waits."""
    while message := messages.next_to_send(now=at):
        said = Said(MessageState.DONE, '{"note": "演示数据"}', message.quantity)
        messages.answer(message.id, said, "answer", now=at)


def introduce(settings: Settings) -> None:
    """Tell the simulator beside the server what the CCER registry would know; repeated, it does nothing."""
    if not settings.ccer_line:
        return
    known = json.dumps({"know": dict(_known())}).encode()
    pool = urllib3.PoolManager(retries=urllib3.Retry(connect=20, backoff_factor=0.1))
    pool.request("POST", f"{settings.ccer_line}/control", body=known, timeout=5.0)
    db.session.rollback()


def _known() -> Iterator[tuple[str, dict[str, Any]]]:
    bindings = db.session.scalars(select(OffsetBinding)).all()
    accounts = {each.account_id: each.ccer_account for each in bindings}
    yield (
        "accounts",
        {
            each.ccer_account: {"uscc": each.uscc, "name": each.name, "answer": each.state}
            for each in bindings
        },
    )
    there = {"registered": "cancelled", "cancelled": "cancelled", "released": "free"}
    yield (
        "units",
        {
            each.serial: {
                "ccer_account": accounts[each.account_id],
                "quantity": each.quantity,
                "state": there.get(each.state, "frozen"),
            }
            for each in db.session.scalars(select(OffsetUnit))
        },
    )
