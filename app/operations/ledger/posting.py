"""The one posting path: all movements are inserted here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import BigInteger, DateTime, Integer, SmallInteger, String, bindparam
from sqlalchemy.exc import IntegrityError

from app.domain.errors import InsufficientQuantity, NotAllowed, RuleError
from app.domain.kinds import KINDS
from app.domain.moves import Bucket, PostingRequest, Stage
from app.extensions import db, violated
from app.operations.records.columns import typed

_POST = typed(
    """
    WITH request AS (
           SELECT * FROM unnest(:businesses, :stages, :keys, :documents, :applications, :members)
             WITH ORDINALITY AS r (business, stage, request_key, document, application_id, member_id, n)),
         made AS (
           INSERT INTO posting (business, stage, request_key, document, application_id, member_id, leads)
           SELECT business, stage, request_key, document, application_id, member_id, n = 1 FROM request
            ORDER BY n
           RETURNING id, request_key),
         moved AS (
           INSERT INTO movement (posting_id, at, instrument_id, quantity,
                                 from_account, from_bucket, to_account, to_bucket)
           SELECT made.id, :at, m.instrument_id, m.quantity,
                  m.from_account, m.from_bucket, m.to_account, m.to_bucket
             FROM unnest(:move_keys, :instruments, :quantities, :from_accounts, :from_buckets,
                         :to_accounts, :to_buckets)
                  WITH ORDINALITY AS m (request_key, instrument_id, quantity, from_account,
                                        from_bucket, to_account, to_bucket, n)
             JOIN made USING (request_key)
            ORDER BY m.n)
    SELECT request_key, id FROM made
    """,
    **dict.fromkeys(("businesses", "stages", "keys", "documents", "move_keys"), String),
    **dict.fromkeys(("applications", "quantities"), BigInteger),
    **dict.fromkeys(("members", "instruments", "from_accounts", "to_accounts"), Integer),
    **dict.fromkeys(("from_buckets", "to_buckets"), SmallInteger),
).bindparams(bindparam("at", type_=DateTime(timezone=True)))

_REVERSE = typed(
    """
    WITH turned AS (
           SELECT p.id AS reverses_id, p.business, p.document, p.application_id,
                  p.id = min(p.id) OVER () AS leads
             FROM posting p WHERE p.id = ANY(:postings)),
         made AS (
           INSERT INTO posting (business, stage, request_key, document, application_id,
                                reverses_id, member_id, leads)
           SELECT business, :stage, 'reverse:' || reverses_id, document, application_id,
                  reverses_id, :member_id, leads
             FROM turned ORDER BY reverses_id
           RETURNING id, reverses_id),
         moved AS (
           INSERT INTO movement (posting_id, at, instrument_id, quantity,
                                 from_account, from_bucket, to_account, to_bucket)
           SELECT made.id, :at, m.instrument_id, m.quantity,
                  m.to_account, m.to_bucket, m.from_account, m.from_bucket
             FROM made JOIN movement m ON m.posting_id = made.reverses_id
            ORDER BY m.id)
    SELECT reverses_id, id FROM made
    """,
    postings=BigInteger,
).bindparams(
    bindparam("stage", type_=String),
    bindparam("at", type_=DateTime(timezone=True)),
    bindparam("member_id", type_=Integer),
)

# In transit for the day: the bucket's balance less transfers submitted for later days.
_ROLL = typed(
    """
    WITH later AS (
           SELECT a.account_id, l.instrument_id,
                  sum(l.quantity) FILTER (WHERE a.kind <> ALL(:to_registry_kinds)) AS to_trading,
                  sum(l.quantity) FILTER (WHERE a.kind = ANY(:to_registry_kinds)) AS to_registry
             FROM application a JOIN application_line l ON l.application_id = a.id
            WHERE a.status = 'pending_settlement' AND a.settles_on > :day
            GROUP BY a.account_id, l.instrument_id),
         due AS MATERIALIZED (
           SELECT h.account_id, h.instrument_id,
                  h.pending_to_trading - coalesce(later.to_trading, 0) AS to_trading,
                  h.pending_to_registry - coalesce(later.to_registry, 0) AS to_registry
             FROM holding h LEFT JOIN later USING (account_id, instrument_id)
            WHERE h.pending_to_trading > 0 OR h.pending_to_registry > 0),
         made AS (
           INSERT INTO posting (business, stage, request_key, document, member_id, leads)
           SELECT :business, :stage, :business || ':' || :document, :document, :member_id, true
            WHERE EXISTS (SELECT FROM due WHERE to_trading > 0 OR to_registry > 0)
           RETURNING id),
         moved AS (
           INSERT INTO movement (posting_id, at, instrument_id, quantity,
                                 from_account, from_bucket, to_account, to_bucket)
           SELECT made.id, :at, instrument_id, quantity, account_id, from_bucket, account_id, to_bucket
             FROM made, due, LATERAL (VALUES (to_trading, :pending_to_trading, :trading),
                                             (to_registry, :pending_to_registry, :available))
                             AS route (quantity, from_bucket, to_bucket)
            WHERE quantity > 0
            ORDER BY account_id, instrument_id, from_bucket)
    SELECT (SELECT id FROM made) AS posting_id,
           count(*) FILTER (WHERE to_trading > 0) AS to_trading_holdings,
           coalesce(sum(to_trading), 0)::bigint AS to_trading_quantity,
           count(*) FILTER (WHERE to_registry > 0) AS to_registry_holdings,
           coalesce(sum(to_registry), 0)::bigint AS to_registry_quantity
      FROM due
    """,
    to_registry_kinds=String,
).bindparams(
    *(bindparam(name, type_=String) for name in ("business", "document", "stage")),
    bindparam("at", type_=DateTime(timezone=True)),
    bindparam("member_id", type_=Integer),
    *(
        bindparam(name, int(bucket), type_=SmallInteger)
        for name, bucket in (
            ("pending_to_trading", Bucket.PENDING_TO_TRADING),
            ("trading", Bucket.TRADING),
            ("pending_to_registry", Bucket.PENDING_TO_REGISTRY),
            ("available", Bucket.AVAILABLE),
        )
    ),
)


def post(requests: Sequence[PostingRequest], *, at: datetime) -> dict[str, int]:
    """Post all requests or none; return posting ids by request key.

    ``at`` is the business time.  Raises InsufficientQuantity where a pocket would become negative
    and RuleError for a request key posted before; the transaction is then aborted.
    """
    assert requests
    with ledger_errors():
        rows = db.session.execute(_POST, _columns(requests) | {"at": at}).all()
    assert len(rows) == len(requests)
    return dict(rows)


def reverse(
    posting_ids: Sequence[int], *, stage: Stage, at: datetime, member_id: int | None
) -> dict[int, int]:
    """Post the exact opposite of each posting; return new ids by reversed ids.

    Raises RuleError where a posting was reversed before.
    """
    assert posting_ids
    with ledger_errors():
        rows = db.session.execute(
            _REVERSE,
            {"postings": list(posting_ids), "stage": stage, "at": at, "member_id": member_id},
        ).all()
    assert len(rows) == len(posting_ids)
    return dict(rows)


def roll(day: date, *, business: str, at: datetime, member_id: int | None) -> Any:
    """Move tonnes in transit for ``day`` or earlier to their target bucket, one movement a holding.

    Returns a row: posting_id (None where nothing was in transit), and holdings and tonnes moved in
    each direction.
    """
    to_registry_kinds = [
        kind.code
        for kind in KINDS.values()
        if kind.reserves and kind.reserves[1] is Bucket.PENDING_TO_REGISTRY
    ]
    return db.session.execute(
        _ROLL,
        {
            "day": day,
            "document": day.isoformat(),
            "business": business,
            "stage": str(Stage.SETTLEMENT),
            "to_registry_kinds": to_registry_kinds,
            "at": at,
            "member_id": member_id,
        },
    ).one()


def _taken() -> RuleError:
    return InsufficientQuantity(
        _("What was left has been taken up by another application meanwhile")
    )


def _unit_taken() -> RuleError:
    return NotAllowed(
        _("A unit of CCER does not wait for offset any more: another application was faster"),
        code="unit_taken_meanwhile",
    )


def _ended_by_court() -> RuleError:
    return InsufficientQuantity(
        _("What the court's order had left has been released, assigned or ended meanwhile")
    )


def _resolved() -> RuleError:
    return RuleError(
        _("Another application about this is under review or approved already"),
        code="under_review_already",
    )


def _uscc() -> RuleError:
    return RuleError(
        _("Another account has this unified social credit code, or is about to"),
        field="uscc",
        code="uscc_taken",
    )


def _done() -> RuleError:
    return RuleError(_("This was carried out before and is not done twice"), code="done_before")


# By the constraint that is violated.
_REFUSALS: dict[str, Callable[[], RuleError]] = {
    "never_negative": lambda: InsufficientQuantity(
        _("The quantity is no longer available: another request was faster")
    ),
    "draws_stay_within": _taken,
    "surrender_stays_within": _taken,
    "claims_stay_within_issued": _taken,
    "carry_over_stays_within": _taken,
    "offset_stays_within": _taken,
    "offset_units_are_free": _unit_taken,
    "court_order_adds_up": _ended_by_court,
    "court_order_stands": _ended_by_court,
    "court_assignment_stays_within": _ended_by_court,
    "court_surrenders_keep_within": _ended_by_court,
    "court_sale_adds_up": _taken,
    "court_sale_is_bound": _taken,
    "pledges_keep_within": lambda: RuleError(
        _(
            "The pledge, or who has to agree to this, is another one by now; send it back and enter it anew"
        ),
        code="pledge_changed",
    ),
    "issues_keep_to_the_chain": lambda: RuleError(
        _(
            "Where an issue goes, or what waits at the province, has changed meanwhile; send it back and"
            " enter it anew"
        ),
        code="off_the_way",
    ),
    "one_commission": lambda: RuleError(
        _("A surrender by commission for this notice is under review already"),
        code="commission_under_review",
    ),
    "commission_document": lambda: RuleError(
        _("This document asked for another surrender by commission; each has one of its own"),
        field="document_no",
        code="commission_document_used",
    ),
    "one_differentiation": lambda: RuleError(
        _("An application about this enterprise and year in the list is under review"),
        field="year",
        code="list_under_review",
    ),
    "figures_agree": lambda: RuleError(
        _("The figures pushed for this enterprise differ from our own by now"),
        code="figure_differs",
    ),
    "issued_once": lambda: RuleError(
        _("This was issued already, or is about to be, by another application"),
        field="category",
        code="issued_before",
    ),
    "one_account_change": lambda: RuleError(
        _("A change of the account's details is under review already"), code="change_under_review"
    ),
    "one_resolution": _resolved,
    "one_bank_resolution": _resolved,
    "one_cover_under_review": _resolved,
    "one_trade_settlement": _resolved,
    "one_notice_decision": lambda: RuleError(
        _("Another application about this enterprise's notice of the year is under review"),
        field="year",
        code="notice_under_review",
    ),
    "one_plan_decision": lambda: RuleError(
        _("Another application about this plan is under review"),
        field="year",
        code="plan_under_review",
    ),
    "one_carry_over_round": _resolved,
    "one_carry_over_notices": _resolved,
    "one_carry_over_batch": _resolved,
    "offset_binding_as_answered": _done,
    "offset_binding_as_ended": lambda: RuleError(
        _("The binding, or what is under way of it, has changed meanwhile; look at it again"),
        code="binding_changed",
    ),
    "one_opening": _uscc,
    "account_uscc_key": _uscc,
    "one_succession": _resolved,
    "penalty_document": lambda: RuleError(
        _("A penalty by this document is entered for the enterprise already"),
        field="document_no",
        code="penalty_entered",
    ),
    "one_class_rule": _resolved,
    "one_revocation": _resolved,
    "revocation_as_approved": lambda: RuleError(
        _("What is to be revoked has changed meanwhile; look at it and enter the revocation anew"),
        code="revocable_changed",
    ),
    "account_is_closed": lambda: NotAllowed(
        _("An account that is closed gets nothing and applies for nothing"), code="account_closed"
    ),
    "instrument_is_retired": lambda: NotAllowed(
        _("The instrument is retired; nothing of it is issued or moved"), code="instrument_retired"
    ),
    "class_has_the_right": lambda: NotAllowed(
        _("Accounts of this class do not have the right to this"), code="class_lacks_right"
    ),
    "administrator_acts": lambda: NotAllowed(
        _("The enterprise is insolvent: its bankruptcy administrator alone submits"),
        code="not_the_administrator",
    ),
    "posting_request_key_key": _done,
    "posting_reverses_id_key": _done,
}


@contextmanager
def ledger_errors() -> Iterator[None]:
    """Translate violations of the ledger's constraints into RuleErrors; others propagate."""
    try:
        yield
    except IntegrityError as error:
        refusal = _REFUSALS.get(violated(error))
        if refusal is None:
            raise
        raise refusal() from error


def _columns(requests: Sequence[PostingRequest]) -> dict[str, list[Any]]:
    moves = [(request.request_key, move) for request in requests for move in request.moves]
    return {
        "businesses": [request.business for request in requests],
        "stages": [str(request.stage) for request in requests],
        "keys": [request.request_key for request in requests],
        "documents": [request.document for request in requests],
        "applications": [request.application_id for request in requests],
        "members": [request.member_id for request in requests],
        "move_keys": [key for key, _move in moves],
        "instruments": [move.source.instrument_id for _key, move in moves],
        "quantities": [move.quantity for _key, move in moves],
        "from_accounts": [move.source.account_id for _key, move in moves],
        "from_buckets": [int(move.source.bucket) for _key, move in moves],
        "to_accounts": [move.target.account_id for _key, move in moves],
        "to_buckets": [int(move.target.bucket) for _key, move in moves],
    }
