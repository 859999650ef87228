"""操作员管理: the account representative appoints and disables the enterprise's operators.

The representative's number is the 会员编号; an operator's has two more digits.  Acts of an operator
are acts of the enterprise and of the person (登记管理规则 12).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext
from sqlalchemy import select

from app.domain.errors import NotFound, RuleError
from app.extensions import db
from app.models import Account, Member
from app.models.member import reviewers_of
from app.operations.accounts import details
from app.operations.accounts.openings import LONGEST_MEMBER_NAME
from app.operations.people import deeds, letters, members
from app.operations.people.deeds import Evidence
from app.operations.people.members import NewMember
from app.operations.records import log, seals
from app.operations.records.actor import Actor

MAKER, CHECKER = "enterprise_maker", "enterprise_checker"
MOST = 99  # of one enterprise: two digits
# Form fields, validated like these details.
_READ_AS = {
    "name": "representative",
    "phone": "representative_phone",
    "email": "representative_email",
}


def read(name: str, phone: str, email: str) -> tuple[dict[str, str], dict[str, str]]:
    """Validate typed values; return (normalised values, messages), by field."""
    typed = dict(zip(_READ_AS.values(), (name, phone, email), strict=True))
    values, wrong = details.read(typed)
    if len(values.get("representative", "")) > LONGEST_MEMBER_NAME:
        wrong["representative"] = gettext(
            "This is longer than %(most)d characters", most=LONGEST_MEMBER_NAME
        )
    found = [
        {own: each[theirs] for own, theirs in _READ_AS.items() if theirs in each}
        for each in (values, wrong)
    ]
    return found[0], found[1]


def add(
    actor: Actor,
    *,
    name: str,
    phone: str,
    email: str,
    roles: Sequence[str],
    now: datetime,
    sends: bool = True,
) -> Member:
    """Register an operator of the actor's enterprise, and send both first letters.

    They wait for `send_codes` where the representative has yet to sign for it.
    Takes values validated by `read`.  Raises RuleError where the address is another member's or the
    numbers are used up.
    """
    account = _account(actor)
    _require_roles(roles)
    newcomer = NewMember(_next_number(account), name, roles[0], account.id, None, email, phone)
    member_id = members.register_member(newcomer, None)
    members.give_roles({member_id: roles})
    member = db.session.get_one(Member, member_id)
    log.record(
        actor,
        "operator.add",
        subject=member.username,
        account_id=account.id,
        roles=sorted(roles),
    )
    if sends:
        _send_letters(member, account, actor, now)
    return member


def set_roles(member_id: int, roles: Sequence[str], actor: Actor) -> Member:
    """Replace an operator's roles."""
    account, _member = _operator(member_id, actor)
    _require_roles(roles)
    member = members.set_roles(member_id, roles, actor)
    _require_reviewers(account)
    return member


def disable(member_id: int, actor: Actor) -> Member:
    """停用: disable an operator.  Raises RuleError where 操作复核 would lack reviewers."""
    account, _member = _operator(member_id, actor)
    member = members.disable(member_id, actor)
    _require_reviewers(account)
    return member


def enable(member_id: int, actor: Actor) -> Member:
    """启用: enable an operator."""
    _operator(member_id, actor)
    return members.enable(member_id, actor)


def reset(member_id: int, actor: Actor, *, now: datetime) -> Member:
    """重置: remove an operator's password and send a link to choose one."""
    account, _member = _operator(member_id, actor)
    member = members.reset(member_id, actor, first=None)
    _send_letters(member, account, actor, now, has_codes=not seals.are_asked())
    return member


def appointable(member_id: int, actor: Actor) -> tuple[Account, Member]:
    """Lock and return account and operator, who may be sent the codes.  Raises RuleError.

    A lost certificate needs 证书补办.
    """
    account, member = _operator(member_id, actor)
    if not member.active:
        raise RuleError(gettext("The member is disabled"), code="inactive")
    if letters.has_had_certificate(member.id):
        raise RuleError(
            gettext("The operator has had a certificate; the registry sends a replacement"),
            code="two_officers",
        )
    return account, member


def send_codes(
    member_id: int, actor: Actor, *, now: datetime, signature: int | None = None
) -> Member:
    """Send the codes of a first certificate, with a link where there is no password.

    Earlier codes become invalid.
    """
    account, member = appointable(member_id, actor)
    _send_letters(member, account, actor, now, evidence=deeds.by_deeds(signature))
    return member


# Guards ----------------------------------------------------------------------------------------


def _account(actor: Actor) -> Account:
    """Lock the actor's account.  Raises NotFound unless the actor is its representative."""
    account = actor.account_id and db.session.get(
        Account, actor.account_id, with_for_update=True, populate_existing=True
    )
    if not account or account.member_no != actor.member_no:
        raise NotFound(gettext("There is no such record"))
    return account


def _operator(member_id: int, actor: Actor) -> tuple[Account, Member]:
    account = _account(actor)
    member = db.session.get(
        Member, member_id, with_for_update={"key_share": True}, populate_existing=True
    )
    if member is None or member.account_id != account.id or member.id == actor.member_id:
        raise NotFound(gettext("There is no such record"))
    return account, member


def _require_roles(roles: Sequence[str]) -> None:
    if not roles or not set(roles) <= {MAKER, CHECKER}:
        raise RuleError(
            gettext("Choose what the operator may do"), field="roles", code="role_missing"
        )


def _require_reviewers(account: Account) -> None:
    """Raise RuleError where 操作复核 is on and too few reviewers are left."""
    if account.needs_colleague and len(reviewers_of(db.session, account.id)) < 2:
        raise RuleError(
            gettext(
                "The colleague's review is on: two people have to be able to say yes. Name another"
                " one who may review, or switch it off first"
            ),
            code="no_colleague",
        )


# Writing ---------------------------------------------------------------------------------------


def _next_number(account: Account) -> str:
    """Return the next number; numbers are not reused."""
    numbers = db.session.scalars(select(Member.username).where(Member.account_id == account.id))
    shape = re.compile(rf"{re.escape(account.member_no)}-([0-9]{{2}})")
    last = max((int(found[1]) for each in numbers if (found := shape.fullmatch(each))), default=0)
    if last >= MOST:
        raise RuleError(
            gettext("An enterprise has at most %(most)d operators", most=MOST), code="numbers"
        )
    return f"{account.member_no}-{last + 1:02}"


def _send_letters(
    member: Member,
    account: Account,
    actor: Actor,
    now: datetime,
    *,
    has_codes: bool = True,
    evidence: Evidence | None = None,
) -> None:
    """Send what is lacking: the link to choose a password, the codes of a first certificate."""
    token, codes = "", None
    if member.password is None:
        token = letters.fresh_link(member, actor, now=now)
    if has_codes and not letters.has_had_certificate(member.id):
        codes = letters.first_codes(member, actor, evidence=evidence)
    letters.send(
        member,
        gettext("Your access to the registry"),
        gettext("you are an operator of %(name)s in the registry.", name=account.name),
        token=token,
        codes=codes,
    )
