"""Trades and their settlement: price limits, the closing price, and which trades are covered.

Prices are in fen a tonne, amounts in fen, quantities in tonnes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from flask_babel import lazy_gettext as _

BLOCK_FROM = 100_000  # tonnes: listed deals lie below, block deals at or above (N149)


class Method(IntEnum):
    """How a deal was made (交易方式); the value is the exchange's code and is stored."""

    LISTED = 10  # 挂牌协议
    BLOCK = 20  # 大宗协议
    AUCTION = 21  # 单向竞价


METHOD_TITLES = {
    Method.LISTED: _("Listed agreement"),
    Method.BLOCK: _("Block agreement"),
    Method.AUCTION: _("One-way auction"),
}
# The daily price limits, in percent of the previous close (N149).
_LIMITS = {Method.LISTED: 10, Method.BLOCK: 30}


def price_band(previous_close: int, method: Method) -> tuple[int, int] | None:
    """Return the lowest and highest price of a day, rounded inwards; None where there is no limit."""
    limit = _LIMITS.get(method)
    if limit is None:
        return None
    lowest = -(-previous_close * (100 - limit) // 100)
    return lowest, previous_close * (100 + limit) // 100


def is_of_its_size(method: Method, quantity: int) -> bool:
    """Tell whether a deal's quantity is one that its method allows (N149)."""
    return (quantity < BLOCK_FROM) == (method is Method.LISTED)


def closing_price(listed: Iterable[tuple[int, int]], previous: int) -> int:
    """Return the mean of the listed deals' (price, quantity), weighted, half a fen up; else the previous."""
    pairs = list(listed)
    quantity = sum(tonnes for _price, tonnes in pairs)
    if not quantity:
        return previous
    amount = sum(price * tonnes for price, tonnes in pairs)
    return (2 * amount + quantity) // (2 * quantity)


@dataclass(frozen=True, slots=True)
class Deal:
    """A trade to be delivered: accounts and instruments by id, the money's among them."""

    id: int
    instrument: int
    buyer: int
    seller: int
    quantity: int
    amount: int
    buyer_money: int
    seller_money: int
    buy_fee: int = 0
    sell_fee: int = 0
    sale: int = 0  # 司法变卖 that it carries out

    @property
    def stock(self) -> tuple[int, ...]:
        """What it sells of: the seller's units, or those of a court's sale."""
        own = (self.seller, self.instrument)
        return (*own, self.sale) if self.sale else own


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a party lacks for a trade: tonnes of the seller's, or fen of the buyer's."""

    deal: int
    account: int
    tonnes: int = 0
    fen: int = 0


@dataclass(slots=True)
class Clearing:
    """Trades that are covered, with the fen that each buyer pays out of the day's proceeds; and others."""

    covered: dict[int, int] = field(default_factory=dict)
    short: list[Shortfall] = field(default_factory=list)


def clear(
    deals: Iterable[Deal],
    sellable: Mapping[tuple[int, ...], int],
    available: Mapping[tuple[int, int], int],
    proceeds: Mapping[tuple[int, int], int],
) -> Clearing:
    """Find, trade by trade and in their order, which are covered in full (结算管理规则 7: 逐笔全额).

    ``sellable`` is by (account, instrument), without what was bought on the day (交易管理规则 14);
    ``available`` and ``proceeds`` are by (account, money).  Proceeds of earlier trades pay for later
    ones, and are used first: what is left of ``available`` can be withdrawn.  Deals of a court's sale
    sell what is ``sellable`` by (account, instrument, sale), and what they bring pays for nothing: it is
    frozen (rules-2026 N103).
    """
    tonnes, money, sales = dict(sellable), dict(available), dict(proceeds)
    found = Clearing()
    for deal in deals:
        stock, purse = deal.stock, (deal.buyer, deal.buyer_money)
        missing_tonnes = deal.quantity - tonnes.get(stock, 0)
        cost = deal.amount + deal.buy_fee
        missing_fen = cost - money.get(purse, 0) - sales.get(purse, 0)
        if missing_tonnes > 0:
            found.short.append(Shortfall(deal.id, deal.seller, tonnes=missing_tonnes))
        elif missing_fen > 0:
            found.short.append(Shortfall(deal.id, deal.buyer, fen=missing_fen))
        else:
            paid = min(cost, sales.get(purse, 0))
            tonnes[stock] -= deal.quantity
            sales[purse] = sales.get(purse, 0) - paid
            money[purse] = money.get(purse, 0) - (cost - paid)
            if not deal.sale:
                income = (deal.seller, deal.seller_money)
                sales[income] = sales.get(income, 0) + deal.amount - deal.sell_fee
            found.covered[deal.id] = paid
    return found
