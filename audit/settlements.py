"""The settlement of a package: approved by two, over a result that the exchange signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from psycopg import Connection

from audit.findings import Findings
from audit.names import AVAILABLE, PROCEEDS, TRADING, Names
from audit.package import Package, Verify
from audit.totals import Totals
from audit.trades import Checked, Deal

_APPROVED = """
    SELECT a.id, a.number, a.proposal FROM application a
     WHERE a.kind = 'trade_settlement' AND a.status = 'approved'
       AND a.proposal ->> 'package' = %s ORDER BY a.id
"""
_CONFIRMED = "SELECT cms FROM settlement_confirmation WHERE application_id = %s AND package_id = %s"
_OFFICERS = """
    SELECT action, member_id FROM application_event
     WHERE application_id = %s AND action IN ('submit', 'approve') ORDER BY id
"""


def check(
    connection: Connection, checked: Checked, verify: Verify, balances: Totals, names: Names,
    findings: Findings,
) -> None:  # fmt: skip
    """Check who approved a package's settlement, and that what was not delivered could not be.

    ``balances`` are the totals of now.  Nothing is approved for a package without deals.
    """
    package = checked.package
    settlements = connection.execute(_APPROVED, [str(package.id)]).fetchall()
    if len(settlements) != 1:
        if checked.delivered or checked.undelivered:
            deals = len(checked.delivered) + len(checked.undelivered)
            findings.add("settlement_missing", package.name, deals, len(checked.delivered))
        return
    ((application, number, proposal),) = settlements
    result = _check_confirmation(connection, application, proposal, package, verify, findings)
    _check_officers(connection, application, f"{package.name} {number}", findings)
    _compare_result(result, package, findings)
    _check_undelivered(checked, result, balances, names, findings)


def _check_confirmation(
    connection: Connection, application: int, proposal: Mapping[str, Any], package: Package,
    verify: Verify, findings: Findings,
) -> dict[str, Any]:  # fmt: skip
    result = {name: value for name, value in proposal.items() if name != "result"}
    content = json.dumps(result, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    digest = hashlib.sha256(content).hexdigest()
    findings.compare("result_differs", f"{package.name} result", digest, proposal.get("result"))
    signatures = connection.execute(_CONFIRMED, [application, package.id]).fetchall()
    reasons = [verify(content, bytes(cms), package.certificates) for (cms,) in signatures]
    if "" not in reasons:
        findings.add("confirmation_invalid", package.name, "", ", ".join(reasons))
    return result


def _check_officers(connection: Connection, application: int, key: str, findings: Findings) -> None:
    acted: dict[str, set[int | None]] = {"submit": set(), "approve": set()}
    for action, member in connection.execute(_OFFICERS, [application]):
        acted[action].add(member)
    if not acted["submit"] or not acted["approve"] or acted["submit"] & acted["approve"]:
        findings.add("one_officer", key, 2, len(acted["submit"] | acted["approve"]))


def _compare_result(result: Mapping[str, Any], package: Package, findings: Findings) -> None:
    deals = package.tables["DEAL"]
    for name, own in (
        ("digest", package.digest),
        ("trades", len(deals)),
        ("quantity", sum(row["quantity"] for row in deals)),
        ("amount", sum(row["amount"] for row in deals)),
    ):
        findings.compare("result_differs", f"{package.name} {name}", own, result.get(name))
    parts = result.get("covered", 0) + result.get("short", 0)
    findings.compare("result_differs", f"{package.name} covered+short", len(deals), parts)


def _check_undelivered(
    checked: Checked, result: Mapping[str, Any], balances: Totals, names: Names, findings: Findings
) -> None:
    """Note deals that were not delivered although they could be, and nobody signed that they lack."""
    signed = {each["deal_no"] for each in result.get("shortfalls", ())}
    bought: dict[tuple[int | None, int | None], int] = {}
    for deal in checked.delivered:
        key = deal.buyer, deal.instrument
        bought[key] = bought.get(key, 0) + deal.quantity
    for deal in checked.undelivered:
        own = bought.get((deal.seller, deal.instrument), 0)
        if deal.number not in signed and not _is_short(deal, own, balances):
            findings.add(
                "deal_not_posted", f"{checked.package.name} {deal.number}", deal.quantity, 0
            )


def _is_short(deal: Deal, bought: int, balances: Totals) -> bool:
    """Tell whether a party lacks tonnes or money; what it bought on the day cannot be sold on it."""
    seller, buyer, what = deal.seller or 0, deal.buyer or 0, deal.instrument or 0
    purse = deal.buyer_bank or 0
    tonnes = balances.get((seller, what, TRADING), 0) - bought
    fen = balances.get((buyer, purse, AVAILABLE), 0) + balances.get((buyer, purse, PROCEEDS), 0)
    return tonnes < deal.quantity or fen < deal.amount + deal.buy_fee
