"""How sessions end, and why; app/security/sessions.py begins and finds them."""

from __future__ import annotations

from collections.abc import Sequence

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, func, update

from app.extensions import db
from app.models import LoginSession
from app.operations.records import log
from app.operations.records.actor import Actor

# Why a session ended, and what its browser is told at its next request.
ENDINGS = {
    "signed_out": _("You have signed out."),
    "idle": _("You were signed out after a time without activity."),
    "too_long": _("The longest time of a session is over; please sign in again."),
    "elsewhere": _("This member has signed in elsewhere, so this session was ended."),
    "password": _("The password was changed, so this session was ended."),
    "forced": _("An administrator has ended this session."),
    "inactive": _("This member is disabled."),
    "certificate": _("The certificate that you signed in with was revoked or suspended."),
}


def end(login_ids: Sequence[int], reason: str) -> int:
    """End the sessions that still live, and return how many did."""
    return _end(LoginSession.id.in_(login_ids), reason)


def end_all(member_id: int, reason: str, *, but: int | None = None) -> int:
    """End a member's sessions, but one where that is to go on; return how many ended."""
    found = LoginSession.member_id == member_id
    return _end(found if but is None else found & (LoginSession.id != but), reason)


def force_out(login_id: int, actor: Actor) -> bool:
    """强退: end a session that is alive and record it; tell whether there was one."""
    if not end([login_id], "forced"):
        return False
    login = db.session.get_one(LoginSession, login_id)
    log.record(actor, "session.end", subject=login.member.username)
    return True


def _end(which: ColumnElement[bool], reason: str) -> int:
    assert reason in ENDINGS
    statement = update(LoginSession).where(which, LoginSession.ended_at.is_(None))
    result = db.session.execute(
        statement.values(ended_at=func.now(), ended_reason=reason).execution_options(
            synchronize_session=False
        )
    )
    return result.rowcount
