"""Members: registration, disabling and enabling, passwords and roles.

The one place for officers, administrators and operators alike: it keeps row, sessions, certificates
and log consistent (docs/adr/0049).  Callers check who may act on whom, and commit.
"""

from __future__ import annotations

from collections import defaultdict
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
from sqlalchemy import delete, func, insert, select

from app.domain.errors import NotFound, RuleError
from app.domain.roles import require_compatible
from app.extensions import db
from app.models import Account, LoginFailure, Member
from app.models.member import NO_ADDRESS, lock_numbers, require_free_address
from app.operations.people import certificates, letters, passwords, sessions
from app.operations.records import log
from app.operations.records.actor import Actor


@dataclass(frozen=True, slots=True)
class NewMember:
    """A member to register; without account and province, one of the registry."""

    member_no: str
    name: str
    role: str
    account_id: int | None = None
    province: str | None = None
    email: str = ""
    phone: str = ""


def register_member(newcomer: NewMember, password: str | None, *, must_change: bool = True) -> int:
    """Register one member and return the id.

    Raises RuleError for incompatible roles and for another member's number or address.
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
    """Register members with a common first password; return their ids by member number.

    With None each chooses a password by a link.  The password is hashed once for the whole batch.
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


# Access ------------------------------------------------------------------------------------------


def disable(member_id: int, actor: Actor) -> Member:
    """停用: disable a member, end the sessions, suspend the certificates, invalidate open codes.

    A concurrent signature or sign-in either precedes it or is refused.
    """
    member = _other(member_id, actor)
    member.active = False
    db.session.flush()
    sessions.end_all(member.id, "inactive")
    sessions.forget_devices(member.id)
    _record(actor, "member.disable", member)
    certificates.suspend_all(member.id, actor, now=letters.real_time())
    return member


def enable(member_id: int, actor: Actor) -> Member:
    """启用: enable a member; the certificates stay suspended until they are resumed.

    Raises RuleError where the member's account is closed.
    """
    member = _other(member_id, actor)
    _require_account(member.account_id)
    member.active = True
    db.session.flush()
    _record(actor, "member.enable", member)
    return member


def reset(member_id: int, actor: Actor, *, first: str | None) -> Member:
    """重置: replace the password by ``first``, which has to be changed at sign-in.

    With None the member chooses one by a link.  The caller hands over password or link.  Ends the
    sessions, known devices and a lock.
    """
    member = _other(member_id, actor)
    if first is None:
        passwords.take_away(member)
    else:
        passwords.choose(member, first, must_change=True)
    sessions.end_all(member.id, "password")
    sessions.forget_devices(member.id)
    _record(actor, "password.reset", member)
    _clear_failures(member.username)
    return member


def set_roles(member_id: int, codes: Sequence[str], actor: Actor) -> Member:
    """Replace a member's roles and end the sessions.  Raises RuleError."""
    member = _other(member_id, actor)
    require_compatible(codes, account_id=member.account_id, province=member.province)
    before = sorted(role.name for role in member.roles)
    give_roles({member.id: codes})
    db.session.expire(member, ["roles"])
    sessions.end_all(member.id, "forced")
    _record(actor, "member.role", member, before=before, after=sorted(codes))
    return member


def unlock(member_no: str, actor: Actor) -> bool:
    """解锁: clear a number's failures, wherever they came from; tell whether there were any."""
    found = select(LoginFailure.id).where(LoginFailure.member_no == member_no).limit(1)
    if db.session.scalar(found) is None:
        return False
    log.record(actor, "member.unlock", subject=member_no)
    _clear_failures(member_no)
    return True


def give_roles(codes: Mapping[int, Sequence[str]]) -> None:
    """Replace members' roles, by id, without checks."""
    db.session.execute(delete(assoc_user_role).where(assoc_user_role.c.user_id.in_(codes)))
    ids = {name: role_id for role_id, name in db.session.execute(select(Role.id, Role.name))}
    rows = [
        {"user_id": member_id, "role_id": ids[code]}
        for member_id, held in codes.items()
        for code in held
    ]
    db.session.execute(insert(assoc_user_role), rows)


def require_other(member_id: int, actor: Actor) -> None:
    """Raise RuleError where the actor is the member."""
    if member_id == actor.member_id:
        raise RuleError(gettext("You cannot do this to yourself"), code="own_account")


def permissions_of(member_id: int) -> frozenset[tuple[str, str]]:
    """Return a member's (permission, view) pairs, in one query.

    FAB's groups are ignored on purpose: exclusions are checked on a member's own roles.
    """
    held = select(assoc_user_role.c.role_id).where(assoc_user_role.c.user_id == member_id)
    found = db.session.execute(_GRANTS.where(Role.id.in_(held)))
    return frozenset((permission, view) for _role, permission, view in found)


def grants() -> dict[str, frozenset[tuple[str, str]]]:
    """Return the (permission, view) pairs that each role grants, by its code."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for role, permission, view in db.session.execute(_GRANTS):
        found[role].add((permission, view))
    return {role: frozenset(pairs) for role, pairs in found.items()}


_GRANTS = (
    select(Role.name, Permission.name, ViewMenu.name)
    .join(assoc_permissionview_role, assoc_permissionview_role.c.role_id == Role.id)
    .join(PermissionView, PermissionView.id == assoc_permissionview_role.c.permission_view_id)
    .join(Permission, Permission.id == PermissionView.permission_id)
    .join(ViewMenu, ViewMenu.id == PermissionView.view_menu_id)
)


def _other(member_id: int, actor: Actor) -> Member:
    """Lock another member's row.  Raises NotFound, and RuleError for the actor's own.

    FOR NO KEY UPDATE: a concurrent signer holds the certificate and references this row, while
    `disable` waits for the certificate; a full lock would deadlock.
    """
    member = db.session.get(
        Member, member_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if member is None:
        raise NotFound(gettext("There is no such record"))
    require_other(member.id, actor)
    return member


def _clear_failures(member_no: str) -> None:
    """Clear all counters of a member, after the act was logged."""
    db.session.execute(select(func.clear_failures(member_no, None)))


def _require_account(account_id: int | None) -> None:
    """Raise RuleError where an account is closed: nobody signs in for it any more."""
    ended = select(Account.id).where(Account.id == account_id, Account.closed_at.is_not(None))
    if account_id is not None and db.session.scalar(ended) is not None:
        raise RuleError(gettext("The account of this member is closed"), code="account_closed")


def _record(actor: Actor, action: str, member: Member, **detail: Any) -> None:
    """Log an act, as an administrator's or as the representative's on an operator."""
    if actor.account_id is not None:
        action = f"operator.{action.partition('.')[2]}"
    log.record(actor, action, subject=member.username, account_id=member.account_id, **detail)
