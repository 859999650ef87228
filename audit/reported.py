"""The exchange's own closing figures (POS, FUND) against the books, by member and instrument.

Tonnes in trading, and all fen that a member has at its banks, as they stood when the day closed; what
several venues report of a member is added up.  What
was not delivered is counted as if it had been, and what the reserve paid for a buyer as if it had not.
The day-end's transfers may stand on either side, and so may what a court's sale brought to trading or took
from there on the day.  A difference that two officers resolved is accepted with exactly the figures that
they resolved (ADR 0083).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from psycopg import Connection

from audit import names as known
from audit import resolutions
from audit.findings import Findings
from audit.names import AVAILABLE, FROZEN, PROCEEDS, RESERVE, RESERVED, TRADING, Names
from audit.package import Package, Row
from audit.resolutions import Resolutions
from audit.totals import Pocket, Totals
from audit.trades import Checked

_MEMBERS_MONEY = (AVAILABLE, RESERVED, FROZEN, PROCEEDS)
_LATER = """
    WITH later AS (
           SELECT m.*, p.business = 'day_end' AND p.document = %(day)s::text AS is_day_end
             FROM movement m JOIN posting p ON p.id = m.posting_id
             LEFT JOIN trade t ON p.business = 'trade' AND p.request_key = 'trade:' || t.id
             LEFT JOIN day_package d ON d.id = t.package_id
            WHERE m.recorded_xid >= %(first)s::xid8
              AND CASE p.business WHEN 'trade' THEN d.day > %(day)s
                                  WHEN 'day_end' THEN p.document >= %(day)s::text
                                  ELSE (m.at AT TIME ZONE 'Asia/Shanghai')::date > %(day)s END)
    SELECT v.account_id, m.instrument_id, v.bucket, m.is_day_end, sum(v.delta)::bigint
      FROM later m CROSS JOIN LATERAL (
           VALUES (m.from_account, m.from_bucket, -m.quantity),
                  (m.to_account, m.to_bucket, m.quantity)) AS v (account_id, bucket, delta)
     GROUP BY 1, 2, 3, 4
"""

# By account and instrument: what sales for courts added to trading on the day.
_SOLD_FOR_COURTS = """
    SELECT m.from_account, m.instrument_id,
           sum(CASE p.business WHEN 'court_sale' THEN m.quantity ELSE -m.quantity END)::bigint
      FROM posting p JOIN movement m ON m.posting_id = p.id
     WHERE p.business IN ('court_sale', 'court_sale_end') AND m.recorded_xid >= %(first)s::xid8
       AND (m.at AT TIME ZONE 'Asia/Shanghai')::date = %(day)s
     GROUP BY 1, 2
"""

_LENT = """
    SELECT CASE WHEN m.from_account = %(reserve)s THEN m.to_account ELSE m.from_account END,
           sum(CASE WHEN m.from_account = %(reserve)s THEN m.quantity ELSE -m.quantity END)::bigint
      FROM (SELECT p.id FROM application a JOIN posting p ON p.application_id = a.id
             WHERE a.kind = 'default_cover'
             UNION ALL SELECT posting_id FROM receivable_payment) p
      JOIN movement m ON m.posting_id = p.id
     WHERE m.from_account <> m.to_account
       AND %(reserve)s IN (m.from_account, m.to_account)
       AND (m.at AT TIME ZONE 'Asia/Shanghai')::date <= %(day)s
     GROUP BY 1
"""


def check(
    connection: Connection, day: Sequence[Checked], first: int, current: Totals, names: Names,
    findings: Findings,
) -> None:  # fmt: skip
    """Compare a day's packages with their own deals and with the books; ``current`` are totals of now."""
    on = day[0].package.day
    resolved = resolutions.read(connection, on)
    later, rolled = _later(connection, first, on)
    closing = {
        pocket: current.get(pocket, 0) - later.get(pocket, 0)
        for pocket in current.keys() | later.keys()
    }
    sold = {
        (account, instrument): tonnes
        for account, instrument, tonnes in connection.execute(
            _SOLD_FOR_COURTS, {"first": str(first), "day": on}
        )
    }
    _compare_positions(connection, day, closing, (rolled, sold), resolved, names, findings)
    asked = {"reserve": RESERVE, "day": on}
    lent: dict[int, int] = dict(connection.execute(_LENT, asked).fetchall())
    _compare_funds(day, closing, lent, resolved, names, findings)
    for checked in day:
        _compare_deals(checked.package, findings)


def _later(connection: Connection, first: int, day: date) -> tuple[Totals, Totals]:
    """Return what moved since the day closed, its own day-end included, and that day-end alone."""
    later: dict[Pocket, int] = defaultdict(int)
    rolled: dict[Pocket, int] = defaultdict(int)
    rows = connection.execute(_LATER, {"first": str(first), "day": day})
    for account, instrument, bucket, is_day_end, delta in rows:
        later[account, instrument, bucket] += delta
        if is_day_end:
            rolled[account, instrument, bucket] += delta
    return later, rolled


def _compare_positions(
    connection: Connection, day: Sequence[Checked], closing: Totals,
    either_side: tuple[Totals, Mapping[tuple[int, int], int]], resolved: Resolutions, names: Names,
    findings: Findings,
) -> None:  # fmt: skip
    rolled, sold = either_side
    pending: dict[tuple[int, int], int] = defaultdict(int)
    reported: dict[tuple[int, int], _Reported] = defaultdict(_Reported)
    traded: set[int] = set()
    for checked in day:
        codes = known.trade_codes(connection, checked.package)
        traded |= set(codes.values())
        for deal in checked.undelivered:
            pending[deal.buyer or 0, deal.instrument or 0] += deal.quantity
            pending[deal.seller or 0, deal.instrument or 0] -= deal.quantity
        for row in checked.package.tables["POS"]:
            member, instrument = names.accounts.get(row["member_no"], 0), row["trade_code"]
            key = f"{checked.package.name} POS {row['member_no']} {instrument}"
            reported[member, codes.get(instrument, 0)].add(row["closing"], key)
    members = set(names.accounts.values())
    for (account, instrument, bucket), balance in closing.items():
        # A member that no venue names holds nothing there.
        if bucket == TRADING and balance and account in members and instrument in traded:
            key = (
                f"{day[0].package.name} POS {names.members[account]} {names.instrument(instrument)}"
            )
            reported[account, instrument].add(0, key)
    for (account, instrument), theirs in sorted(reported.items()):
        own = closing.get((account, instrument, TRADING), 0) + pending[account, instrument]
        code = names.instrument(instrument)
        day_end, sale = (
            rolled.get((account, instrument, TRADING), 0),
            sold.get((account, instrument), 0),
        )
        either = own, own + day_end, own - sale, own + day_end - sale
        if theirs.closing not in either and not any(
            resolved.accepts(account, code, figure, theirs.closing) for figure in either
        ):
            findings.add("position_differs", theirs.key, theirs.closing, own)


@dataclass(slots=True)
class _Reported:
    """What the venues report of a member together, under the key of the first that does."""

    closing: int = 0
    key: str = ""

    def add(self, closing: int, key: str) -> None:
        self.closing += closing
        self.key = self.key or key


def _compare_funds(
    day: Sequence[Checked], closing: Totals, lent: Mapping[int, int], resolved: Resolutions,
    names: Names, findings: Findings,
) -> None:  # fmt: skip
    pending: dict[int, int] = defaultdict(int)
    reported: dict[int, _Reported] = defaultdict(_Reported)
    for checked in day:
        for deal in checked.undelivered:
            pending[deal.buyer or 0] -= deal.amount + deal.buy_fee
            pending[deal.seller or 0] += deal.amount - deal.sell_fee
        for row in checked.package.tables["FUND"]:
            key = f"{checked.package.name} FUND {row['member_no']}"
            reported[names.accounts.get(row["member_no"], 0)].add(row["closing"], key)
    held: dict[int, int] = defaultdict(int)
    for (account, instrument, bucket), balance in closing.items():
        if instrument in names.money and bucket in _MEMBERS_MONEY:
            held[account] += balance
    for account, theirs in reported.items():
        own = held[account] + pending[account] - lent.get(account, 0)
        if not resolved.accepts(account, resolutions.MONEY, own, theirs.closing):
            findings.compare("fund_differs", theirs.key, theirs.closing, own)


def _compare_deals(package: Package, findings: Findings) -> None:
    """Compare what POS and FUND say was bought, sold and paid with the package's own deals."""
    tonnes: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    fen: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for deal in package.tables["DEAL"]:
        tonnes[deal["buyer"], deal["trade_code"]][0] += deal["quantity"]
        tonnes[deal["seller"], deal["trade_code"]][1] += deal["quantity"]
        for side, place, fee in (("buyer", 0, "buy_fee"), ("seller", 1, "sell_fee")):
            fen[deal[side]][place] += deal["amount"]
            fen[deal[side]][2] += deal[fee]
    for row in package.tables["POS"]:
        key = f"{package.name} POS {row['member_no']} {row['trade_code']}"
        own = tonnes.pop((row["member_no"], row["trade_code"]), [0, 0])
        _compare_columns(row, ("bought", "sold"), own, key, findings)
    for row in package.tables["FUND"]:
        key = f"{package.name} FUND {row['member_no']}"
        own = fen.pop(row["member_no"], [0, 0, 0])
        _compare_columns(row, ("bought", "sold", "fees"), own, key, findings)
    for member, code in tonnes:
        findings.add("row_missing", f"{package.name} POS {member} {code}")
    for member in fen:
        findings.add("row_missing", f"{package.name} FUND {member}")


def _compare_columns(
    row: Row, columns: Sequence[str], own: Sequence[int], key: str, findings: Findings
) -> None:
    for column, figure in zip(columns, own, strict=True):
        findings.compare("reported_differs", f"{key} {column}", figure, row[column])
