"""Ending sessions and 常用设备; app/security/ begins and finds them, in sessions.py and devices.py."""

from __future__ import annotations

from collections.abc import Sequence

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, delete, func, update

from app.extensions import db
from app.models import KnownDevice, LoginSession, Member
from app.operations.records import log
from app.operations.records.actor import Actor

# Reasons of an end, with the message shown at the browser's next request.
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
    """End those of the sessions that are alive; return their number."""
    return _end(LoginSession.id.in_(login_ids), reason)


def end_all(member_id: int, reason: str, *, but: int | None = None) -> int:
    """End a member's sessions, except ``but``; return their number."""
    found = LoginSession.member_id == member_id
    return _end(found if but is None else found & (LoginSession.id != but), reason)


def force_out(login_id: int, actor: Actor) -> bool:
    """强退: end a live session with its device, and log it; tell whether there was one."""
    if not end([login_id], "forced"):
        return False
    login = db.session.get_one(LoginSession, login_id)
    db.session.execute(delete(KnownDevice).where(KnownDevice.id == login.device_id))
    log.record(actor, "session.end", subject=login.member.username)
    return True


def forget_device(device_id: int, actor: Actor) -> bool:
    """Make a known device a stranger's, and log it; tell whether there was one."""
    device = db.session.get(KnownDevice, device_id)
    if device is None:
        return False
    # The member's row first, as in signing in, which updates sessions and devices.
    db.session.get_one(Member, device.member_id, with_for_update={"key_share": True})
    found = db.session.execute(delete(KnownDevice).where(KnownDevice.id == device_id))
    if not found.rowcount:
        return False
    log.record(actor, "device.end", subject=device.member.username)
    return True


def forget_devices(member_id: int, *, but: int | None = None) -> None:
    """Make a member's known devices strangers', except ``but``."""
    found = KnownDevice.member_id == member_id
    db.session.execute(
        delete(KnownDevice).where(found if but is None else found & (KnownDevice.id != but))
    )


def _end(which: ColumnElement[bool], reason: str) -> int:
    assert reason in ENDINGS
    statement = update(LoginSession).where(which, LoginSession.ended_at.is_(None))
    result = db.session.execute(
        statement.values(ended_at=func.now(), ended_reason=reason).execution_options(
            synchronize_session=False
        )
    )
    return result.rowcount
