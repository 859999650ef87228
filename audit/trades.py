"""Trades: each row of a signed package against its row in the registry and the posting that delivers it.

Quantities are tonnes; prices, amounts and fees are fen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import Connection

from audit import names as known
from audit.findings import Findings
from audit.names import AVAILABLE, FEES, ISSUED, ISSUER, PROCEEDS, TRADING, Names
from audit.package import Package, Row

Leg = tuple[int, int, int, int, int]  # instrument, from account, from bucket, to account, to bucket


@dataclass(slots=True)
class Delivery:
    """The posting that delivers a trade, as it stands in the ledger."""

    posting: int
    business: str
    document: str
    is_plain: bool  # settles, reverses nothing and belongs to no application
    legs: dict[Leg, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deal:
    """A row of a package, with what its codes stand for; None where they stand for nothing."""

    number: str
    dealt_at: datetime
    method: int
    instrument: int | None
    buyer: int | None
    seller: int | None
    quantity: int
    price: int
    amount: int
    buy_fee: int
    sell_fee: int
    buyer_bank: int | None
    seller_bank: int | None


@dataclass(slots=True)
class Checked:
    """A package's trades after the check: which were delivered, and which were not."""

    package: Package
    delivered: list[Deal] = field(default_factory=list)
    undelivered: list[Deal] = field(default_factory=list)
    deliveries: dict[str, int] = field(default_factory=dict)  # deal number -> posting


_COLUMNS = ("number", "dealt_at", "method", "instrument", "buyer", "seller", "quantity", "price",
            "amount", "buy_fee", "sell_fee", "buyer_bank", "seller_bank")  # fmt: skip
_TRADES = """
    SELECT id, deal_no, dealt_at, method, instrument_id, buyer_id, seller_id, quantity, price, amount,
           buy_fee, sell_fee, buyer_money_id, seller_money_id
      FROM trade WHERE package_id = %s ORDER BY id
"""
_POSTINGS = """
    SELECT t.id, p.id, p.business, p.document,
           p.stage = 'settlement' AND p.reverses_id IS NULL AND p.application_id IS NULL,
           m.instrument_id, m.from_account, m.from_bucket, m.to_account, m.to_bucket, m.quantity
      FROM trade t JOIN posting p ON p.request_key = 'trade:' || t.id
      LEFT JOIN movement m ON m.posting_id = p.id
     WHERE t.package_id = %s ORDER BY m.id
"""
_NOTED = """
    SELECT d.trade_id, d.posting_id, d.from_proceeds
      FROM trade_delivery d JOIN trade t ON t.id = d.trade_id WHERE t.package_id = %s
"""


def check(connection: Connection, package: Package, names: Names, findings: Findings) -> Checked:
    """Compare a package's deals with the registry's trades and with the postings that deliver them."""
    found = Checked(package)
    deals = _deals(connection, package, names)
    kept = {row[1]: row for row in connection.execute(_TRADES, [package.id])}
    deliveries = _deliveries(connection, package, names, findings)
    noted = {
        trade: (posting, proceeds)
        for trade, posting, proceeds in connection.execute(_NOTED, [package.id])
    }
    for deal in deals:
        key = f"{package.name} {deal.number}"
        row = kept.pop(deal.number, None)
        if row is None:
            findings.add("trade_missing", key, deal.quantity, "")
            found.undelivered.append(deal)
            continue
        _compare_row(deal, row[1:], key, names, findings)
        delivery = deliveries.pop(row[0], None)
        _compare_noted(delivery, noted.pop(row[0], None), deal, key, findings)
        if delivery is None:
            found.undelivered.append(deal)
            continue
        found.delivered.append(deal)
        found.deliveries[deal.number] = delivery.posting
        _compare_legs(deal, delivery, key, names, findings)
    for number, row in kept.items():
        findings.add("trade_not_in_package", f"{package.name} {number}", "", row[7])
    for delivery in deliveries.values():
        findings.add(
            "posting_not_in_package", f"{package.name} {delivery.document}", "", delivery.posting
        )
    return found


def _deals(connection: Connection, package: Package, names: Names) -> list[Deal]:
    codes = known.trade_codes(connection, package)
    banks = known.banks(connection, package)
    return [_deal(row, names, codes, banks) for row in package.tables["DEAL"]]


def _deal(row: Row, names: Names, codes: Mapping[str, int], banks: Mapping[int, int]) -> Deal:
    buyer, seller = names.accounts.get(row["buyer"]), names.accounts.get(row["seller"])
    return Deal(
        row["deal_no"], datetime.fromisoformat(row["dealt_at"]), row["method"],
        codes.get(row["trade_code"]), buyer, seller, row["quantity"], row["price"], row["amount"],
        row["buy_fee"], row["sell_fee"], banks.get(buyer or 0), banks.get(seller or 0),
    )  # fmt: skip


def _deliveries(
    connection: Connection, package: Package, names: Names, findings: Findings
) -> dict[int, Delivery]:
    found: dict[int, Delivery] = {}
    for trade, posting, business, document, is_plain, *leg, quantity in connection.execute(
        _POSTINGS, [package.id]
    ):
        delivery = found.get(trade)
        if delivery is None:
            delivery = found[trade] = Delivery(posting, business, document, is_plain)
        if quantity is not None:
            what, giver, source, taker, target = leg
            # Money is paid out of what is available and of the day's proceeds alike.
            if source == PROCEEDS and giver != taker and what in names.money:
                source = AVAILABLE
            key = what, giver, source, taker, target
            delivery.legs[key] = delivery.legs.get(key, 0) + quantity
    return found


def _compare_row(
    deal: Deal, row: Sequence[Any], key: str, names: Names, findings: Findings
) -> None:
    for column, found in zip(_COLUMNS, row, strict=True):
        expected = getattr(deal, column)
        if expected == found:
            continue
        if column in ("buyer", "seller"):
            expected, found = (names.members.get(each or 0, "") for each in (expected, found))
        elif column in ("instrument", "buyer_bank", "seller_bank"):
            expected, found = (names.instruments.get(each or 0, "") for each in (expected, found))
        findings.add("trade_differs", f"{key} {column}", expected, found)


def _compare_noted(
    delivery: Delivery | None,
    noted: tuple[int, int] | None,
    deal: Deal,
    key: str,
    findings: Findings,
) -> None:
    """Compare the posting with what the registry notes of the delivery."""
    posting = delivery.posting if delivery else ""
    findings.compare("delivery_differs", key, posting, noted[0] if noted else "")
    if delivery is None:
        return
    findings.compare("posting_differs", f"{key} document", deal.number, delivery.document)
    findings.compare("posting_differs", f"{key} business", "trade", delivery.business)
    findings.compare("posting_differs", f"{key} stage", True, delivery.is_plain)


def expected_legs(deal: Deal) -> dict[Leg, int]:
    """Return what delivers a deal against payment: tonnes, money to the seller, fees, banks' legs.

    Where the parties' banks differ, the amount goes back to the buyer's bank and comes from the
    seller's; the seller's fee is then paid at the seller's bank.
    """
    buyer, seller = deal.buyer or 0, deal.seller or 0
    paying, paid = deal.buyer_bank or 0, deal.seller_bank or 0
    legs: dict[Leg, int] = defaultdict(int)
    legs[deal.instrument or 0, seller, TRADING, buyer, TRADING] += deal.quantity
    income = deal.amount - deal.sell_fee
    if paying == paid:
        legs[paying, buyer, AVAILABLE, seller, PROCEEDS] += income
        legs[paying, buyer, AVAILABLE, FEES, AVAILABLE] += deal.buy_fee + deal.sell_fee
    else:
        legs[paying, buyer, AVAILABLE, ISSUER, ISSUED] += deal.amount
        legs[paying, buyer, AVAILABLE, FEES, AVAILABLE] += deal.buy_fee
        legs[paid, ISSUER, ISSUED, seller, PROCEEDS] += income
        legs[paid, ISSUER, ISSUED, FEES, AVAILABLE] += deal.sell_fee
    return {leg: quantity for leg, quantity in legs.items() if quantity}


def _compare_legs(
    deal: Deal, delivery: Delivery, key: str, names: Names, findings: Findings
) -> None:
    expected, legs = expected_legs(deal), delivery.legs
    if expected == legs:
        return
    tonnes = sum(quantity for leg, quantity in legs.items() if leg[0] not in names.money)
    fen = sum(quantity for leg, quantity in legs.items() if leg[0] in names.money)
    if not tonnes or not fen:
        findings.add(
            "one_leg", key, f"{deal.quantity} t / {deal.amount} fen", f"{tonnes} t / {fen} fen"
        )
        return
    for leg in sorted(expected.keys() | legs.keys()):
        instrument, giver, source, taker, target = leg
        route = (
            f"{names.pocket(giver, instrument, source)} → {names.pocket(taker, instrument, target)}"
        )
        findings.compare("leg_differs", f"{key} {route}", expected.get(leg, 0), legs.get(leg, 0))


_STRAYS = """
    SELECT p.id, p.request_key, t.package_id FROM posting p
      LEFT JOIN trade t ON p.request_key = 'trade:' || t.id
     WHERE p.business = 'trade' AND p.recorded_xid >= %s::xid8
"""


def packages_posted(connection: Connection, first: int, findings: Findings) -> set[int]:
    """Return the packages whose trades were posted since a transaction; note postings of none."""
    found = set()
    for posting, request_key, package in connection.execute(_STRAYS, [str(first)]):
        if package is None:
            findings.add("posting_not_in_package", request_key, "", posting)
        else:
            found.add(package)
    return found
