"""What an enterprise decides about its own account: 划转权限."""

from __future__ import annotations

from datetime import datetime

from flask_babel import gettext as _

from app.domain.errors import RuleError
from app.extensions import db
from app.models import Account, TransferPermissionChange
from app.operations import log
from app.operations.actor import Actor


def allow_exchange_transfer(account_id: int, actor: Actor, *, allowed: bool, now: datetime) -> None:
    """Switch 划转权限: whether the trading side may fetch registry holdings (manual 四-二).

    The history is kept.  Raises RuleError where the account is in that state already, so that
    pressing twice writes one change.
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
