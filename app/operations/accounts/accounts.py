"""Accounts: 划转权限, 操作复核, 限制 and 关联."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import BigInteger, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.domain.workflow import Case
from app.extensions import db, violated
from app.models import (
    Account,
    AccountDetail,
    ColleagueReviewChange,
    CustodyLink,
    Member,
    TransferPermissionChange,
)
from app.models.member import NO_ADDRESS, reviewers_of
from app.operations.records import log, outbox
from app.operations.records.actor import Actor
from app.operations.records.columns import typed


def allow_exchange_transfer(account_id: int, actor: Actor, *, allowed: bool, now: datetime) -> None:
    """Switch 划转权限: whether the exchange may start transfers to trading (manual 四-二).

    Raises RuleError where the account is in that state already.
    """
    account = db.session.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    if account.allows_exchange_transfer == allowed:
        raise RuleError(
            _("The transfer permission is on already")
            if allowed
            else _("The transfer permission is off already"),
            code="unchanged",
        )
    account.allows_exchange_transfer = allowed
    db.session.add(
        TransferPermissionChange(
            account_id=account_id,
            is_allowed=allowed,
            changed_by=actor.member_id,
            changed_at=now,
            ip=actor.ip,
        )
    )
    log.record(
        actor,
        "transfer_permission.change",
        subject=account.member_no,
        account_id=account_id,
        is_allowed=allowed,
    )


def ask_colleagues(account_id: int, actor: Actor, *, asks: bool, now: datetime) -> None:
    """Switch 操作复核: whether submissions need another operator's approval first.

    Pending applications still need it.  Raises RuleError where the account is in that state
    already, or has fewer than two members who may review: a submitter cannot be the reviewer.
    """
    account = db.session.get_one(Account, account_id, with_for_update=True, populate_existing=True)
    if account.needs_colleague == asks:
        raise RuleError(
            _("The colleague's review is on already")
            if asks
            else _("The colleague's review is off already"),
            code="unchanged",
        )
    if asks and len(reviewers_of(db.session, account_id)) < 2:
        raise RuleError(
            _("Add an operator who may review first: two people have to be able to say yes"),
            code="no_colleague",
        )
    account.needs_colleague = asks
    db.session.add(
        ColleagueReviewChange(
            account_id=account_id,
            is_on=asks,
            changed_by=actor.member_id,
            changed_at=now,
            ip=actor.ip,
        )
    )
    log.record(
        actor,
        "colleague_review.change",
        subject=account.member_no,
        account_id=account_id,
        is_on=asks,
    )
    _notify_of_review(account, actor, asks=asks, now=now)


def _notify_of_review(account: Account, actor: Actor, *, asks: bool, now: datetime) -> None:
    """Notify the representative and every operator, since without it one USBKey suffices."""
    detail = db.session.get(AccountDetail, account.id)
    found = db.session.scalars(
        select(Member.email).where(Member.account_id == account.id, Member.active.is_(True))
    )
    addresses = {*found, (detail and detail.representative_email) or ""}
    body = _(
        "The colleague's review of account %(number)s was changed at %(time)s by"
        " %(person)s from %(ip)s: %(state)s. If your enterprise did not decide so, call the service"
        " telephone 400-991-1188 at once.",
        number=account.member_no,
        state=_("Switched on") if asks else _("Switched off"),
        time=f"{now.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}",
        person=f"{actor.member_no} {actor.name}",
        ip=actor.ip or "-",
    )
    outbox.send(
        *(
            outbox.Message(
                channel="mail",
                recipient=address,
                subject=_("The colleague's review was switched"),
                body=body,
                purpose="colleague_review.change",
                account_id=account.id,
            )
            for address in sorted(addresses)
            if outbox.is_deliverable("mail", address) and not address.endswith(NO_ADDRESS)
        )
    )


def restrict(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """限制: refuse debits of these accounts, except surrender."""
    _set_restricted(cases, is_restricted=True)


def lift(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """解除限制: lift the restriction of these accounts."""
    _set_restricted(cases, is_restricted=False)


def link(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """关联: let the receivers receive the applicant's custody (manual 六-一-2)."""
    rows = [
        {
            "account_id": case.account_id,
            "receiver_id": receiver,
            "application_id": case.id,
            "linked_at": now,
        }
        for case in cases
        for receiver in sorted(case.receivers)
    ]
    db.session.execute(insert(CustodyLink).values(rows).on_conflict_do_nothing())


def group(cases: Sequence[Case], actor: Actor, now: datetime) -> None:
    """关联企业集团: replace groups by those approved.

    Raises RuleError where another group took one of their companies at the same time.
    """
    try:
        with db.session.begin_nested():
            db.session.execute(_GROUP, {"ids": [case.id for case in cases]})
    except IntegrityError as error:
        if violated(error) != "one_group_at_a_time":
            raise
        raise RuleError(
            _("One of the companies has joined another group meanwhile"),
            field="receivers",
            code="grouped_elsewhere",
        ) from error
    for case in cases:
        log.record(
            actor, "linked_companies.change", subject=case.number, account_id=case.account_id,
            companies=len(case.receivers),
        )  # fmt: skip


_GROUP = typed("SELECT carry_out_company_groups(:ids)", ids=BigInteger)


def _set_restricted(cases: Sequence[Case], *, is_restricted: bool) -> None:
    ids = [case.account_id for case in cases]
    db.session.execute(
        update(Account).where(Account.id.in_(ids)).values(is_restricted=is_restricted)
    )
