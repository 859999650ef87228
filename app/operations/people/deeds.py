"""Signed acts on certificates: what is signed, and the evidence that the signing process is shown.

Who is certified, and by whom, is signed like a submission; the signing process verifies it before
codes lead to a certificate (docs/adr/0071).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Text, cast, select

from app.domain.errors import RuleError
from app.domain.roles import KINDS
from app.domain.workflow import Action
from app.extensions import db
from app.models import (
    Account,
    Application,
    ApplicationEvent,
    Certificate,
    Member,
    Signature,
    SignatureEvent,
)
from app.operations.records.actor import Actor
from app.pki.canonical import one_line
from app.pki.enrolments import DEED


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the signing process is shown of an enrolment, and the signatures in it: asked, confirmed."""

    told: Mapping[str, Any]
    signatures: Sequence[int] = ()


def by_bootstrap(word: str) -> Evidence:
    """Return the evidence for the first administrators, which whoever set up the authority made."""
    return Evidence({"bootstrap": word})


def by_deeds(*signatures: int | None) -> Evidence | None:
    """Return the evidence of deeds that were signed; None where signing is off."""
    kept = [id_ for id_ in signatures if id_ is not None]
    if not kept:
        return None
    return Evidence({"deeds": [_shown(db.session.get_one(Signature, id_)) for id_ in kept]}, kept)


def by_application(application_id: int) -> Evidence | None:
    """Return the evidence of an application that one officer submitted and another approved.

    None where it was not signed, since signing is off.
    """
    signed = {}
    for action, content, signature in db.session.execute(
        select(ApplicationEvent.action, SignatureEvent.content, Signature)
        .join(SignatureEvent, SignatureEvent.application_event_id == ApplicationEvent.id)
        .join(Signature, Signature.id == SignatureEvent.signature_id)
        .where(
            ApplicationEvent.application_id == application_id,
            ApplicationEvent.action.in_([Action.SUBMIT, Action.APPROVE]),
        )
        .order_by(ApplicationEvent.id)
    ):
        signed[action] = (content, signature)
    if len(signed) < 2:
        return None
    (content, submitted), (_same, approved) = signed[Action.SUBMIT], signed[Action.APPROVE]
    proposal = select(cast(Application.proposal, Text)).where(Application.id == application_id)
    told = {
        "application": content.encode(),
        "proposal": db.session.scalars(proposal).one().encode(),
        "submitted": _shown(submitted),
        "approved": _shown(approved),
    }
    return Evidence(told, [submitted.id, approved.id])


def person_of(member: Member) -> dict[str, str]:
    """Return whom an enrolment is about, as it is signed.  Raises RuleError for a person without role."""
    kinds = sorted({KINDS[role.name] for role in member.roles if role.name in KINDS})
    if not kinds:
        raise RuleError(_("%(name)s has no role", name=member.username), code="role_missing")
    account = db.session.get(Account, member.account_id) if member.account_id else None
    return {
        "member_no": member.username,
        "name": one_line(member.first_name),
        "kind": kinds[0],
        "account": account.member_no if account else "",
    }


def payload(act: str, actor: Actor, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a member signs of an act, on a certificate or on whatever a page has signed."""
    return {
        "schema": DEED,
        "member_no": actor.member_no,
        "member_name": one_line(actor.name),
        "act": act,
        "values": dict(told),
    }


def values(
    member: Member,
    words: Mapping[str, str] | None = None,
    *,
    certificate: Certificate | None = None,
    asked: Signature | None = None,
) -> dict[str, Any]:
    """Return what is signed of a person: whom, which certificate, and why; empty words are left out."""
    told = {name: one_line(text) for name, text in (words or {}).items()}
    told["serial"] = certificate.serial if certificate else ""
    told["asked_sha256"] = asked.digest if asked else ""
    return {
        "person": person_of(member),
        **{name: text for name, text in told.items() if text},
    }


def _shown(signature: Signature) -> dict[str, bytes]:
    return {
        "content": signature.content,
        "cms": signature.cms,
        "certificate": signature.certificate.der,
    }
