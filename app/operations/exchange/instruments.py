"""Instruments (标的): created by the registry, coded by the system (domain.md section 7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime

from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, cast, func, select, text

from app.domain.errors import NotAllowed, RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import Party
from app.extensions import db
from app.models import Instrument, Venue, VenueInstrument
from app.operations.applications import engine
from app.operations.records import log
from app.operations.records.actor import Actor

LONGEST_NAME = 100
FIRST_VINTAGE = 2019
_TRADE_CODE = re.compile(r"[A-Z][A-Z0-9-]{1,19}")
_NUMBERING = text("SELECT pg_advisory_xact_lock(7260007)")  # serialises the numbering


@dataclass(frozen=True, slots=True)
class NewInstrument:
    """An instrument to be created; without a trade code it cannot be transferred."""

    name: str
    vintage: int
    venue_id: int | None = None
    trade_code: str = ""


def create(new: NewInstrument, actor: Actor, *, now: datetime) -> Instrument:
    """Create an instrument under the next code of this year: PE, the year, six digits.

    Raises RuleError for a missing or existing name, an impossible vintage or one created before, an
    unknown venue, and a trade code without venue or vice versa; NotAllowed unless the actor is the
    registry.
    """
    if engine.party(actor) is not Party.REGISTRY:
        raise NotAllowed(_("Only the registry may do this"), code="not_the_registry")
    today = now.astimezone(BEIJING).date()
    name = new.name.strip()
    _require_valid(new, name, today)
    db.session.execute(_NUMBERING)
    if db.session.scalar(select(Instrument.id).where(Instrument.name == name)):
        raise RuleError(_("There is an instrument of this name"), field="name", code="name_taken")
    _require_new_vintage(new.vintage)
    instrument = Instrument(code=_next_code(today.year), name=name, vintage=new.vintage)
    db.session.add(instrument)
    db.session.flush()
    if new.venue_id:
        db.session.add(
            VenueInstrument(
                venue_id=new.venue_id, instrument_id=instrument.id, trade_code=new.trade_code
            )
        )
    log.record(
        actor,
        "instrument.create",
        subject=instrument.code,
        name=name,
        vintage=new.vintage,
        trade_code=new.trade_code,
    )
    db.session.flush()
    return instrument


def _require_valid(new: NewInstrument, name: str, today: date) -> None:
    year = today.year
    if not name or len(name) > LONGEST_NAME:
        raise RuleError(
            _("Enter a name of at most %(most)d characters", most=LONGEST_NAME),
            field="name",
            code="name_missing",
        )
    if not FIRST_VINTAGE <= new.vintage <= year + 1:
        raise RuleError(
            _(
                "The vintage is a year from %(first)d to %(last)d",
                first=FIRST_VINTAGE,
                last=year + 1,
            ),
            field="vintage",
            code="vintage_unknown",
        )
    if bool(new.venue_id) != bool(new.trade_code):
        raise RuleError(
            _("Trading venue and trade code go together: enter both or neither"),
            field="trade_code",
            code="trade_code_alone",
        )
    if new.trade_code and not _TRADE_CODE.fullmatch(new.trade_code):
        raise RuleError(
            _("A trade code has 2 to 20 capital letters, digits and hyphens, such as CEA25"),
            field="trade_code",
            code="trade_code_malformed",
        )
    if new.venue_id and not _is_venue(new.venue_id, today):
        raise RuleError(_("This is not one of the venues"), field="venue", code="venue_unknown")


def _require_new_vintage(vintage: int) -> None:
    """N10: a vintage is created once; those of the registry's first years may have several."""
    known = select(Instrument.code).where(
        Instrument.vintage == vintage, Instrument.kind == "allowance"
    )
    code = db.session.scalar(known.order_by(Instrument.id).limit(1))
    if code:
        raise RuleError(
            _("The allowances of %(year)d are created already: %(code)s", year=vintage, code=code),
            field="vintage",
            code="vintage_taken",
        )


def _is_venue(id_: int, today: date) -> bool:
    found = select(Venue.id).where(Venue.id == id_, Venue.in_force(today))
    return db.session.scalar(found) is not None


def _next_code(year: int) -> str:
    prefix = f"PE{year}"
    number = cast(func.substr(Instrument.code, len(prefix) + 1), BigInteger)
    last = db.session.scalar(
        select(func.max(number)).where(Instrument.code.regexp_match(f"^{prefix}[0-9]{{6,}}$"))
    )
    return f"{prefix}{(last or 0) + 1:06d}"
