"""Passwords: policy, hashing, comparison and changing."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from flask import current_app
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import func, select
from werkzeug.security import check_password_hash, generate_password_hash

from app.domain.errors import RuleError
from app.extensions import db
from app.models import Member, PasswordRecord
from app.models.parameter import setting, settings

LONGEST = 128

# Common stems, refused with any digits and punctuation around them, and the demonstration's.
COMMON = (
    "password passw0rd p@ssword p@ssw0rd admin administrator qwerty qwertyuiop asdfgh zxcvbn 1qaz2wsx "
    "1q2w3e4r abc123 abcd1234 iloveyou welcome letmein monkey dragon master woaini woaini1314 5201314 "
    "a123456 aa123456 123qwe qwe123 test1234 changeme root toor guest china zhongguo carbon tanpaifang "
    "demo-2026-carbon"
).split()


def policy() -> list[str]:
    """Return the rules of today's parameters, in words."""
    values = settings(db.session)
    return [
        gettext(
            "%(shortest)s to %(longest)s characters",
            shortest=values["password_shortest"],
            longest=LONGEST,
        ),
        gettext(
            "At least %(count)s kinds of: capital letters, small letters, digits, other characters",
            count=values["password_classes"],
        ),
        gettext("Neither the member number nor the member's name in it"),
        gettext("Not a common password"),
        gettext("None of the last %(count)s passwords", count=values["password_remembered"]),
    ]


def must_be_changed(member: Member, now: datetime) -> str:
    """Return why the member has to change the password first: first, expired, or "".

    `now` is real time here and in `is_expired`, not the business clock.
    """
    values = settings(db.session)
    if member.must_change_password and values["password_first_change"]:
        return "first"
    return "expired" if is_expired(member.password_changed_at, values, now) else ""


def is_expired(changed_at: datetime, values: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether a password set at that time has exceeded its maximum age."""
    days = values["password_max_age_days"]
    return bool(days) and now - changed_at > timedelta(days=days)


def hash_of(password: str) -> str:
    """Hash a password with the configured method."""
    return generate_password_hash(password, method=current_app.config["FAB_PASSWORD_HASH_METHOD"])


def is_right(stored: str | None, password: str) -> bool:
    """Compare a password with a stored hash; a missing hash takes the same time and is wrong."""
    if len(password) > LONGEST:
        return False
    # HMAC pads its key with NULs: "secret" and "secret\0" would be equal.
    if not stored or "\0" in password:
        check_password_hash(_dummy_hash(current_app.config["FAB_PASSWORD_HASH_METHOD"]), password)
        return False
    return check_password_hash(stored, password)


def choose(member: Member, password: str, *, must_change: bool = False) -> None:
    """Set a member's password.  Raises RuleError naming the violated rule.

    The caller holds the member's row and commits.
    """
    require_strong(password, member)
    remembered = setting(db.session, "password_remembered")
    hashes = [member.password, *_earlier(member.id, remembered - 1)]
    if any(is_right(stored, password) for stored in hashes if stored):
        raise RuleError(
            _("The new password is one of the last %(count)s", count=remembered),
            field="new",
            code="password_reused",
        )
    take_away(member)
    member.password = hash_of(password)
    member.password_changed_at = func.now()
    member.must_change_password = must_change
    db.session.flush()


def take_away(member: Member) -> None:
    """Remove the member's password, which still counts as one of the last ones.

    The caller holds the member's row and commits.
    """
    if member.password:
        db.session.add(PasswordRecord(member_id=member.id, password=member.password))
    member.password, member.must_change_password = None, True
    db.session.flush()


def first_password() -> str:
    """Generate a password for reading out: three groups, no look-alikes."""
    kinds = ("ABCDEFGHJKMNPQRSTUVWXYZ", "abcdefghjkmnpqrstuvwxyz", "23456789")
    groups = ("".join(secrets.choice(kinds[n % 3]) for n in range(5)) for _ in range(3))
    return "-".join(groups)


def require_strong(password: str, member: Any) -> None:
    """Raise RuleError where a password violates a rule other than that on history."""
    values = settings(db.session)
    if not values["password_shortest"] <= len(password) <= LONGEST:
        raise _weak(
            _(
                "The new password needs %(shortest)s to %(longest)s characters",
                shortest=values["password_shortest"],
                longest=LONGEST,
            ),
            "length",
        )
    if any(unicodedata.category(character) == "Cc" for character in password):
        raise _weak(_("The new password holds a character that cannot be typed"), "characters")
    if _classes(password) < values["password_classes"]:
        raise _weak(
            _(
                "The new password needs %(count)s of: capital letters, small letters, digits, others",
                count=values["password_classes"],
            ),
            "classes",
        )
    lower = password.casefold()
    names = [member.username, member.first_name]
    if any(name and name.casefold() in lower for name in names):
        raise _weak(_("The new password contains the member number or the member's name"), "name")
    if _is_common(lower):
        raise _weak(_("The new password is too common"), "common")


def could_be_one(text: str) -> bool:
    """Tell whether a text looks more like a password than like a member number."""
    return len(text) >= 8 and _classes(text) >= 3


def _weak(message: Any, code: str) -> RuleError:
    return RuleError(message, field="new", code=f"password_{code}")


def _classes(password: str) -> int:
    kinds = (str.isupper, str.islower, str.isdigit)
    found = sum(any(kind(character) for character in password) for kind in kinds)
    return found + any(not character.isalnum() or character > "\x7f" for character in password)


def _is_common(lower: str) -> bool:
    stem = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lower)
    runs = "01234567890 9876543210 abcdefghijklmnopqrstuvwxyz qwertyuiopasdfghjklzxcvbnm"
    letters = re.sub(r"[\W_]", "", lower)
    return (
        stem in COMMON
        or any(common in lower and len(lower) - len(common) < 5 for common in COMMON)
        or letters in runs
        or len(set(lower)) < 5
    )


def _earlier(member_id: int, count: int) -> list[str]:
    return list(
        db.session.scalars(
            select(PasswordRecord.password)
            .where(PasswordRecord.member_id == member_id)
            .order_by(PasswordRecord.id.desc())
            .limit(count)
        )
    )


@cache
def _dummy_hash(method: str) -> str:
    return generate_password_hash("nobody's password", method=method)
