"""Members' certificates: the two codes, issuing, renewing, suspending, revoking, and the lists.

Here `now` is real time (`datetime.now(UTC)` at the edge), not the business clock: whoever verifies a
certificate outside has no clock but the real one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import ARRAY, String, cast, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from app.domain.errors import NotAllowed, NotFound, RuleError
from app.extensions import db
from app.models import (
    Account,
    Certificate,
    CertificateEnrolment,
    Member,
    OperationLog,
    RevocationList,
    Signature,
)
from app.operations.people import deeds
from app.operations.people.deeds import Evidence
from app.operations.records import log, outbox, seals
from app.operations.records.actor import Actor
from app.operations.records.seals import the_signer
from app.pki import authority, revocation
from app.pki.authority import RENEWAL_DAYS, Authority, Request
from app.pki.enrolments import ENROLMENT
from app.pki.errors import RequestRefused, SignerFailed
from app.pki.revocation import Revocation
from app.pki.signer import Signer, authority_of
from app.pki.suites import SUITES, CryptoSuite, suite_of

CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that is read as something else
CODE_LENGTH = 10
LIFETIME = timedelta(days=14)
TRIES = 5
CRL_EVERY = timedelta(hours=6)
# RFC 5280's words for which an officer may revoke; suspending has its own.
REASONS = ("unspecified", "keyCompromise", "affiliationChanged", "superseded",
           "cessationOfOperation", "privilegeWithdrawn")  # fmt: skip
HOLD = "certificateHold"
Answer = TypeVar("Answer")

_NUMBERING = text("SELECT pg_advisory_xact_lock(7260006)")


@dataclass(frozen=True, slots=True)
class Codes:
    """What is sent to a person on two ways: 参考号 by mail, 授权码 by text message.

    The code is nowhere else: what is kept can only confirm it.
    """

    enrolment_id: int
    reference: str
    code: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Codes({self.reference})"  # No log shows the other half.


class InvalidCodes(RuleError):
    """The two codes do not lead to a certificate; which of them is wrong, or why, is not said."""

    code = "invalid_codes"

    def __init__(self) -> None:
        super().__init__(
            _("The reference number or the authorisation code is not valid, or no longer valid")
        )


def the_authority() -> Authority:
    """Return the registry's authority.  Raises SignerAbsent where none was set up."""
    return authority_of(Path(current_app.config["CA_FOLDER"]), current_app.config["CA_URL"])


def suite() -> CryptoSuite:
    """Return the suite of what is made from now on; what there is says its own."""
    return SUITES[current_app.config["CRYPTO_SUITE"]]


# The two codes


def open_enrolment(
    member_id: int,
    actor: Actor,
    *,
    now: datetime,
    confirmed_by: Actor | None = None,
    assurance: str = "hard",
    evidence: Evidence | None = None,
) -> Codes:
    """Give a person the two codes with which they fetch a certificate, good once and for 14 days.

    Codes given before lapse.  A replacement for a certificate that the person had already needs a
    second officer.  `assurance` is soft where the key will be in a file, in the demonstration.
    `evidence` says who signed for it, which the signing process verifies: without, the codes lead to
    nothing.  Raises RuleError, SignerAbsent.
    """
    member = _lock_member(member_id)
    _require_active(member)
    _require_two(member_id, actor, confirmed_by)
    let_lapse(member_id)
    code, evidence = _fresh_code(), evidence or Evidence({})
    signed_by = [*evidence.signatures, None, None]
    row = CertificateEnrolment(
        reference=f"{secrets.randbelow(10**10):010}",
        salt=secrets.token_bytes(16),
        suite=suite().name,
        member_id=member_id,
        assurance=assurance,
        opened_by=actor.member_id,
        confirmed_by=confirmed_by.member_id if confirmed_by else None,
        signature_id=signed_by[0],
        confirming_signature_id=signed_by[1],
        opened_at=now,
        expires_at=now + LIFETIME,
    )
    row.code_hash = suite().derive(_bound(code, row), row.salt)
    db.session.add(row)
    db.session.flush()
    log.record(
        actor,
        "certificate.open_enrolment",
        subject=member.username,
        account_id=member.account_id,
        reference=row.reference,
        confirmed_by=confirmed_by.member_no if confirmed_by else "",
        assurance=assurance,
    )
    if seals.are_asked():
        told = told_of(row, member)
        _asked(lambda signer: signer.open(told, code, evidence.told))
    return Codes(row.id, row.reference, code, row.expires_at)


def let_lapse(member_id: int) -> None:
    """Let codes lapse that were sent and not used, and a replacement that was only asked for."""
    db.session.execute(
        update(CertificateEnrolment)
        .where(
            CertificateEnrolment.member_id == member_id,
            CertificateEnrolment.state.in_(["open", "asked"]),
        )
        .values(state="lapsed")
    )


def require_keeper(row: Certificate, actor: Actor, *, is_administrator: bool) -> None:
    """Raise NotFound unless suspending and revoking this certificate is the actor's business.

    The account representative keeps the operators', the registry's officers keep enterprises'
    people's, 安全管理员 keeps everybody else's; nobody keeps the own one.
    """
    holder = row.member
    if actor.account_id is not None:
        account = db.session.get(Account, actor.account_id)
        is_kept = holder.account_id == actor.account_id
        is_kept = is_kept and account is not None and account.member_no == actor.member_no
    else:
        is_kept = (holder.account_id is None) == is_administrator
    if not is_kept or holder.id == actor.member_id:
        raise NotFound(_("There is no such record"))


def enrol(reference: str, code: str, csr: bytes, actor: Actor, *, now: datetime) -> Certificate:
    """Issue the certificate that two codes lead to, for the key of a certificate request.

    The actor brings the address; the person is who the codes were given to.  Raises InvalidCodes for
    whatever is wrong with the codes, each wrong try counted even so; RequestRefused for the request,
    which costs no try.  Certificates that the person had before are revoked as superseded.
    """
    enrolment = _confirmed(reference, code, actor, now)
    request = _acceptable(csr)
    member = _lock_member(enrolment.member_id)
    # The gate: of several at once, one finds it open.
    opened = db.session.execute(
        update(CertificateEnrolment)
        .where(
            CertificateEnrolment.id == enrolment.id,
            CertificateEnrolment.state == "open",
            CertificateEnrolment.expires_at > now,
        )
        .values(state="used", used_at=now)
        .returning(CertificateEnrolment.id)
    ).all()
    if not opened or not member.active:
        raise InvalidCodes
    owner = Actor.of(member, ip=actor.ip)
    for earlier in _held(member.id):
        _end(earlier, "superseded", owner, now)
    der = _fetched(reference, code, csr, actor)
    if authority.member_no_of(x509.load_der_x509_certificate(der)) != member.username:
        raise SignerFailed("other_member")
    return _keep(
        der, request, member, owner, now=now, assurance=enrolment.assurance,
        enrolment_id=enrolment.id,
    )  # fmt: skip


def holder_of(reference: str, code: str, member_no: str, actor: Actor, *, now: datetime) -> Member:
    """Return whom two codes let fetch a certificate, before a key is made for it; they stay unused.

    Raises InvalidCodes as `enrol` does, each wrong try counted, and for another member's number.
    """
    enrolment = _confirmed(reference, code, actor, now)
    member = db.session.get_one(Member, enrolment.member_id)
    if member.username != member_no.strip() or not member.active:
        raise InvalidCodes
    return member


# A certificate's life


def renewal_payload(certificate: Certificate, csr: bytes) -> dict[str, str]:
    """Return what the holder signs, with the certificate that is to be renewed."""
    return {
        "schema": "certificate-renewal/1",
        "member_no": certificate.member.username,
        "serial": certificate.serial,
        "request_sha256": hashlib.sha256(csr).hexdigest(),
    }


def renew(
    certificate: Certificate, csr: bytes, actor: Actor, *, now: datetime, content: bytes, cms: bytes
) -> Certificate:
    """Issue the successor of a certificate, with a new key, from 60 days before its end.

    The caller has verified that the certificate signed its `renewal_payload`, and the signing
    process does so, too.  The old one stays good until the new one is first used (`note_use`).
    """
    _require_active(_lock_member(certificate.member_id))
    _lock(certificate.id)
    if certificate.member_id != actor.member_id:
        raise NotAllowed(_("The certificate belongs to another member"), code="other_member")
    if not certificate.stands_at(now):
        raise RuleError(_("Only a valid certificate can be renewed"), code="not_valid")
    if now < certificate.not_after - timedelta(days=RENEWAL_DAYS):
        raise RuleError(
            _("Renewal opens %(days)d days before the end", days=RENEWAL_DAYS), code="too_early"
        )
    if db.session.scalar(select(Certificate.id).where(Certificate.renews_id == certificate.id)):
        raise RuleError(_("The certificate has been renewed already"), code="renewed")
    request = _acceptable(csr)
    der = _asked(lambda signer: signer.renew(certificate.der, csr, content, cms))
    return _keep(
        der, request, certificate.member, actor, now=now,
        assurance=certificate.assurance, renews_id=certificate.id,
    )  # fmt: skip


def note_use(certificate_id: int, actor: Actor, *, now: datetime) -> None:
    """Revoke the predecessor of a renewed certificate, once the new one has been used."""
    renewed = select(Certificate.renews_id).where(Certificate.id == certificate_id)
    old = db.session.scalar(
        select(Certificate)
        .where(Certificate.id == renewed.scalar_subquery(), Certificate.state != "revoked")
        .with_for_update()
    )
    if old is not None:
        _end(old, "superseded", actor, now)


def require_changeable(row: Certificate, act: str, reason: str) -> None:
    """Raise RuleError unless a certificate can be suspended, resumed or revoked, as it stands."""
    if act == "revoke" and reason not in REASONS:
        raise RuleError(_("Please choose the reason"), field="reason", code="reason")
    possible = {"suspend": {"active"}, "resume": {"suspended"}, "revoke": {"active", "suspended"}}
    if row.state not in possible[act]:
        raise _not_possible(row)
    if act == "resume":
        _require_active(row.member)


def suspend(
    certificate_id: int,
    actor: Actor,
    *,
    now: datetime,
    remark: str = "",
    signature: int | None = None,
) -> Certificate:
    """挂起: the certificate counts for nothing until it is resumed."""
    row = _lock(certificate_id)
    require_changeable(row, "suspend", "")
    _suspend(row, actor, now, remark=remark, signature=signature)
    return row


def suspend_all(member_id: int, actor: Actor, *, now: datetime) -> int:
    """Suspend whatever a person holds, and let open codes lapse; returns how many were suspended.

    For a member who is disabled.  Enabling resumes nothing: the certificates' keeper does.
    """
    let_lapse(member_id)
    active = [row for row in _held(member_id) if row.state == "active"]
    for row in active:
        _suspend(row, actor, now)
    return len(active)


def resume(
    certificate_id: int,
    actor: Actor,
    *,
    now: datetime,
    remark: str = "",
    signature: int | None = None,
) -> Certificate:
    """Let a suspended certificate count again; it leaves the list.  Not a disabled member's."""
    row = _lock(certificate_id)
    db.session.refresh(row.member)  # Disabling suspends: what it has locked comes after it.
    require_changeable(row, "resume", "")
    row.state, row.reason, row.revoked_at = "active", "", None
    _tell(row, "certificate.resume", actor, before="suspended", remark=remark, signature=signature)
    return row


def revoke(
    certificate_id: int,
    reason: str,
    actor: Actor,
    *,
    now: datetime,
    remark: str = "",
    signature: int | None = None,
) -> Certificate:
    """吊销, for good.  Raises RuleError for a reason that is not among REASONS."""
    row = _lock(certificate_id)
    require_changeable(row, "revoke", reason)
    _end(row, reason, actor, now, remark=remark, signature=signature)
    return row


def revoke_all(member_id: int, reason: str, actor: Actor, *, now: datetime) -> int:
    """Revoke whatever a person holds, and let open codes lapse; returns how many were revoked.

    For a representative who changes; a member who is disabled may come back (`suspend_all`).
    """
    assert reason in REASONS
    let_lapse(member_id)
    held = _held(member_id)
    for row in held:
        _end(row, reason, actor, now)
    return len(held)


# What others may know


def find(serial: int) -> Certificate | None:
    """Return the certificate with a serial number."""
    return db.session.scalar(select(Certificate).where(Certificate.serial == f"{serial:x}"))


def status(serial: int) -> Revocation | bool:
    """Tell OCSP: True for good, False for none of ours, or how it was revoked."""
    found = db.session.execute(
        select(Certificate.revoked_at, Certificate.reason).where(
            Certificate.serial == f"{serial:x}"
        )
    ).first()
    if found is None:
        return False
    at, reason = found
    return Revocation(serial, at, reason) if at else True


def answer_ocsp(question: bytes) -> bytes:
    """Answer one OCSP request.  Raises SignerAbsent."""
    serial = revocation.serial_asked_for(question)
    return the_signer().answer_ocsp(question, serial is not None and status(serial))


def latest_crl() -> RevocationList:
    """Return the last list that was published.  Raises NotFound before the first."""
    row = db.session.scalar(select(RevocationList).order_by(RevocationList.number.desc()).limit(1))
    if row is None:
        raise NotFound(_("No revocation list has been published yet"))
    return row


def is_crl_due(now: datetime) -> bool:
    """Tell whether a list is to be published.

    The last is 6 hours old, a certificate changed, or the authority is another one since.
    """
    last = db.session.execute(
        select(RevocationList.issued_at, RevocationList.der)
        .order_by(RevocationList.number.desc())
        .limit(1)
    ).first()
    if last is None or last.issued_at + CRL_EVERY <= now:
        return True
    published = x509.load_der_x509_crl(last.der)
    if not revocation.has_made(the_authority(), published):
        return True
    told = {line.serial_number: line.revocation_date_utc for line in published}
    listed = {line.serial: line.at.replace(microsecond=0) for line in _listed()}
    more = [f"{serial:x}" for serial in told.keys() - listed.keys()]
    resumed = select(Certificate.id).where(Certificate.serial.in_(more)).limit(1)
    return not listed.items() <= told.items() or db.session.scalar(resumed) is not None


def publish_crl(actor: Actor, *, now: datetime) -> RevocationList:
    """Make the next list: revoked and suspended certificates, good for 24 hours.

    The numbers rise, even where the table was restored from a copy; two at once follow one another.
    What the signing process knows as revoked and the table does not is revoked here, too.  Raises
    SignerAbsent.
    """
    db.session.execute(_NUMBERING)
    signer = the_signer()
    last = db.session.scalar(select(func.max(RevocationList.number))) or 0
    number = max(last, signer.journal()["crl"]) + 1
    listed = _listed()
    try:
        der = signer.list_revoked(number, listed)
    except SignerFailed as error:
        if error.code != "incomplete":
            raise
        listed = _completed(signer.revoked(), actor, now)
        der = signer.list_revoked(number, listed)
    row = RevocationList(
        number=number, der=der, issued_at=now, next_update=now + revocation.CRL_LIFE
    )
    db.session.add(row)
    db.session.flush()
    log.record(actor, "certificate.publish_crl", subject=str(number), certificates=len(listed))
    return row


def _completed(revoked: Mapping[str, datetime], actor: Actor, now: datetime) -> list[Revocation]:
    """Revoke what the signing process has revoked; return the lines, its own included."""
    final = {f"{line.serial:x}" for line in _listed() if line.reason != HOLD}
    missing = cast(list(revoked.keys() - final), ARRAY(String))
    standing = select(Certificate).where(
        Certificate.serial == func.any(missing), Certificate.state != "revoked"
    )
    for row in db.session.scalars(standing.order_by(Certificate.id).with_for_update()):
        _end(row, "superseded", actor, now)
    listed = _listed()
    known = {f"{line.serial:x}" for line in listed}
    return listed + [
        Revocation(int(serial, 16), at, "superseded")
        for serial, at in revoked.items()
        if serial not in known
    ]


def publish_crl_if_due(actor: Actor, *, now: datetime) -> RevocationList | None:
    """Publish a list where one is due.  Called periodically by the worker."""
    return publish_crl(actor, now=now) if is_crl_due(now) else None


def keep_signature(
    certificate: Certificate,
    content: bytes,
    cms: bytes,
    *,
    purpose: str,
    signed_at: datetime,
) -> Signature:
    """Keep a signature that was verified, with the list of the day."""
    row = Signature(
        purpose=purpose,
        content=content,
        digest=hashlib.sha256(content).hexdigest(),
        cms=cms,
        suite=certificate.suite,
        certificate_id=certificate.id,
        crl_number=latest_crl().number,
        signed_at=signed_at,
    )
    db.session.add(row)
    db.session.flush()
    return row


# Helpers


def _confirmed(reference: str, code: str, actor: Actor, now: datetime) -> CertificateEnrolment:
    """Return the open enrolment of two right codes.  Raises InvalidCodes.

    In a transaction of its own, so that a wrong try counts whatever becomes of the request; the row
    stays locked while the code is derived, so that tries at once are counted one by one.
    """
    typed = _typed(code)
    with db.engine.begin() as connection:
        found = connection.execute(
            select(
                CertificateEnrolment.id,
                CertificateEnrolment.code_hash,
                CertificateEnrolment.salt,
                CertificateEnrolment.suite,
                CertificateEnrolment.tries,
                *_BOUND,
            )
            .where(
                CertificateEnrolment.reference == _reference(reference),
                CertificateEnrolment.state == "open",
                CertificateEnrolment.expires_at > now,
            )
            .with_for_update()
        ).first()
        # Derived even where there is nothing to compare it with: the answer takes as long.
        chosen, salt = (SUITES[found.suite], found.salt) if found else (suite(), bytes(16))
        derived = chosen.derive(_bound(typed, found), salt)
        if found and hmac.compare_digest(derived, found.code_hash):
            found_id = found.id
        else:
            if found:
                _count(connection, found.id, found.tries + 1)
            _note_refusal(connection, reference, actor)
            found_id = None
    if found_id is None:
        raise InvalidCodes
    return db.session.get_one(CertificateEnrolment, found_id, populate_existing=True)


# What a code stands for: in a row that says anything else it is a wrong code.
_BOUND = (
    CertificateEnrolment.reference,
    CertificateEnrolment.member_id,
    CertificateEnrolment.assurance,
    CertificateEnrolment.opened_by,
    CertificateEnrolment.confirmed_by,
    CertificateEnrolment.expires_at,
)


def _bound(code: str, row: Any) -> bytes:
    """Return a code with what it stands for, under our secret key.

    Who has the database alone can write a row, and no code that fits it.
    """
    told = [_spelt(getattr(row, column.key)) for column in _BOUND] if row else []
    content = "\n".join(["certificate enrolment", code, *told]).encode("utf-8", "replace")
    return hmac.digest(current_app.config["SECRET_KEY"].encode(), content, "sha256")


def _spelt(value: Any) -> str:
    """Write a value alike whatever time zone a connection tells its moments in."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def _count(connection: Any, enrolment_id: int, tries: int) -> None:
    connection.execute(
        update(CertificateEnrolment)
        .where(CertificateEnrolment.id == enrolment_id)
        .values(tries=tries, state="locked" if tries >= TRIES else "open")
    )


def _note_refusal(connection: Any, reference: str, actor: Actor, **detail: str) -> None:
    """Log the refusal, which outlives the rollback; never the code that was typed."""
    connection.execute(
        insert(OperationLog).values(
            member_id=actor.member_id,
            member_no=actor.member_no,
            ip=actor.ip,
            action="certificate.enrol",
            subject=_reference(reference),
            result="refused",
            detail=detail,
        )
    )


def _reference(typed: str) -> str:
    """Return a reference number as typed, or "" for what is none."""
    digits = typed.replace(" ", "")
    return digits if len(digits) == 10 and digits.isascii() and digits.isdigit() else ""


def _typed(code: str) -> str:
    """Return a code as it was typed, in small letters and groups, too."""
    return code.replace(" ", "").replace("-", "").upper()[:64]


def _fresh_code() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _n in range(CODE_LENGTH))


def _require_two(member_id: int, actor: Actor, confirmed_by: Actor | None) -> None:
    if confirmed_by is not None and confirmed_by.member_id == actor.member_id:
        raise NotAllowed(_("The second officer must be another person"), code="same_person")
    had_one = db.session.scalar(
        select(Certificate.id).where(Certificate.member_id == member_id).limit(1)
    )
    if had_one and confirmed_by is None:
        raise NotAllowed(_("A replacement certificate needs two officers"), code="two_officers")


def _acceptable(csr: bytes) -> Request:
    """Read a certificate request with a key that nobody has used, our own authority included."""
    ours = the_authority()
    request = authority.read_request(csr, ours.suite)
    own = {authority.spki_in(certificate) for certificate in (ours.root, ours.certificate)}
    fingerprint = _fingerprint(request.spki)
    used = select(Certificate.id).where(Certificate.key_fingerprint == fingerprint)
    if request.spki in own or db.session.scalar(used):
        raise _key_used()
    return request


def told_of(enrolment: CertificateEnrolment, member: Member) -> dict[str, str]:
    """Return what the signing process is told of an enrolment."""
    return {
        "schema": ENROLMENT,
        "reference": enrolment.reference,
        "assurance": enrolment.assurance,
        **deeds.person_of(member),
    }


def _fetched(reference: str, code: str, csr: bytes, actor: Actor) -> bytes:
    """Fetch the certificate of two codes that our row has; those of a forged row lead to none."""
    try:
        return _asked(lambda signer: signer.issue(_reference(reference), _typed(code), csr))
    except SignerFailed as error:
        if error.code not in _WRONG_CODES:
            raise
        with db.engine.begin() as connection:
            _note_refusal(connection, reference, actor, reason=error.code)
        raise InvalidCodes from None


# What the signing process answers to codes that it did not open, or no longer.
_WRONG_CODES = {"unknown_enrolment", "code", "lapsed", "locked"}
_REFUSALS = {
    "unsigned": lazy_gettext("Nobody has signed for this certificate"),
    "bootstrap": lazy_gettext("This is not the word that was made with the authority"),
    "bootstrap_closed": lazy_gettext(
        "The word made with the authority is for the first system administrator and the first"
        " security administrator, once"
    ),
    "not_entitled": lazy_gettext(
        "Who signed may not sign for this person by the certificate they have; after a change of"
        " role the certificate has to be replaced first"
    ),
    "same_person": lazy_gettext("The second officer must be another person"),
    "revoked": lazy_gettext(
        "A certificate that signed for this one counts no longer; have it signed anew"
    ),
    "signer_gone": lazy_gettext(
        "Somebody who signed for this certificate has none any more; have it signed anew"
    ),
    "signed_at": lazy_gettext(
        "It was signed before the last certificate was issued, or by a wrong clock; have it signed"
        " anew"
    ),
    "evidence_used": lazy_gettext(
        "What was signed has led to a certificate already; have it signed anew"
    ),
    "other_content": lazy_gettext("What was signed is not what is asked for; have it signed anew"),
    "second_certificate": lazy_gettext("A replacement certificate needs two officers"),
}


def _asked(act: Callable[[Signer], Answer]) -> Answer:
    """Let the signing process act; what it refuses is said in words.

    A key that it alone knows of is refused as any used one.
    """
    try:
        return act(the_signer())
    except SignerFailed as error:
        if error.code == "key_used":
            raise _key_used() from None
        if error.code in _REFUSALS:
            raise NotAllowed(str(_REFUSALS[error.code]), code=error.code) from None
        raise


def _keep(
    der: bytes,
    request: Request,
    member: Member,
    actor: Actor,
    *,
    now: datetime,
    assurance: str,
    **origin: int,
) -> Certificate:
    made = x509.load_der_x509_certificate(der)
    row = Certificate(
        serial=f"{made.serial_number:x}",
        fingerprint=_fingerprint(der),
        key_fingerprint=_fingerprint(request.spki),
        member_id=member.id,
        der=der,
        suite=suite_of(request.spki).name,
        assurance=assurance,
        not_before=made.not_valid_before_utc,
        not_after=made.not_valid_after_utc,
        issued_at=now,
        **origin,
    )
    db.session.add(row)
    try:
        db.session.flush()
    except IntegrityError:  # Another request with the same key was quicker.
        raise _key_used() from None
    _tell(row, "certificate.issue", actor, before="")
    return row


def _held(member_id: int) -> list[Certificate]:
    return list(
        db.session.scalars(
            select(Certificate)
            .where(Certificate.member_id == member_id, Certificate.state != "revoked")
            .order_by(Certificate.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )


def _listed() -> list[Revocation]:
    rows = db.session.execute(
        select(Certificate.serial, Certificate.revoked_at, Certificate.reason)
        .where(Certificate.state != "active")
        .order_by(Certificate.id)
    )
    return [Revocation(int(serial, 16), at, reason) for serial, at, reason in rows]


def _lock(certificate_id: int) -> Certificate:
    row = db.session.get(Certificate, certificate_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(_("There is no such record"))
    return row


def _lock_member(member_id: int) -> Member:
    """Lock a person before its codes and certificates: disabling does the same, in this order.

    Not its key: whoever signs holds the certificate, and refers to the person after it.
    """
    member = db.session.get(
        Member, member_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if member is None:
        raise NotFound(_("There is no such record"))
    return member


def _require_active(member: Member) -> None:
    if not member.active:
        raise RuleError(_("The member is disabled"), code="inactive")


def _suspend(row: Certificate, actor: Actor, now: datetime, **more: Any) -> None:
    row.state, row.reason, row.revoked_at = "suspended", HOLD, now
    _tell(row, "certificate.suspend", actor, before="active", **more)


def _end(row: Certificate, reason: str, actor: Actor, now: datetime, **more: Any) -> None:
    before = row.state
    row.state, row.reason, row.revoked_at = "revoked", reason, now
    _tell(row, "certificate.revoke", actor, before=before, **more)


def _tell(row: Certificate, action: str, actor: Actor, *, before: str, **more: Any) -> None:
    """Record the change, and tell the holder by mail where an address is on file."""
    db.session.flush()
    more = {name: value for name, value in more.items() if value}
    log.record(
        actor,
        action,
        subject=row.serial,
        account_id=row.member.account_id,
        holder=row.member.username,
        before={"state": before},
        after={"state": row.state, "reason": row.reason},
        **more,
    )
    _write_to_holder(row, action)


def _write_to_holder(row: Certificate, action: str) -> None:
    holder, what = row.member, _CHANGES[action]
    if not outbox.is_deliverable("mail", holder.address):
        return
    outbox.send(
        outbox.Message(
            channel="mail",
            recipient=holder.address,
            subject=_("Your certificate has changed"),
            body=_(
                "The certificate %(serial)s of member %(number)s was %(change)s. If you know nothing"
                " of it, call the service telephone 400-991-1188 at once.",
                serial=row.serial.upper(),
                number=holder.username,
                change=str(what),
            ),
            purpose=action,
            member_id=holder.id,
            account_id=holder.account_id,
        )
    )


_CHANGES = {
    "certificate.issue": lazy_gettext("issued"),
    "certificate.suspend": lazy_gettext("suspended"),
    "certificate.resume": lazy_gettext("resumed"),
    "certificate.revoke": lazy_gettext("revoked"),
}


def _not_possible(row: Certificate) -> RuleError:
    words = {"active": _("valid"), "suspended": _("suspended"), "revoked": _("revoked")}
    return RuleError(
        _("This is not possible for a certificate in the state %(state)s", state=words[row.state]),
        code="certificate_state",
    )


def _key_used() -> RequestRefused:
    return RequestRefused(_("This key has been certified before; make a new one"), code="key_used")


def _fingerprint(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
