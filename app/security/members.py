"""Give people their member numbers, passwords and roles."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from flask_babel import gettext
from sqlalchemy import insert, select

from app.domain.errors import RuleError
from app.domain.regions import PROVINCES
from app.extensions import db
from app.models import Member
from app.models.member import lock_numbers, require_free_address
from app.security import lockout, passwords, sessions
from app.security.roles import ROLES, require_compatible

OFFICER_NUMBER = re.compile(r"[A-Z][0-9A-Z]{1,11}")


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
    password: str | None,
    role: str,
    *,
    account_id: int | None = None,
    province: str | None = None,
    email: str = "",
    phone: str = "",
    must_change: bool = True,
) -> int:
    """Register one member and return the id; the caller commits.

    Raises RuleError for a bad role, and for a number or an address that is another member's.
    """
    lock_numbers(db.session)
    if db.session.scalar(select(Member.id).where(Member.username == member_no)):
        raise RuleError(
            gettext("The member number %(number)s is taken", number=member_no),
            field="number",
            code="number_taken",
        )
    if email:
        require_free_address(db.session, email)
    newcomer = NewMember(member_no, name, role, account_id, province, email, phone)
    return register_members([newcomer], password, must_change=must_change)[member_no]


def register_officer(newcomer: NewMember) -> int:
    """Register an officer, a province or an administrator, who chooses a password by a link.

    Enterprises' people come by openings and by their representatives.  The caller commits.
    """
    if not OFFICER_NUMBER.fullmatch(newcomer.member_no):
        raise RuleError(
            gettext("A number begins with a capital letter: 2 to 12 capital letters and digits"),
            field="number",
            code="number_wrong",
        )
    if newcomer.role not in ROLES or ROLES[newcomer.role].scope == "account":
        raise RuleError(gettext("Please choose the role"), field="role", code="role_missing")
    fitting = list(PROVINCES) if ROLES[newcomer.role].scope == "province" else [None]
    if newcomer.province not in fitting:
        raise RuleError(
            gettext("A provincial authority has a province, everybody else has none"),
            field="province",
            code="role_scope",
        )
    return register_member(
        newcomer.member_no,
        newcomer.name,
        None,
        newcomer.role,
        province=newcomer.province,
        email=newcomer.email,
        phone=newcomer.phone,
    )


def register_members(
    newcomers: Sequence[NewMember], password: str | None, *, must_change: bool = True
) -> dict[str, int]:
    """Register members who share a first password; return their ids by member number.

    Without one each chooses an own by a link.  The password is hashed once, so that thousands take
    a second.  The caller commits.
    """
    for newcomer in newcomers:
        require_compatible(
            [newcomer.role], account_id=newcomer.account_id, province=newcomer.province
        )
    if not newcomers:
        return {}
    hashed = passwords.hash_of(password) if password is not None else None
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
