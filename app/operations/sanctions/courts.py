"""Reading what the rules of courts' measures read: the orders concerned, papers, receivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer

from app.domain.kinds import KINDS
from app.domain.kinds.rules import CourtOrder, Courts, OnSale
from app.domain.workflow import COLLEAGUE_STEP, Case, Status
from app.extensions import db
from app.models import parameter
from app.operations.records.columns import typed

PREFIX = "court_"  # of the kinds' codes; the database says the same


def gather(cases: Sequence[Case]) -> dict[str, Any]:
    """Return what the rules of courts' measures read, and transfers that a court's order waits for."""
    concerned = [case for case in cases if case.kind.startswith(PREFIX)]
    moving = [
        case.id
        for case in cases
        if case.step == COLLEAGUE_STEP and KINDS[case.kind].settles_at_day_end
    ]
    if moving:
        return {
            "courts": Courts(waited_for=frozenset(db.session.scalars(_WAITED, {"ids": moving})))
        }
    if not concerned:
        return {}
    ids = [case.id for case in concerned]
    orders = [case.proposal.get("order") or 0 for case in concerned]
    receivers = [line.account_id for case in concerned for line in case.lines if line.account_id]
    instruments = [case.proposal.get("instrument") or 0 for case in concerned]
    courts = Courts(
        orders=_orders(orders),
        sales={
            row.application_id: OnSale(row.account_id, row.order_id, row.instrument_id, row.unsold)
            for row in db.session.execute(
                _SALES, {"sales": [case.proposal.get("sale") or 0 for case in concerned]}
            )
        },
        longest_years=parameter.settings(db.session)["court_freeze_years"],
        without_paper=frozenset(db.session.scalars(_WITHOUT_PAPER, {"ids": ids})),
        at_bank=frozenset(db.session.execute(_AT_BANK, {"accounts": receivers}).all()),
        admitted=frozenset(db.session.scalars(_ADMITTED, {"accounts": receivers})),
        known=frozenset(db.session.scalars(_KNOWN, {"instruments": instruments})),
    )
    return {"courts": courts}


def _orders(ids: Sequence[int]) -> dict[int, CourtOrder]:
    return {
        row.application_id: CourtOrder(
            row.account_id,
            row.status == Status.APPROVED,
            row.left,
            row.queued,
            row.ends_on,
            {int(key): held for key, held in (row.held or {}).items()},
            {int(key): asked for key, asked in (row.promised or {}).items()},
            row.on_sale,
        )
        for row in db.session.execute(_ORDERS, {"orders": list(ids)})
    }


_ORDERS = typed(
    """
    SELECT c.application_id, c.account_id, a.status, c.quantity - c.ended AS left, c.queued, c.ends_on,
           (SELECT jsonb_object_agg(h.instrument_id, h.quantity) FROM court_hold h
             WHERE h.order_id = c.application_id) AS held,
           (SELECT jsonb_object_agg(w.instrument_id, w.quantity)
              FROM (SELECT l.instrument_id, sum(l.quantity) AS quantity
                      FROM application r JOIN application_line l ON l.application_id = r.id
                     WHERE r.kind = 'court_surrender' AND r.status = 'in_review'
                       AND r.account_id = c.account_id
                       AND r.proposal ->> 'order' = c.application_id::text
                     GROUP BY 1) w) AS promised,
           (SELECT coalesce(sum(s.unsold), 0)::bigint FROM court_sale s
             WHERE s.order_id = c.application_id) AS on_sale
      FROM court_order c JOIN application a ON a.id = c.application_id
     WHERE c.application_id = ANY(:orders)
    """,
    orders=BigInteger,
)
_SALES = typed(
    """
    SELECT application_id, account_id, order_id, instrument_id, unsold FROM court_sale
     WHERE application_id = ANY(:sales)
    """,
    sales=BigInteger,
)
_AT_BANK = typed(
    """
    SELECT k.account_id, b.instrument_id
      FROM bank_binding k JOIN settlement_bank b ON b.id = k.bank_id
     WHERE k.account_id = ANY(:accounts) AND k.ended_at IS NULL
    """,
    accounts=Integer,
)
_WAITED = typed(
    """
    SELECT DISTINCT a.id FROM application a
      JOIN application_line l ON l.application_id = a.id
      JOIN court_order c ON c.account_id = a.account_id AND c.queued > 0
      JOIN instrument i ON i.id = l.instrument_id
       AND CASE WHEN c.instrument_id IS NULL THEN i.kind = 'allowance'
                ELSE c.instrument_id = i.id END
     WHERE a.id = ANY(:ids)
    """,
    ids=BigInteger,
)
_WITHOUT_PAPER = typed(
    """
    SELECT id FROM unnest(:ids) AS w (id)
     WHERE NOT EXISTS (SELECT FROM attachment t WHERE t.application_id = w.id)
    """,
    ids=BigInteger,
)
# Accounts of a class that may hold (N103, N125), which have not ended.
_ADMITTED = typed(
    """
    SELECT id FROM account
     WHERE id = ANY(:accounts) AND kind = 'enterprise' AND closed_at IS NULL
       AND 'hold' = ANY (class_rights_on(holder_class, (now() AT TIME ZONE 'Asia/Shanghai')::date))
    """,
    accounts=Integer,
)
_KNOWN = typed("SELECT id FROM instrument WHERE id = ANY(:instruments)", instruments=Integer)
