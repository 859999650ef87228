"""违约垫付: the effect of the second officer's approval (domain.md R58)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, DateTime, bindparam, insert, select

from app.domain.workflow import Case
from app.extensions import db
from app.models import SettlementStage, Trade, TradeDefault
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed

_COVER = typed("SELECT cover_defaults(:cases, :at)", cases=BigInteger).bindparams(
    bindparam("at", type_=DateTime(timezone=True))
)


def cover(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Note what the buyers owe the reserve, and ask for the delivery of their trades once more."""
    db.session.execute(_COVER, {"cases": [case.id for case in cases], "at": now})
    named = [case.proposal["default"] for case in cases]
    packages = select(Trade.package_id).join(TradeDefault, TradeDefault.trade_id == Trade.id)
    db.session.execute(
        insert(SettlementStage),
        [
            {
                "package_id": package_id,
                "stage": "rerun",
                "started_at": now,
                "ended_at": now,
                "member_id": actor.member_id,
            }
            for package_id in db.session.scalars(
                packages.where(TradeDefault.id.in_(named)).distinct()
            )
        ],
    )
    for case in cases:
        (line,) = case.lines
        log.record(
            actor, "default.cover", subject=case.number, account_id=line.account_id,
            fen=line.quantity,
        )  # fmt: skip
