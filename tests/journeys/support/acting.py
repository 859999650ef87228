"""What journeys set up by operations, in `Site.registry`: parties and things by what pages call them."""

from __future__ import annotations

from sqlalchemy import select

from app.extensions import db, transaction
from app.models import Account, Instrument, Member
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor


def account_of(member_no: str) -> Account:
    return db.session.scalars(select(Account).where(Account.member_no == member_no)).one()


def instrument_of(code: str) -> Instrument:
    return db.session.scalars(select(Instrument).where(Instrument.code == code)).one()


def actor(login: str) -> Actor:
    """Return a member as who acts."""
    return Actor.of(db.session.scalars(select(Member).where(Member.username == login)).one())


def carry_out(draft: engine.Draft, by: str, *reviewers: str) -> int:
    """Enter and submit an application, and let each reviewer approve it; return its id."""
    now = clock.now()
    with transaction():
        made = engine.start([draft], actor(by), now=now)
        engine.submit(made, actor(by), now=now).one()
        for each in reviewers:
            engine.approve(made, actor(each), now=now, comment="经核对，同意").one()
    return made[0]
