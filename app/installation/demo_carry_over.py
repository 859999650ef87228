"""The demonstration's 结转: the round into 2025, carried out for one enterprise, and one that is open.

The open one takes the fulfilled year 2023 alone, so that the manual's enterprise, which is behind with
2024, has a notice that it can apply for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import select

from app.domain.compliance.carry_over import RoundDecision
from app.domain.trading_day import BEIJING
from app.domain.workflow import Line
from app.extensions import db
from app.models import Account, CarryOverNotice, Holding, Instrument, Member
from app.operations.applications import engine
from app.operations.carry_over import batches, drafts
from app.operations.compliance import carry_over
from app.operations.records.actor import SYSTEM, Actor

DECIDED_ON = date(2026, 1, 5)
BATCH_UNTIL = date(2026, 3, 20)
INTO_2025 = {
    "vintages": "2019,2020,2021,2022,2023,2024",
    "sold_from": "2024-01-01",
    "sold_until": "2025-12-31",
    "held_at": "2025-12-31 23:59:00",
    "years": "2023,2024",
    "plan_year": "2024",
    "base_rule": "largest",
    "notice_by": "2026-01-31",
    "apply_until": "2026-06-10",
    "batches": "2026-03-20/2026-03-27,2026-06-10/2026-06-26",
    "issue_days": "5",
    "source": "国环规气候〔2024〕1号附件5",
    "note": "",
}
CARRIED = 24_000  # tonnes of each of two vintages


class Rounds:
    """Rounds of the two officers, each act at its time."""

    def __init__(self, maker: Actor, checker: Actor) -> None:
        self.maker, self.checker = maker, checker

    def _carry_out(self, draft: engine.Draft, at: datetime) -> None:
        made = engine.start([draft], self.maker, now=at)
        engine.submit(made, self.maker, now=at).one()
        engine.approve(
            made, self.checker, now=at + timedelta(minutes=10), comment="经核对，同意"
        ).one()

    def begin(
        self, target: Instrument, says: Mapping[str, str], document: str, at: datetime
    ) -> None:
        """Decide on a round, and make its notices."""
        year = target.vintage or 0
        values = {**says, "target": target.code}
        decision = RoundDecision(year, None, None, values, at.astimezone(BEIJING).date())
        key = f"demo:carry-over:{year}"
        self._carry_out(
            drafts.of_round(decision, key, document_no=document, reason="按方案结转"), at
        )
        round_, later = carry_over.latest(year), at + timedelta(hours=1)
        assert round_
        notices = drafts.of_notices(round_, f"{key}:notices", now=later, reason="核定可结转量")
        self._carry_out(notices, later)

    def recall(self, year: int, until: date) -> None:
        """Carry out a batch on the day after its last day of submission."""
        at = _at(until + timedelta(days=3))
        self._carry_out(drafts.of_batch(year, until, f"demo:batch:{until}", reason="按期收回"), at)
        assert batches.carry_out_next(SYSTEM, now=at + timedelta(hours=1))


def complete(
    instruments: Sequence[Instrument], members: Mapping[int, Member], maker: Actor, checker: Actor
) -> None:
    """Let the enterprise of 湖北 with the largest notice carry two vintages over into 2025."""
    target = next(each for each in instruments if each.vintage == 2025)
    rounds = Rounds(maker, checker)
    rounds.begin(target, INTO_2025, "国环规气候〔2024〕1号", _at(DECIDED_ON))
    account_id = db.session.scalars(
        select(CarryOverNotice.account_id)
        .join(Account, Account.id == CarryOverNotice.account_id)
        .where(Account.province == "42", CarryOverNotice.year == target.vintage)
        .order_by(CarryOverNotice.quota.desc(), CarryOverNotice.account_id.desc())
        .limit(1)
    ).one()
    held = db.session.scalars(
        select(Holding.instrument_id)
        .join(Instrument, Instrument.id == Holding.instrument_id)
        .where(
            Holding.account_id == account_id,
            Holding.available >= CARRIED,
            Instrument.vintage.in_((2022, 2023)),
        )
        .order_by(Instrument.vintage)
    )
    lines = [Line(instrument, CARRIED) for instrument in held]
    at, by = _at(date(2026, 3, 10)), Actor.of(members[account_id], "192.0.2.10")
    draft = drafts.of_enterprise(
        account_id, target.vintage or 0, lines, "demo:carry-over:application", reason="结转配额"
    )
    engine.submit(engine.start([draft], by, now=at), by, now=at).one()
    rounds.recall(target.vintage or 0, BATCH_UNTIL)


def open_one(target: Instrument, maker: Actor, checker: Actor, at: datetime) -> None:
    """Open a round whose notices are applied for now."""

    def day(days: int) -> str:
        return f"{at.astimezone(BEIJING).date() + timedelta(days=days)}"

    says = {
        "vintages": "2019,2020,2021,2022,2023,2024,2025",
        "sold_from": "2026-01-01",
        "sold_until": day(-20),
        "held_at": f"{day(-20)} 23:59:00",
        "years": "2023",
        "plan_year": "2024",
        "base_rule": "largest",
        "notice_by": day(10),
        "apply_until": day(60),
        "batches": f"{day(30)}/{day(37)},{day(60)}/{day(74)}",
        "issue_days": "5",
        "source": "演示数据：以后年度的结转按国家规定",
        "note": "演示安排",
    }
    Rounds(maker, checker).begin(target, says, f"环办气候函〔{at.year}〕（演示）", at)


def _at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 10, 30, tzinfo=BEIJING)
