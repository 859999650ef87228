"""The demonstration's 存管返还 and 质押: a split that waits in a 待办, and what is pledged to a bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select

from app.domain.workflow import Line
from app.extensions import db
from app.installation.demo_courts import PAPER
from app.models import Account, ApplicationLine, Instrument, Member
from app.operations.applications import attachments, engine
from app.operations.records import parameters
from app.operations.records.actor import SYSTEM, Actor

DEPOSITED, SHARES = 90_000, (60_000, 20_000)


def split(
    enterprises: Sequence[Account],
    instrument: Instrument,
    members: Mapping[int, Member],
    officers: tuple[Actor, Actor],
    at: datetime,
) -> None:
    """Let the first enterprise be split into the two others: deposited, linked, and being returned.

    The last of the three has agreed already; the middle one is still waited for.
    """
    giver, *receivers = enterprises
    maker, checker = officers
    by = Actor.of(members[giver.id], "192.0.2.10")
    deposit = _submitted(
        engine.Draft(
            "custody_deposit",
            giver.id,
            (Line(instrument.id, DEPOSITED),),
            "demo:custody:deposit",
            "企业分立，碳资产暂时存管",
            category="split",
        ),
        by,
        at,
    )
    _approve(deposit, checker, at, "材料齐全")
    link = _submitted(
        engine.Draft(
            "custody_link",
            giver.id,
            (),
            "demo:custody:link",
            "依据分立协议及省级主管部门批复",
            receivers=tuple(each.id for each in receivers),
        ),
        maker,
        at,
    )
    _approve(link, checker, at, "同意关联")
    source = _line_of(deposit)
    lines = tuple(
        Line(instrument.id, share, account_id=each.id, source_line_id=source)
        for each, share in zip(receivers, SHARES, strict=True)
    )
    asked = engine.Draft("custody_return", giver.id, lines, "demo:custody:return", "按分立协议返还")
    returning = _submitted(asked, by, at)
    _approve(returning, Actor.of(members[receivers[-1].id], "192.0.2.12"), at, "同意接收")


def _line_of(application_id: int) -> int:
    line = select(ApplicationLine.id).where(ApplicationLine.application_id == application_id)
    return db.session.scalars(line).one()


def _submitted(draft: engine.Draft, by: Actor, at: datetime) -> int:
    (made,) = engine.start([draft], by, now=at)
    engine.submit([made], by, now=at).one()
    return made


def _approve(id_: int, by: Actor, at: datetime, comment: str) -> None:
    engine.approve([id_], by, now=at, comment=comment).one()


PLEDGED, RELEASED = 20_000, 5_000  # tonnes
BANK = {
    "pledgee": "湖北银行股份有限公司武汉分行",
    "uscc": "91420100MA4KL00053",
    "email": "pledge@bank.example.cn",
}


@dataclass(frozen=True, slots=True)
class Pledges:
    """A holder and the two officers of the registry, at one time."""

    holder: Actor
    maker: Actor
    checker: Actor
    at: datetime

    def ask(self, account: Account, what: Instrument, tonnes: int) -> list[int]:
        """Apply for a pledge, with the contract."""
        draft = engine.Draft(
            "pledge", account.id, (Line(what.id, tonnes),), "demo:pledge",
            reason="流动资金贷款质押担保", ends_on=date(self.at.year + 2, 12, 31),
            proposal={**BANK, "contract_no": "鄂银质字2026第018号",
                      "filing_no": "20260000000000000018"},
        )  # fmt: skip
        return self._submit(draft, account, self.holder, "质押合同.pdf")

    def release(self, account: Account, pledge: int, tonnes: int) -> None:
        """Release a part on the pledgee's document."""
        line = db.session.query(ApplicationLine).filter_by(application_id=pledge).one()
        draft = engine.Draft(
            "pledge_release", account.id, (Line(line.instrument_id, tonnes, source_line_id=line.id),),
            "demo:pledge_release", reason="部分贷款已归还", document_no="鄂银函〔2026〕7号",
        )  # fmt: skip
        self.approve(self._submit(draft, account, self.maker, "解除质押通知书.pdf"), self.checker)

    def approve(self, ids: list[int], *by: Actor) -> None:
        """Let one officer after the other approve."""
        for each in by:
            assert engine.approve(ids, each, now=self.at, comment="文件相符").refused == []

    def _submit(self, draft: engine.Draft, account: Account, by: Actor, name: str) -> list[int]:
        made = engine.start([draft], by, now=self.at)
        attachments.change(made[0], by, now=self.at, add=[attachments.look_at(name, PAPER)])
        assert engine.submit(made, by, now=self.at).refused == []
        return made


def pledge(
    enterprises: Sequence[Account],
    what: Instrument,
    members: Mapping[int, Member],
    officers: tuple[Actor, Actor],
    at: datetime,
) -> None:
    """Switch pledges on, register one of an enterprise in 上海, and release a part of it."""
    account = next(each for each in enterprises if each.province == "31")
    pledges = Pledges(Actor.of(members[account.id], "192.0.2.13"), *officers, at)
    parameters.set_value(
        "pledge_mode", "2", effective_from=pledges.at.date(), reason="演示", actor=SYSTEM,
        now=pledges.at,
    )  # fmt: skip
    made = pledges.ask(account, what, PLEDGED)
    pledges.approve(made, pledges.maker, pledges.checker)
    pledges.release(account, made[0], RELEASED)
