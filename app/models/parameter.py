"""系统参数: values of app.domain.parameters with the day from which they hold; append-only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from flask import current_app, g, has_request_context
from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Interval,
    ScalarSelect,
    String,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.errors import RuleError
from app.domain.parameters import PARAMETERS
from app.models.calendar import BusinessClock


class Parameter(Model):
    """One setting of a parameter: from a day on, until another one takes over."""

    __tablename__ = "parameter"
    __table_args__ = (
        Index("parameter_in_force", "name", "effective_from", "id"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(String(60))
    value: Mapped[str] = mapped_column(String(100))
    effective_from: Mapped[date] = mapped_column(Date)
    reason: Mapped[str] = mapped_column(String(300))
    set_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    set_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


def setting(session: Any, name: str) -> Any:
    """Return the value of a parameter that holds today.

    ``session`` is a session or a connection.  All are read in one statement, once a request.
    """
    return settings(session)[name]


def settings(session: Any) -> Mapping[str, Any]:
    """Return the values that hold today, by name; see `setting`."""
    if has_request_context() and "parameters" in g:
        return g.parameters
    return keep(session.scalar(select(stored_today())))


def keep(stored: Mapping[str, str] | None) -> Mapping[str, Any]:
    """Take what `stored_today` found for the rest of this request."""
    found = read(stored or {})
    if has_request_context():
        g.parameters = found
    return found


def forget() -> None:
    """Have the next one who asks read again: something was set."""
    if has_request_context():
        g.pop("parameters", None)


def stored_today() -> ScalarSelect[Any]:
    """Select what was set and holds today, as JSON: it fits into any statement as a column."""
    latest = (
        select(Parameter.name, Parameter.value)
        .ext(distinct_on(Parameter.name))
        .where(Parameter.effective_from <= _today())
        .order_by(Parameter.name, Parameter.effective_from.desc(), Parameter.id.desc())
        .subquery()
    )
    return select(func.jsonb_object_agg(latest.c.name, latest.c.value)).scalar_subquery()


def read(stored: Mapping[str, str]) -> dict[str, Any]:
    """Return every parameter's value: what was set, or what holds until somebody does."""
    found: dict[str, Any] = {}
    for name, spec in PARAMETERS.items():
        found[name] = default_of(name)
        if name in stored:
            try:
                found[name] = spec.read(stored[name])
            except RuleError:  # Limits became narrower since; the safe value is the default.
                current_app.logger.error("parameter %s is out of its limits", name)
    return found


def default_of(name: str) -> Any:
    """Return what holds until a parameter is set; the environment may say so for three of them."""
    config = current_app.config
    match name:
        case "transfer_cut_off":
            return config["TRANSFER_CUT_OFF"]
        case "session_idle_minutes":
            return config["SESSION_IDLE"] // timedelta(minutes=1)
        case "session_absolute_hours":
            return config["SESSION_ABSOLUTE"] // timedelta(hours=1)
        case _:
            return PARAMETERS[name].default


def _today() -> Any:
    """Tell the business day in Beijing, in the database's own time."""
    now = func.now()
    if current_app.config["HAS_OWN_CLOCK"]:
        ahead = select(BusinessClock.ahead).scalar_subquery()
        now += func.coalesce(ahead, cast(literal("0"), Interval))
    return cast(func.timezone("Asia/Shanghai", now), Date)
