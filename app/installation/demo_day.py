"""A trading day of the demonstration, stage by stage: what the worker does once somebody asked for it.

The officers' reviews are signed with the demonstration's own soft keys; everything else goes the ways that
it goes in production (docs/adr/0080).  Each stage looks first at what is recorded, so that one which was
cut off is simply carried out again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask_babel import force_locale, gettext
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING, OPENING
from app.domain.workflow import Action
from app.extensions import db, transaction
from app.installation import demo_exchange, demo_keys
from app.models import Application, ApplicationEvent, DayPackage, Member, SettlementStage
from app.operations.applications import deciding, engine, evidence, jobs
from app.operations.ledger import settlement
from app.operations.people import signatures
from app.operations.records import calendar, clock, log
from app.operations.records.actor import SYSTEM, Actor
from app.operations.settlement import clearing, demo_days, large_holdings
from app.pki.errors import PkiError
from config import Settings
from simulators.exchange import Exchange, ExchangeError, Unanswered

FIRST, SECOND = demo_keys.OFFICERS
CLOSED = time(15, 30)  # when the exchange hands in its day
PATIENCE = timedelta(seconds=90)  # for what the worker does besides
ADDRESS = "127.0.0.1"  # of the officers, as records show it
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """What the stages of a day need."""

    day: date
    settings: Settings
    exchange: Exchange


def advance(settings: Settings) -> None:
    """Carry out the next stage of the day that was asked for, if any; called by the worker."""
    asked = demo_days.running()
    db.session.rollback()
    if asked is None:
        return
    with force_locale("zh"):
        try:
            _carry_out(asked, settings)
        except (RuleError, PkiError, ExchangeError) as error:
            _fail(asked, str(error))
        except OperationalError:
            raise  # The database does not answer: tried again.
        except BaseException:
            _fail(asked, gettext("Something went wrong on our side"))
            raise


def _carry_out(asked: demo_days.DemoDay, settings: Settings) -> None:
    began = datetime.now(UTC)
    with transaction():
        jobs.begin(asked.id, now=clock.now())
    running = Running(asked.day, settings, demo_exchange.exchange(settings))
    try:
        said = _STAGES[asked.stage](running)
    except Unanswered:  # The server may be starting.
        if began - asked.changed_at > PATIENCE:
            raise
        return
    if said is not None:
        with transaction():
            demo_days.note(
                asked.id, asked.stage, said, seconds=_seconds(asked, began), now=clock.now()
            )
    elif began - asked.changed_at > PATIENCE:
        raise RuleError(gettext("This is not done after %(seconds)s seconds; see the worker's log",
                                seconds=int(PATIENCE.total_seconds())))  # fmt: skip


def _seconds(asked: demo_days.DemoDay, began: datetime) -> float:
    """Return how long a stage took, from the end of the one before it where it was waited for."""
    began = asked.changed_at if asked.stage in _AWAITED else began
    return (datetime.now(UTC) - began).total_seconds()


def _fail(asked: demo_days.DemoDay, reason: str) -> None:
    db.session.rollback()
    logger.warning("trading day %s, %s: %s", asked.day, asked.stage, reason)
    with transaction():
        jobs.fail(asked.id, reason, now=clock.now())


def _trade(running: Running) -> str:
    """交易: the clock shows the session, and the exchange reads what its members bring to it."""
    _bring_clock_to(running.day, OPENING, at=clock.MORNING)
    demo_exchange.trust(running.settings, running.day)
    found = running.exchange.open(running.day)
    return gettext("%(members)s members, %(positions)s positions; %(transfers)s transfers started",
                   **found)  # fmt: skip


def _package(running: Running) -> str:
    """数据包: after the close the exchange hands in what it matched."""
    _bring_clock_to(running.day, CLOSED)
    running.exchange.hand_in(running.day)
    package = _package_of(running.day)
    found = gettext("%(trades)s trades, %(quantity)s tonnes, %(amount)s yuan", trades=package.trades,
                    quantity=f"{package.quantity:,}", amount=f"{package.amount / 100:,.2f}")  # fmt: skip
    db.session.rollback()
    return found


def _first_review(running: Running) -> str:
    """初审 by the first officer, signed, unless somebody did it by hand."""
    state = running.exchange.read(running.day)
    if state["state"] == "received":
        actor = _officer(FIRST)
        with transaction():
            package = _package_of(running.day)
            application = clearing.propose(package.id, actor, now=clock.now())
            _submit(application, actor, running.settings)
        state = running.exchange.read(running.day)
    return _signed_by(state["settlement"], Action.SUBMIT)


def _confirmation(running: Running) -> str:
    """交易端确认: the exchange compares the result with its own figures, and signs it."""
    running.exchange.confirm(running.day)
    return gettext("The exchange's figures agree; the result is signed")


def _second_review(running: Running) -> str:
    """复审 by the officer who did not do the first one, signed."""
    state = running.exchange.read(running.day)
    if state["state"] in ("received", "awaits_confirmation"):
        raise RuleError(gettext("The settlement was sent back; try again from its first review"))
    number = state["settlement"]
    if state["state"] == "confirmed":
        with transaction():
            submitted = select(Application.id, Application.submitted_by)
            application, by = db.session.execute(
                submitted.where(Application.number == number)
            ).one()
            first = _officer(FIRST)
            actor = _officer(SECOND) if by == first.member_id else first
            _approve(application, actor, running.settings)
    return _signed_by(number, Action.APPROVE)


def _delivery(running: Running) -> str | None:
    """货银交收, which the worker does."""
    state = running.exchange.read(running.day)
    if state["state"] != "delivered":
        return None
    return gettext("Delivered: %(delivered)s, short: %(short)s", **state)


def _reconciliation(running: Running) -> str | None:
    """对账, which follows the delivery."""
    detail = db.session.scalar(
        select(SettlementStage.detail)
        .join(DayPackage, DayPackage.id == SettlementStage.package_id)
        .where(DayPackage.day == running.day, SettlementStage.stage == "reconciled")
    )
    db.session.rollback()
    if detail is None:
        return None
    return gettext("Differences: %(count)s", count=detail["differences"])


def _day_end(running: Running) -> str:
    """日终结算: what is in transit follows the trades; then the day is sealed."""
    with transaction():
        done = settlement.settle_day(running.day, SYSTEM, now=clock.now())
    with transaction():
        db.session.execute(text("SELECT seal_movements()"))  # needs the committed movements
        log.seal()
    with transaction():
        large_holdings.find(running.day, SYSTEM, now=clock.now())
    return gettext("To trading %(there)s tonnes, to the registry %(back)s tonnes",
                   there=f"{done.to_trading_quantity:,}", back=f"{done.to_registry_quantity:,}")  # fmt: skip


def _new_day(running: Running) -> str:
    """新交易日: the clock goes to the next trading day's morning."""
    following = calendar.next_trading_day(running.day)
    _bring_clock_to(following, clock.MORNING)
    return following.isoformat()


_STAGES: dict[str, Callable[[Running], str | None]] = {
    "trade": _trade,
    "package": _package,
    "first_review": _first_review,
    "confirmation": _confirmation,
    "second_review": _second_review,
    "delivery": _delivery,
    "reconciliation": _reconciliation,
    "day_end": _day_end,
    "new_day": _new_day,
}
_AWAITED = ("delivery", "reconciliation")
assert list(_STAGES) == list(demo_days.STAGES)


def _bring_clock_to(day: date, least: time, *, at: time | None = None) -> None:
    """Set the clock to an hour of a day unless it shows ``least`` of that day already, or later."""
    with transaction():
        if clock.now() < datetime.combine(day, least, tzinfo=BEIJING):
            clock.set_to(datetime.combine(day, at or least, tzinfo=BEIJING), SYSTEM)


def _package_of(day: date) -> DayPackage:
    return db.session.scalars(
        select(DayPackage).where(DayPackage.day == day).order_by(DayPackage.venue_id).limit(1)
    ).one()


def _member(number: str) -> Member:
    return db.session.scalars(select(Member).where(Member.username == number)).one()


def _officer(number: str) -> Actor:
    return Actor.of(_member(number), ADDRESS)


def _signed_by(number: str, action: Action) -> str:
    """Return who did an act last, in words."""
    name = db.session.scalar(
        select(ApplicationEvent.member_name)
        .join(Application, Application.id == ApplicationEvent.application_id)
        .where(Application.number == number, ApplicationEvent.action == action)
        .order_by(ApplicationEvent.id.desc())
        .limit(1)
    )
    db.session.rollback()
    return gettext("%(number)s, signed by %(name)s", number=number, name=name)


def _submit(application: int, actor: Actor, settings: Settings) -> None:
    """Submit as the signing page does: what is held is signed, and the signature covers the act."""
    engine.hold([application], actor)
    found = evidence.contents([application])
    signature = _signed(evidence.submission(found, actor), "submit", actor, settings)
    engine.submit([application], actor, now=clock.now()).one()
    if signature is not None:
        evidence.cover(signature, found, [application], actor)


def _approve(application: int, actor: Actor, settings: Settings) -> None:
    comment = gettext("Agreed")
    engine.hold([application], actor)
    said = evidence.review(evidence.contents([application]), deciding.APPROVE, comment, actor)
    signature = _signed(said, "review", actor, settings)
    deciding.decide(
        [application],
        deciding.APPROVE,
        actor,
        now=clock.now(),
        comment=comment,
        signature=signature,
    ).one()


def _signed(payload: dict[str, Any], purpose: str, actor: Actor, settings: Settings) -> int | None:
    """Sign with the officer's soft key, where acts are signed."""
    if not signatures.is_required():
        return None
    member = _member(actor.member_no)
    return demo_keys.sign(settings.demo_keys, member, payload, purpose=purpose).id
