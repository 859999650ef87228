"""Certificate sign-in, and verification of signatures made with members' USBKeys.

After the password the member's certificate is required: either the USBKey assistant signs a
challenge (`agent`), or the browser presented it in the TLS handshake (`mtls`).  Both are checked
alike: chain, validity, key usage, state in our table, and the member.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask import current_app, request
from flask_babel import lazy_gettext as _
from sqlalchemy import delete, func, select

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Certificate, Challenge, Member
from app.operations.people import signatures
from app.pki import cms
from app.pki.authority import Authority, Usage, require_usable
from app.pki.canonical import canonical, one_line, parse
from app.pki.errors import CertificateRefused, ContentInvalid, SignatureRefused
from app.pki.signer import authority_of

SKEW = signatures.CLOCKS
LIFETIME = {"login": timedelta(seconds=120), "sign": signatures.CHALLENGE_LIFE}
VERSION = 1
LARGEST_CONTENT = 2 * 1024 * 1024
PARTS = {"v", "type", "origin", "challenge", "payload", "at"}
# The reasons that members are told; any other failure has one generic message.
REASONS = {
    "no_challenge": _("The time for choosing the certificate is over; please sign in again"),
    "no_certificate": _("The browser has shown no certificate of this registry"),
    "unknown_certificate": _("The certificate was not issued by this registry"),
    "other_member": _("The certificate belongs to another member"),
    "revoked": _("The certificate has been revoked"),
    "suspended": _("The certificate is suspended"),
    "expired": _("The certificate has expired"),
    "not_yet_valid": _("The certificate is not valid yet"),
    "usage": _("The certificate may not be used for this"),
}


class Step(NamedTuple):
    """The next step after the password: a session's method, or a challenge to sign."""

    method: str = ""
    certificate: Certificate | None = None
    challenge: str = ""


class UsedChallenge(NamedTuple):
    """A challenge that was just used up, with its member, canonical payload and life."""

    challenge: str
    member_id: int
    payload: bytes
    issued_at: datetime
    expires_at: datetime


class PendingChallenge(NamedTuple):
    """A challenge that awaits the member's signature."""

    member_id: int
    member_no: str
    payload: Any
    seconds: int


def second_step(member: Member) -> Step:
    """Return a challenge to sign, or the certificate that the browser presented.

    Raises CertificateRefused, with the reason in `code`, where that certificate is not acceptable.
    """
    way = current_app.config["CERT_LOGIN"]
    if way == "agent":
        return Step(challenge=ask(member.id, "login", login_payload(member)))
    if way == "mtls":
        row = _shown_certificate()
        return Step(method_of(row), _usable(row, member.id, Usage.LOGIN))
    assert current_app.config["PROFILE"] == "test", "only tests sign in without a certificate"
    return Step("password")


def method_of(certificate: Certificate) -> str:
    """Return the session's sign-in method, which tells soft certificates apart."""
    return "certificate" if certificate.assurance == "hard" else "soft_certificate"


def login_payload(member: Member) -> dict[str, Any]:
    """Return the payload of a sign-in challenge."""
    return {
        "schema": "login/1",
        "member_no": member.username,
        "member_name": one_line(member.first_name),
    }


def ask(member_id: int, purpose: str, payload: Mapping[str, Any]) -> str:
    """Create a challenge, valid once for LIFETIME, and return it; the caller commits.

    `purpose` is login, or sign for submissions and reviews; `payload` is to be signed.
    """
    value = secrets.token_urlsafe(32)
    content = canonical(dict(payload))
    db.session.execute(delete(Challenge).where(Challenge.expires_at < func.now()))
    db.session.add(
        Challenge(
            id=value,
            member_id=member_id,
            purpose=purpose,
            origin=own_origin(),
            content=content,
            digest=hashlib.sha256(content).hexdigest(),
            expires_at=func.now() + LIFETIME[purpose],
        )
    )
    db.session.flush()
    return value


def waiting(challenge: str, purpose: str = "login") -> PendingChallenge | None:
    """Return a pending challenge, or None where it is used or expired."""
    left = func.extract("epoch", Challenge.expires_at - func.now())
    row = db.session.execute(
        select(Challenge.member_id, Member.username, Challenge.content, left)
        .join(Member, Member.id == Challenge.member_id)
        .where(
            Challenge.id == challenge,
            Challenge.purpose == purpose,
            Challenge.expires_at > func.now(),
        )
    ).first()
    return PendingChallenge(row[0], row[1], parse(row[2]), int(row[3])) if row else None


def take(challenge: str, purpose: str) -> UsedChallenge:
    """Use up a challenge, in a transaction of its own.

    Raises SignatureRefused where none is pending.
    """
    with db.engine.begin() as connection:
        row = connection.execute(
            delete(Challenge)
            .where(Challenge.id == challenge, Challenge.purpose == purpose)
            .returning(
                Challenge.member_id,
                Challenge.content,
                Challenge.origin,
                Challenge.expires_at > func.now(),
                Challenge.expires_at,
            )
        ).first()
    if row is None or not row[3] or row[2] != own_origin() or row[0] is None:
        raise SignatureRefused("no_challenge")
    return UsedChallenge(challenge, row[0], row[1], row[4] - LIFETIME[purpose], row[4])


def verify_signed(
    content: bytes,
    signature: bytes,
    *,
    member_id: int,
    purpose: str,
    expected_payload: Any,
    taken: UsedChallenge | None = None,
) -> Certificate:
    """Verify a member's signature and return its certificate.

    `purpose` is login, submit, review, withdraw, act or renew; `expected_payload` is built by the
    server from its own rows.  To prevent replay, the content's challenge is used up first, unless
    the caller passes it as `taken`.  Raises PkiError, whose `code` names the failed check.
    """
    signed = _read(content)
    taken = taken or take(str(signed["challenge"]), "login" if purpose == "login" else "sign")
    _require(signed["v"] == VERSION and signed["type"] == purpose, "type")
    _require(signed["origin"] == own_origin(), "origin")
    _require(signed["challenge"] == taken.challenge and taken.member_id == member_id, "challenge")
    payload = canonical(signed["payload"])
    _require(payload == taken.payload == canonical(expected_payload), "other_content")
    row = cms.verify(content, signature, _find_certificate).certificate
    _require_in_time(signed["at"], taken)
    # Signing in and renewing lock the member's row instead, which precedes certificates.
    holds = purpose in ("submit", "review", "withdraw", "act")
    return _usable(row, member_id, Usage.LOGIN if purpose == "login" else Usage.SIGN, holds=holds)


def signed_at(content: bytes) -> datetime:
    """Return the signer's claimed time of signing, from verified content."""
    moment = _moment(parse(content)["at"])
    assert moment is not None, "only verified content is asked"
    return moment


def reason_of(error: RuleError) -> str:
    """Return the member's message for a refusal."""
    if error.code == "clock":
        return str(error)
    return str(REASONS.get(error.code) or _("The certificate was not accepted; sign in again"))


def own_origin() -> str:
    """Return this request's scheme and host, which TRUSTED_HOSTS has checked."""
    return request.host_url.rstrip("/")


def _read(content: bytes) -> dict[str, Any]:
    """Parse signed content: canonical form, exactly the expected parts."""
    _require(0 < len(content) <= LARGEST_CONTENT, "size")
    try:
        signed = parse(content)
    except ContentInvalid as error:
        raise SignatureRefused("malformed") from error
    _require(isinstance(signed, dict) and set(signed) == PARTS, "malformed")
    _require(_moment(signed["at"]) is not None, "malformed")
    return dict(signed)


def _moment(text: Any) -> datetime | None:
    """Parse a time with its zone, or return None; of the far ends of the calendar, too."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(BEIJING) if moment.tzinfo else None
    except (OverflowError, TypeError, ValueError):
        return None


def _require_in_time(at: str, taken: UsedChallenge) -> None:
    """Require that the signer's time lies within the challenge's life, but for SKEW."""
    moment = _moment(at)
    assert moment is not None, "_read has checked it"
    if not taken.issued_at - SKEW <= moment <= taken.expires_at + SKEW:
        raise _refused_clock(moment)


def _find_certificate(_issuer: bytes, serial: int) -> Certificate | None:
    """Find a certificate in our table; the one inside the message is ignored."""
    return db.session.scalar(select(Certificate).where(Certificate.serial == f"{serial:x}"))


def _usable(row: Certificate, member_id: int, usage: Usage, *, holds: bool = False) -> Certificate:
    """Return the certificate.  Raises CertificateRefused unless this member may use it for this now.

    With ``holds`` it cannot be suspended or revoked before the caller commits.
    """
    now = datetime.now(UTC)
    member_no = require_usable(_authority(), row.der, usage=usage, at=now)
    # It may just have been revoked.
    db.session.refresh(row, ["state"], with_for_update={"read": True} if holds else None)
    if row.state != "active":
        raise _refused(row.state)
    owner = db.session.get_one(Member, row.member_id)
    if row.member_id != member_id or owner.username != member_no:
        raise _refused("other_member")
    return row


def _authority() -> Authority:
    """Return the authority that issued the members' certificates."""
    return authority_of(Path(current_app.config["CA_FOLDER"]), current_app.config["CA_URL"])


def _shown_certificate() -> Certificate:
    """Return the row of the TLS client certificate.  Raises CertificateRefused."""
    der = tls_certificate()
    if der is None:
        raise _refused("no_certificate")
    fingerprint = hashlib.sha256(der).hexdigest()
    row = db.session.scalar(select(Certificate).where(Certificate.fingerprint == fingerprint))
    if row is None:
        raise _refused("unknown_certificate")
    return row


def tls_certificate() -> bytes | None:
    """Return the TLS client certificate of the request in DER, or None."""
    return _from_proxy() if current_app.config["CERT_PROXY_SECRET"] else _from_connection()


def _from_proxy() -> bytes | None:
    """Read the client certificate from the headers of a proxy that sent CERT_PROXY_SECRET."""
    secret, given = current_app.config["CERT_PROXY_SECRET"], request.headers.get("X-Proxy-Secret")
    if not hmac.compare_digest((given or "").encode(), secret.encode()):
        return None
    if request.headers.get("X-SSL-Client-Verify") != "SUCCESS":
        return None
    pem = unquote(request.headers.get("X-SSL-Client-Cert", ""))
    try:
        return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    except ValueError:
        return None


def _from_connection() -> bytes | None:
    """Read the client certificate where gunicorn terminates TLS."""
    line = request.environ.get("gunicorn.socket")
    return line.getpeercert(binary_form=True) if isinstance(line, ssl.SSLSocket) else None


def _require(holds: bool, code: str) -> None:
    if not holds:
        raise SignatureRefused(code)


def _refused_clock(moment: datetime) -> CertificateRefused:
    return CertificateRefused(
        _(
            "The clock of your computer is more than %(minutes)s minutes off: it said %(at)s where it"
            " was %(now)s (Beijing time); set it and try again",
            minutes=SKEW // timedelta(minutes=1),
            at=f"{moment:%Y-%m-%d %H:%M:%S}",
            now=f"{datetime.now(BEIJING):%Y-%m-%d %H:%M:%S}",
        ),
        code="clock",
    )


def _refused(code: str) -> CertificateRefused:
    return CertificateRefused(REASONS[code], code=code)
