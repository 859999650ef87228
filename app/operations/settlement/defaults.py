"""违约: what a trade's party lacks, its notice with a deadline, and the cover out of the reserve (R58)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, DateTime, Integer, bindparam, text

from app.domain.errors import NotFound, RuleError
from app.domain.kinds.money.reserve import DefaultCover
from app.domain.money import yuan
from app.domain.moves import RESERVE_ACCOUNT_ID
from app.domain.trades import Shortfall
from app.domain.trading_day import BEIJING, OPENING
from app.domain.workflow import Line
from app.extensions import db
from app.models import DayPackage
from app.operations.applications import engine
from app.operations.records import addresses, calendar, outbox
from app.operations.records.columns import typed

_NOTE = typed(
    """
    WITH noted AS (
           INSERT INTO trade_default (trade_id, account_id, missing_tonnes, missing_fen, found_at, due_at)
           SELECT d.*, :found_at, :due_at FROM unnest(:trades, :accounts, :tonnes, :fen) AS d
           ON CONFLICT (trade_id) DO NOTHING
           RETURNING id, trade_id, account_id, missing_tonnes, missing_fen)
    SELECT n.id, n.account_id, n.missing_tonnes, n.missing_fen, t.deal_no, a.name
      FROM noted n JOIN trade t ON t.id = n.trade_id JOIN account a ON a.id = n.account_id
     ORDER BY n.id
    """,
    trades=BigInteger,
    accounts=Integer,
    tonnes=BigInteger,
    fen=BigInteger,
).bindparams(
    bindparam("found_at", type_=DateTime(timezone=True)),
    bindparam("due_at", type_=DateTime(timezone=True)),
)


def note(short: Sequence[Shortfall], package: DayPackage, *, now: datetime) -> None:
    """Note the trades that are not covered, and write to those who have to make them good.

    The notice's time ends as the next trading day opens; a trade is noted once.
    """
    due_at = datetime.combine(calendar.next_trading_day(package.day), OPENING, tzinfo=BEIJING)
    rows = db.session.execute(
        _NOTE,
        {
            "trades": [each.deal for each in short],
            "accounts": [each.account for each in short],
            "tonnes": [each.tonnes for each in short],
            "fen": [each.fen for each in short],
            "found_at": now,
            "due_at": due_at,
        },
    ).all()
    if rows:
        _tell(rows, package, due_at)


def _tell(rows: Sequence[Any], package: DayPackage, due_at: datetime) -> None:
    reached = addresses.of_accounts({row.account_id for row in rows})
    subject = _("Notice of default: trades of %(day)s", day=package.day.isoformat())
    outbox.send(*chain.from_iterable(
        addresses.letters(
            reached[row.account_id], subject, _notice(row, package, due_at),
            purpose="trade_default", key=f"trade_default:{row.id}", account_id=row.account_id,
        )
        for row in rows
    ))  # fmt: skip


def _notice(row: Any, package: DayPackage, due_at: datetime) -> str:
    values = {
        "name": row.name, "day": package.day.isoformat(), "deal": row.deal_no,
        "due": f"{due_at.astimezone(BEIJING):%Y-%m-%d %H:%M}",
    }  # fmt: skip
    if row.missing_tonnes:
        return _(
            "%(name)s: deal %(deal)s of %(day)s could not be delivered, %(tonnes)s tonnes are missing."
            " Please make it good by %(due)s.",
            tonnes=f"{row.missing_tonnes:,}", **values,
        )  # fmt: skip
    return _(
        "%(name)s: deal %(deal)s of %(day)s could not be delivered, %(yuan)s yuan are missing. Please pay"
        " them in by %(due)s; after that the settlement reserve may pay them, and they are owed to it.",
        yuan=yuan(row.missing_fen), **values,
    )  # fmt: skip


_MISSING = text("""
    SELECT f.id, t.deal_no, p.day, t.buyer_id, t.buyer_money_id, c.member_no, c.name AS member,
           b.name AS bank,
           coalesce((SELECT r.available FROM holding r
                      WHERE r.account_id = :reserve AND r.instrument_id = t.buyer_money_id), 0) AS reserve,
           t.amount + t.buy_fee - coalesce(h.available, 0) - coalesce(h.proceeds, 0) AS missing
      FROM trade_default f
      JOIN trade t ON t.id = f.trade_id
      JOIN day_package p ON p.id = t.package_id
      JOIN account c ON c.id = t.buyer_id
      JOIN settlement_bank b ON b.instrument_id = t.buyer_money_id
      LEFT JOIN holding h ON (h.account_id, h.instrument_id) = (t.buyer_id, t.buyer_money_id)
     WHERE f.id = :default
""")


def find(default_id: int) -> Any:
    """Return a default with its buyer, what it lacks now and what the reserve has at its bank, in fen.

    Raises NotFound.
    """
    asked = {"default": default_id, "reserve": RESERVE_ACCOUNT_ID}
    row = db.session.execute(_MISSING, asked).one_or_none()
    if row is None:
        raise NotFound(_("There is no such default"))
    return row


def draft(default_id: int, request_key: str, *, reason: str = "") -> engine.Draft:
    """Return the draft of a cover: what the buyer lacks now, in fen, out of the reserve at its bank.

    Raises NotFound, and RuleError where the buyer can pay by now.
    """
    row = find(default_id)
    if row.missing <= 0:
        raise RuleError(
            _("The buyer lacks nothing now; let the day's delivery run once more"),
            code="nothing_missing",
        )
    return engine.Draft(
        kind=DefaultCover.code,
        account_id=RESERVE_ACCOUNT_ID,
        lines=(Line(row.buyer_money_id, row.missing, account_id=row.buyer_id),),
        request_key=request_key,
        reason=reason,
        proposal={
            "default": row.id,
            "day": row.day.isoformat(),
            "deal_no": row.deal_no,
            "buyer_no": row.member_no,
            "buyer": row.member,
            "bank_name": row.bank,
        },
    )
