"""Clearing a day's trades: what they come to, 初审, and the exchange's confirmation (结算管理规则 7-8)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from asn1crypto import x509
from flask_babel import gettext as _
from sqlalchemy import Integer, func, insert, select, text

from app.domain.errors import NotFound, RuleError
from app.domain.kinds.settlement import TradeSettlement
from app.domain.moves import ISSUANCE_ACCOUNT_ID
from app.domain.trades import Clearing, Deal, Shortfall, clear
from app.domain.workflow import Status
from app.extensions import db
from app.models import (
    Account,
    Application,
    CourtSale,
    DayPackage,
    SettlementConfirmation,
    Trade,
    TradeDelivery,
    Venue,
    VenueCertificate,
)
from app.operations.applications import engine
from app.operations.records import log
from app.operations.records.actor import EXCHANGE, Actor
from app.operations.records.columns import typed
from app.pki import cms
from app.pki.canonical import canonical
from app.pki.errors import PkiError

RESULT = "settlement-result/1"
MOST_NAMED = 1_000  # shortfalls named in a result; more are counted


def propose(package_id: int, actor: Actor, *, now: datetime) -> int:
    """Save the draft of a package's settlement, for 初审; return the application's id.

    Raises what `proposal_for` raises.
    """
    proposal = proposal_for(package_id)
    draft = engine.Draft(
        kind=TradeSettlement.code,
        account_id=ISSUANCE_ACCOUNT_ID,
        lines=(),
        request_key=f"{TradeSettlement.code}:{package_id}:{uuid4()}",
        proposal=proposal,
    )
    (application_id,) = engine.start([draft], actor, now=now)
    return application_id


def proposal_for(package_id: int) -> dict[str, Any]:
    """Clear a package; return what two officers and the exchange are to agree on.

    Raises NotFound, and RuleError where a settlement of it is under review or approved.
    """
    package = _package(package_id)
    running = db.session.scalar(
        select(Application.number).where(
            Application.kind == TradeSettlement.code,
            Application.proposal["package"].astext == str(package_id),
            Application.status.in_((Status.IN_REVIEW, Status.APPROVED)),
        )
    )
    if running:
        raise RuleError(
            _("The trades of %(day)s are settled by %(number)s", day=package.day, number=running),
            code="settlement_running",
        )
    result = _result(package)
    return {**result, "result": digest_of(result)}


def digest_of(result: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a result's canonical form, in hex."""
    return hashlib.sha256(canonical(result)).hexdigest()


def result_of(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result that a settlement proposes, as the exchange is to confirm it."""
    return {name: value for name, value in proposal.items() if name != "result"}


def confirm(
    application_id: int, signature: bytes, *, now: datetime, venue_id: int | None = None,
    actor: Actor = EXCHANGE,
) -> None:  # fmt: skip
    """Keep the exchange's signature over a settlement's result; again is a no-op.

    ``venue_id`` is the sender's.  Raises NotFound where no such settlement is under review, and
    RuleError where the signature is not the venue's over this result.
    """
    application = db.session.get(Application, application_id, with_for_update=True)
    if application is None or application.kind != TradeSettlement.code:
        raise NotFound(_("There is no such settlement"))
    package = _package(application.proposal["package"])
    if venue_id not in (None, package.venue_id):
        raise NotFound(_("There is no such settlement"))
    confirmed = select(SettlementConfirmation.id).where(
        SettlementConfirmation.application_id == application_id,
        SettlementConfirmation.result_digest == application.proposal["result"],
    )
    if db.session.scalar(confirmed) is not None:
        return
    if application.status != Status.IN_REVIEW:
        raise RuleError(
            _("Settlement %(number)s does not await a confirmation", number=application.number),
            code="nothing_to_confirm",
        )
    _require_signed(package, canonical(result_of(application.proposal)), signature)
    db.session.execute(
        insert(SettlementConfirmation).values(
            package_id=package.id,
            application_id=application_id,
            result_digest=application.proposal["result"],
            cms=signature,
            confirmed_at=now,
        )
    )
    log.record(actor, "settlement.confirm", subject=application.number)


def _require_signed(package: DayPackage, content: bytes, signature: bytes) -> None:
    known = {}
    for row in db.session.scalars(
        select(VenueCertificate).where(
            VenueCertificate.venue_id == package.venue_id,
            VenueCertificate.valid_from <= package.day,
            VenueCertificate.disabled_from.is_(None)
            | (VenueCertificate.disabled_from > package.day),
        )
    ):
        parsed = x509.Certificate.load(row.certificate)
        known[parsed.issuer.dump(), parsed.serial_number] = _Kept(row.certificate)
    try:
        cms.verify(content, signature, lambda issuer, serial: known.get((issuer, serial)))
    except PkiError as error:
        raise RuleError(
            _("The signature is not one of this venue's over this result: %(why)s", why=error.code),
            field="signature",
            code="signature_refused",
        ) from error


class _Kept:
    def __init__(self, der: bytes) -> None:
        self.der = der


def _package(package_id: int) -> DayPackage:
    package = db.session.get(DayPackage, package_id)
    if package is None:
        raise NotFound(_("There is no such package"))
    return package


def _result(package: DayPackage) -> dict[str, Any]:
    deals = undelivered(package.id)
    clearing = clear_now(deals, package)
    numbers = dict(
        db.session.execute(
            select(Trade.id, Trade.deal_no).where(
                Trade.id.in_([each.deal for each in clearing.short[:MOST_NAMED]])
            )
        ).all()
    )
    members = dict(
        db.session.execute(
            select(Account.id, Account.member_no).where(
                Account.id.in_([each.account for each in clearing.short[:MOST_NAMED]])
            )
        ).all()
    )
    return {
        "schema": RESULT,
        "venue": db.session.get_one(Venue, package.venue_id).code,
        "day": package.day.isoformat(),
        "package": package.id,
        "digest": package.digest,
        "trades": package.trades,
        "quantity": package.quantity,
        "amount": package.amount,
        "covered": len(clearing.covered),
        "short": len(clearing.short),
        "shortfalls": [
            {
                "deal_no": numbers[each.deal],
                "member_no": members[each.account],
                "tonnes": each.tonnes,
                "fen": each.fen,
            }
            for each in clearing.short[:MOST_NAMED]
        ],
    }


# What is still to be delivered, and what there is for it -------------------------------------


def undelivered(package_id: int, *, after: int = 0, most: int | None = None) -> list[Deal]:
    """Return a package's trades that were not delivered, in the order of the deals."""
    sale = _SALES.subquery("sale")
    statement = (
        select(
            Trade.id, Trade.instrument_id, Trade.buyer_id, Trade.seller_id, Trade.quantity,
            Trade.amount, Trade.buyer_money_id, Trade.seller_money_id, Trade.buy_fee, Trade.sell_fee,
            func.coalesce(sale.c.id, 0),
        )
        .outerjoin(TradeDelivery, TradeDelivery.trade_id == Trade.id)
        .outerjoin(
            sale,
            (sale.c.account_id == Trade.seller_id)
            & (sale.c.instrument_id == Trade.instrument_id)
            & (sale.c.number == Trade.sell_order_no),
        )
        .where(Trade.package_id == package_id, Trade.id > after, TradeDelivery.trade_id.is_(None))
        .order_by(Trade.id)
        .limit(most)
    )  # fmt: skip
    return [Deal(*row) for row in db.session.execute(statement)]


# Sales for courts, whose number their deals carry as the seller's order number (rules-2026 N103).
_SALES = select(
    CourtSale.application_id.label("id"),
    CourtSale.account_id,
    CourtSale.instrument_id,
    CourtSale.unsold,
    Application.number,
).join(Application, Application.id == CourtSale.application_id)
_HELD = typed(
    """
    SELECT h.account_id, h.instrument_id, h.available, h.proceeds,
           h.trading - coalesce((SELECT sum(s.unsold) FROM court_sale s
                                  WHERE s.account_id = h.account_id
                                    AND s.instrument_id = h.instrument_id), 0)::bigint AS trading
      FROM holding h
      JOIN (SELECT DISTINCT * FROM unnest(:accounts, :instruments)) AS k (account_id, instrument_id)
        ON (k.account_id, k.instrument_id) = (h.account_id, h.instrument_id)
    """,
    accounts=Integer,
    instruments=Integer,
)
# What was bought on a day may not be sold on it (交易管理规则 14).
_BOUGHT = text("""
    SELECT t.buyer_id, t.instrument_id, sum(t.quantity)::bigint
      FROM trade t JOIN trade_delivery d ON d.trade_id = t.id
      JOIN day_package p ON p.id = t.package_id
     WHERE p.day = :day GROUP BY 1, 2
""")


def clear_now(deals: Sequence[Deal], package: DayPackage) -> Clearing:
    """Clear trades against what is held now; who spends it meanwhile makes the posting fail."""
    keys = {(deal.seller, deal.instrument) for deal in deals}
    keys |= {(deal.buyer, deal.instrument) for deal in deals}
    keys |= {(deal.buyer, deal.buyer_money) for deal in deals}
    keys |= {(deal.seller, deal.seller_money) for deal in deals}
    if not keys:
        return Clearing()
    accounts, instruments = zip(*sorted(keys), strict=True)
    rows = db.session.execute(_HELD, {"accounts": accounts, "instruments": instruments}).all()
    bought = {
        (account, instrument): tonnes
        for account, instrument, tonnes in db.session.execute(_BOUGHT, {"day": package.day})
    }
    held = {(row.account_id, row.instrument_id): row for row in rows}
    sellable: dict[tuple[int, ...], int] = {
        key: row.trading - bought.get(key, 0) for key, row in held.items()
    }
    sales = _SALES.where(CourtSale.application_id.in_({deal.sale for deal in deals}))
    for row in db.session.execute(sales):
        sellable[row.account_id, row.instrument_id, row.id] = row.unsold
    return clear(
        deals,
        sellable,
        {key: row.available for key, row in held.items()},
        {key: row.proceeds for key, row in held.items()},
    )


__all__ = ["Shortfall", "clear_now", "confirm", "digest_of", "propose", "result_of", "undelivered"]
