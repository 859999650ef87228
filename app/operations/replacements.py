"""证书补办: what the second officer's yes does, and what a member is told of its certificates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask import current_app
from flask_babel import gettext
from sqlalchemy import select

from app.domain.errors import RuleError
from app.domain.workflow import Case
from app.extensions import db
from app.models import AccountDetail, Member
from app.operations import certificates, outbox
from app.operations.account_openings import assurance, sms, until
from app.operations.actor import Actor


def require_reachable(member: Member) -> AccountDetail:
    """Return where both halves of the codes go.  Raises RuleError where one of them cannot."""
    detail = db.session.get(AccountDetail, member.account_id) if member.account_id else None
    if (
        detail is None
        or not outbox.is_deliverable("mail", detail.representative_email or "")
        or not outbox.is_deliverable("sms", detail.representative_phone or "")
    ):
        raise RuleError(
            gettext("Mail and mobile phone of the representative are not on file"),
            code="not_reachable",
        )
    return detail


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Give new codes in the name of both officers: 参考号 by mail, 授权码 by text message.

    Certificates count by real time, the database's, not by the business clock.
    """
    real = db.session.scalar(select(db.func.now()))
    for case in cases:
        number = case.proposal["member_no"]
        member = db.session.scalars(select(Member).where(Member.username == number)).one()
        detail = require_reachable(member)
        first = Actor.of(db.session.get_one(Member, case.submitted_by))
        codes = certificates.open_enrolment(
            member.id,
            first,
            now=real,
            confirmed_by=actor,
            assurance=assurance(),
        )
        outbox.send(
            _mail(member, detail.representative_email or "", codes),
            sms(member, detail.representative_phone or "", codes),
        )


def _mail(member: Member, address: str, codes: certificates.Codes) -> outbox.Message:
    return outbox.Message(
        channel="mail",
        recipient=address,
        subject=gettext("A replacement of your certificate was approved"),
        body=gettext(
            "Member %(number)s: open %(site)s/certificate/ and enter the reference number"
            " %(reference)s with the authorisation code that comes by text message. They can be used"
            " once, until %(until)s. If you did not ask for it, call 400-991-1188 at once.",
            number=member.username,
            site=current_app.config["SITE_URL"],
            reference=codes.reference,
            until=until(codes),
        ),
        purpose="certificate.replacement",
        has_secret=True,
        member_id=member.id,
        account_id=member.account_id,
    )
