"""Mergers and divisions as officers enter them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from uuid import uuid4

from app.domain.accounts import Share
from app.domain.kinds.accounts.succession import lines_of
from app.extensions import transaction
from app.models import Account, Instrument, Member
from app.operations.applications import engine
from app.operations.records import clock
from app.operations.records.actor import Actor


def succeeding(
    of: Account, maker: Member, shares: Sequence[tuple[Account, str]],
    held: Mapping[Instrument, int] | None = None, category: str = "merger",
) -> int:  # fmt: skip
    """Enter a succession, which nobody has approved; return the application's id."""
    parts = [
        Share(each.id, Decimal(percent), each.member_no, each.name) for each, percent in shares
    ]
    lines = lines_of({what.id: tonnes for what, tonnes in (held or {}).items()}, parts)
    asked = engine.Draft(
        "account_succession", of.id, lines, str(uuid4()), "合并", category,
        document_no="鄂国资〔2026〕3号", authority="湖北省国资委", starts_on=date(2026, 11, 20),
        proposal={"shares": [each.stored() for each in parts]},
    )  # fmt: skip
    with transaction():
        made = engine.start([asked], Actor.of(maker), now=clock.now())
        engine.submit(made, Actor.of(maker), now=clock.now()).one()
    return made[0]
