"""Certificates, enrolments, signatures, signing challenges and revocation lists."""

from __future__ import annotations

from datetime import datetime

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.ledger import TransactionId
from app.models.member import Member


class CertificateEnrolment(Model):
    """A 参考号 with its 授权码, good for one certificate of one person.

    Only a hash of the code is stored.  A replacement that one administrator has requested and
    another has yet to confirm is a row without a code.
    """

    __tablename__ = "certificate_enrolment"
    __table_args__ = (
        CheckConstraint("reference ~ '^[0-9]{10}$'", name="reference_is_ten_digits"),
        CheckConstraint("tries BETWEEN 0 AND 5", name="enrolment_tries_sane"),
        CheckConstraint("state <> 'open' OR tries < 5", name="five_tries_lock"),
        CheckConstraint(
            "state IN ('asked', 'open', 'used', 'locked', 'lapsed')", name="enrolment_state_known"
        ),
        CheckConstraint("(state = 'used') = (used_at IS NOT NULL)", name="used_has_a_time"),
        CheckConstraint("state <> 'open' OR code_hash <> ''", name="open_has_a_code"),
        CheckConstraint("opened_by <> confirmed_by", name="enrolment_by_two"),
        CheckConstraint("signature_id <> confirming_signature_id", name="enrolment_signed_by_two"),
        CheckConstraint("assurance IN ('hard', 'soft')", name="enrolment_assurance_known"),
        Index(
            "certificate_enrolment_open",
            "member_id",
            unique=True,
            postgresql_where=text("state IN ('asked', 'open')"),
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    reference: Mapped[str] = mapped_column(String(10), unique=True)  # 参考号
    code_hash: Mapped[bytes] = mapped_column(LargeBinary)  # scrypt of the 授权码
    salt: Mapped[bytes] = mapped_column(LargeBinary)
    suite: Mapped[str] = mapped_column(String(10), server_default="intl")  # of the hash
    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    # hard (the key will be in a USBKey) or soft (in a file)
    assurance: Mapped[str] = mapped_column(String(10), server_default="hard")
    state: Mapped[str] = mapped_column(String(10), server_default="open")
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")  # wrong codes so far
    opened_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    confirmed_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    # of the deed or submission, and of its confirmation; None where signing is off
    signature_id: Mapped[int | None] = mapped_column(ForeignKey("signature.id", use_alter=True))
    confirming_signature_id: Mapped[int | None] = mapped_column(
        ForeignKey("signature.id", use_alter=True)
    )
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    member: Mapped[Member] = relationship(foreign_keys=[member_id])
    signature: Mapped[Signature | None] = relationship(foreign_keys=[signature_id])


class Certificate(Model):
    """A certificate issued to a person.  Only its state changes; revoked is final."""

    __tablename__ = "certificate"
    __table_args__ = (
        CheckConstraint("assurance IN ('hard', 'soft')", name="certificate_assurance_known"),
        CheckConstraint(
            "state IN ('active', 'suspended', 'revoked')", name="certificate_state_known"
        ),
        CheckConstraint("(state = 'active') = (revoked_at IS NULL)", name="revoked_has_a_time"),
        CheckConstraint("(state = 'active') = (reason = '')", name="revoked_has_a_reason"),
        CheckConstraint(
            "(state = 'suspended') = (reason = 'certificateHold')", name="suspended_is_a_hold"
        ),
        CheckConstraint("not_before < not_after", name="period_sane"),
        CheckConstraint("fingerprint = encode(sha256(der), 'hex')", name="fingerprint_is_its_own"),
        CheckConstraint("serial ~ '^[1-9a-f][0-9a-f]*$'", name="serial_is_hex"),
        CheckConstraint("enrolment_id IS NOT NULL OR renews_id IS NOT NULL", name="from_somewhere"),
        Index("certificate_member", "member_id", "id"),
        Index("certificate_listed", "id", postgresql_where=text("state <> 'active'")),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    serial: Mapped[str] = mapped_column(String(40), unique=True)  # in hex, without leading zeros
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)  # SHA-256 of the certificate
    key_fingerprint: Mapped[str] = mapped_column(String(64), unique=True)  # SHA-256 of its key
    member_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"))
    enrolment_id: Mapped[int | None] = mapped_column(
        ForeignKey("certificate_enrolment.id"), unique=True
    )
    renews_id: Mapped[int | None] = mapped_column(ForeignKey("certificate.id"), unique=True)
    der: Mapped[bytes] = mapped_column(LargeBinary)
    suite: Mapped[str] = mapped_column(String(10), server_default="intl")
    assurance: Mapped[str] = mapped_column(String(10), server_default="hard")
    state: Mapped[str] = mapped_column(String(10), server_default="active")
    reason: Mapped[str] = mapped_column(String(30), server_default="")  # reason code, RFC 5280
    not_before: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    not_after: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True)
    )  # set on suspension, too

    member: Mapped[Member] = relationship(foreign_keys=[member_id])
    enrolment: Mapped[CertificateEnrolment | None] = relationship()

    @property
    def serial_number(self) -> int:
        """Return the serial number as an integer."""
        return int(self.serial, 16)

    def stands_at(self, now: datetime) -> bool:
        """Tell whether it is valid at a time: neither revoked nor suspended, within its dates."""
        return self.state == "active" and self.not_before <= now <= self.not_after


class Signature(Model):
    """Signed content, its signature, and the certificate and revocation list it was verified with.

    Append-only; a bulk review is one signature over a manifest, with a `SignatureEvent` for each
    application in it.
    """

    __tablename__ = "signature"
    __table_args__ = (
        CheckConstraint("digest = encode(sha256(content), 'hex')", name="digest_is_the_contents"),
        CheckConstraint(
            "purpose IN ('login', 'submit', 'review', 'withdraw', 'act', 'renew', 'other')",
            name="signature_purpose_known",
        ),
        Index("signature_certificate", "certificate_id", "id"),
        Index("signature_once", "digest", unique=True),
        Index("signature_recorded", "recorded_xid"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(10))
    content: Mapped[bytes] = mapped_column(LargeBinary)  # canonical
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the content
    cms: Mapped[bytes] = mapped_column(LargeBinary)
    suite: Mapped[str] = mapped_column(String(10), server_default="intl")
    certificate_id: Mapped[int] = mapped_column(ForeignKey("certificate.id"))
    crl_number: Mapped[int] = mapped_column(ForeignKey("crl.number"))  # the latest at that time
    signed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))  # as the signer claims
    recorded_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    # The recording transaction, set by the database: it is the one of the act.
    recorded_xid: Mapped[int] = mapped_column(
        TransactionId, server_default=text("pg_current_xact_id()")
    )

    certificate: Mapped[Certificate] = relationship()
    events: Mapped[list[SignatureEvent]] = relationship(back_populates="signature")


class SignatureEvent(Model):
    """An event of an application that a signature covers; append-only.

    ``content`` is the application's canonical content at that time; a manifest holds its digest.
    """

    __tablename__ = "signature_event"
    __table_args__ = (Index("signature_event_of", "signature_id"), {"extend_existing": True})

    application_event_id: Mapped[int] = mapped_column(
        ForeignKey("application_event.id"), primary_key=True
    )
    signature_id: Mapped[int] = mapped_column(ForeignKey("signature.id"))
    content: Mapped[str] = mapped_column(Text)

    signature: Mapped[Signature] = relationship(back_populates="events")


class RevocationList(Model):
    """A published CRL; append-only, since a signature is verified against the list of its time."""

    __tablename__ = "crl"
    __table_args__ = (
        CheckConstraint("number > 0", name="crl_number_positive"),
        CheckConstraint("issued_at < next_update", name="crl_period_sane"),
        {"extend_existing": True},
    )

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    der: Mapped[bytes] = mapped_column(LargeBinary)
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    next_update: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Challenge(Model):
    """Content to be signed, valid for a short time and one answer."""

    __tablename__ = "challenge"
    __table_args__ = (
        CheckConstraint("purpose IN ('login', 'sign')", name="challenge_purpose_known"),
        CheckConstraint("digest = encode(sha256(content), 'hex')", name="challenge_is_its_content"),
        Index("challenge_expires", "expires_at"),
        {"extend_existing": True},
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # random
    member_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    purpose: Mapped[str] = mapped_column(String(10))
    origin: Mapped[str] = mapped_column(String(200))  # scheme and host of the requesting page
    content: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
