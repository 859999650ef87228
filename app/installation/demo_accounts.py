"""The demonstration's account of a financial institution, and what an enterprise has pledged to a bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from app.domain.workflow import Line
from app.extensions import db
from app.installation.demo_courts import PAPER
from app.models import Account, ApplicationLine, Instrument, Member
from app.operations.applications import attachments, engine
from app.operations.imports import opening_import
from app.operations.records import parameters
from app.operations.records.actor import SYSTEM, Actor

INSTITUTION = {
    "holder_class": "institution",
    "declared": "yes",
    "name": "江城证券股份有限公司",
    "uscc": "91420100MA4K9Y3T5J",
    "province": "42",
    "registered_address": "湖北省武汉市江汉区新华路88号",
    "legal_representative": "孙志远",
    "representative": "钱思明",
    "representative_phone": "13800150088",
    "representative_email": "qiansiming@securities.example.cn",
    "representative_identity_no": "11010519491231002X",
}


def open_institution(maker: Actor, checker: Actor, at: datetime) -> None:
    """Open the account by two officers; it trades and cancels, and has no notices."""
    proposal, wrong = opening_import.judge(INSTITUTION)
    assert not wrong, wrong
    draft = opening_import.draft(proposal, "demo:opening:institution", reason="非履约主体开户")
    (made,) = engine.start([draft], maker, now=at)
    engine.submit([made], maker, now=at).one()
    engine.approve([made], checker, now=at, comment="材料齐全").one()


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
