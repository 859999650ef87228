"""Sign-in: count the attempt, check the password, log the result, open the session."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import insert, select

from app.domain.errors import NotAllowed
from app.extensions import db, transaction
from app.models import Certificate, LoginRecord, Member
from app.operations.people import passwords
from app.pki.errors import PkiError
from app.security import certificates, devices, lockout, sessions

LONGEST_NUMBER = 128
REFUSED = "certificate_refused"


class BadForm(ValueError):
    """The posted form is not one of our pages'."""


class Visitor(NamedTuple):
    """Who asks to be let in: address, browser, and the token of its device cookie."""

    ip: str = ""
    user_agent: str = ""
    device: str = ""

    def source(self, member_no: str) -> lockout.Source:
        """Return where a guess at this member comes from."""
        known = _is_member_number(member_no) and devices.find(self.device, member_no)
        return lockout.Source(self.ip, known or None)


class SignInResult(NamedTuple):
    """A session's token and the device's, or a challenge to be signed first."""

    member: Member
    token: str = ""
    device: str = ""
    certificate_id: int | None = None  # the one that opened the session
    challenge: str = ""


def attempt(member_no: str, password: str, visitor: Visitor) -> SignInResult | None:
    """Sign in with member number and password; return None on failure.

    Unknown or disabled member, wrong password and lock are not told apart, take the time of one
    password check each, and are written to 登录日志.  Raises CertificateRefused for an unacceptable
    TLS client certificate, and NotAllowed for a member who is disabled concurrently.
    """
    outcome, member_id, guess = judge(member_no, password, visitor)
    if outcome != "signed_in":
        record(member_no, outcome, visitor, member_id)
        return None
    assert member_id is not None
    assert guess is not None
    try:
        with transaction():
            lockout.give_back(guess)
            member = db.session.get_one(Member, member_id)
            step = certificates.second_step(member)
            if step.challenge:
                return SignInResult(member, challenge=step.challenge)
            return _begin(member, step.method, step.certificate, visitor)
    except (PkiError, NotAllowed):
        record(member_no, REFUSED, visitor, member_id)
        raise


def finish(challenge: str, content: str, signature: str, visitor: Visitor) -> SignInResult:
    """Sign in with the signed challenge; content and signature are base64.

    The challenge is used up in any case.  Raises BadForm for malformed input, PkiError (`code` says
    why) for an invalid signature, and NotAllowed for a disabled member.
    """
    member_id, member_no = None, ""
    try:
        taken = certificates.take(challenge, "login")
        member = db.session.get_one(Member, taken.member_id)
        member_id, member_no = member.id, member.username
        row = certificates.verify_signed(
            _decoded(content),
            _decoded(signature),
            member_id=member.id,
            purpose="login",
            expected_payload=certificates.login_payload(member),
            taken=taken,
        )
        with transaction():
            return _begin(member, certificates.method_of(row), row, visitor)
    except (PkiError, NotAllowed):
        db.session.rollback()
        record(member_no, REFUSED, visitor, member_id)
        raise


def judge(member_no: str, password: str, visitor: Visitor) -> tuple[str, int | None, UUID | None]:
    """Check a password; return the outcome, the member's id and the guess (`lockout`)."""
    if not _is_member_number(member_no) or not 0 < len(password) <= passwords.LONGEST:
        lockout.take_a_guess_from(visitor.ip)
        passwords.is_right(None, "")
        return "malformed", None, None
    guess = lockout.take_a_guess(member_no, visitor.source(member_no))
    with db.engine.connect() as connection:  # released before the slow comparison
        member = connection.execute(
            select(Member.id, Member.password, Member.active).where(Member.username == member_no)
        ).first()
    member_id = member.id if member else None
    if guess is None:
        passwords.is_right(None, password)
        return "locked", member_id, None
    if not passwords.is_right(member.password if member else None, password):
        return "wrong_password" if member else "unknown", member_id, guess
    if not member or not member.active:
        return "inactive", member_id, guess
    return "signed_in", member_id, guess


def record(member_no: str, outcome: str, visitor: Visitor, member_id: int | None = None) -> None:
    """Write a failed attempt to 登录日志, in a transaction of its own."""
    typed = printable(member_no)
    if member_id is None and passwords.could_be_one(typed):
        typed = f"{typed[:2]}***"  # a password typed into the wrong field must not be logged
    with db.engine.begin() as connection:
        connection.execute(
            insert(LoginRecord).values(
                member_no=typed[:LONGEST_NUMBER],
                member_id=member_id,
                is_success=False,
                outcome=outcome,
                ip=visitor.ip,
                user_agent=printable(visitor.user_agent)[:300],
            )
        )


def printable(text: str) -> str:
    """Make untrusted text fit to be stored and shown: no control or bidirectional characters."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", "?", text
    )


def _begin(
    member: Member, method: str, certificate: Certificate | None, visitor: Visitor
) -> SignInResult:
    """Open the session: a complete sign-in, which makes the device known and clears its failures."""
    ip, user_agent, device = visitor
    source = visitor.source(member.username)
    certificate_id = certificate.id if certificate else None
    token = sessions.begin(
        member.id, ip=ip, user_agent=user_agent, method=method, certificate_id=certificate_id
    )
    device = devices.remember(member.id, device, ip=ip, user_agent=user_agent)
    lockout.forgive(member.username, source)
    return SignInResult(member, token, device, certificate_id)


def _decoded(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadForm from error
    if not decoded:
        raise BadForm
    return decoded


def _is_member_number(member_no: str) -> bool:
    """Tell whether this is a possible member number, by the rule of registration."""
    return bool(re.fullmatch(r"[0-9A-Za-z_-]{1,32}", member_no))
