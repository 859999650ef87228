"""Write 操作日志 rows in the transaction of the act they tell of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from app.extensions import db
from app.models import OperationLog
from app.operations.actor import Actor


def record(
    actor: Actor,
    action: str,
    *,
    subject: str = "",
    account_id: int | None = None,
    result: str = "done",
    **detail: Any,
) -> None:
    """Record one act; it is committed or rolled back together with what it did."""
    db.session.execute(
        insert(OperationLog).values(
            member_id=actor.member_id,
            member_no=actor.member_no,
            ip=actor.ip,
            action=action,
            subject=subject[:120],
            account_id=account_id,
            result=result,
            detail=detail,
        )
    )
