"""行业 of an enterprise: one or several, each from a day on (rules-2026 C10).

In account details and proposals they are one text: codes with commas between them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from sqlalchemy import func, insert, select, update

from app.extensions import db
from app.models import AccountSector

BETWEEN = ","


def split(text: str) -> list[str]:
    """Return the codes that a detail names."""
    return [each for each in text.split(BETWEEN) if each]


def of_account(account_id: int, day: date) -> list[str]:
    """Return the codes of an account's sectors on a day."""
    found = select(AccountSector.sector).where(AccountSector.account_id == account_id, _holds(day))
    return list(db.session.scalars(found.order_by(AccountSector.id)))


def of_accounts(accounts: Collection[int]) -> dict[int, list[str]]:
    """Return the codes of all sectors that accounts are or were in, by account."""
    found: dict[int, dict[str, None]] = {}
    rows = select(AccountSector.account_id, AccountSector.sector).where(
        AccountSector.account_id.in_(accounts)
    )
    for account_id, code in db.session.execute(rows.order_by(AccountSector.id)):
        found.setdefault(account_id, {})[code] = None
    return {account_id: list(codes) for account_id, codes in found.items()}


def begin(sectors: Mapping[int, Collection[str]], day: date) -> None:
    """Add the sectors of new accounts, by account."""
    rows = [
        {"account_id": account_id, "sector": code, "starts_on": day}
        for account_id, codes in sectors.items()
        for code in codes
    ]
    if rows:
        db.session.execute(insert(AccountSector), rows)


def change(account_id: int, codes: Collection[str], day: date) -> None:
    """Let an account be in these sectors from a day on; the others end, and what stays goes on.

    The caller holds the account's lock.
    """
    now = of_account(account_id, day)
    ended = [each for each in now if each not in codes]
    db.session.execute(
        update(AccountSector)
        .where(
            AccountSector.account_id == account_id,
            AccountSector.sector.in_(ended),
            AccountSector.ends_on.is_(None),
        )
        .values(ends_on=func.greatest(AccountSector.starts_on, day))
    )
    begin({account_id: [each for each in codes if each not in now]}, day)


def _holds(day: date) -> Any:
    ends = AccountSector.ends_on
    return (AccountSector.starts_on <= day) & (ends.is_(None) | (ends > day))
