"""Members: registering them, letting them in and keeping them out, their passwords and roles.

Whoever it is about, officer, administrator or operator, an act leaves the same behind: the row, the
sessions, the certificates and the log.  The callers say who may do it to whom; they commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_appbuilder.security.sqla.models import (
    Permission,
    PermissionView,
    Role,
    ViewMenu,
    assoc_permissionview_role,
    assoc_user_role,
)
from flask_babel import gettext
from sqlalchemy import delete, insert, select

from app.domain.errors import NotFound, RuleError
from app.domain.roles import require_compatible
from app.extensions import db
from app.models import LoginFailure, Member
from app.models.member import NO_ADDRESS, lock_numbers, require_free_address
from app.operations.people import certificates, letters, passwords, sessions
from app.operations.records import log
from app.operations.records.actor import Actor


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


def register_member(newcomer: NewMember, password: str | None, *, must_change: bool = True) -> int:
    """Register one member and return the id.

    Raises RuleError for a bad role, and for a number or an address that is another member's.
    """
    lock_numbers(db.session)
    number = newcomer.member_no
    if db.session.scalar(select(Member.id).where(Member.username == number)):
        raise RuleError(
            gettext("The member number %(number)s is taken", number=number),
            field="number",
            code="number_taken",
        )
    if newcomer.email:
        require_free_address(db.session, newcomer.email)
    return register_members([newcomer], password, must_change=must_change)[number]


def register_members(
    newcomers: Sequence[NewMember], password: str | None, *, must_change: bool = True
) -> dict[str, int]:
    """Register members who share a first password; return their ids by member number.

    Without one each chooses an own by a link.  The password is hashed once, so that thousands take
    a second.
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
            "email": newcomer.email or f"{newcomer.member_no}{NO_ADDRESS}",
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
    give_roles({ids[newcomer.member_no]: [newcomer.role] for newcomer in newcomers})
    return ids


# Letting in and keeping out ---------------------------------------------------------------------


def disable(member_id: int, actor: Actor) -> Member:
    """停用: keep a member out.  The sessions end, the certificates are suspended, open codes lapse.

    The same for officers, administrators and operators.  Who signs or signs in at once has done so
    before, or is refused.
    """
    member = _other(member_id, actor)
    member.active = False
    db.session.flush()
    sessions.end_all(member.id, "inactive")
    _record(actor, "member.disable", member)
    certificates.suspend_all(member.id, actor, now=letters.real_time())
    return member


def enable(member_id: int, actor: Actor) -> Member:
    """启用: let a member in again; the certificates stay suspended until their keeper resumes them."""
    member = _other(member_id, actor)
    member.active = True
    db.session.flush()
    _record(actor, "member.enable", member)
    return member


def reset(member_id: int, actor: Actor, *, first: str | None) -> Member:
    """重置: take the password away, in favour of a first one that has to be changed at once.

    Without one the member chooses an own by a link.  The caller tells the password or has the link
    sent.  The sessions end, and so does a lock.
    """
    member = _other(member_id, actor)
    if first is None:
        passwords.take_away(member)
    else:
        passwords.choose(member, first, must_change=True)
    sessions.end_all(member.id, "password")
    _forget_failures(member.username)
    _record(actor, "password.reset", member)
    return member


def set_roles(member_id: int, codes: Sequence[str], actor: Actor) -> Member:
    """Give a member these roles in place of those held; the sessions end.  Raises RuleError."""
    member = _other(member_id, actor)
    require_compatible(codes, account_id=member.account_id, province=member.province)
    before = sorted(role.name for role in member.roles)
    give_roles({member.id: codes})
    db.session.expire(member, ["roles"])
    sessions.end_all(member.id, "forced")
    _record(actor, "member.role", member, before=before, after=sorted(codes))
    return member


def unlock(member_no: str, actor: Actor) -> bool:
    """解锁: let a number sign in again at once; tell whether there were failures to forget."""
    if not _forget_failures(member_no):
        return False
    log.record(actor, "member.unlock", subject=member_no)
    return True


def give_roles(codes: Mapping[int, Sequence[str]]) -> None:
    """Write the roles of members, by id, in place of those held; the caller has judged them."""
    db.session.execute(delete(assoc_user_role).where(assoc_user_role.c.user_id.in_(codes)))
    ids = {name: role_id for role_id, name in db.session.execute(select(Role.id, Role.name))}
    rows = [
        {"user_id": member_id, "role_id": ids[code]}
        for member_id, held in codes.items()
        for code in held
    ]
    db.session.execute(insert(assoc_user_role), rows)


def require_other(member_id: int, actor: Actor) -> None:
    """Raise RuleError where somebody acts on the own account."""
    if member_id == actor.member_id:
        raise RuleError(gettext("You cannot do this to yourself"), code="own_account")


def permissions_of(member_id: int) -> tuple[list[Role], frozenset[tuple[str, str]]]:
    """Return a member's roles, and what they allow as (permission, view) pairs, in one query.

    Groups are left out on purpose: roles are given to a member, where the exclusions are checked.
    """
    rows = db.session.execute(
        select(Role, Permission.name, ViewMenu.name)
        .join(assoc_user_role, assoc_user_role.c.role_id == Role.id)
        .outerjoin(assoc_permissionview_role, assoc_permissionview_role.c.role_id == Role.id)
        .outerjoin(
            PermissionView, PermissionView.id == assoc_permissionview_role.c.permission_view_id
        )
        .outerjoin(Permission, Permission.id == PermissionView.permission_id)
        .outerjoin(ViewMenu, ViewMenu.id == PermissionView.view_menu_id)
        .where(assoc_user_role.c.user_id == member_id)
    ).all()
    roles = list({role.id: role for role, _permission, _view in rows}.values())
    return roles, frozenset((permission, view) for _, permission, view in rows if permission)


def _other(member_id: int, actor: Actor) -> Member:
    """Lock somebody else's row.  Raises NotFound, and RuleError for the own account.

    Not its key, which signatures and events refer to: whoever signs meanwhile holds the certificate
    and would wait for this row, while `disable` waits for the certificate.
    """
    member = db.session.get(
        Member, member_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if member is None:
        raise NotFound(gettext("There is no such record"))
    require_other(member.id, actor)
    return member


def _forget_failures(member_no: str) -> int:
    failures = delete(LoginFailure).where(LoginFailure.key == LoginFailure.key_of(member_no))
    return db.session.execute(failures).rowcount


def _record(actor: Actor, action: str, member: Member, **detail: Any) -> None:
    """Log an act in an administrator's words, or as the representative's on an operator."""
    if actor.account_id is not None:
        action = f"operator.{action.partition('.')[2]}"
    log.record(actor, action, subject=member.username, account_id=member.account_id, **detail)
