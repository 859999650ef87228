"""The figures of the yearly report, by province, sector and year; tonnes, fen and numbers.

Of notices a year is the compliance year, of everything else the calendar year in Beijing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import Connection, RowMapping, text

from app.domain.moves import Bucket
from app.domain.trading_day import BEIJING

TONNES, FEN, NUMBER = "tonnes", "fen", "number"
PROVINCE, SECTOR, YEAR = "province", "sector", "year"
TOTAL = "total"  # the key of the row of all
SEVERAL = "several"  # of an enterprise in more than one sector


@dataclass(frozen=True, slots=True)
class Figure:
    """What a column of the report can show."""

    title: Any
    measure: str


FIGURES: Mapping[str, Figure] = {
    "enterprises": Figure(_("Enterprises with a notice"), NUMBER),
    "fulfilled": Figure(_("Enterprises that have fulfilled"), NUMBER),
    "late": Figure(_("Enterprises that fulfilled late"), NUMBER),
    "overdue": Figure(_("Enterprises overdue"), NUMBER),
    "obligation": Figure(_("Obligation"), TONNES),
    "surrendered": Figure(_("Surrendered for the notices, CCER included"), TONNES),
    "offset": Figure(_("Of which CCER"), TONNES),
    "gap": Figure(_("Gap"), TONNES),
    "issued": Figure(_("Issued, without carry-over"), TONNES),
    "reversed": Figure(_("Issues reversed"), TONNES),
    "granted": Figure(_("Issued by carry-over"), TONNES),
    "carried": Figure(_("Recalled by carry-over"), TONNES),
    "returned": Figure(_("Returned after adjustment notices"), TONNES),
    "posted": Figure(_("Allowances surrendered in the year, less refunds"), TONNES),
    "cancelled": Figure(_("Voluntarily cancelled"), TONNES),
    "confiscated": Figure(_("Confiscated, less refunds"), TONNES),
    "sold": Figure(_("Sold"), TONNES),
    "bought": Figure(_("Bought"), TONNES),
    "sold_for": Figure(_("Turnover of sales"), FEN),
    "bought_for": Figure(_("Turnover of purchases"), FEN),
    "penalties": Figure(_("Administrative penalties"), NUMBER),
    "fines": Figure(_("Fines"), FEN),
}


@dataclass(slots=True)
class Figures:
    """The figures of a year and of those before it, by (rows_by, key); a year's key is its number."""

    year: int
    values: dict[tuple[str, str], dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )

    def keys(self, rows_by: str) -> list[str]:
        """Return the rows of a sheet that have figures, in order; `TOTAL` is another one."""
        return sorted(key for by, key in self.values if by == rows_by)

    def of(self, rows_by: str, key: str) -> Mapping[str, int]:
        """Return the figures of a row; those of all are the report's year's."""
        by = (YEAR, str(self.year)) if key == TOTAL else (rows_by, key)
        return self.values.get(by, {})


def read(connection: Connection, year: int, *, now: datetime) -> Figures:
    """Return the figures of a year and all before, as of the connection's snapshot."""
    first, end = (datetime(each, 1, 1, tzinfo=BEIJING) for each in (year, year + 1))
    asked = {
        "year": year, "first": first.date(), "last": date(year, 12, 31), "end": end,
        "now": now, "day": now.astimezone(BEIJING).date(),
    }  # fmt: skip
    found = Figures(year)
    for statement in (_NOTICES, _LEDGER, _TRADES, _PENALTIES):
        used = {name: value for name, value in asked.items() if f":{name}" in statement}
        for row in connection.execute(text(statement), used).mappings():
            _add(found, row)
    return found


_LEVELS = {3: YEAR, 1: PROVINCE, 2: SECTOR}  # GROUPING(province, sector): a bit each


def _add(found: Figures, row: RowMapping) -> None:
    rows_by = _LEVELS[row["level"]]
    if rows_by != YEAR and row["year"] != found.year:
        return
    key = str(row["year"]) if rows_by == YEAR else row[rows_by] or ""
    for name in FIGURES.keys() & row.keys():
        found.values[rows_by, key][name] += int(row[name] or 0)


# An account's sector: that of the report's year, or several, or none.
_SECTORS = f"""
         sectored AS (
           SELECT a.id, coalesce(a.province, '') AS province,
                  coalesce((SELECT CASE count(DISTINCT s.sector) WHEN 1 THEN min(s.sector)
                                                                 WHEN 0 THEN '' ELSE '{SEVERAL}' END
                              FROM account_sector s
                             WHERE s.account_id = a.id AND s.starts_on <= :last
                               AND (s.ends_on IS NULL OR s.ends_on > :first)), '') AS sector
             FROM account a)
"""  # noqa: S608 - our own word
_GROUPED = "GROUP BY GROUPING SETS ((year), (year, province), (year, sector))"
_NOTICES = f"""
    WITH used AS (
           SELECT notice_id, sum(surrendered)::bigint AS surrendered, max(counted_at) AS last_at,
                  sum(surrendered) FILTER (WHERE instrument_id IS NULL)::bigint AS offsets
             FROM notice_surrender_line GROUP BY notice_id),
         owed AS (
           SELECT n.year, a.province, n.sector, n.account_id, n.obligation,
                  least(coalesce(u.surrendered, 0), n.obligation) AS surrendered,
                  coalesce(u.offsets, 0) AS offsets,
                  notice_state(n.obligation, coalesce(u.surrendered, 0), u.last_at, p.surrender_by,
                               NULL, :now) AS state
             FROM notice n JOIN account a ON a.id = n.account_id
             LEFT JOIN used u ON u.notice_id = n.id
             LEFT JOIN LATERAL plan_on(n.year, n.sector, :day) p ON true
            WHERE n.withdrawn_at IS NULL AND n.year <= :year)
    SELECT year, province, sector, grouping(province, sector) AS level,
           count(DISTINCT account_id) AS enterprises,
           count(DISTINCT account_id)
             - count(DISTINCT account_id) FILTER (WHERE surrendered < obligation) AS fulfilled,
           count(DISTINCT account_id) FILTER (WHERE state = 'late') AS late,
           count(DISTINCT account_id) FILTER (WHERE state = 'overdue') AS overdue,
           sum(obligation)::bigint AS obligation, sum(surrendered)::bigint AS surrendered,
           sum(offsets)::bigint AS "offset", sum(obligation - surrendered)::bigint AS gap
      FROM owed {_GROUPED}
"""  # noqa: S608 - our own words
# What waits at a province is issued to the enterprise that the issue is about.
_LEDGER = f"""
    WITH {_SECTORS},
         moved AS (
           SELECT extract(year FROM m.at AT TIME ZONE 'Asia/Shanghai')::integer AS year, v.figure,
                  CASE WHEN h.kind = 'province' THEN coalesce(a.account_id, v.account) ELSE v.account END
                    AS account_id, sum(v.tonnes)::bigint AS tonnes
             FROM movement m
             JOIN instrument i ON i.id = m.instrument_id AND i.kind = 'allowance'
             JOIN posting p ON p.id = m.posting_id
             LEFT JOIN application a ON a.id = p.application_id
            CROSS JOIN LATERAL (VALUES
              ('issued', m.to_account, m.quantity, m.from_bucket = {int(Bucket.ISSUED)}
                AND p.business <> 'carry_over_grant'),
              ('granted', m.to_account, m.quantity, m.from_bucket = {int(Bucket.ISSUED)}
                AND p.business = 'carry_over_grant'),
              ('reversed', m.from_account, m.quantity, m.to_bucket = {int(Bucket.ISSUED)}),
              ('carried', m.from_account, m.quantity, m.to_bucket = {int(Bucket.RECALLED)}
                AND p.business = 'carry_over'),
              ('returned', m.from_account, m.quantity, m.to_bucket = {int(Bucket.RECALLED)}
                AND p.business <> 'carry_over'),
              ('posted', m.to_account, m.quantity, m.to_bucket = {int(Bucket.SURRENDERED)}),
              ('posted', m.from_account, -m.quantity, m.from_bucket = {int(Bucket.SURRENDERED)}),
              ('cancelled', m.to_account, m.quantity, m.to_bucket = {int(Bucket.CANCELLED)}),
              ('confiscated', m.to_account, m.quantity, m.to_bucket = {int(Bucket.CONFISCATED)}),
              ('confiscated', m.from_account, -m.quantity, m.from_bucket = {
    int(Bucket.CONFISCATED)
}),
              ('sold', m.from_account, m.quantity, p.business = 'trade'),
              ('bought', m.to_account, m.quantity, p.business = 'trade')
            ) AS v (figure, account, tonnes, counts)
             JOIN account h ON h.id = v.account
            WHERE m.at < :end AND v.counts
              AND (m.from_bucket IN ({int(Bucket.ISSUED)}, {int(Bucket.SURRENDERED)},
                                     {int(Bucket.CONFISCATED)})
                   OR m.to_bucket IN ({int(Bucket.ISSUED)}, {int(Bucket.SURRENDERED)},
                                      {int(Bucket.CANCELLED)}, {int(Bucket.CONFISCATED)},
                                      {int(Bucket.RECALLED)})
                   OR (m.from_bucket, m.to_bucket) = ({int(Bucket.TRADING)}, {int(Bucket.TRADING)}))
            GROUP BY 1, 2, 3)
    SELECT year, province, sector, grouping(province, sector) AS level,
           {
    ", ".join(
        f"sum(tonnes) FILTER (WHERE figure = '{name}')::bigint AS {name}"
        for name in (
            "issued",
            "granted",
            "reversed",
            "carried",
            "returned",
            "posted",
            "cancelled",
            "confiscated",
            "sold",
            "bought",
        )
    )
}
      FROM moved JOIN sectored s ON s.id = moved.account_id {_GROUPED}
"""  # noqa: S608 - our own words
_TRADES = f"""
    WITH {_SECTORS},
         traded AS (
           SELECT extract(year FROM d.at AT TIME ZONE 'Asia/Shanghai')::integer AS year, v.account_id,
                  sum(v.sold)::bigint AS sold_for, sum(v.bought)::bigint AS bought_for
             FROM trade_delivery d JOIN trade t ON t.id = d.trade_id
            CROSS JOIN LATERAL (VALUES (t.seller_id, t.amount, 0), (t.buyer_id, 0, t.amount))
                            AS v (account_id, sold, bought)
            WHERE d.at < :end GROUP BY 1, 2)
    SELECT year, province, sector, grouping(province, sector) AS level,
           sum(sold_for)::bigint AS sold_for, sum(bought_for)::bigint AS bought_for
      FROM traded JOIN sectored s ON s.id = traded.account_id {_GROUPED}
"""  # noqa: S608 - our own words
_PENALTIES = f"""
    WITH {_SECTORS},
         penalised AS (
           SELECT extract(year FROM a.starts_on)::integer AS year, a.account_id,
                  (a.proposal ->> 'fen')::bigint AS fen
             FROM application a
            WHERE a.kind = 'penalty' AND a.status = 'approved' AND a.starts_on <= :last
               AND a.revoked_by_id IS NULL)
    SELECT year, province, sector, grouping(province, sector) AS level,
           count(*) AS penalties, sum(fen)::bigint AS fines
      FROM penalised JOIN sectored s ON s.id = penalised.account_id {_GROUPED}
"""  # noqa: S608 - our own words
