"""Reading what the rules of money read: bindings, limits, and what is under way at banks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, Date, Integer, bindparam, text

from app.domain.banks import Banking, Binding
from app.domain.kinds.money.bank_transfers import BankBindingApplication, Deposit, Withdrawal
from app.domain.workflow import Case
from app.extensions import db
from app.models import parameter
from app.operations.records.columns import typed

KINDS_OF_MONEY = (Deposit.code, Withdrawal.code, BankBindingApplication.code)
FEN = 100 * 10_000  # of the unit of the limits, ten thousand yuan


def gather(cases: Sequence[Case], today: date) -> dict[str, Any]:
    """Return what the rules of money read, after locking; nothing where no case is of money."""
    concerned = [case for case in cases if case.kind in KINDS_OF_MONEY]
    if not concerned:
        return {}
    asked = {
        "accounts": [case.account_id for case in concerned],
        "cases": [case.id for case in concerned],
        "today": today,
    }
    rows = db.session.execute(_ACCOUNTS, asked).all()
    limits = parameter.settings(db.session)
    banking = Banking(
        bindings={
            row.account_id: Binding(
                row.binding_id, row.bank, row.instrument_id, row.withdrawals_from, row.is_confirmed
            )
            for row in rows
            if row.binding_id
        },
        banks=frozenset(db.session.scalars(_BANKS)),
        names={row.account_id: row.name for row in rows},
        holding=frozenset(row.account_id for row in rows if row.has_money),
        moving=frozenset(row.account_id for row in rows if row.is_moving),
        sent=frozenset(db.session.scalars(_SENT, {"cases": asked["cases"]})),
        paid_out={row.account_id: row.paid_out for row in rows},
        owed={row.account_id: row.owed for row in rows if row.owed},
        largest_deposit=limits["largest_deposit"] * FEN,
        largest_withdrawal=limits["largest_withdrawal"] * FEN,
        most_a_day=limits["withdrawals_a_day"] * FEN,
    )
    return {"banking": banking}


_BANKS = text("SELECT code FROM settlement_bank")
_SENT = typed(
    """
    SELECT DISTINCT application_id FROM bank_order
     WHERE application_id = ANY(:cases) AND state IN ('sent', 'unknown')
    """,
    cases=BigInteger,
)
# What was withdrawn today: paid by a bank, or under review.
_ACCOUNTS = typed(
    """
    SELECT c.id AS account_id, c.name, k.id AS binding_id, b.code AS bank, b.instrument_id,
           k.withdrawals_from, coalesce(w.is_confirmed, false) AS is_confirmed,
           coalesce((h.available, h.reserved, h.frozen, h.proceeds) <> (0, 0, 0, 0), false)
             AS has_money,
           EXISTS (SELECT FROM application a WHERE a.account_id = c.id
                      AND a.kind IN ('deposit', 'withdrawal') AND a.status = 'in_review')
             AS is_moving,
           coalesce((SELECT sum(l.quantity) FROM application a
                       JOIN application_line l ON l.application_id = a.id
                      WHERE a.account_id = c.id AND a.kind = 'withdrawal'
                        AND a.status IN ('in_review', 'approved') AND a.id <> ALL(:cases)
                        AND (a.submitted_at AT TIME ZONE 'Asia/Shanghai')::date = :today), 0)::bigint
             AS paid_out,
           (SELECT jsonb_object_agg(o.code, v.owed)
              FROM open_receivable v JOIN settlement_bank o USING (instrument_id)
             WHERE v.account_id = c.id) AS owed
      FROM account c
      LEFT JOIN bank_binding k ON k.account_id = c.id AND k.ended_at IS NULL
      LEFT JOIN settlement_bank b ON b.id = k.bank_id
      LEFT JOIN bank_binding_answer w ON w.binding_id = k.id
      LEFT JOIN holding h ON h.account_id = c.id AND h.instrument_id = b.instrument_id
     WHERE c.id = ANY(:accounts)
    """,
    accounts=Integer,
    cases=BigInteger,
).bindparams(bindparam("today", type_=Date))
