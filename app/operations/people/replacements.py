"""证书补办 of enterprises' members: the effect of the second officer's approval."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext
from sqlalchemy import select

from app.domain.errors import RuleError
from app.domain.workflow import Case
from app.extensions import db
from app.models import Member
from app.operations.people import certificates, deeds, letters
from app.operations.people.deeds import Evidence
from app.operations.records.actor import Actor


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Send new codes, in the names of both officers, whose signatures are kept by now.

    Raises RuleError for the first that the signing process refuses; the caller rolls all of them back.
    """
    for case in cases:
        number = case.proposal["member_no"]
        member = db.session.scalars(select(Member).where(Member.username == number)).one()
        first = Actor.of(db.session.get_one(Member, case.submitted_by))
        try:
            send(member, first, actor, deeds.by_application(case.id))
        except RuleError as error:
            message = gettext(
                "Application %(number)s: %(reason)s. Nothing was approved",
                number=case.number,
                reason=error.message,
            )
            raise RuleError(message, code=error.code) from error


def send(member: Member, first: Actor, second: Actor, evidence: Evidence | None) -> None:
    """Open a replacement in the names of two officers, and send both letters to the member."""
    codes = certificates.open_enrolment(
        member.id,
        first,
        now=letters.real_time(),
        confirmed_by=second,
        assurance=letters.assurance(),
        evidence=evidence,
    )
    letters.send(
        member,
        gettext("A replacement of your certificate was approved"),
        gettext("A replacement of your certificate was approved."),
        codes=codes,
        purpose="certificate.replacement",
    )
