"""Where members and officers are written to."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from flask_appbuilder.security.sqla.models import Role, assoc_user_role
from sqlalchemy import select

from app.extensions import db
from app.models import AccountDetail, Member
from app.models.member import NO_ADDRESS
from app.operations.records import outbox
from app.operations.records.outbox import Message

OFFICERS = ("registry_maker", "registry_checker")


def of_accounts(accounts: Collection[int]) -> dict[int, list[tuple[str, str]]]:
    """Return (channel, address) by account: the representative's, else the members' mail addresses."""
    found: dict[int, list[tuple[str, str]]] = {id_: [] for id_ in accounts}
    details = select(AccountDetail).where(AccountDetail.account_id.in_(accounts))
    for each in db.session.scalars(details):
        if each.representative_email:
            found[each.account_id].append(("mail", each.representative_email))
        if each.representative_phone:
            found[each.account_id].append(("sms", each.representative_phone))
    lacking = [
        id_ for id_, reached in found.items() if not any(each[0] == "mail" for each in reached)
    ]
    members = select(Member.account_id, Member.email).where(
        Member.account_id.in_(lacking), Member.active
    )
    for account_id, email in db.session.execute(members.order_by(Member.id)):
        if email and account_id is not None:
            found[account_id].append(("mail", email))
    return found


def of_provinces(provinces: Collection[str]) -> list[tuple[int, str]]:
    """Return the officers of provinces who can sign in and have a mail address, as (member, address)."""
    rows = db.session.execute(
        select(Member.id, Member.email)
        .where(Member.active.is_(True), Member.province.in_(provinces), Member.account_id.is_(None))
        .order_by(Member.id)
    )
    return [(row.id, row.email) for row in rows if _is_real(row.email)]


def of_officers() -> list[tuple[int, str]]:
    """Return the registry's officers who can sign in and have a mail address, as (member, address)."""
    rows = db.session.execute(
        select(Member.id, Member.email)
        .join(assoc_user_role, assoc_user_role.c.user_id == Member.id)
        .join(Role, Role.id == assoc_user_role.c.role_id)
        .where(Member.active.is_(True), Role.name.in_(OFFICERS))
        .distinct()
        .order_by(Member.id)
    )
    return [(row.id, row.email) for row in rows if _is_real(row.email)]


def letters(
    reached: Iterable[tuple[str, str]], subject: str, body: str, *, purpose: str, key: str,
    account_id: int | None = None,
) -> list[Message]:  # fmt: skip
    """Return a text's messages to the well-formed ones of (channel, address); each has a key of its own."""
    return [
        Message(
            channel, address, body, purpose,
            subject=subject if channel == "mail" else "",
            account_id=account_id,
            dedupe_key=f"{key}:{channel}{number}",
        )
        for number, (channel, address) in enumerate(reached)
        if outbox.is_deliverable(channel, address)
    ]  # fmt: skip


def letters_to_members(
    members: Iterable[tuple[int, str]], subject: str, body: str, *, purpose: str, key: str
) -> list[Message]:
    """Return a text's messages to (member, mail address), as `of_officers` and `of_provinces` give them."""
    return [
        Message("mail", address, body, purpose, subject=subject, dedupe_key=f"{key}:m{member_id}")
        for member_id, address in members
    ]


def _is_real(address: str) -> bool:
    return outbox.is_deliverable("mail", address) and not address.endswith(NO_ADDRESS)
