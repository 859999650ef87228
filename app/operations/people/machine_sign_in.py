"""Signing in of machine clients: keys that count today, assertions used once, tokens, and counters.

Nothing of it is kept in a process: every web process reads and writes these rows.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, insert, or_, select
from sqlalchemy.dialects import postgresql

from app.domain.machines import EXCHANGE, MEMBER, PLATFORM
from app.extensions import db
from app.models import (
    MachineAssertion,
    MachineClient,
    MachineKey,
    MachineToken,
    MachineUse,
    Venue,
)

TOKEN_LIVES = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Client:
    """A machine client as its requests see it; ``scopes`` are those of the token, once there is one."""

    id: int
    code: str
    name: str
    scopes: tuple[str, ...]
    certificate: str = ""  # that its calls must show, "" without mTLS
    venue_id: int = 0
    venue_code: str = ""
    # Of a member's own system, whose row scope is that of the member's people (app/security/scope.py).
    account_id: int | None = None
    province: str | None = None
    is_platform: bool = False  # 全国碳市场管理平台

    @property
    def interface(self) -> str:
        """Return the name of the interface that it may call."""
        if self.is_platform:
            return PLATFORM
        return EXCHANGE if self.venue_id else MEMBER


@dataclass(frozen=True, slots=True)
class ValidKey:
    """A key that may sign today."""

    id: int
    jwk: dict[str, Any]


_CLIENT = (
    MachineClient.id,
    MachineClient.code,
    MachineClient.name,
    MachineClient.venue_id,
    MachineClient.account_id,
    MachineClient.province,
    MachineClient.is_platform,
    Venue.code.label("venue_code"),
)


def find_client(code: str, today: date) -> Client | None:
    """Return the client of a code: a member's, the platform's, or one whose venue is in force."""
    row = db.session.execute(
        select(*_CLIENT, MachineClient.scopes, MachineClient.certificate)
        .outerjoin(Venue, Venue.id == MachineClient.venue_id)
        .where(MachineClient.code == code, _belongs_to_somebody(today))
    ).one_or_none()
    if row is None:
        return None
    return _client(row, tuple(row.scopes), row.certificate)


def _belongs_to_somebody(today: date) -> ColumnElement[bool]:
    return or_(MachineClient.venue_id.is_(None), Venue.in_force(today))


def _client(row: Any, scopes: tuple[str, ...], certificate: str) -> Client:
    return Client(
        row.id, row.code, row.name, scopes, certificate, row.venue_id or 0, row.venue_code or "",
        row.account_id, row.province, row.is_platform,
    )  # fmt: skip


def find_key(client_id: int, kid: str, today: date) -> ValidKey | None:
    """Return the client's key where it counts today."""
    row = db.session.execute(
        select(MachineKey.id, MachineKey.jwk).where(
            MachineKey.client_id == client_id, MachineKey.kid == kid, *_counts(today)
        )
    ).one_or_none()
    return ValidKey(*row) if row else None


def _counts(today: date) -> tuple[Any, ...]:
    return (
        MachineKey.revoked_at.is_(None),
        MachineKey.starts_on <= today,
        MachineKey.ends_on >= today,
        has_standing_issuer(),
    )


def has_standing_issuer() -> ColumnElement[bool]:
    """Return the condition that a key was approved by two officers, or who issued it may still sign in.

    A disabled person, a certificate that is over, suspended or revoked, and another role count at once, by
    the database's `issuer_stands` (sql/0019/credentials.sql).
    """
    stands = func.issuer_stands(MachineKey.issued_by, MachineKey.signature_id)
    return or_(MachineKey.issued_by.is_(None), stands)


def use_assertion(key_id: int, jti: str, expires_at: datetime) -> bool:
    """Note that an assertion was used; False where it was before."""
    made = db.session.scalar(
        postgresql.insert(MachineAssertion)
        .values(key_id=key_id, jti_hash=_hash(jti), expires_at=expires_at)
        .on_conflict_do_nothing()
        .returning(MachineAssertion.key_id)
    )
    return made is not None


def new_token() -> str:
    """Return a random token of 256 bits."""
    return secrets.token_urlsafe(32)


def save_token(
    token: str, key_id: int, scopes: Sequence[str], *, certificate: str = "", ip: str = ""
) -> None:
    """Store the hash of a token, and note the sign-in."""
    known_as = _hash(token)
    db.session.execute(
        insert(MachineToken).values(
            token_hash=known_as,
            key_id=key_id,
            scopes=list(scopes),
            certificate=certificate,
            ip=ip,
            expires_at=func.now() + TOKEN_LIVES,
        )
    )
    db.session.execute(insert(MachineUse).values(key_id=key_id, token_hash=known_as, ip=ip))


def find_token(token: str, today: date) -> Client | None:
    """Return the client of a token that is not over, whose key counts today.

    Of its scopes those count that the client still has.
    """
    row = db.session.execute(
        select(*_CLIENT, MachineToken.scopes, MachineToken.certificate, MachineClient.scopes)
        .join(MachineKey, MachineKey.id == MachineToken.key_id)
        .join(MachineClient, MachineClient.id == MachineKey.client_id)
        .outerjoin(Venue, Venue.id == MachineClient.venue_id)
        .where(
            MachineToken.token_hash == _hash(token),
            MachineToken.expires_at > func.now(),
            or_(
                MachineClient.certificate == "",
                MachineClient.certificate == MachineToken.certificate,
            ),
            _belongs_to_somebody(today),
            *_counts(today),
        )
    ).one_or_none()
    if row is None:
        return None
    granted, certificate, held = row[-3:]
    return _client(row, tuple(each for each in granted if each in held), certificate)


def count_request(counter: str, at: datetime) -> int:
    """Count a request of a counter; return how many there were in this minute, this one included.

    The caller commits at once: a refused request counts, too.
    """
    minute = int(at.timestamp() // 60)
    return db.session.scalar(select(func.count_machine_request(counter, minute))) or 0


def count_call(client_id: int, token: str, at: datetime, *, ip: str) -> int:
    """Count a call of a client as `count_request` does, and note it with the token's sign-in."""
    minute = int(at.timestamp() // 60)
    counted = func.count_machine_request(f"client:{client_id}", minute)
    noted = func.note_machine_call(_hash(token), ip)
    return db.session.execute(select(counted, noted)).one()[0] or 0


def clear_leftovers() -> None:
    """Delete tokens, assertions, answers, counters and uses that are long over."""
    db.session.execute(select(func.clear_machine_leftovers()))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
