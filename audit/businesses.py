"""What each business may move, as the second book reads the rules: not what the ledger was told.

Trades are compared leg by leg with the packages (audit/trades.py) and do not stand here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psycopg import Connection

from audit.findings import Findings
from audit.names import (
    AVAILABLE,
    CANCELLED,
    CONFISCATED,
    CUSTODY,
    FROZEN,
    IN_RETURN,
    ISSUED,
    PENDING_TO_REGISTRY,
    PENDING_TO_TRADING,
    PROCEEDS,
    RECALLED,
    RESERVED,
    SURRENDERED,
    TRADING,
    Names,
    bucket_name,
)


class Parties(StrEnum):
    """Between whom a movement goes."""

    OWN = "own"  # within one account
    ISSUER = "issuer"  # from or to the national issuance account
    OTHERS = "others"


class Unit(StrEnum):
    """What a movement is counted in."""

    TONNES = "tonnes"
    FEN = "fen"


@dataclass(frozen=True, slots=True)
class Business:
    """Routes (bucket to bucket), between whom, in what, and whether an application stands behind it."""

    routes: frozenset[tuple[int, int]]
    parties: frozenset[Parties] = frozenset({Parties.OWN})
    units: frozenset[Unit] = frozenset({Unit.TONNES})
    has_application: bool = True


def _business(*routes: tuple[int, int], **more: Any) -> Business:
    return Business(frozenset(routes), **more)


_BOTH = frozenset({Unit.TONNES, Unit.FEN})
_MONEY = frozenset({Unit.FEN})
_ISSUER = frozenset({Parties.ISSUER})
_TO_TRADING = _business((AVAILABLE, PENDING_TO_TRADING), (AVAILABLE, RESERVED))
_OUT_OF_RESERVED = _business(
    (AVAILABLE, RESERVED), (RESERVED, AVAILABLE),
    parties=frozenset({Parties.OWN, Parties.OTHERS}), units=_MONEY,
)  # fmt: skip

BUSINESSES = {
    "issuance": _business((ISSUED, AVAILABLE), parties=_ISSUER),
    # Through the province's account, and undone on the day of a wrong issue.
    "province_issue": _business((AVAILABLE, AVAILABLE), parties=frozenset({Parties.OTHERS})),
    "issuance_reversal": _business(
        (AVAILABLE, RESERVED), (RESERVED, ISSUED), parties=frozenset({Parties.OWN, Parties.ISSUER})
    ),
    "registry_to_trading": _TO_TRADING,
    "exchange_registry_to_trading": _TO_TRADING,
    "trading_to_registry": _business((TRADING, PENDING_TO_REGISTRY), (TRADING, RESERVED)),
    "day_end": _business(
        (PENDING_TO_TRADING, TRADING), (PENDING_TO_REGISTRY, AVAILABLE), has_application=False
    ),
    "surrender": _business((AVAILABLE, RESERVED), (RESERVED, SURRENDERED)),
    # What waits at a province: surrendered at its request, or the enterprise's as it leaves the list.
    "commission": _business((AVAILABLE, SURRENDERED), parties=frozenset({Parties.OTHERS})),
    "differentiation_removal": _business(
        (AVAILABLE, AVAILABLE), parties=frozenset({Parties.OTHERS})
    ),
    "assisted_surrender": _business(
        (AVAILABLE, RESERVED), (RESERVED, SURRENDERED),
        parties=frozenset({Parties.OWN, Parties.OTHERS}),
    ),
    "surrender_refund": _business((SURRENDERED, AVAILABLE)),
    "refund_of_commission": _business((SURRENDERED, AVAILABLE)),
    "refund_to_helper": _business((SURRENDERED, AVAILABLE), parties=frozenset({Parties.OTHERS})),
    "refund_to_pledge": _business((SURRENDERED, FROZEN)),
    # 结转: per document, as much of the newer vintage is granted as was recalled of older ones.
    "carry_over": _business((AVAILABLE, RESERVED), (RESERVED, RECALLED)),
    "carry_over_grant": _business((ISSUED, AVAILABLE), parties=_ISSUER, has_application=False),
    "custody_deposit": _business((AVAILABLE, RESERVED), (RESERVED, CUSTODY)),
    "custody_return": _business(
        (CUSTODY, IN_RETURN), (IN_RETURN, AVAILABLE),
        parties=frozenset({Parties.OWN, Parties.OTHERS}),
    ),
    "voluntary_cancellation": _business((AVAILABLE, RESERVED), (RESERVED, CANCELLED)),
    "freeze": _business((AVAILABLE, FROZEN), units=_BOTH),
    "unfreeze": _business((FROZEN, AVAILABLE), units=_BOTH),
    # 质押: frozen for a pledgee once it is registered, released or surrendered with its consent.
    "pledge": _business((AVAILABLE, RESERVED), (RESERVED, FROZEN)),
    "pledge_release": _business((FROZEN, AVAILABLE)),
    "pledge_joint_release": _business((FROZEN, AVAILABLE)),
    "pledge_surrender": _business((FROZEN, SURRENDERED)),
    # Courts: what an order freezes and lets go, and what a court assigns to another one.
    # What a sale for a court brings is frozen for it as it is paid; there is no such way for tonnes.
    "court_hold": _business(
        (AVAILABLE, FROZEN), (FROZEN, AVAILABLE), (PROCEEDS, FROZEN), units=_BOTH, has_application=False
    ),
    "court_assignment": _business(
        (FROZEN, AVAILABLE), parties=frozenset({Parties.OTHERS}), units=_BOTH
    ),
    "court_sale": _business((FROZEN, TRADING)),
    "court_sale_end": _business((TRADING, FROZEN)),
    "court_surrender": _business((FROZEN, SURRENDERED)),
    "confiscation": _business((AVAILABLE, RESERVED), (RESERVED, CONFISCATED), units=_BOTH),
    "confiscation_refund": _business((CONFISCATED, AVAILABLE), units=_BOTH),
    "proceeds_release": _business((PROCEEDS, AVAILABLE), units=_MONEY, has_application=False),
    # 入金, 出金: what a bank holds grows and shrinks with what participants pay in and out.
    "deposit": _business((ISSUED, AVAILABLE), parties=_ISSUER, units=_MONEY),
    "withdrawal": _business(
        (AVAILABLE, RESERVED), (RESERVED, ISSUED),
        parties=frozenset({Parties.OWN, Parties.ISSUER}), units=_MONEY,
    ),
    # What a bank says after an order's end, and what comes in for what it had paid too much.
    "bank_correction": _business(
        (AVAILABLE, ISSUED), (ISSUED, AVAILABLE), parties=_ISSUER, units=_MONEY,
        has_application=False,
    ),
    "receivable": _business(
        (AVAILABLE, ISSUED), (AVAILABLE, AVAILABLE),
        parties=frozenset({Parties.ISSUER, Parties.OTHERS}), units=_MONEY, has_application=False,
    ),
    # 配额缴回, and what an issue is netted by where something is claimed.
    "allowance_return": _business((AVAILABLE, RESERVED), (RESERVED, RECALLED)),
    "claim_netting": _business((AVAILABLE, RECALLED), has_application=False),
    # 准备金: fees become the reserve, which covers what a buyer lacks.
    "reserve_provision": _OUT_OF_RESERVED,
    "default_cover": _OUT_OF_RESERVED,
    # 承继: everything of an enterprise goes to its successors, or to the registry's care.
    "account_succession": _business(
        (AVAILABLE, RESERVED), (RESERVED, AVAILABLE),
        parties=frozenset({Parties.OWN, Parties.OTHERS}),
    ),
}  # fmt: skip

_ROUTES = """
    SELECT p.business, p.application_id IS NOT NULL, p.reverses_id IS NOT NULL, i.kind = 'money',
           m.from_account = m.to_account, 1 IN (m.from_account, m.to_account),
           m.from_bucket, m.to_bucket, count(*), sum(m.quantity)::bigint, min(p.id)
      FROM movement m JOIN posting p ON p.id = m.posting_id JOIN instrument i ON i.id = m.instrument_id
     WHERE m.recorded_xid >= %s::xid8 AND p.business <> 'trade'
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 11
"""
_ALONE = """
    SELECT 'movement ' || m.id, m.quantity FROM movement m LEFT JOIN posting p ON p.id = m.posting_id
     WHERE m.recorded_xid >= %(first)s::xid8 AND p.id IS NULL
    UNION ALL
    SELECT 'posting ' || p.id, 0 FROM posting p
     WHERE p.recorded_xid >= %(first)s::xid8
       AND NOT EXISTS (SELECT FROM movement m WHERE m.posting_id = p.id)
"""
# Postings that stand: what an application moves is what its lines say, instrument by instrument.
_LINES = """
    WITH standing AS (
           SELECT p.id, p.application_id, p.document FROM posting p
            WHERE p.recorded_xid >= %s::xid8 AND p.application_id IS NOT NULL AND p.reverses_id IS NULL
              AND NOT EXISTS (SELECT FROM posting r WHERE r.reverses_id = p.id)),
         moved AS (
           SELECT s.id, m.instrument_id, sum(m.quantity)::bigint AS quantity
             FROM standing s JOIN movement m ON m.posting_id = s.id GROUP BY 1, 2),
         said AS (
           SELECT s.id, l.instrument_id, sum(l.quantity)::bigint AS quantity
             FROM standing s JOIN application_line l ON l.application_id = s.application_id GROUP BY 1, 2)
    SELECT s.document, s.id, instrument_id, coalesce(said.quantity, 0), coalesce(moved.quantity, 0)
      FROM moved FULL JOIN said USING (id, instrument_id) JOIN standing s USING (id)
     WHERE moved.quantity IS DISTINCT FROM said.quantity ORDER BY s.id, instrument_id
"""
# Carry-overs: what a document recalled of all vintages, and granted of one other, to the same account.
_CARRY_OVERS = """
    SELECT p.document, coalesce(sum(m.quantity) FILTER (WHERE p.business = 'carry_over'), 0)::bigint,
           coalesce(sum(m.quantity) FILTER (WHERE p.business = 'carry_over_grant'), 0)::bigint,
           count(DISTINCT CASE WHEN p.business = 'carry_over' THEN m.from_account ELSE m.to_account END),
           count(DISTINCT m.instrument_id) FILTER (WHERE p.business = 'carry_over_grant'),
           bool_or(p.business = 'carry_over_grant'
                   AND EXISTS (SELECT FROM posting r JOIN movement w ON w.posting_id = r.id
                                WHERE r.document = p.document AND r.business = 'carry_over'
                                  AND w.instrument_id = m.instrument_id))
      FROM posting p JOIN movement m ON m.posting_id = p.id
     WHERE p.recorded_xid >= %s::xid8
       AND (p.business = 'carry_over_grant' OR (p.business = 'carry_over' AND m.to_bucket = 14))
     GROUP BY p.document ORDER BY p.document
"""


def check(connection: Connection, first: int, names: Names, findings: Findings) -> None:
    """Check every movement since a transaction: its business, its route, and its application's lines."""
    for (
        business,
        has_application,
        reverses,
        is_money,
        is_own,
        with_issuer,
        *rest,
    ) in connection.execute(_ROUTES, [str(first)]):
        source, target, count, quantity, posting = rest
        known = BUSINESSES.get(business)
        route = f"{business} {bucket_name(source)} → {bucket_name(target)}"
        key = f"{route}, posting {posting}" + (f" + {count - 1}" if count > 1 else "")
        if known is None:
            findings.add("business_unknown", key, 0, quantity)
            continue
        parties = Parties.OWN if is_own else Parties.ISSUER if with_issuer else Parties.OTHERS
        unit = Unit.FEN if is_money else Unit.TONNES
        allowed = (
            ((target, source) if reverses else (source, target)) in known.routes
            and parties in known.parties
            and unit in known.units
        )
        if not allowed:
            findings.add("route_not_allowed", key, 0, quantity)
        if has_application != known.has_application:
            findings.compare("application_missing", key, known.has_application, has_application)
    for key, quantity in connection.execute(_ALONE, {"first": str(first)}):
        findings.add("stands_alone", key, 0, quantity)
    for document, posting, instrument, said, moved in connection.execute(_LINES, [str(first)]):
        key = f"{document} {names.instrument(instrument)}, posting {posting}"
        findings.add("lines_differ", key, said, moved)
    _check_carry_overs(connection, first, findings)


def _check_carry_overs(connection: Connection, first: int, findings: Findings) -> None:
    """Compare per document what was recalled with what was granted."""
    for document, recalled, granted, accounts, targets, is_same in connection.execute(
        _CARRY_OVERS, [str(first)]
    ):
        findings.compare("carry_over_differs", document, recalled, granted)
        if accounts != 1 or targets > 1 or is_same:
            findings.add("carry_over_strays", document, recalled, granted)
