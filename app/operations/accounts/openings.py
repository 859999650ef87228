"""开户 (manual 二-一): opening accounts, the first letters, and the first sign-in.

Confirmation opens accounts in set-based SQL; the worker derives the codes, which is slow, and writes
both letters in one transaction per member (`write_letters`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

from flask_babel import gettext
from sqlalchemy import insert, select, text, update

from app.domain.accounts import EMITTER
from app.domain.errors import NotAllowed, NotFound, RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case
from app.extensions import db
from app.models import Account, AccountDetail, Invitation, Member
from app.models.member import lock_numbers
from app.operations.accounts import details as account_details
from app.operations.accounts import sectors
from app.operations.accounts.details import FIELDS
from app.operations.ledger import posting
from app.operations.people import certificates, deeds, letters
from app.operations.people.certificates import Codes
from app.operations.people.members import NewMember, register_members
from app.operations.records import log
from app.operations.records.actor import Actor
from app.pki.errors import SignerAbsent

MOST_A_DAY = 99_999  # 会员编号: YYMMDD and five digits
LONGEST_MEMBER_NAME = 64
LETTERS_AT_ONCE = 10


class InvalidLink(RuleError):
    """The first-sign-in link is unknown, used or expired; which one is not disclosed."""

    code = "invalid_link"

    def __init__(self) -> None:
        super().__init__(
            gettext("The first-sign-in code is not valid, or no longer valid"), field="token"
        )


# Confirmation -------------------------------------------------------------------------------


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Open the accounts of confirmed applications, with a member and an invitation each."""
    details = {case.id: _details(case) for case in cases}
    numbers = dict(zip(details, _next_numbers(len(cases), now), strict=True))
    accounts = _insert_accounts(details, numbers, now)
    db.session.execute(
        insert(AccountDetail),
        [
            {"account_id": accounts[id_], **_columns(values, of_account=False)}
            for id_, values in details.items()
        ],
    )
    chosen = {accounts[id_]: sectors.split(each.get("sector", "")) for id_, each in details.items()}
    sectors.begin(chosen, now.astimezone(BEIJING).date())
    members = _register(details, numbers, accounts)
    db.session.execute(
        insert(Invitation),
        [
            {
                "member_id": members[numbers[case.id]],
                "opened_by": case.submitted_by,
                "confirmed_by": actor.member_id,
                "created_at": now,
            }
            for case in cases
        ],
    )


def _details(case: Case) -> dict[str, str]:
    after = {name: pair[1] for name, pair in account_details.proposed(case.proposal).items()}
    of_class = case.proposal.get("holder_class", ["", EMITTER])[1]
    return after | {"province": case.proposal["province"][1], "holder_class": of_class}


def _columns(values: Mapping[str, str], *, of_account: bool) -> dict[str, str]:
    names = [each.name for each in FIELDS if (each.of_account if of_account else each.of_details)]
    return {name: values.get(name, "") for name in names}


def _next_numbers(count: int, now: datetime) -> list[str]:
    """Return new member numbers: YYMMDD of the opening and a gapless serial of the day."""
    lock_numbers(db.session)
    day = f"{now.astimezone(BEIJING):%y%m%d}"
    last = db.session.scalar(_LAST_NUMBER, {"shape": f"^{day}[0-9]{{5}}$"}) or 0
    if last + count > MOST_A_DAY:
        raise RuleError(gettext("The member numbers of this day are used up"), code="numbers")
    return [f"{day}{serial:05}" for serial in range(last + 1, last + count + 1)]


def _insert_accounts(
    details: Mapping[int, Mapping[str, str]], numbers: Mapping[int, str], now: datetime
) -> dict[int, int]:
    """Insert the accounts; return their ids by application."""
    rows = [
        {
            "member_no": numbers[id_],
            "kind": "enterprise",
            "province": values["province"],
            "lacks_documents": True,
            "opened_on": now.astimezone(BEIJING).date(),
            "opening_id": id_,
            **_columns(values, of_account=True),
            "uscc": values.get("uscc") or None,
            "holder_class": values["holder_class"],
        }
        for id_, values in details.items()
    ]
    statement = insert(Account).returning(Account.opening_id, Account.id)
    with posting.ledger_errors():
        found = db.session.execute(statement, rows).all()
    return {row.opening_id: row.id for row in found}


def _register(
    details: Mapping[int, Mapping[str, str]],
    numbers: Mapping[int, str],
    accounts: Mapping[int, int],
) -> dict[str, int]:
    """Register the account representatives, without passwords; return ids by number."""
    addresses = [values["representative_email"] for values in details.values()]
    used = set(db.session.scalars(select(Member.email).where(Member.email.in_(addresses))))
    newcomers = []
    for id_, values in details.items():
        address = values["representative_email"]
        newcomers.append(
            NewMember(
                numbers[id_],
                values["name"][:LONGEST_MEMBER_NAME],
                "enterprise",
                accounts[id_],
                # Unique among members; letters use the account's address anyway.
                email="" if address in used else address,
            )
        )
        used.add(address)
    return register_members(newcomers, None)


_LAST_NUMBER = text("""
    SELECT max(CAST(substr(number, 7) AS integer))
      FROM (SELECT member_no AS number FROM account UNION ALL SELECT username FROM ab_user) AS known
     WHERE number ~ :shape
""")


# Letters and first sign-in ------------------------------------------------------------------


def write_letters(*, now: datetime, most: int = LETTERS_AT_ONCE) -> int:
    """Write both letters of the oldest pending invitations; return the number processed.

    `now` is real time.  Workers may run it concurrently.  A RuleError is stored in the invitation,
    which is then skipped; without the signing process all wait, and 0 is returned.
    """
    waiting = db.session.scalars(
        select(Invitation)
        .where(Invitation.written_at.is_(None), Invitation.failure == "")
        .order_by(Invitation.created_at, Invitation.member_id)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()
    for invitation in waiting:
        attempt = db.session.begin_nested()
        try:
            _write_letters_of(invitation, now)
            attempt.commit()
        except SignerAbsent:
            attempt.rollback()
            return 0
        except RuleError as error:
            attempt.rollback()
            invitation.failure = str(error)[:200]
    db.session.flush()
    return len(waiting)


def lacks_something(member: Member) -> bool:
    """Tell whether a member lacks a password or a first certificate."""
    return member.password is None or not letters.has_had_certificate(member.id)


def invite_again(member_id: int, actor: Actor, *, now: datetime) -> None:
    """Have the letters written again, with what is still lacking; earlier ones become invalid.

    For the registry's officers.  A certificate that existed needs 证书补办 instead.
    """
    invitation = db.session.get(Invitation, member_id, with_for_update=True, populate_existing=True)
    if invitation is None or invitation.confirmed_by is None:
        raise NotFound(gettext("There is no such record"))
    member = invitation.member
    if not lacks_something(member):
        raise NotAllowed(gettext("The member has signed in already"), code="signed_in")
    if member.password is None:
        invitation.token_hash = invitation.expires_at = invitation.used_at = None
    invitation.written_at, invitation.failure, invitation.created_at = None, "", now
    log.record(
        actor, "account_opening.invite", subject=member.username, account_id=member.account_id
    )
    db.session.flush()


def _write_letters_of(invitation: Invitation, now: datetime) -> None:
    """Send a member what is lacking: link and 参考号 by mail, 授权码 by text message."""
    member = db.session.get_one(
        Member, invitation.member_id, with_for_update=True, populate_existing=True
    )
    invitation.written_at = now
    if not lacks_something(member):
        return
    token, codes = "", None
    if member.password is None:
        token = secrets.token_urlsafe(32)
        invitation.token_hash = letters.hash_of(token)
        invitation.expires_at = now + letters.LINK_LIFETIME
    if not letters.has_had_certificate(member.id):
        codes = _open_enrolment(invitation, now)
    letters.send(
        member,
        gettext("Your registry account has been opened"),
        gettext("the registry account of %(name)s has been opened.", name=member.first_name),
        token=token,
        codes=codes,
        purpose="account_opening.invitation",
    )


def _open_enrolment(invitation: Invitation, now: datetime) -> Codes:
    """Open the enrolment of the first certificate, in the names of both officers."""
    officers = [
        Actor.of(db.session.get_one(Member, id_))
        for id_ in (invitation.opened_by, invitation.confirmed_by)
        if id_ is not None
    ]
    account = db.session.get_one(Account, invitation.member.account_id)
    return certificates.open_enrolment(
        invitation.member_id,
        officers[0],
        now=now,
        confirmed_by=officers[1],
        assurance=letters.assurance(),
        evidence=deeds.by_application(account.opening_id) if account.opening_id else None,
    )


def redeem(token: str, *, ip: str, now: datetime) -> Member:
    """Use up a first-sign-in link and return its member; of concurrent uses one succeeds.

    The caller sets the password in the same transaction, so that a refusal leaves the link valid.
    Raises InvalidLink, also where the member has a password by now.
    """
    found = db.session.execute(
        update(Invitation)
        .where(
            Invitation.token_hash == letters.hash_of(token.strip()),
            Invitation.used_at.is_(None),
            Invitation.expires_at > now,
        )
        .values(used_at=now)
        .returning(Invitation.member_id)
    ).scalar_one_or_none()
    member = found and db.session.get(Member, found, with_for_update=True, populate_existing=True)
    if not member or not member.active or member.password is not None:
        raise InvalidLink
    log.record(
        Actor.of(member, ip),
        "member.first_sign_in",
        subject=member.username,
        account_id=member.account_id,
    )
    return member
