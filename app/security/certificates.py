"""The second step of signing in, and the check of whatever a member has signed with a USBKey.

The member's certificate is asked for after the right password, in one of two ways: the USBKey
assistant signs a challenge (`agent`), or the browser has shown the certificate while the connection
was made (`mtls`).  Both end at the same checks: chain, dates, use, our own table, this very member.
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
from app.extensions import db
from app.models import Certificate, Challenge, Member
from app.pki import cms
from app.pki.authority import Authority, Usage, require_usable
from app.pki.canonical import canonical, one_line, parse
from app.pki.errors import CertificateRefused, ContentInvalid, SignatureRefused
from app.pki.signer import authority_of

LIFETIME = {"login": timedelta(seconds=120), "sign": timedelta(minutes=15)}
VERSION = 1
LARGEST_CONTENT = 2 * 1024 * 1024
PARTS = {"v", "type", "origin", "challenge", "payload", "at"}
# What was not there at the check, in the member's words; all else says no more than that it failed.
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
    """What follows the right password: a session at once, or a challenge that must be signed first."""

    method: str = ""
    certificate: Certificate | None = None
    challenge: str = ""


class Taken(NamedTuple):
    """A challenge that has just been used up: whose it was, and what was to be signed."""

    challenge: str
    member_id: int
    payload: bytes


class Waiting(NamedTuple):
    """A challenge that a member has yet to sign."""

    member_id: int
    member_no: str
    payload: Any
    seconds: int


def second_step(member: Member) -> Step:
    """Return what signing in still asks for, or the certificate that the browser has shown.

    Raises CertificateRefused, whose `code` says why, where that certificate does not count.
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
    """Return how a session is opened with it: a key in a file is not worth as much as a USBKey."""
    return "certificate" if certificate.assurance == "hard" else "soft_certificate"


def login_payload(member: Member) -> dict[str, Any]:
    """Return what a member signs to sign in."""
    return {
        "schema": "login/1",
        "member_no": member.username,
        "member_name": one_line(member.first_name),
    }


def ask(member_id: int, purpose: str, payload: Mapping[str, Any]) -> str:
    """Make a challenge, good once and for a short time, and return it; the caller commits.

    `purpose` is login, or sign for submissions and reviews; `payload` is what is to be signed.
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


def waiting(challenge: str, purpose: str = "login") -> Waiting | None:
    """Return what waits to be signed, or None where the time is over."""
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
    return Waiting(row[0], row[1], parse(row[2]), int(row[3])) if row else None


def take(challenge: str, purpose: str) -> Taken:
    """Use a challenge up, committed whatever comes after.

    Raises SignatureRefused where there is none that still waits.
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
            )
        ).first()
    if row is None or not row[3] or row[2] != own_origin() or row[0] is None:
        raise SignatureRefused("no_challenge")
    return Taken(challenge, row[0], row[1])


def verify_signed(
    content: bytes,
    signature: bytes,
    *,
    member_id: int,
    purpose: str,
    expected_payload: Any,
    taken: Taken | None = None,
) -> Certificate:
    """Check what a member signed, and return the certificate that it was signed with.

    `purpose` is login, submit, review or renew; `expected_payload` is what the server itself has
    put together from its own rows.  The challenge that the content names is used up first, unless
    the caller has taken it, so that nothing counts twice.  Raises PkiError, whose `code` says which
    check failed.
    """
    signed = _read(content)
    taken = taken or take(str(signed["challenge"]), "login" if purpose == "login" else "sign")
    _require(signed["v"] == VERSION and signed["type"] == purpose, "type")
    _require(signed["origin"] == own_origin(), "origin")
    _require(signed["challenge"] == taken.challenge and taken.member_id == member_id, "challenge")
    payload = canonical(signed["payload"])
    _require(payload == taken.payload == canonical(expected_payload), "other_content")
    row = cms.verify(content, signature, _find_certificate).certificate
    # Signing in and renewing have the member's row instead, which comes before the certificate.
    holds = purpose in ("submit", "review")
    return _usable(row, member_id, Usage.LOGIN if purpose == "login" else Usage.SIGN, holds=holds)


def signed_at(content: bytes) -> datetime:
    """Return when the signer claims to have signed content that was verified."""
    moment = _moment(parse(content)["at"])
    assert moment is not None, "only verified content is asked"
    return moment


def reason_of(error: RuleError) -> str:
    """Return what the member is told."""
    return str(REASONS.get(error.code) or _("The certificate was not accepted; sign in again"))


def own_origin() -> str:
    """Return our address as the browser of this request knows it; TRUSTED_HOSTS vouches for it."""
    return request.host_url.rstrip("/")


def _read(content: bytes) -> dict[str, Any]:
    """Read signed content that is in canonical form and has all parts, and no others."""
    _require(0 < len(content) <= LARGEST_CONTENT, "size")
    try:
        signed = parse(content)
    except ContentInvalid as error:
        raise SignatureRefused("malformed") from error
    _require(isinstance(signed, dict) and set(signed) == PARTS, "malformed")
    _require(_moment(signed["at"]) is not None, "malformed")
    return dict(signed)


def _moment(text: Any) -> datetime | None:
    """Read a moment with its zone, or return None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _find_certificate(_issuer: bytes, serial: int) -> Certificate | None:
    """Find a certificate in our own table; the one in the message is never looked at."""
    return db.session.scalar(select(Certificate).where(Certificate.serial == f"{serial:x}"))


def _usable(row: Certificate, member_id: int, usage: Usage, *, holds: bool = False) -> Certificate:
    """Return the certificate where it may be used now, for this, by this member.

    Held, it cannot be suspended or revoked before the caller commits.
    """
    now = datetime.now(UTC)
    member_no = require_usable(_authority(), row.der, usage=usage, at=now)
    # Read anew: a certificate that was revoked a moment ago does not count.
    db.session.refresh(row, ["state"], with_for_update={"read": True} if holds else None)
    if row.state != "active":
        raise _refused(row.state)
    owner = db.session.get_one(Member, row.member_id)
    if row.member_id != member_id or owner.username != member_no:
        raise _refused("other_member")
    return row


def _authority() -> Authority:
    """Return the authority that issued the members' certificates; its key is elsewhere."""
    return authority_of(Path(current_app.config["CA_FOLDER"]), current_app.config["CA_URL"])


def _shown_certificate() -> Certificate:
    """Return our row of the certificate that came with the connection.  Raises CertificateRefused."""
    der = _from_proxy() if current_app.config["CERT_PROXY_SECRET"] else _from_connection()
    if der is None:
        raise _refused("no_certificate")
    fingerprint = hashlib.sha256(der).hexdigest()
    row = db.session.scalar(select(Certificate).where(Certificate.fingerprint == fingerprint))
    if row is None:
        raise _refused("unknown_certificate")
    return row


def _from_proxy() -> bytes | None:
    """Read the header of the proxy that knows our secret; from anybody else it says nothing."""
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
    """Read the certificate off the connection, where gunicorn itself speaks TLS."""
    line = request.environ.get("gunicorn.socket")
    return line.getpeercert(binary_form=True) if isinstance(line, ssl.SSLSocket) else None


def _require(holds: bool, code: str) -> None:
    if not holds:
        raise SignatureRefused(code)


def _refused(code: str) -> CertificateRefused:
    return CertificateRefused(REASONS[code], code=code)
