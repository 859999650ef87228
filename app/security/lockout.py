"""Lockout: failed sign-ins per member number and address, counted in the database before each guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from app.extensions import db
from app.models import LoginFailure
from app.models.parameter import setting

PER_ADDRESS = 50


def window(session: Any) -> timedelta:
    """Return how long a failure counts (系统参数)."""
    return timedelta(minutes=setting(session, "lock_minutes"))


def per_member(session: Any) -> int:
    """Return how many failures lock a member number (系统参数)."""
    return setting(session, "lock_failures")


def take_a_guess(member_no: str, ip: str) -> list[int] | None:
    """Take one of the remaining guesses and return its rows' ids, or None where none remains.

    It is committed as a failure before the password is checked, so that concurrent guesses cannot
    exceed the limit.  `forgive` gives it back after a success.
    """
    with db.engine.begin() as connection:
        limits = {LoginFailure.key_of(member_no): per_member(connection), f"ip:{ip}": PER_ADDRESS}
        return _take(connection, limits)


def take_a_guess_from(ip: str) -> list[int] | None:
    """The same for an address alone, where no member is named."""
    with db.engine.begin() as connection:
        return _take(connection, {f"ip:{ip}": PER_ADDRESS})


def give_back(guess: Sequence[int]) -> None:
    """Delete a guess that was no failure; the caller commits."""
    db.session.execute(delete(LoginFailure).where(LoginFailure.id.in_(guess)))


def forgive(member_no: str, guess: Sequence[int]) -> None:
    """After a success delete the guess and the member's failures; the caller commits."""
    db.session.execute(
        delete(LoginFailure).where(
            LoginFailure.id.in_(guess) | (LoginFailure.key == LoginFailure.key_of(member_no))
        )
    )


def failures() -> Select[tuple[str, int, datetime]]:
    """Select member number, failures within the window, and the last one's time."""
    return (
        select(
            func.substr(LoginFailure.key, len("member:") + 1).label("member_no"),
            func.count().label("failures"),
            func.max(LoginFailure.at).label("last_at"),
        )
        .where(
            LoginFailure.key.startswith("member:"),
            LoginFailure.at >= func.now() - window(db.session),
        )
        .group_by(LoginFailure.key)
    )


def _take(connection: Connection, limits: Mapping[str, int]) -> list[int] | None:
    since = func.now() - window(connection)
    _lock(connection, sorted(limits))
    counts = _count(connection, list(limits), since)
    if any(counts.get(key, 0) >= limit for key, limit in limits.items()):
        return None
    # Each guess deletes the expired failures, which bounds the table.
    connection.execute(delete(LoginFailure).where(LoginFailure.at < since))
    rows = insert(LoginFailure).values([{"key": key} for key in limits])
    return list(connection.scalars(rows.returning(LoginFailure.id)))


def _lock(connection: Connection, keys: Sequence[str]) -> None:
    # Held until the guess is committed; all callers lock in the same order.
    for key in keys:
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))


def _count(connection: Connection, keys: Sequence[str], since: Any) -> dict[str, int]:
    query = (
        select(LoginFailure.key, func.count())
        .where(LoginFailure.key.in_(keys), LoginFailure.at >= since)
        .group_by(LoginFailure.key)
    )
    return {key: count for key, count in connection.execute(query)}  # noqa: C416 - rows, not pairs
