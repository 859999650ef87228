"""The letters with the first-sign-in link and the two codes of a certificate.

Link and 参考号 go by mail, the 授权码 by text message, so that one intercepted letter is not enough.
Links and certificates use the database's real time, not the business clock.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from flask import current_app
from flask_babel import gettext
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Account, AccountDetail, Certificate, Invitation, Member
from app.operations.people import certificates
from app.operations.people.certificates import Codes
from app.operations.people.deeds import Evidence
from app.operations.records import outbox
from app.operations.records.actor import Actor

LINK_LIFETIME = timedelta(days=14)


class Reach(NamedTuple):
    """A member's name, mail address and telephone."""

    person: str
    mail: str
    phone: str


def reach_of(member: Member) -> Reach:
    """Return a member's contact; a representative's is in the account's details.

    Raises RuleError where address or telephone is missing.
    """
    account = db.session.get(Account, member.account_id) if member.account_id else None
    if account is not None and account.member_no == member.username:
        detail = db.session.get(AccountDetail, account.id) or AccountDetail()
        found = Reach(
            detail.representative or member.first_name,
            detail.representative_email or "",
            detail.representative_phone or "",
        )
    else:
        found = Reach(member.first_name, member.address, member.phone or "")
    if not (
        outbox.is_deliverable("mail", found.mail) and outbox.is_deliverable("sms", found.phone)
    ):
        raise RuleError(
            gettext("Mail and mobile phone of %(name)s are not on file", name=member.username),
            code="not_reachable",
        )
    return found


def real_time() -> datetime:
    """Return the database's time, by which codes and links expire."""
    real: datetime = db.session.scalar(select(func.now()))
    return real


def has_had_certificate(member_id: int) -> bool:
    """Tell whether a certificate was ever issued to a member."""
    held = select(Certificate.id).where(Certificate.member_id == member_id).limit(1)
    return db.session.scalar(held) is not None


def first_codes(
    member: Member,
    actor: Actor,
    *,
    confirmed_by: Actor | None = None,
    evidence: Evidence | None = None,
) -> Codes:
    """Open the enrolment of a first certificate.  Raises RuleError where there was one before."""
    if has_had_certificate(member.id):
        raise RuleError(
            gettext(
                "%(name)s has had a certificate: a replacement needs two officers",
                name=member.username,
            ),
            code="two_officers",
        )
    return certificates.open_enrolment(
        member.id,
        actor,
        now=real_time(),
        confirmed_by=confirmed_by,
        assurance=assurance(),
        evidence=evidence,
    )


def fresh_link(member: Member, actor: Actor, *, now: datetime) -> str:
    """Create the token of a link to choose a password, and invalidate earlier ones."""
    token, real = secrets.token_urlsafe(32), real_time()
    values = {
        "opened_by": actor.member_id,
        "confirmed_by": None,
        "created_at": now,
        "token_hash": hash_of(token),
        "written_at": real,
        "expires_at": real + LINK_LIFETIME,
        "used_at": None,
    }
    db.session.execute(
        upsert(Invitation)
        .values(member_id=member.id, **values)
        .on_conflict_do_update(index_elements=["member_id"], set_=values)
    )
    return token


def send(
    member: Member,
    subject: str,
    introduction: str,
    token: str = "",
    codes: Codes | None = None,
    purpose: str = "member.invitation",
) -> None:
    """Send link and 参考号 by mail and the 授权码 by text message."""
    reach = reach_of(member)
    ends = codes.expires_at if codes else real_time() + LINK_LIFETIME
    mail = outbox.Message(
        channel="mail",
        recipient=reach.mail,
        subject=subject,
        body=gettext(
            "Dear %(person)s,\n\n%(introduction)s Your member number is %(number)s.\n\n%(steps)s\n\n"
            "Each can be used once, until %(until)s. If you know nothing of it, call 400-991-1188."
            " The registry never asks for your password or PIN.",
            person=reach.person,
            introduction=introduction,
            number=member.username,
            steps="\n".join(_steps(token, codes)),
            until=_formatted(ends),
        ),
        purpose=purpose,
        has_secret=True,
        member_id=member.id,
        account_id=member.account_id,
    )
    outbox.send(*([mail, _sms(member, reach.phone, codes)] if codes else [mail]))


def assurance() -> str:
    """Return hard (USBKey), or soft (key file) in a demonstration."""
    return "hard" if current_app.config["PROFILE"] == "production" else "soft"


def hash_of(token: str) -> str:
    """Return the stored hash of a link's token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _steps(token: str, codes: Codes | None) -> list[str]:
    """Return the instructions, in order."""
    site, steps = current_app.config["SITE_URL"], []
    if token:
        # In the fragment, which browsers do not send, so that no log holds the token.
        steps.append(
            gettext(
                "First sign-in: open %(site)s/first-sign-in/#%(token)s and choose your own"
                " password.\n   If the page asks for it, the first-sign-in code is %(token)s",
                site=site,
                token=token,
            )
        )
    if codes:
        steps.append(
            gettext(
                "Certificate: open %(site)s/certificate/ and enter the reference number"
                " %(reference)s with the authorisation code that comes by text message.",
                site=site,
                reference=codes.reference,
            )
        )
    return [f"{number}. {step}" for number, step in enumerate(steps, start=1)]


def _sms(member: Member, phone: str, codes: Codes) -> outbox.Message:
    return outbox.Message(
        channel="sms",
        recipient=phone,
        body=gettext(
            "Member %(number)s: your certificate's authorisation code is %(code)s, to be entered"
            " with the reference number of the mail, valid until %(until)s. Tell it to nobody.",
            number=member.username,
            code=codes.code,
            until=_formatted(codes.expires_at),
        ),
        purpose="certificate.code",
        has_secret=True,
        member_id=member.id,
        account_id=member.account_id,
    )


def _formatted(moment: datetime) -> str:
    return f"{moment.astimezone(BEIJING):%Y-%m-%d %H:%M}"
