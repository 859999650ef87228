"""Sessions: rows of `login_session`, found by the token in the cookie."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from flask import current_app, g
from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from sqlalchemy import ColumnElement, ScalarSelect, Select, bindparam, exists, func, select, update
from sqlalchemy.orm import aliased, contains_eager, joinedload

from app.domain.errors import NotAllowed
from app.domain.workflow import COLLEAGUE_STEP, Status
from app.extensions import db
from app.models import (
    AccountDetail,
    Application,
    ApplicationParty,
    Certificate,
    LoginRecord,
    LoginSession,
    Member,
    PasswordRecord,
    Preference,
)
from app.models.announcement import unread
from app.models.parameter import keep, settings, stored_today
from app.models.reference.version import catalogue_version, keep_version
from app.operations.people.sessions import ENDINGS, end_all
from app.operations.records import clock

SEEN_EVERY = timedelta(minutes=1)  # minimum interval between updates of seen_at


class SessionFacts(NamedTuple):
    """Inputs of 安全指数 and of the header's counts, read together with the session."""

    has_own_password: bool
    certificate_until: datetime | None  # None where the session began without one
    has_phone: bool  # on file for the member's account
    has_second_person: bool  # another member of the account can sign in
    may_be_asked: bool = False  # the account is a receiver, or has an application in 操作复核
    unread: int = 0  # announcements


class SessionState(NamedTuple):
    """The session of a request: its row, and the reason where it has ended."""

    login: LoginSession
    ending: str  # a key of ENDINGS; "" while the session lives
    is_stale: bool  # seen_at is due for an update
    facts: SessionFacts


def begin(
    member_id: int,
    *,
    ip: str = "",
    user_agent: str = "",
    method: str = "password",
    certificate_id: int | None = None,
) -> str:
    """Open a session and end the member's older ones; return the token for the cookie.

    Raises NotAllowed for a member who was disabled meanwhile.
    """
    # The lock on the member's row serialises concurrent sign-ins, and sign-in with disabling.
    member = db.session.get_one(
        Member, member_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if not member.active:
        raise NotAllowed(ENDINGS["inactive"], code="inactive")
    end_all(member_id, "elsewhere")
    before = db.session.scalars(
        select(LoginRecord)
        .where(LoginRecord.member_id == member_id, LoginRecord.is_success)
        .order_by(LoginRecord.id.desc())
        .limit(1)
    ).first()
    failures = select(func.count()).where(
        LoginRecord.member_id == member_id,
        ~LoginRecord.is_success,
        LoginRecord.id > (before.id if before else 0),
    )
    token = secrets.token_urlsafe(32)
    login = LoginSession(
        token_hash=_hash(token),
        member_id=member_id,
        ip=ip,
        user_agent=user_agent[:300],
        method=method,
        certificate_id=certificate_id,
        previous_at=before.at if before else None,
        previous_ip=before.ip if before else "",
        failures_since=db.session.scalar(failures),
    )
    record = LoginRecord(
        member_no=member.username,
        member_id=member_id,
        is_success=True,
        outcome="signed_in",
        ip=ip,
        user_agent=user_agent[:300],
    )
    db.session.add_all([login, record])
    db.session.flush()
    return token


def find(token: str) -> SessionState | None:
    """Read a token's session with what each page needs of its member, in one query.

    That is member, account, roles, parameters, preferences and the clock, kept for this request.
    """
    statement = _statement(current_app.config["HAS_OWN_CLOCK"])
    row = db.session.execute(statement, {"token_hash": _hash(token)}).first()
    if row is None:
        return None
    version, ahead, preferences, roles, *row = row
    login, unseen, age, stored, has_own_password, certificate, serial, *facts = row
    keep_version(version)
    clock.keep(ahead)
    g.preferences = preferences or {}
    login.member.role_codes = frozenset(roles or ())
    login.member.certificate_serial = serial or ""
    idle, absolute = _limits(keep(stored))
    if login.ended_at:
        ending = login.ended_reason or "signed_out"
    elif not login.member.active:
        ending = "inactive"
    elif certificate not in (None, "active"):
        ending = "certificate"
    else:
        ending = "too_long" if age > absolute else "idle" if unseen > idle else ""
    return SessionState(login, ending, unseen > SEEN_EVERY, SessionFacts(has_own_password, *facts))


@cache
def _statement(_has_own_clock: bool) -> Select[Any]:
    """Compose the statement of `find`, once for each way to tell the day: it takes longer than asking."""
    return (
        select(
            catalogue_version(),
            clock.stored(),
            _preferences(),
            _roles(),
            LoginSession,
            func.now() - LoginSession.seen_at,
            func.now() - LoginSession.created_at,
            stored_today(),
            exists().where(PasswordRecord.member_id == LoginSession.member_id),
            Certificate.state,
            Certificate.serial,
            Certificate.not_after,
            *_of_the_account(),
            unread(),
        )
        .join(LoginSession.member)
        .outerjoin(Certificate, Certificate.id == LoginSession.certificate_id)
        .options(contains_eager(LoginSession.member).options(joinedload(Member.account)))
        .where(LoginSession.token_hash == bindparam("token_hash"))
    )


def _preferences() -> ScalarSelect[Any]:
    """Return a member's preferences by name, as one column."""
    named = func.jsonb_object_agg(Preference.name, Preference.value)
    return select(named).where(Preference.member_id == LoginSession.member_id).scalar_subquery()


def _roles() -> ScalarSelect[Any]:
    """Return the codes of a member's roles, as one column."""
    held = select(func.array_agg(Role.name)).join(
        assoc_user_role, assoc_user_role.c.role_id == Role.id
    )
    return held.where(assoc_user_role.c.user_id == LoginSession.member_id).scalar_subquery()


def _of_the_account() -> tuple[ColumnElement[bool], ...]:
    """Return the columns of SessionFacts about the account."""
    colleague = aliased(Member)
    has_phone = exists().where(
        AccountDetail.account_id == Member.account_id,
        AccountDetail.representative_phone.is_not(None),
    )
    has_second_person = exists().where(
        colleague.account_id == Member.account_id, colleague.id != Member.id, colleague.active
    )
    named = exists().where(
        ApplicationParty.account_id == Member.account_id, ApplicationParty.agreed_at.is_(None)
    )
    own = exists().where(
        Application.account_id == Member.account_id,
        Application.status == Status.IN_REVIEW,
        Application.step == COLLEAGUE_STEP,
    )
    return has_phone, has_second_person, named | own


def note_seen(login_id: int) -> None:
    """Update seen_at; the caller commits."""
    db.session.execute(
        update(LoginSession)
        .where(LoginSession.id == login_id, LoginSession.ended_at.is_(None))
        .values(seen_at=func.now())
    )


def online() -> ColumnElement[bool]:
    """Return the condition that a LoginSession is alive (在线用户)."""
    idle, absolute = _limits(settings(db.session))
    return (
        LoginSession.ended_at.is_(None)
        & (LoginSession.seen_at >= func.now() - idle)
        & (LoginSession.created_at >= func.now() - absolute)
    )


def _limits(values: Mapping[str, int]) -> tuple[timedelta, timedelta]:
    """Return the idle and the absolute time-out."""
    return (
        timedelta(minutes=values["session_idle_minutes"]),
        timedelta(hours=values["session_absolute_hours"]),
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
