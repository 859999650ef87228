"""破产管理人: an administrator takes the representative's place (rules-2026 N119)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import BigInteger, select
from sqlalchemy.exc import IntegrityError

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case
from app.extensions import db, violated
from app.models import Account, ColleagueReviewChange, Member
from app.operations.accounts import details
from app.operations.people import certificates, letters, members
from app.operations.records import log
from app.operations.records.actor import Actor
from app.operations.records.columns import typed


def carry_out(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """Let administrators act for insolvent enterprises, in the approval's transaction.

    Whoever acted before is kept out at once, certificates revoked; the administrator gets a link to
    choose a password, and a certificate by 证书补办.
    """
    try:
        db.session.execute(_DECLARE, {"ids": [case.id for case in cases]})
    except IntegrityError as error:
        if violated(error) not in ("bankruptcy_as_approved", "bankruptcy_account_id_key"):
            raise
        raise RuleError(
            _("An administrator acts already, or the account has no representative to replace"),
            code="no_representative",
        ) from error
    for case in cases:
        account = db.session.get_one(Account, case.account_id)
        _keep_out(account, actor)
        values = {name: pair[1] for name, pair in details.proposed(case.proposal).items()}
        details.set_details(account.id, values, now.astimezone(BEIJING).date())
        _stop_colleague_review(account, actor, now)
        _let_in(account, actor, now)
        log.record(
            actor, "carry_out.bankruptcy", subject=case.number, account_id=account.id,
            administrator=values["representative"],
        )  # fmt: skip
    db.session.flush()


def _keep_out(account: Account, actor: Actor) -> None:
    """Revoke all certificates, disable the operators, and take the representative's password away."""
    of_account = select(Member).where(Member.account_id == account.id).order_by(Member.id)
    for member in db.session.scalars(of_account).all():
        certificates.revoke_all(member.id, "affiliationChanged", actor, now=letters.real_time())
        if member.username == account.member_no:
            members.reset(member.id, actor, first=None)
        elif member.active:
            members.disable(member.id, actor)


def _stop_colleague_review(account: Account, actor: Actor, now: datetime) -> None:
    """Switch 操作复核 off: nobody is left who could agree."""
    if not account.needs_colleague:
        return
    account.needs_colleague = False
    db.session.add(
        ColleagueReviewChange(
            account_id=account.id, is_on=False, changed_by=actor.member_id, changed_at=now, ip=actor.ip
        )
    )  # fmt: skip


def _let_in(account: Account, actor: Actor, now: datetime) -> None:
    member = db.session.scalars(select(Member).where(Member.username == account.member_no)).one()
    if not member.active:
        members.enable(member.id, actor)
    letters.send(
        member,
        _("You act as bankruptcy administrator in the registry"),
        _("you act for %(name)s in the registry from now on.", name=account.name),
        token=letters.fresh_link(member, actor, now=now),
        purpose="bankruptcy.administrator",
    )


_DECLARE = typed("SELECT declare_bankruptcies(:ids)", ids=BigInteger)
