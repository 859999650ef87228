"""常用设备: a browser is known to a member after a complete sign-in, by a signed cookie of its own.

A known device is let guess although strangers have used up theirs (`app.security.lockout`); it opens
nothing.  The table holds the token's SHA-256; operations/people/sessions.py ends devices.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from flask import Response, current_app, request
from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.extensions import db
from app.models import KnownDevice, LoginSession, Member

COOKIE = "device"
PATH = "/login/"
LIFETIME = timedelta(days=90)  # since the last complete sign-in


def presented() -> str:
    """Return the token of the request's cookie, or "" without a genuine one."""
    try:
        token = _signer().loads(request.cookies.get(COOKIE, ""))
    except BadData:
        return ""
    return token if isinstance(token, str) else ""


def find(token: str, member_no: str) -> int | None:
    """Return the id of the device as this member's; None for a stranger."""
    if not token:
        return None
    with db.engine.connect() as connection:
        return connection.scalar(
            select(KnownDevice.id)
            .join(Member, Member.id == KnownDevice.member_id)
            .where(
                KnownDevice.token_hash == _hash(token),
                Member.username == member_no,
                lives(),
            )
        )


def lives() -> ColumnElement[bool]:
    """Return the condition that a device is still known."""
    return KnownDevice.seen_at > func.now() - LIFETIME


def remember(member_id: int, token: str, *, ip: str, user_agent: str) -> str:
    """Make the browser that presented this token the member's; return a fresh token for its cookie.

    The caller has begun the session, which holds the member's row, and commits.  Each complete sign-in
    replaces the token, so that one which somebody else planted in the browser is worth nothing.  The
    browser stays known to the other members who use it.
    """
    fresh = secrets.token_urlsafe(32)
    if token:
        db.session.execute(
            update(KnownDevice)
            .where(KnownDevice.token_hash == _hash(token))
            .values(token_hash=_hash(fresh))
        )
    db.session.execute(delete(KnownDevice).where(KnownDevice.member_id == member_id, ~lives()))
    seen = {"seen_at": func.now(), "ip": ip, "user_agent": user_agent[:300]}
    device_id = db.session.execute(
        insert(KnownDevice)
        .values(member_id=member_id, token_hash=_hash(fresh), **seen)
        .on_conflict_do_update(constraint="device_of_a_member", set_=seen)
        .returning(KnownDevice.id)
    ).scalar_one()
    db.session.execute(
        update(LoginSession)
        .where(LoginSession.member_id == member_id, LoginSession.ended_at.is_(None))
        .values(device_id=device_id)
    )
    return fresh


def set_cookie(response: Response, token: str) -> Response:
    """Give the browser its token, for the sign-in page alone."""
    response.set_cookie(
        COOKIE,
        str(_signer().dumps(token)),
        max_age=LIFETIME,
        path=PATH,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Strict",
    )
    return response


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="known device")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
