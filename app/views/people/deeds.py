"""Acts on certificates: asked for on a page, signed on the page of signing, carried out afterwards.

Where signing is off they are carried out at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flask import abort, flash, g, redirect
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app.domain.errors import NotAllowed
from app.extensions import db, transaction
from app.models import Certificate, Member
from app.operations.accounts import operators
from app.operations.people import certificates, deeds, officers
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.pki.enrolments import DEED
from app.security.certificates import UsedChallenge
from app.security.manager import permissions
from app.security.roles import ROLES, codes_of
from app.views.applications import signing
from app.views.page import current_actor

Words = Mapping[str, str]


class Subject(NamedTuple):
    """Whom an act is about, and which certificate."""

    member: Member
    certificate: Certificate | None = None


class Deed(NamedTuple):
    """One act: who may do it, what is signed (guarded like the act itself), and the act."""

    title: Any
    permission: tuple[str, str]
    content: Callable[[Subject, Actor, Words], dict[str, Any]]
    carry_out: Callable[[Subject, Actor, Words, int | None], Any]
    done: Any


def begin(name: str, subject: Subject, back: str, **words: str) -> Any:
    """Redirect to where an act is signed; where signing is off, carry it out and go back.

    Raises RuleError.
    """
    actor, deed = current_actor(), DEEDS[name]
    if signing.is_required():
        return signing.ask(deed.content(subject, actor, words), back)
    with transaction():
        deed.carry_out(subject, actor, words, None)
    return _done(deed, subject, back)


def carry_out(
    payload: dict[str, Any], taken: UsedChallenge, content: bytes, cms: bytes, back: str
) -> Any:
    """Carry out what was signed, if it is still what would be signed now."""
    actor, deed, subject = current_actor(), DEEDS[payload["act"]], _subject(payload)
    words: Words = {name: payload[name] for name in ("reason", "remark") if name in payload}
    if deed.permission not in permissions():
        raise NotAllowed(str(_("You may not do this any more")), code="forbidden")
    with transaction():
        expected = deed.content(subject, actor, words)
        signature = signing.verified("deed", expected, taken, content, cms)
        deed.carry_out(subject, actor, words, signature)
    return _done(deed, subject, back)


def _done(deed: Deed, subject: Subject, back: str) -> Any:
    flash(str(deed.done) % {"name": subject.member.username}, "success")
    return redirect(back)


def _subject(payload: Mapping[str, Any]) -> Subject:
    number = payload["person"]["member_no"]
    member = db.session.scalar(select(Member).where(Member.username == number)) or abort(404)
    serial = payload.get("serial")
    row = serial and db.session.scalar(select(Certificate).where(Certificate.serial == serial))
    return Subject(member, row or None)


# What is signed, and the acts -------------------------------------------------------------------


def _asking(subject: Subject, actor: Actor, words: Words) -> dict[str, Any]:
    member = officers.askable(subject.member.id, actor, reason=words.get("reason", ""))
    return deeds.payload("ask", member, actor, words)


def _confirming(subject: Subject, actor: Actor, _words: Words) -> dict[str, Any]:
    member, asked = officers.confirmable(subject.member.id, actor)
    return deeds.payload("confirm", member, actor, asked=asked.signature)


def _appointing(subject: Subject, actor: Actor, _words: Words) -> dict[str, Any]:
    _account, member = operators.appointable(subject.member.id, actor)
    return deeds.payload("appoint", member, actor)


def _changing(act: str) -> Callable[[Subject, Actor, Words], dict[str, Any]]:
    def content(subject: Subject, actor: Actor, words: Words) -> dict[str, Any]:
        row = _kept(subject, actor)
        certificates.require_changeable(row, act, words.get("reason", ""))
        return deeds.payload(act, row.member, actor, words, certificate=row)

    return content


def _change(act: str) -> Callable[[Subject, Actor, Words, int | None], Any]:
    def change(subject: Subject, actor: Actor, words: Words, signature: int | None) -> Any:
        row, now, remark = _kept(subject, actor), datetime.now(UTC), words.get("remark", "")
        if act == "revoke":
            return certificates.revoke(
                row.id, words.get("reason", ""), actor, now=now, remark=remark, signature=signature
            )
        verb = certificates.suspend if act == "suspend" else certificates.resume
        return verb(row.id, actor, now=now, remark=remark, signature=signature)

    return change


def _kept(subject: Subject, actor: Actor) -> Certificate:
    """Return the certificate, which is the actor's to change.  Raises NotFound."""
    row = subject.certificate or abort(404)
    certificates.require_keeper(row, actor, is_administrator=is_administrator())
    return row


def is_administrator() -> bool:
    """Tell whether the member is one of the three administrators."""
    return any(ROLES[code].is_administrator for code in codes_of(g.user))


REASONS = {
    "unspecified": _("Without a reason given"),
    "keyCompromise": _("USBKey lost or its key known to others"),
    "affiliationChanged": _("The person has left or changed post"),
    "superseded": _("Replaced by another certificate"),
    "cessationOfOperation": _("The account is closed"),
    "privilegeWithdrawn": _("The right to it was withdrawn"),
}
_MANAGE = ("can_manage", "CertificateView")
_CHANGED = _("The certificate was changed")
LETTERS_SENT = _("The letters to %(name)s are on their way.")
DEEDS = {
    "ask": Deed(
        _("Ask for a certificate"),
        ("can_certify", "MemberView"),
        _asking,
        lambda subject, actor, words, signature: officers.ask(
            subject.member.id, actor, reason=words.get("reason", ""), signature=signature
        ),
        _("The certificate of %(name)s waits for the system administrator."),
    ),
    "confirm": Deed(
        _("Confirm a certificate"),
        ("can_confirm", "MemberView"),
        _confirming,
        lambda subject, actor, _words, signature: officers.confirm(
            subject.member.id, actor, signature=signature
        ),
        LETTERS_SENT,
    ),
    "appoint": Deed(
        _("Appoint an operator"),
        ("can_write", "OperatorView"),
        _appointing,
        lambda subject, actor, _words, signature: operators.send_codes(
            subject.member.id, actor, now=clock.now(), signature=signature
        ),
        _("The codes of %(name)s are on their way"),
    ),
    "suspend": Deed(
        _("Suspend a certificate"), _MANAGE, _changing("suspend"), _change("suspend"), _CHANGED
    ),
    "resume": Deed(
        _("Resume a certificate"), _MANAGE, _changing("resume"), _change("resume"), _CHANGED
    ),
    "revoke": Deed(
        _("Revoke a certificate"), _MANAGE, _changing("revoke"), _change("revoke"), _CHANGED
    ),
}
signing.add(DEED, carry_out, {name: deed.title for name, deed in DEEDS.items()} | REASONS)
