"""系统参数: values of app.domain.parameters with their effective day; append-only.

And the operating mode (运行方式), which the schema's owner writes from the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from flask import current_app, g, has_request_context
from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    Boolean,
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
    """A value of a parameter from a day on, until a later one."""

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


class OperatingMode(Model):
    """Whether acts are signed, and whether business follows the real clock; the last row holds.

    Append-only.  ``after_event`` is the last event of an application before it held.
    """

    __tablename__ = "operating_mode"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    signs: Mapped[bool] = mapped_column(Boolean)
    is_production: Mapped[bool] = mapped_column(Boolean)
    after_event: Mapped[int] = mapped_column(BigInteger)
    set_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


def setting(session: Any, name: str) -> Any:
    """Return today's value of a parameter.

    ``session`` is a session or a connection.  All parameters are read once a request.
    """
    return settings(session)[name]


def settings(session: Any) -> Mapping[str, Any]:
    """Return today's values by name; see `setting`."""
    if has_request_context() and "parameters" in g:
        return g.parameters
    return keep(session.scalar(select(stored_today())))


def keep(stored: Mapping[str, str] | None) -> Mapping[str, Any]:
    """Cache the result of `stored_today` for the rest of this request."""
    found = read(stored or {})
    if has_request_context():
        g.parameters = found
    return found


def forget() -> None:
    """Drop the cache, after a parameter was set."""
    if has_request_context():
        g.pop("parameters", None)


def stored_today() -> ScalarSelect[Any]:
    """Return today's stored values as JSON, as a column for any statement."""
    latest = (
        select(Parameter.name, Parameter.value)
        .ext(distinct_on(Parameter.name))
        .where(Parameter.effective_from <= _today())
        .order_by(Parameter.name, Parameter.effective_from.desc(), Parameter.id.desc())
        .subquery()
    )
    return select(func.jsonb_object_agg(latest.c.name, latest.c.value)).scalar_subquery()


def read(stored: Mapping[str, str]) -> dict[str, Any]:
    """Return every parameter's value: the stored one or the default."""
    found: dict[str, Any] = {}
    for name, spec in PARAMETERS.items():
        found[name] = default_of(name)
        if name in stored:
            try:
                found[name] = spec.read(stored[name])
            except RuleError:  # The limits have been narrowed since.
                current_app.logger.error("parameter %s is out of its limits", name)
    return found


def default_of(name: str) -> Any:
    """Return a parameter's default, which the environment may set for three of them."""
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
    """Return the SQL expression of the business day in Beijing."""
    now = func.now()
    if current_app.config["HAS_OWN_CLOCK"]:
        ahead = select(BusinessClock.ahead).scalar_subquery()
        now += func.coalesce(ahead, cast(literal("0"), Interval))
    return cast(func.timezone("Asia/Shanghai", now), Date)
