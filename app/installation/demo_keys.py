"""The demonstration's USBKeys: a soft key for each login, certified by the two codes as anybody's.

One folder with one token per member, all with the factory PIN; a key whose certificate the authority
or the database does not know, after one of them was reset, is replaced.
"""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from app.extensions import db, transaction
from app.installation import demo
from app.models import Certificate, Member
from app.operations.people import certificates
from app.operations.records.actor import SYSTEM, Actor
from app.pki.authority import Usage, require_usable
from app.pki.errors import CertificateRefused
from app.pki.requests import request_for
from app.pki.tokens import FACTORY_PIN, SoftwareToken, TryCounter, unlocked

PIN = FACTORY_PIN


def issue(folder: Path) -> int:
    """Give every demo login a key unless it has a valid one; return the number made.

    Commits by itself, since codes are issued and used in separate transactions.
    """
    # Unlocks all keys at each start.
    (folder / "tries.json").unlink(missing_ok=True)
    numbers = [login["login"] for login in demo.logins()]
    members = db.session.scalars(select(Member).where(Member.username.in_(numbers))).all()
    keyed = _keyed(folder)
    lacking = [member for member in members if member.id not in keyed]
    for member in lacking:
        _issue(folder / member.username, member)
    with transaction():
        now = datetime.now(UTC)
        # A new authority has not published its list yet.
        if lacking or certificates.is_crl_due(now):
            certificates.publish_crl(SYSTEM, now=now)
    return len(lacking)


def _keyed(folder: Path) -> set[int]:
    """Return the members with a key whose certificate is valid for signing in."""
    ders = [path.read_bytes() for path in folder.glob("*/*.cer")]
    held = {hashlib.sha256(der).hexdigest(): der for der in ders}
    rows = db.session.scalars(
        select(Certificate).where(
            Certificate.fingerprint.in_(list(held)), Certificate.state == "active"
        )
    )
    return {row.member_id for row in rows if _is_usable(held[row.fingerprint])}


def _is_usable(der: bytes) -> bool:
    try:
        require_usable(certificates.the_authority(), der, usage=Usage.LOGIN, at=datetime.now(UTC))
    except CertificateRefused:
        return False
    return True


def _issue(folder: Path, member: Member) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    token = _token(folder)
    token.initialize(PIN)
    first, second = db.session.scalars(
        select(Member).where(Member.username.in_(["R0001", "R0002"])).order_by(Member.username)
    )
    with transaction():
        codes = certificates.open_enrolment(
            member.id,
            Actor.of(first),
            now=datetime.now(UTC),
            confirmed_by=Actor.of(second),
            assurance="soft",
        )
    with unlocked(token, PIN):
        key = token.generate_key(certificates.suite().key_kind, label=member.username)
        request = request_for(token, key, member.username)
        with transaction():
            row = certificates.enrol(
                codes.reference, codes.code, request, Actor.of(member), now=datetime.now(UTC)
            )
            der = row.der
        token.store_certificate(key.key_id, der)


def _token(folder: Path) -> SoftwareToken:
    return SoftwareToken(folder, TryCounter(folder.parent / "tries.json"), is_demo=True)
