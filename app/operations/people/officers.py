"""系统管理: registering officers, provinces and administrators, and issuing their codes.

系统管理员 registers a member, 安全管理员 asks for the certificate and 系统管理员 confirms it, so that it
takes two, neither of whom is the member (docs/adr/0043, 0071).
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from typing import Any

from flask_babel import gettext
from sqlalchemy import func, select

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.regions import PROVINCES
from app.domain.roles import SCOPES
from app.extensions import db
from app.models import CertificateEnrolment, Member
from app.models.member import NO_ADDRESS, lock_numbers, require_free_address
from app.operations.people import certificates, deeds, letters, members, replacements
from app.operations.people.members import NewMember
from app.operations.records import log, outbox
from app.operations.records.actor import Actor

NUMBER = re.compile(r"[A-Z][0-9A-Z]{1,11}")
LONGEST_REASON = 200


def add(newcomer: NewMember, actor: Actor, *, now: datetime) -> None:
    """Register an officer, a province or an administrator, and send the first-sign-in link.

    Enterprises' members are registered by openings and by their representatives.
    """
    require_fitting(newcomer)
    member_id = members.register_member(newcomer, None)
    log.record(actor, "member.add", subject=newcomer.member_no, role=newcomer.role)
    invite(member_id, actor, now=now)


def require_fitting(newcomer: NewMember) -> None:
    """Raise RuleError for a number, role or province that no member without an enterprise has."""
    if not NUMBER.fullmatch(newcomer.member_no):
        raise RuleError(
            gettext("A number begins with a capital letter: 2 to 12 capital letters and digits"),
            field="number",
            code="number_wrong",
        )
    scope = SCOPES.get(newcomer.role, "account")
    if scope == "account":
        raise RuleError(gettext("Please choose the role"), field="role", code="role_missing")
    fitting = list(PROVINCES) if scope == "province" else [None]
    if newcomer.province not in fitting:
        raise RuleError(
            gettext("A provincial authority has a province, everybody else has none"),
            field="province",
            code="role_scope",
        )


def invite(member_id: int, actor: Actor, *, now: datetime) -> Member:
    """Send a new first-sign-in link to a member without a password; earlier ones become invalid."""
    member = _officer(member_id, actor)
    if member.password is not None:
        raise RuleError(gettext("The member has a password already"), code="has_password")
    token = letters.fresh_link(member, actor, now=now)
    letters.send(member, _subject(), _introduction(member), token=token)
    log.record(actor, "member.invite", subject=member.username)
    return member


def askable(member_id: int, actor: Actor, *, reason: str) -> Member:
    """Lock and return a member for whom a certificate may be asked for.  Raises RuleError.

    A replacement needs a reason.
    """
    member = _officer(member_id, actor)
    is_replacement = letters.has_had_certificate(member.id)
    if len(reason) > LONGEST_REASON or "\x00" in reason or (is_replacement and not reason):
        raise RuleError(
            gettext("Please give a reason of at most %(most)d characters", most=LONGEST_REASON),
            field="reason",
            code="reason",
        )
    letters.reach_of(member)
    return member


def ask(member_id: int, actor: Actor, *, reason: str = "", signature: int | None = None) -> Member:
    """Ask for a certificate of a member, the first or a replacement, which another has to confirm.

    Stored as an enrolment without a code, which no input can match.
    """
    member = askable(member_id, actor, reason=reason)
    certificates.let_lapse(member.id)
    real = letters.real_time()
    db.session.add(
        CertificateEnrolment(
            reference=f"{secrets.randbelow(10**10):010}",
            code_hash=b"",
            salt=b"",
            member_id=member.id,
            assurance=letters.assurance(),
            state="asked",
            opened_by=actor.member_id,
            signature_id=signature,
            opened_at=real,
            expires_at=real + certificates.LIFETIME,
        )
    )
    db.session.flush()
    signed: dict[str, Any] = {"signature": signature} if signature else {}
    log.record(actor, "certificate.ask", subject=member.username, reason=reason, **signed)
    return member


def confirmable(member_id: int, actor: Actor) -> tuple[Member, CertificateEnrolment]:
    """Lock and return a member and what another administrator has asked for.  Raises RuleError."""
    member = _officer(member_id, actor)
    asked = db.session.scalars(
        select(CertificateEnrolment).where(
            CertificateEnrolment.member_id == member.id,
            CertificateEnrolment.state == "asked",
            CertificateEnrolment.expires_at > func.now(),
        )
    ).one_or_none()
    if asked is None:
        raise RuleError(gettext("No certificate has been asked for"), code="not_asked")
    if asked.opened_by == actor.member_id:
        raise NotAllowed(gettext("The second officer must be another person"), code="same_person")
    if not db.session.scalar(select(Member.active).where(Member.id == asked.opened_by)):
        raise NotAllowed(
            gettext("Who asked for it was disabled meanwhile; it has to be asked for anew"),
            code="asker_disabled",
        )
    return member, asked


def confirm(member_id: int, actor: Actor, *, signature: int | None = None) -> Member:
    """Confirm another administrator's request and send both letters, in the names of both."""
    member, asked = confirmable(member_id, actor)
    first = Actor.of(db.session.get_one(Member, asked.opened_by))
    evidence = deeds.by_deeds(asked.signature_id, signature)
    if letters.has_had_certificate(member.id):
        replacements.send(member, first, actor, evidence)
        return member
    codes = letters.first_codes(member, first, confirmed_by=actor, evidence=evidence)
    letters.send(member, _subject(), _introduction(member), codes=codes)
    return member


def set_contact(member_id: int, email: str, phone: str, actor: Actor) -> Member:
    """Set a member's address and telephone; the former address is notified, too."""
    lock_numbers(db.session)  # before the member, as an opening does
    member = _officer(member_id, actor)
    if email != member.email:
        require_free_address(db.session, email)
    addresses = sorted({member.email, email})
    member.email, member.phone = email, phone
    db.session.flush()
    log.record(actor, "member.contact", subject=member.username)
    outbox.send(*(_notice(member, each) for each in addresses if not each.endswith(NO_ADDRESS)))
    return member


def _officer(member_id: int, actor: Actor) -> Member:
    """Lock a member of no enterprise who is not the actor."""
    member = db.session.get(Member, member_id, with_for_update=True, populate_existing=True)
    if member is None or member.account_id is not None:
        raise NotFound(gettext("There is no such record"))
    members.require_other(member.id, actor)
    if not member.active:
        raise RuleError(gettext("The member is disabled"), code="inactive")
    return member


def _subject() -> str:
    return gettext("Your access to the registry")


def _introduction(member: Member) -> str:
    return gettext("you are registered in the registry as %(name)s.", name=member.first_name)


def _notice(member: Member, address: str) -> outbox.Message:
    return outbox.Message(
        channel="mail",
        recipient=address,
        subject=gettext("Your contact details have changed"),
        body=gettext(
            "Mail address or mobile phone of member %(number)s were changed by an administrator."
            " If you know nothing of it, call the service telephone 400-991-1188 at once.",
            number=member.username,
        ),
        purpose="member.contact",
        member_id=member.id,
    )
