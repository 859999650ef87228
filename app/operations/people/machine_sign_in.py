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

from sqlalchemy import func, insert, or_, select
from sqlalchemy.dialects import postgresql

from app.extensions import db
from app.models import (
    MachineAssertion,
    MachineClient,
    MachineKey,
    MachineToken,
    Venue,
)

TOKEN_LIVES = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Client:
    """A machine client as its requests see it; ``scopes`` are those of the token, once there is one."""

    id: int
    code: str
    name: str
    venue_id: int
    venue_code: str
    scopes: tuple[str, ...]
    certificate: str = ""  # that its calls must show, "" without mTLS


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
    Venue.code.label("venue_code"),
)


def find_client(code: str, today: date) -> Client | None:
    """Return the client of a code, where its venue is in force."""
    row = db.session.execute(
        select(*_CLIENT, MachineClient.scopes, MachineClient.certificate)
        .join(Venue, Venue.id == MachineClient.venue_id)
        .where(MachineClient.code == code, Venue.in_force(today))
    ).one_or_none()
    if row is None:
        return None
    return _client(row, tuple(row.scopes), row.certificate)


def _client(row: Any, scopes: tuple[str, ...], certificate: str) -> Client:
    return Client(row.id, row.code, row.name, row.venue_id, row.venue_code, scopes, certificate)


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
    )


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
    """Store the hash of a token."""
    db.session.execute(
        insert(MachineToken).values(
            token_hash=_hash(token),
            key_id=key_id,
            scopes=list(scopes),
            certificate=certificate,
            ip=ip,
            expires_at=func.now() + TOKEN_LIVES,
        )
    )


def find_token(token: str, today: date) -> Client | None:
    """Return the client of a token that is not over, whose key counts today.

    Of its scopes those count that the client still has.
    """
    row = db.session.execute(
        select(*_CLIENT, MachineToken.scopes, MachineToken.certificate, MachineClient.scopes)
        .join(MachineKey, MachineKey.id == MachineToken.key_id)
        .join(MachineClient, MachineClient.id == MachineKey.client_id)
        .join(Venue, Venue.id == MachineClient.venue_id)
        .where(
            MachineToken.token_hash == _hash(token),
            MachineToken.expires_at > func.now(),
            or_(
                MachineClient.certificate == "",
                MachineClient.certificate == MachineToken.certificate,
            ),
            Venue.in_force(today),
            *_counts(today),
        )
    ).one_or_none()
    if row is None:
        return None
    scopes = tuple(each for each in row[5] if each in row[7])
    return _client(row, scopes, row[6])


def count_request(counter: str, at: datetime) -> int:
    """Count a request of a counter; return how many there were in this minute, this one included.

    The caller commits at once: a refused request counts, too.
    """
    minute = int(at.timestamp() // 60)
    return db.session.scalar(select(func.count_machine_request(counter, minute))) or 0


def clear_leftovers() -> None:
    """Delete tokens, assertions, answers and counters that are long over."""
    db.session.execute(select(func.clear_machine_leftovers()))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
