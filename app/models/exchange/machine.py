"""Machine clients (机器接入): their keys, tokens, requests, stored answers and counters (docs/adr/0075)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.account import Venue


class MachineClient(Model):
    """A program of a venue or of the reporting platform, as the application approved last describes it, or a
    member's own system.

    The first two are written by `carry_out_machine_keys` alone.  Of a member (系统接入凭证) it belongs to an
    enterprise's account or to a province, has one key and stays as it was issued; the database numbers it.
    """

    __tablename__ = "machine_client"
    __table_args__ = (
        CheckConstraint(
            "num_nonnulls(venue_id, account_id, province) = CASE WHEN is_platform THEN 0 ELSE 1 END",
            name="machine_client_of_one",
        ),
        CheckConstraint(
            "(venue_id IS NULL AND NOT is_platform) = (code ~ '^M[0-9]{8}$')",
            name="machine_client_code",
        ),
        CheckConstraint(
            "venue_id IS NOT NULL OR is_platform OR (cardinality(scopes) > 0 AND scopes <@ "
            "'{holdings:read,statements:read,notices:read,applications:read}'::text[])",
            name="credential_scopes",
        ),
        CheckConstraint(
            "CASE WHEN is_platform THEN cardinality(scopes) > 0"
            " AND scopes <@ '{figures:write,figures:read}'::text[]"
            " ELSE NOT scopes && '{figures:write,figures:read}'::text[] END",
            name="platform_scopes",
        ),
        Index(
            "machine_client_account", "account_id", postgresql_where=text("account_id IS NOT NULL")
        ),
        Index("machine_client_province", "province", postgresql_where=text("province IS NOT NULL")),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    # A member's; in the form PostgreSQL reports it, so that schema and model compare equal.
    code: Mapped[str] = mapped_column(
        String(10),
        unique=True,
        server_default=text(
            "('M'::text || lpad((nextval('credential_number'::regclass))::text, 8, '0'::text))"
        ),
    )
    name: Mapped[str] = mapped_column(String(100))
    venue_id: Mapped[int | None] = mapped_column(ForeignKey("venue.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    province: Mapped[str | None] = mapped_column(String(2))
    is_platform: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # SHA-256 of the client certificate that its tokens are bound to, in base64url; "" without mTLS.
    certificate: Mapped[str] = mapped_column(String(43), server_default="")

    venue: Mapped[Venue | None] = relationship()


class MachineKey(Model):
    """A client's public key: registered by two officers for a venue, issued by a signed act for a member."""

    __tablename__ = "machine_key"
    __table_args__ = (
        UniqueConstraint("client_id", "kid", name="machine_key_kid"),
        CheckConstraint("starts_on <= ends_on", name="machine_key_dates"),
        CheckConstraint("num_nonnulls(application_id, issued_by) = 1", name="machine_key_origin"),
        CheckConstraint("issued_by IS NULL OR ends_on - starts_on <= 366", name="credential_term"),
        CheckConstraint(
            "num_nonnulls(revocation_id, revoked_by) = CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END"
            " AND (application_id IS NULL OR revoked_by IS NULL)"
            " AND (issued_by IS NULL OR revocation_id IS NULL)"
            " AND (revoked_by IS NOT NULL OR revoking_signature_id IS NULL)",
            name="machine_key_revoked_by",
        ),
        Index(
            "credential_key",
            "client_id",
            unique=True,
            postgresql_where=text("issued_by IS NOT NULL"),
        ),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("machine_client.id"))
    kid: Mapped[str] = mapped_column(String(64))
    thumbprint: Mapped[str] = mapped_column(String(43), unique=True)  # RFC 7638
    jwk: Mapped[dict[str, Any]] = mapped_column(JSONB)
    starts_on: Mapped[date] = mapped_column(Date)
    ends_on: Mapped[date] = mapped_column(Date)
    registered_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    application_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"), unique=True)
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revocation_id: Mapped[int | None] = mapped_column(ForeignKey("application.id"), unique=True)
    # Of a member's: who issued and revoked it, by which signature; None where signing was off.
    issued_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    signature_id: Mapped[int | None] = mapped_column(ForeignKey("signature.id"))
    revoked_by: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    revoking_signature_id: Mapped[int | None] = mapped_column(ForeignKey("signature.id"))

    client: Mapped[MachineClient] = relationship()


class MachineToken(Model):
    """An access token, known by its SHA-256 alone; it ends with its key."""

    __tablename__ = "machine_token"
    __table_args__ = (Index("machine_token_expires", "expires_at"), {"extend_existing": True})

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("machine_key.id"))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    certificate: Mapped[str] = mapped_column(String(43), server_default="")
    ip: Mapped[str] = mapped_column(String(45), server_default="")
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class MachineUse(Model):
    """What was done with a token: a row a sign-in, with the calls after it; kept for 400 days."""

    __tablename__ = "machine_use"
    __table_args__ = (
        Index("machine_use_of", "key_id", "id"),
        Index("machine_use_age", "signed_in_at"),
        {"extend_existing": True},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("machine_key.id"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    ip: Mapped[str] = mapped_column(String(45), server_default="")
    signed_in_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    calls: Mapped[int] = mapped_column(Integer, server_default="0")
    last_call_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_ip: Mapped[str] = mapped_column(String(45), server_default="")


class MachineAssertion(Model):
    """A signed assertion that was used; each is used once."""

    __tablename__ = "machine_assertion"
    __table_args__ = (Index("machine_assertion_expires", "expires_at"), {"extend_existing": True})

    key_id: Mapped[int] = mapped_column(ForeignKey("machine_key.id"), primary_key=True)
    jti_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class MachineRequest(Model):
    """A transfer that a client asked for, by its own number; append-only."""

    __tablename__ = "machine_request"
    __table_args__ = (
        Index("machine_request_of", "client_id", "application_id"),
        {"extend_existing": True},
    )

    client_id: Mapped[int] = mapped_column(ForeignKey("machine_client.id"), primary_key=True)
    request_no: Mapped[str] = mapped_column(String(60), primary_key=True)
    application_id: Mapped[int] = mapped_column(ForeignKey("application.id"), unique=True)
    # Of the rule that refused it; the application holds the sentence.
    refusal_code: Mapped[str] = mapped_column(String(40), server_default="")
    refusal_field: Mapped[str] = mapped_column(String(40), server_default="")


class MachineAnswer(Model):
    """The answer to a request with an Idempotency-Key, kept to be given again."""

    __tablename__ = "machine_answer"
    __table_args__ = (Index("machine_answer_age", "asked_at"), {"extend_existing": True})

    client_id: Mapped[int] = mapped_column(ForeignKey("machine_client.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)  # SHA-256 of method, address and body
    status: Mapped[int | None] = mapped_column(SmallInteger)
    answer: Mapped[str | None] = mapped_column(Text)  # JSON, as it was sent
    asked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class MachineRate(Model):
    """How many requests a client, or an address at the token's door, has made in a minute."""

    __tablename__ = "machine_rate"
    __table_args__ = (Index("machine_rate_minute", "minute"), {"extend_existing": True})

    counter: Mapped[str] = mapped_column(String(60), primary_key=True)
    minute: Mapped[int] = mapped_column(BigInteger)  # since 1970
    taken: Mapped[int] = mapped_column(Integer)
