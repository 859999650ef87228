"""集团查看授权: a company lets the head of its group read its holdings and notices (rules-2026 N128)."""

from __future__ import annotations

from datetime import date, datetime

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import aliased

from app.domain.errors import RuleError
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Account, CompanyGroupMember, GroupConsent
from app.operations.records import log
from app.operations.records.actor import Actor

CONSENT, READING = "group_view.consent", "group_view.read"


def head_of(account_id: int, day: date) -> Account | None:
    """Return the head of the group that a company is in on a day; None for the head itself."""
    head, member = aliased(Account), CompanyGroupMember
    return db.session.scalars(
        select(head)
        .join(member, member.head_id == head.id)
        .where(
            member.account_id == account_id, member.head_id != account_id,
            member.starts_on <= day, member.ends_on.is_(None) | (member.ends_on > day),
        )
    ).first()  # fmt: skip


def is_given(account_id: int, head_id: int) -> bool:
    """Tell what the company said last about this head."""
    said = (
        select(GroupConsent.is_given)
        .where(GroupConsent.account_id == account_id, GroupConsent.head_id == head_id)
        .order_by(GroupConsent.id.desc())
    )
    return bool(db.session.scalar(said.limit(1)))


def change(actor: Actor, *, gives: bool, now: datetime) -> None:
    """Give or take back the consent of the actor's enterprise to the head of its group.

    Raises RuleError where it is in no group, or said the same before.
    """
    assert actor.account_id is not None
    account = db.session.get_one(
        Account, actor.account_id, with_for_update={"key_share": True}, populate_existing=True
    )
    head = head_of(account.id, now.astimezone(BEIJING).date())
    if head is None:
        raise RuleError(
            _("The enterprise is in no group that another one heads"), code="not_in_a_group"
        )
    if is_given(account.id, head.id) == gives:
        raise RuleError(
            _("The consent is given already") if gives else _("The consent is not given"),
            code="unchanged",
        )
    db.session.add(
        GroupConsent(
            account_id=account.id, head_id=head.id, is_given=gives, changed_by=actor.member_id,
            changed_at=now, ip=actor.ip,
        )
    )  # fmt: skip
    log.record(
        actor, CONSENT, subject=account.member_no, account_id=account.id,
        head=head.member_no, is_given=gives,
    )  # fmt: skip
    db.session.flush()


def readable(member: type[CompanyGroupMember], day: date) -> ColumnElement[bool]:
    """Return the condition that a membership holds on a day and its head may read the company."""
    said = (
        select(GroupConsent.is_given)
        .where(GroupConsent.account_id == member.account_id, GroupConsent.head_id == member.head_id)
        .order_by(GroupConsent.id.desc())
        .limit(1)
        .correlate(member)
        .scalar_subquery()
    )
    in_force = (member.starts_on <= day) & (member.ends_on.is_(None) | (member.ends_on > day))
    return in_force & (member.account_id != member.head_id) & said.is_(True)


def note_reading(actor: Actor, page: str) -> None:
    """Log that the head of a group read its companies' data; who of which company is seen later."""
    log.record(actor, READING, subject=page, account_id=actor.account_id)
