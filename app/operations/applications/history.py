"""The last event of an application, and its description."""

from __future__ import annotations

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.trading_day import BEIJING
from app.domain.workflow import ACTION_TITLES, Action
from app.extensions import db
from app.models import ApplicationEvent


def last_event(application_id: int, *actions: Action) -> ApplicationEvent | None:
    """Return the last event of an application, of these actions if any are given."""
    found = select(ApplicationEvent).where(ApplicationEvent.application_id == application_id)
    if actions:
        found = found.where(ApplicationEvent.action.in_(actions))
    return db.session.scalars(found.order_by(ApplicationEvent.id.desc()).limit(1)).one_or_none()


def described(event: ApplicationEvent) -> str:
    """Describe an event: action, person and time."""
    return _(
        "%(action)s by %(who)s at %(at)s",
        action=str(ACTION_TITLES[Action(event.action)]),
        who=event.member_name,
        at=f"{event.at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
    )
