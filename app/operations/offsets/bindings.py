"""CCER账户绑定: asked for in the CCER registry, answered here by the enterprise, one to one (N80).

Answers are applications; the database carries them out (sql/0030/follow.sql).
"""

from __future__ import annotations

from sqlalchemy import select

from app.domain.compliance.offsets import CONFIRMED
from app.extensions import db
from app.models import OffsetBinding


def of_account(account_id: int) -> OffsetBinding | None:
    """Return the binding of an account that is asked for or confirmed."""
    found = select(OffsetBinding).where(
        OffsetBinding.account_id == account_id, OffsetBinding.state.in_(("asked", CONFIRMED))
    )
    return db.session.scalars(found).one_or_none()
