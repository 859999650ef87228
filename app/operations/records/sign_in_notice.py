"""The mail to a member about a sign-in from a new address."""

from __future__ import annotations

from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import func, select

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import LoginRecord, Member
from app.operations.records.outbox import Message, send

KNOWN_FOR = timedelta(days=90)


def tell_of_new_address(member_id: int, ip: str, *, now: datetime) -> bool:
    """Write the mail where the sign-in just logged came from a new address; tell whether.

    Not for the first sign-in ever, nor without an e-mail address.
    """
    member = db.session.get_one(Member, member_id)
    if not member.address:
        return False
    earlier, from_here = db.session.execute(
        select(
            func.count(),
            func.count().filter(LoginRecord.ip == ip, LoginRecord.at > func.now() - KNOWN_FOR),
        ).where(LoginRecord.member_id == member_id, LoginRecord.is_success)
    ).one()
    if earlier <= 1 or from_here > 1:  # counts include the current sign-in
        return False
    try:
        send(_message(member, ip, now))
    except RuleError:  # a malformed address must not prevent signing in
        return False
    return True


def _message(member: Member, ip: str, now: datetime) -> Message:
    return Message(
        channel="mail",
        recipient=member.address,
        subject=_("Sign-in from a new address"),
        body=_(
            "Member %(number)s signed in at %(time)s from %(ip)s, an address not seen in the last"
            " %(days)s days. If it was not you, change the password at once and call the service"
            " telephone 400-991-1188.",
            number=member.username,
            time=f"{now.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
            ip=ip,
            days=KNOWN_FOR.days,
        ),
        purpose="sign_in.new_address",
        member_id=member.id,
        account_id=member.account_id,
    )
