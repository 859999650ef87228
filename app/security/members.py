"""Give people their member numbers, passwords and roles."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from sqlalchemy import insert, select

from app.extensions import db
from app.models import Member
from app.security import lockout, passwords, sessions
from app.security.roles import require_compatible


@dataclass(frozen=True, slots=True)
class NewMember:
    """Who is to be registered; neither account nor province means the registry itself."""

    member_no: str
    name: str
    role: str
    account_id: int | None = None
    province: str | None = None
    email: str = ""
    phone: str = ""


def register_member(
    member_no: str,
    name: str,
    password: str,
    role: str,
    *,
    account_id: int | None = None,
    province: str | None = None,
    must_change: bool = True,
) -> int:
    """Register one member and return the id; the caller commits.  Raises RuleError on a bad role."""
    newcomer = NewMember(member_no, name, role, account_id, province)
    return register_members([newcomer], password, must_change=must_change)[member_no]


def register_members(
    newcomers: Sequence[NewMember], password: str, *, must_change: bool = True
) -> dict[str, int]:
    """Register members who share a first password; return their ids by member number.

    The password is hashed once, so that thousands take a second.  The caller commits.
    """
    for newcomer in newcomers:
        require_compatible(
            [newcomer.role], account_id=newcomer.account_id, province=newcomer.province
        )
    if not newcomers:
        return {}
    hashed = passwords.hash_of(password)
    rows = [
        {
            "username": newcomer.member_no,
            "first_name": newcomer.name,
            "last_name": "",
            "email": newcomer.email or f"{newcomer.member_no}@members.invalid",
            "phone": newcomer.phone or None,
            "password": hashed,
            "active": True,
            "account_id": newcomer.account_id,
            "province": newcomer.province,
            "must_change_password": must_change,
        }
        for newcomer in newcomers
    ]
    query = insert(Member).returning(Member.username, Member.id)
    ids = {row.username: row.id for row in db.session.execute(query, rows)}
    _give_roles({ids[newcomer.member_no]: newcomer.role for newcomer in newcomers})
    return ids


def assign_role(member_id: int, code: str) -> None:
    """Give a member this role in place of those held; the caller commits.  Raises RuleError."""
    member = db.session.get_one(Member, member_id, with_for_update=True)
    require_compatible([code], account_id=member.account_id, province=member.province)
    held = assoc_user_role.c.user_id == member_id
    db.session.execute(assoc_user_role.delete().where(held))
    _give_roles({member_id: code})
    db.session.expire(member, ["roles"])


def _give_roles(codes: dict[int, str]) -> None:
    role_ids = {name: role_id for role_id, name in db.session.execute(select(Role.id, Role.name))}
    rows = [{"user_id": member, "role_id": role_ids[code]} for member, code in codes.items()]
    db.session.execute(insert(assoc_user_role), rows)


def set_active(member_id: int, is_active: bool) -> Member:
    """Enable or disable a member; a disabled one's sessions end.  The caller commits."""
    member = db.session.get_one(Member, member_id, with_for_update=True)
    member.active = is_active
    db.session.flush()
    if not is_active:
        sessions.end_others(member_id, None, "inactive")
    return member


def reset_password(member_id: int) -> tuple[Member, str]:
    """Give a member a random first password, to be changed at once; the caller commits and tells it.

    The sessions end, and so does a lock.
    """
    member = db.session.get_one(Member, member_id, with_for_update=True)
    password = first_password()
    passwords.choose(member, password, must_change=True)
    sessions.end_others(member_id, None, "password")
    lockout.unlock([member.username])
    return member, password


def first_password() -> str:
    """Make a password that can be read out over the telephone: three groups, no look-alikes."""
    kinds = ("ABCDEFGHJKMNPQRSTUVWXYZ", "abcdefghjkmnpqrstuvwxyz", "23456789")
    groups = ("".join(secrets.choice(kinds[n % 3]) for n in range(5)) for _ in range(3))
    return "-".join(groups)
