"""Acts on certificates: guarded, put together, signed on the page of signing, and carried out there.

Where signing is off they are carried out at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flask import abort, flash, g, redirect
from flask_babel import lazy_gettext as _
from sqlalchemy import select

from app.domain.errors import RuleError
from app.extensions import db, transaction
from app.models import Certificate, Member
from app.operations.accounts import operators
from app.operations.people import certificates, deeds, officers
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.security.roles import ROLES, codes_of
from app.views.applications import signing
from app.views.page import SignedAct, current_actor

Words = Mapping[str, str]
REASONS = {
    "unspecified": _("Without a reason given"),
    "keyCompromise": _("USBKey lost or its key known to others"),
    "affiliationChanged": _("The person has left or changed post"),
    "superseded": _("Replaced by another certificate"),
    "cessationOfOperation": _("The account is closed"),
    "privilegeWithdrawn": _("The right to it was withdrawn"),
}


class Subject(NamedTuple):
    """Whom an act is about, and which certificate."""

    member: Member
    certificate: Certificate | None = None


class Deed(NamedTuple):
    """One act: what is signed, behind the same guards as the act itself, and the act."""

    title: Any
    values: Callable[[Subject, Actor, Words], dict[str, Any]]
    carry_out: Callable[[Subject, Actor, Words, int | None], Any]
    done: Any


def begin(name: str, subject: Subject, back: str, **words: str) -> Any:
    """Redirect to where an act is signed; where signing is off, carry it out and go back.

    Raises RuleError.
    """
    actor, deed = current_actor(), DEEDS[name]
    if signing.is_required():
        return signing.ask_for_act(name, deed.values(subject, actor, words), actor, back)
    with transaction():
        deed.carry_out(subject, actor, words, None)
    flash(_said(deed, subject), "success")
    return redirect(back)


def signed_act(name: str, permission: str) -> SignedAct:
    """Return an act as a page declares it: carried out if it is still what was signed."""
    deed = DEEDS[name]

    def carry_out(values: Mapping[str, Any], actor: Actor, signature: int | None) -> str:
        subject = _subject(values)
        words = {part: text for part, text in values.items() if part in ("reason", "remark")}
        if deed.values(subject, actor, words) != values:
            raise RuleError(str(_("It was changed after it was signed for")), code="altered")
        deed.carry_out(subject, actor, words, signature)
        return _said(deed, subject)

    return SignedAct(deed.title, permission, carry_out, _shown)


def is_administrator() -> bool:
    """Tell whether the member is one of the three administrators."""
    return any(ROLES[code].is_administrator for code in codes_of(g.user))


def _said(deed: Deed, subject: Subject) -> str:
    return str(deed.done) % {"name": subject.member.username}


def _subject(values: Mapping[str, Any]) -> Subject:
    number, serial = values["person"]["member_no"], values.get("serial")
    member = db.session.scalar(select(Member).where(Member.username == number)) or abort(404)
    row = serial and db.session.scalar(select(Certificate).where(Certificate.serial == serial))
    return Subject(member, row or None)


def _shown(values: Mapping[str, Any]) -> list[tuple[Any, str]]:
    serial, reason = values.get("serial", ""), values.get("reason", "")
    told = [
        (_("Member number"), values["person"]["member_no"]),
        (_("Member name"), values["person"]["name"]),
        (_("Serial number"), serial.upper()),
        (_("Reason of the revocation"), str(REASONS[reason]) if serial and reason else ""),
        (_("Reason for the application"), "" if serial else reason),
        (_("Remark"), values.get("remark", "")),
    ]
    return [(label, text) for label, text in told if text]


# What is signed, and the acts -------------------------------------------------------------------


def _asking(subject: Subject, actor: Actor, words: Words) -> dict[str, Any]:
    member = officers.askable(subject.member.id, actor, reason=words.get("reason", ""))
    return deeds.values(member, words)


def _confirming(subject: Subject, actor: Actor, _words: Words) -> dict[str, Any]:
    member, asked = officers.confirmable(subject.member.id, actor)
    return deeds.values(member, asked=asked.signature)


def _appointing(subject: Subject, actor: Actor, _words: Words) -> dict[str, Any]:
    _account, member = operators.appointable(subject.member.id, actor)
    return deeds.values(member)


def _changing(act: str) -> Deed:
    """挂起, 恢复, 吊销 of a certificate that is the actor's to change."""

    def values(subject: Subject, actor: Actor, words: Words) -> dict[str, Any]:
        row = _kept(subject, actor)
        certificates.require_changeable(row, act, words.get("reason", ""))
        return deeds.values(row.member, words, certificate=row)

    def carry_out(subject: Subject, actor: Actor, words: Words, signature: int | None) -> Any:
        row, now, remark = _kept(subject, actor), datetime.now(UTC), words.get("remark", "")
        if act == "revoke":
            return certificates.revoke(
                row.id, words.get("reason", ""), actor, now=now, remark=remark, signature=signature
            )
        verb = certificates.suspend if act == "suspend" else certificates.resume
        return verb(row.id, actor, now=now, remark=remark, signature=signature)

    titles = {
        "suspend": _("Suspend a certificate"),
        "resume": _("Resume a certificate"),
        "revoke": _("Revoke a certificate"),
    }
    return Deed(titles[act], values, carry_out, _("The certificate was changed"))


def _kept(subject: Subject, actor: Actor) -> Certificate:
    """Return the certificate.  Raises NotFound where it is not the actor's to change."""
    row = subject.certificate or abort(404)
    certificates.require_keeper(row, actor, is_administrator=is_administrator())
    return row


DEEDS = {
    "certificate.ask": Deed(
        _("Ask for a certificate"),
        _asking,
        lambda subject, actor, words, signature: officers.ask(
            subject.member.id, actor, reason=words.get("reason", ""), signature=signature
        ),
        _("The certificate of %(name)s waits for the system administrator."),
    ),
    "certificate.confirm": Deed(
        _("Confirm a certificate"),
        _confirming,
        lambda subject, actor, _words, signature: officers.confirm(
            subject.member.id, actor, signature=signature
        ),
        _("The letters to %(name)s are on their way."),
    ),
    "operator.appoint": Deed(
        _("Appoint an operator"),
        _appointing,
        lambda subject, actor, _words, signature: operators.send_codes(
            subject.member.id, actor, now=clock.now(), signature=signature
        ),
        _("The codes of %(name)s are on their way"),
    ),
    **{f"certificate.{act}": _changing(act) for act in ("suspend", "resume", "revoke")},
}
