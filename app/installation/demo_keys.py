"""The demonstration's USBKeys: a soft key for each login, certified by the two codes as anybody's.

One folder with one token per member, all with the factory PIN; a key whose certificate the authority
or the database does not know, after one of them was reset, is replaced.  The first administrators
are certified by the bootstrap, and sign for the officers, who sign for everybody else.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import current_app
from flask_babel import gettext
from sqlalchemy import select

from app.domain.errors import NotAllowed
from app.domain.roles import OF_ENTERPRISES
from app.extensions import db, transaction
from app.installation import demo
from app.models import Certificate, Member, Signature
from app.operations.people import certificates, deeds, letters
from app.operations.people.certificates import Codes
from app.operations.records.actor import SYSTEM, Actor
from app.pki import cms
from app.pki.authority import Usage, require_usable
from app.pki.canonical import canonical
from app.pki.enrolments import ASK, CONFIRM, FOUNDERS
from app.pki.errors import CertificateRefused
from app.pki.requests import request_for
from app.pki.signer import BOOTSTRAP
from app.pki.tokens import FACTORY_PIN, SoftwareToken, TryCounter, unlocked

PIN = FACTORY_PIN
logger = logging.getLogger(__name__)
ADMINISTRATORS = ("S0001", "S0002")  # sign for officers
OFFICERS = ("R0001", "R0002")  # sign for enterprises' people
SIGNERS = (ADMINISTRATORS, OFFICERS)


def issue(folder: Path) -> int:
    """Give every demo login a key unless it has a valid one; return the number made.

    Commits by itself, since codes are issued and used in separate transactions.
    """
    # Unlocks all keys at each start.
    (folder / "tries.json").unlink(missing_ok=True)
    numbers = [login["login"] for login in demo.logins()]
    members = db.session.scalars(select(Member).where(Member.username.in_(numbers))).all()
    keyed = _keyed(folder)
    lacking = sorted((each for each in members if each.id not in keyed), key=_place)
    # A new authority has not published its list yet.
    _publish(must=bool(lacking))
    with ExitStack() as stack:
        signers = _Signers(folder, stack)
        made = sum(_issue(folder, member, signers) for member in lacking)
    _publish(must=bool(made))
    return made


def _place(member: Member) -> tuple[int, str]:
    """Return the order: whoever signs for others comes before them."""
    signs = [number for pair in SIGNERS for number in pair]
    return signs.index(member.username) if member.username in signs else 9, member.username


def _publish(*, must: bool) -> None:
    with transaction():
        now = datetime.now(UTC)
        if must or certificates.is_crl_due(now):
            certificates.publish_crl(SYSTEM, now=now)


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


def _issue(folder: Path, member: Member, signers: _Signers) -> bool:
    """Give a login its key; where nobody can sign for it any more, say so and go on."""
    token = _token(folder / member.username)
    try:
        with transaction():
            codes = _codes(signers, member)
    except NotAllowed as error:
        logger.warning("%s: %s; `make reset` begins anew", member.username, error)
        return False
    shutil.rmtree(token.folder, ignore_errors=True)
    token.initialize(PIN)
    with unlocked(token, PIN):
        key = token.generate_key(certificates.suite().key_kind, label=member.username)
        request = request_for(token, key, member.username)
        with transaction():
            row = certificates.enrol(
                codes.reference, codes.code, request, Actor.of(member), now=datetime.now(UTC)
            )
            der = row.der
        token.store_certificate(key.key_id, der)
    return True


def _codes(signers: _Signers, member: Member) -> Codes:
    """Open the enrolment: by the bootstrap, or by the signatures of the two whom it takes."""
    now, kind = datetime.now(UTC), deeds.person_of(member)["kind"]
    if kind in FOUNDERS and not letters.has_had_certificate(member.id):
        word = (Path(current_app.config["CA_FOLDER"]) / BOOTSTRAP).read_text()
        evidence = deeds.by_bootstrap(word.strip())
        return certificates.open_enrolment(
            member.id, SYSTEM, now=now, assurance="soft", evidence=evidence
        )
    pair = OFFICERS if kind in OF_ENTERPRISES else ADMINISTRATORS
    first, second = (
        db.session.scalars(select(Member).where(Member.username == number)).one() for number in pair
    )
    asked = signers.sign(first, deeds.payload(ASK, Actor.of(first), deeds.values(member)))
    told = deeds.values(member, asked=asked)
    confirmed = signers.sign(second, deeds.payload(CONFIRM, Actor.of(second), told))
    return certificates.open_enrolment(
        member.id,
        Actor.of(first),
        now=now,
        confirmed_by=Actor.of(second),
        assurance="soft",
        evidence=deeds.by_deeds(asked.id, confirmed.id),
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """An open token, as `cms.sign` uses it."""

    token: SoftwareToken
    key_id: bytes

    def sign(self, data: bytes) -> bytes:
        return self.token.sign(self.key_id, data)


class _Signers:
    """The tokens of those who sign for others, opened once each: a PIN takes a tenth of a second."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.tokens: dict[int, SoftwareToken] = {}

    def sign(self, member: Member, payload: dict[str, Any]) -> Signature:
        """Sign an act.  Raises as `sign` does."""
        row, held = _held(self.folder, member)
        if member.id not in self.tokens:
            self.stack.enter_context(unlocked(held.token, PIN))
            self.tokens[member.id] = held.token
        return _signed(row, _Held(self.tokens[member.id], held.key_id), payload, "act")


def sign(
    folder: Path, member: Member, payload: dict[str, Any], *, purpose: str = "act"
) -> Signature:
    """Sign with a demo login's key, as the assistant does, and keep the signature.

    ``purpose`` is what the payload is for: act, submit or review.  Raises NotAllowed where the login
    has no valid key, PkiError where its PIN is no longer the factory's.
    """
    row, held = _held(folder, member)
    with unlocked(held.token, PIN):
        return _signed(row, held, payload, purpose)


def _held(folder: Path, member: Member) -> tuple[Certificate, _Held]:
    """Return the valid certificate of a login, and its key.  Raises NotAllowed without one."""
    row = db.session.scalars(
        select(Certificate).where(Certificate.member_id == member.id, Certificate.state == "active")
    ).first()
    token = _token(folder / member.username)
    found = next((each for each in token.certificates() if row and each.der == row.der), None)
    if row is None or found is None:
        raise NotAllowed(gettext("%(name)s has no key to sign with", name=member.username))
    return row, _Held(token, found.key_id)


def _signed(row: Certificate, held: _Held, payload: dict[str, Any], purpose: str) -> Signature:
    now = datetime.now(UTC)
    content = canonical(
        {
            "v": 1,
            "type": purpose,
            "origin": current_app.config["SITE_URL"],
            "challenge": secrets.token_urlsafe(32),
            "payload": payload,
            "at": now.isoformat(timespec="seconds"),
        }
    )
    signature = cms.sign(content, held, row.der, signed_at=now)
    return certificates.keep_signature(row, content, signature, purpose=purpose, signed_at=now)


def _token(folder: Path) -> SoftwareToken:
    return SoftwareToken(folder, TryCounter(folder.parent / "tries.json"), is_demo=True)
