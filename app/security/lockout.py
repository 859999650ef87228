"""Lockout: guesses counted in the database before they are judged, by member, address and device.

A stranger is held up per member and address, per member over all addresses, and per address over all
members.  A device known to the member has a counter of its own, which no stranger can reach (ADR 0062).
"""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, Select, case, cast, func, select, text

from app.extensions import db
from app.models import LoginFailure
from app.models.parameter import setting

PER_MEMBER = 50  # of strangers, over all addresses
PER_ADDRESS = 50  # over all members
CAPTCHAS = 30  # wrong ones, per address or known device
SOUNDS = 20  # drawn per address
# States of a member number, worst last.
OPEN, PARTLY, LOCKED = range(3)

_TAKE = text("SELECT take_guess(:keys, :owners, CAST(:limits AS integer[]), :since)")


class Counter(NamedTuple):
    """A counter, whose it is (None: nobody's), and how many guesses it has (None: `per_member`)."""

    key: str
    member_no: str | None
    limit: int | None = None


class Source(NamedTuple):
    """Where a guess comes from: an address, and the known device of the member, if it is one."""

    ip: str
    device_id: int | None = None

    @property
    def place(self) -> str:
        """Return the address, or of IPv6 the /64, all of which one subscriber has."""
        try:
            address = ipaddress.ip_address(self.ip)
        except ValueError:
            return self.ip
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped:
                return str(address.ipv4_mapped)
            return str(ipaddress.ip_network((int(address), 64), strict=False))
        return str(address)

    def own_key(self, member_no: str) -> str:
        """Return the key of the counter that a complete sign-in clears."""
        if self.device_id is not None:
            return f"device:{self.device_id}"
        return f"pair:{member_no} {self.place}"


def window(session: Any) -> timedelta:
    """Return how long a failure counts (系统参数)."""
    return timedelta(minutes=setting(session, "lock_minutes"))


def per_member(session: Any) -> int:
    """Return how many failures lock a member number for an address or a device (系统参数)."""
    return setting(session, "lock_failures")


def take_a_guess(member_no: str, source: Source) -> UUID | None:
    """Take one of the remaining guesses, or return None where none remains.

    It is committed as a failure before the password is checked, so that concurrent guesses cannot
    exceed the limit.  `give_back` takes it back after a right password.
    """
    own = Counter(source.own_key(member_no), member_no)
    if source.device_id is not None:
        return _take(own)
    return _take(
        own, Counter(f"member:{member_no}", member_no, PER_MEMBER), _of_the_address(source)
    )


def take_a_guess_from(ip: str) -> UUID | None:
    """The same for an address alone, where no member is named."""
    return _take(_of_the_address(Source(ip)))


def take_a_password_change(member_no: str) -> UUID | None:
    """The same for the original password, which is asked of who is signed in."""
    return _take(Counter(f"password:{member_no}", member_no))


def take_a_captcha(source: Source) -> UUID | None:
    """The same for the answer to a 验证码."""
    place = source.place if source.device_id is None else f"device {source.device_id}"
    return _take(Counter(f"captcha:{place}", None, CAPTCHAS))


def take_a_sound(ip: str) -> UUID | None:
    """The same for drawing a spoken 验证码, which costs a third of a second."""
    return _take(Counter(f"sound:{Source(ip).place}", None, SOUNDS))


def give_back(guess: UUID) -> None:
    """Delete a guess that was no failure; the caller commits."""
    db.session.execute(select(func.give_back_guess(guess)))


def forgive(member_no: str, source: Source) -> None:
    """Clear the source's own counter after a sign-in, which the caller has logged and commits."""
    db.session.execute(select(func.clear_failures(member_no, source.own_key(member_no))))


def forgive_password_change(member_no: str) -> None:
    """Clear the counter of the original password after a change, logged by the caller."""
    db.session.execute(select(func.clear_failures(member_no, f"password:{member_no}")))


def failures() -> Select[tuple[str, int, datetime, int]]:
    """Select member number, failures within the window, the last one's time, and the state.

    The state is OPEN, PARTLY (for an address, a device or the change of the password), or LOCKED for
    all strangers.
    """
    kind, count = func.split_part(LoginFailure.key, ":", 1), func.count()
    each = (
        select(
            LoginFailure.member_no,
            # Of a stranger's guess the member's counter and the pair's both tell.
            case((kind == "pair", 0), else_=count).label("failures"),
            func.max(LoginFailure.at).label("last_at"),
            case(
                ((kind == "member") & (count >= PER_MEMBER), LOCKED),
                ((kind != "member") & (count >= per_member(db.session)), PARTLY),
                else_=OPEN,
            ).label("state"),
        )
        .where(
            LoginFailure.member_no.is_not(None), LoginFailure.at >= func.now() - window(db.session)
        )
        .group_by(LoginFailure.member_no, LoginFailure.key)
        .subquery()
    )
    return select(
        each.c.member_no,
        cast(func.sum(each.c.failures), Integer).label("failures"),
        func.max(each.c.last_at).label("last_at"),
        func.max(each.c.state).label("state"),
    ).group_by(each.c.member_no)


def _of_the_address(source: Source) -> Counter:
    return Counter(f"ip:{source.place}", None, PER_ADDRESS)


def _take(*counters: Counter) -> UUID | None:
    """Take one guess of each counter, in a transaction of its own."""
    with db.engine.begin() as connection:  # the request needs no second one to read the parameters
        usual = per_member(connection)
        values = {
            "keys": [each.key for each in counters],
            "owners": [each.member_no for each in counters],
            "limits": [each.limit or usual for each in counters],
            "since": window(connection),
        }
        taken: UUID | None = connection.scalar(_TAKE, values)
    return taken
