"""The demonstration's 司法冻结: two courts in a queue, the first about to end, a deduction and a sale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db
from app.models import Account, Application, Holding, Instrument
from app.operations.applications import attachments, engine
from app.operations.records.actor import Actor

PAPER = b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n%%EOF\n"
FIRST = {
    "document_no": "（2026）鄂01执保118号之一",
    "authority": "湖北省武汉市中级人民法院",
}
SECOND = {
    "document_no": "（2026）沪0115执8206号之一",
    "authority": "上海市浦东新区人民法院",
}


@dataclass(frozen=True, slots=True)
class Courts:
    """What the two officers enter and confirm of courts' papers, at one time."""

    maker: Actor
    checker: Actor
    at: datetime

    def day(self, days: int) -> date:
        return self.at.date() + timedelta(days=days)

    def carry_out(
        self, kind: str, account: Account, said: Mapping[str, Any], *lines: Line, **more: Any
    ) -> int:
        """Enter a measure with its paper, and confirm it."""
        draft = engine.Draft(
            kind,
            account.id,
            lines,
            f"demo:court:{said['request_no']}",
            proposal=dict(said),
            **more,
        )
        made = engine.start([draft], self.maker, now=self.at)
        paper = attachments.look_at("协助执行通知书.pdf", PAPER)
        attachments.change(made[0], self.maker, now=self.at, add=[paper])
        assert engine.submit(made, self.maker, now=self.at).refused == []
        done = engine.approve(made, self.checker, now=self.at, comment="文书齐全")
        assert done.refused == []
        return made[0]

    def paper(self, number: str, served: datetime) -> dict[str, Any]:
        """Return what a paper says besides its ruling."""
        return {
            "request_no": f"2026{number}",
            "case_no": f"（2026）执{number}号",
            "contact": "执行局 张法官 027-65600000",
            "served_at": served.astimezone(BEIJING).isoformat(timespec="seconds"),
        }


def order_freezes(account: Account, what: Instrument, receiver: Account, courts: Courts) -> None:
    """Let one court freeze half, another one more than the rest; the first assigns and sells a part."""
    held = db.session.get_one(Holding, (account.id, what.id)).available
    target = {"instrument": what.id, "instrument_code": what.code, "instrument_name": what.name}
    first = courts.carry_out(
        "court_freeze",
        account,
        courts.paper("000118", courts.at - timedelta(hours=3)) | target | {"quantity": held // 2},
        category="01",
        starts_on=courts.day(-1),
        ends_on=courts.day(20),
        **FIRST,
    )
    courts.carry_out(
        "court_freeze",
        account,
        courts.paper("008206", courts.at - timedelta(hours=1)) | target | {"quantity": held},
        category="03",
        starts_on=courts.day(0),
        ends_on=courts.day(700),
        **SECOND,
    )
    _deduct_and_sell(account, what, receiver, courts, first)


def _deduct_and_sell(
    account: Account, what: Instrument, receiver: Account, courts: Courts, first: int
) -> None:
    """Let the first court assign a part of what it froze, and have another part sold."""
    original = db.session.get_one(Application, first)
    about = {
        "order": first,
        "order_number": original.number,
        "original_case_no": original.proposal["case_no"],
        "original_request_no": original.proposal["request_no"],
    }
    courts.carry_out(
        "court_assignment",
        account,
        courts.paper("000119", courts.at) | about | {"receiver_name": receiver.name},
        Line(what.id, 5_000, account_id=receiver.id),
        category="06",
        **(FIRST | {"document_no": "（2026）鄂01执1180号"}),
    )
    courts.carry_out(
        "court_sale",
        account,
        courts.paper("000120", courts.at)
        | {k: v for k, v in about.items() if k != "receiver_name"},
        Line(what.id, 3_000),
        **(FIRST | {"document_no": "（2026）鄂01执1180号之二"}),
    )
