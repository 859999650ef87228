"""系统参数: set a parameter from a day on; values are never overwritten."""

from __future__ import annotations

from datetime import date, datetime, time

from flask_babel import gettext as _
from sqlalchemy import insert, select

from app.domain.errors import NotFound, RuleError
from app.domain.parameters import PARAMETERS
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Parameter, SettlementRun
from app.models.parameter import default_of, forget
from app.operations.records import log
from app.operations.records.actor import Actor

FURTHEST_YEARS = 5


def set_value(
    name: str, typed: str, *, effective_from: date, reason: str, actor: Actor, now: datetime
) -> None:
    """Set a parameter from a day on, today at the earliest.

    Of two settings for one day the later one applies.  Raises RuleError naming the wrong field.
    """
    spec = PARAMETERS.get(name)
    if spec is None:
        raise NotFound(_("There is no such record"))
    value = spec.read(typed)
    today = now.astimezone(BEIJING).date()
    _require_day(effective_from, today, name)
    reason = reason.strip()
    if not reason:
        raise RuleError(_("Please give the reason"), field="reason", code="parameter_reason")
    if len(reason) > 300:
        raise RuleError(_("At most 300 characters"), field="reason", code="parameter_reason")
    before = value_on(name, effective_from)
    db.session.execute(
        insert(Parameter).values(
            name=name,
            value=spec.written(value),
            effective_from=effective_from,
            reason=reason,
            set_by=actor.member_id,
        )
    )
    forget()
    log.record(
        actor,
        "parameter.set",
        subject=name,
        before={"value": spec.written(before)},
        after={"value": spec.written(value), "effective_from": effective_from.isoformat()},
        reason=reason,
    )


def value_on(name: str, day: date) -> int | time | bool | date:
    """Return the value in force on a day, by the settings made so far."""
    spec = PARAMETERS[name]
    stored = db.session.scalar(
        select(Parameter.value)
        .where(Parameter.name == name, Parameter.effective_from <= day)
        .order_by(Parameter.effective_from.desc(), Parameter.id.desc())
        .limit(1)
    )
    return default_of(name) if stored is None else spec.read(stored)


def _require_day(day: date, today: date, name: str) -> None:
    if day < today:
        raise RuleError(
            _("A parameter cannot be changed for a day that is past"),
            field="effective_from",
            code="parameter_past",
        )
    if day.year > today.year + FURTHEST_YEARS:
        raise RuleError(
            _("Not more than %(years)s years ahead", years=FURTHEST_YEARS),
            field="effective_from",
            code="parameter_far",
        )
    settled = select(SettlementRun.day).where(SettlementRun.day >= day).limit(1)
    if name == "transfer_cut_off" and db.session.scalar(settled):
        raise RuleError(
            _("%(day)s has been settled and cannot be changed", day=day),
            field="effective_from",
            code="parameter_past",
        )
