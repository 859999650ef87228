"""The demonstration's 存管返还: a split that waits for the manual's enterprise in its 待办."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import select

from app.domain.workflow import Line
from app.extensions import db
from app.models import Account, ApplicationLine, Instrument, Member
from app.operations.applications import engine
from app.operations.records.actor import Actor

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
