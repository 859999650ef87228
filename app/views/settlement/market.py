"""每日行情, for everybody: what was traded on a day, one row an instrument (rules-2026 N148)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Response, abort, request
from flask_appbuilder import expose
from flask_babel import force_locale, gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import text

from app.domain.money import plain_yuan, yuan
from app.extensions import db
from app.security.gate import RateLimit
from app.views.lists.columns import TONNES, YUAN, spreadsheet_text
from app.views.lists.public_file import csv_content, public_file
from app.views.page import Page
from app.views.settlement.trades import A_TONNE

_LANGUAGE = "zh"  # of the CSV file, so that all get the same
# By the instruments of the venues, so that each quote is found by its key.
_DAYS = text("""
    SELECT coalesce(:day, max(latest.day)) AS day,
           max(before.day) AS previous, min(after.day) AS next
      FROM venue_instrument v
      LEFT JOIN LATERAL (SELECT q.day FROM daily_quote q
                          WHERE (q.venue_id, q.instrument_id) = (v.venue_id, v.instrument_id)
                          ORDER BY q.day DESC LIMIT 1) latest ON true
      LEFT JOIN LATERAL (SELECT q.day FROM daily_quote q
                          WHERE (q.venue_id, q.instrument_id) = (v.venue_id, v.instrument_id)
                            AND q.day < :day
                          ORDER BY q.day DESC LIMIT 1) before ON true
      LEFT JOIN LATERAL (SELECT q.day FROM daily_quote q
                          WHERE (q.venue_id, q.instrument_id) = (v.venue_id, v.instrument_id)
                            AND q.day > :day
                          ORDER BY q.day LIMIT 1) after ON true
""")
_QUOTES = text("""
    SELECT n.name AS venue, i.code, i.name AS instrument, v.trade_code, q.day, q.close, q.high, q.low,
           q.listed_quantity, q.listed_amount, q.block_quantity, q.block_amount,
           q.auction_quantity, q.auction_amount,
           q.listed_quantity + q.block_quantity + q.auction_quantity AS total_quantity,
           q.listed_amount + q.block_amount + q.auction_amount AS total_amount
      FROM venue_instrument v
      JOIN daily_quote q ON (q.venue_id, q.instrument_id) = (v.venue_id, v.instrument_id)
      JOIN venue n ON n.id = v.venue_id
      JOIN instrument i ON i.id = v.instrument_id
     WHERE q.day = :day
     ORDER BY n.code, v.trade_code, i.code
""")
# Key, title, kind and unit.
COLUMNS: tuple[tuple[str, Any, str, Any], ...] = (
    ("trade_code", _("Trade code"), "code", ""),
    ("instrument", _("Instrument"), "text", ""),
    ("day", _("Date"), "date", ""),
    ("close", _("Closing price"), "money", A_TONNE),
    ("high", _("Highest price"), "money", A_TONNE),
    ("low", _("Lowest price"), "money", A_TONNE),
    ("listed_quantity", _("Listed quantity"), "number", TONNES),
    ("listed_amount", _("Listed turnover"), "money", YUAN),
    ("block_quantity", _("Block quantity"), "number", TONNES),
    ("block_amount", _("Block turnover"), "money", YUAN),
    ("auction_quantity", _("Auction quantity"), "number", TONNES),
    ("auction_amount", _("Auction turnover"), "money", YUAN),
    ("total_quantity", _("Total quantity"), "number", TONNES),
    ("total_amount", _("Total turnover"), "money", YUAN),
)
# On the page the day stands above the table, and the units beneath it.
SHOWN = tuple(column for column in COLUMNS if column[0] != "day")


@dataclass(frozen=True, slots=True)
class MarketDay:
    """A day's quotes and the days around it that have some; without a day nothing was quoted yet."""

    day: date | None
    previous: date | None
    next: date | None
    quotes: Sequence[Mapping[str, Any]]


class MarketView(Page):
    """每日行情, without signing in."""

    route_base = "/market"
    default_view = "show"
    title = _("Daily quotes")

    @expose("/")
    def show(self) -> Any:
        """Show a day, the latest one unless another is asked for."""
        found = _asked()
        venues: dict[str, list[list[Any]]] = {}
        for row in found.quotes:
            cells = [_shown(row[key], kind) for key, _title, kind, _unit in SHOWN]
            venues.setdefault(row["venue"], []).append(cells)
        columns = [{"label": str(title), "kind": kind} for _key, title, kind, _unit in SHOWN]
        return self.render_template(
            "settlement/market.html",
            market=found,
            columns=columns,
            venues=venues,
            url=self.url,
        )

    @expose("/quotes.csv")
    def csv_file(self) -> Response:
        found = _asked()
        with force_locale(_LANGUAGE):
            lines = [
                [gettext("Trading venue"), gettext("Instrument code")]
                + [
                    f"{title}（{unit}）" if unit else str(title)
                    for _key, title, _k, unit in COLUMNS
                ]
            ]
        for row in found.quotes:
            first = [spreadsheet_text(row["venue"]), spreadsheet_text(row["code"], is_code=True)]
            cells = [_plain(row[key], kind) for key, _title, kind, _unit in COLUMNS]
            lines.append([*first, *cells])
        return public_file(csv_content(lines), _name(found, "csv"), "text/csv")

    @expose("/quotes.json")
    def json_file(self) -> Response:
        """Send the quotes; prices and turnovers are texts in yuan, exact to the fen."""
        found = _asked()
        content = {
            "day": _iso(found.day),
            "previous": _iso(found.previous),
            "next": _iso(found.next),
            "quotes": [
                {
                    "venue": row["venue"],
                    "instrument_code": row["code"],
                    **{key: _exact(row[key], kind) for key, _title, kind, _unit in COLUMNS},
                }
                for row in found.quotes
            ],
        }
        text_ = json.dumps(content, ensure_ascii=False)
        return public_file(text_.encode(), _name(found, "json"), "application/json")


def _asked() -> MarketDay:
    """Return the day of the request.  Aborts where it is no day, or too much was asked."""
    if not _limit.allows(request.remote_addr or ""):
        abort(429)
    typed = request.args.get("day", "").strip()
    try:
        day = date.fromisoformat(typed) if typed else None
    except ValueError:
        abort(404)
    if day is None:
        day = db.session.execute(_DAYS, {"day": None}).one().day
        if day is None:
            return MarketDay(None, None, None, ())
    around = db.session.execute(_DAYS, {"day": day}).one()
    quotes = db.session.execute(_QUOTES, {"day": day}).mappings().all()
    return MarketDay(day, around.previous, around.next, [dict(row) for row in quotes])


def _shown(value: Any, kind: str) -> Any:
    return yuan(value) if kind == "money" and value is not None else value


def _plain(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind in ("text", "code"):
        return spreadsheet_text(value, is_code=kind == "code")
    return plain_yuan(value) if kind == "money" else str(value)


def _exact(value: Any, kind: str) -> Any:
    if value is None or kind == "number":
        return value
    return plain_yuan(value) if kind == "money" else str(value)


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _name(found: MarketDay, ending: str) -> str:
    return f"quotes_{_iso(found.day) or 'none'}.{ending}"


_limit = RateLimit(most=60)
