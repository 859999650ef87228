"""信息公开, without signing in: an index, and each data set as page, CSV and JSON (rules-2026 N160, N161)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from flask import Response, abort, make_response, request
from flask_appbuilder import expose
from flask_babel import force_locale
from flask_babel import lazy_gettext as _

from app.operations.publicity import publishing
from app.operations.publicity.publishing import Published
from app.security.gate import RateLimit
from app.views.lists.public_file import csv_content, is_known, kept, public_file
from app.views.page import Page
from app.views.publicity.sets import SETS, DataSet

SHOWN = 100  # rows of a page
_LANGUAGE = "zh"  # of the files, so that all get the same
_LONGEST = 60  # characters that are searched for


class DisclosureView(Page):
    """信息公开."""

    route_base = "/disclosures"
    default_view = "index"
    title = _("Public information")

    @expose("/")
    def index(self) -> Any:
        """Lead to every data set, with the day that it is as of."""
        _require_patience()
        latest = publishing.find("compliance")
        page = self.render_template(
            "publicity/index.html",
            sets=SETS,
            as_of=latest.as_of if latest else None,
            url=self.url,
        )
        return make_response(page)

    @expose("/<code>")
    def show(self, code: str) -> Any:
        """Show a data set, some rows at a time."""
        data, found = _asked(code)
        rows = _sought(data, found.rows() if found else ())
        page = _page(len(rows))
        first = (page - 1) * SHOWN
        cells = [
            [column.shown(row.get(column.key)) for column in data.columns]
            for row in rows[first : first + SHOWN]
        ]
        return self.render_template(
            "publicity/data_set.html",
            code=code,
            data=data,
            found=found,
            columns=[
                {"label": str(each.title), "kind": each.kind, "unit": str(each.unit)}
                for each in data.columns
            ],
            rows=cells,
            total=len(rows),
            page=page,
            pages=max(-(-len(rows) // SHOWN), 1),
            sought=_text("q"),
            day=_text("day"),
            url=self.url,
        )

    @expose("/<code>.csv")
    def csv_file(self, code: str) -> Response:
        """Send a data set; words instead of codes, as people read them."""
        data, found = _asked(code)
        etag = _etag(found, "csv")
        if is_known(etag):
            return kept(Response(status=304), etag)
        with force_locale(_LANGUAGE):
            lines = [[str(_("As of the day")), found.as_of.isoformat() if found else ""], []]
            lines.append([each.heading for each in data.columns])
            lines += [
                [each.in_file(row.get(each.key)) for each in data.columns]
                for row in (found.rows() if found else ())
            ]
        return public_file(csv_content(lines), _name(code, found, "csv"), "text/csv", etag=etag)

    @expose("/<code>.json")
    def json_file(self, code: str) -> Response:
        """Send a data set; codes as stored, money as texts in yuan."""
        data, found = _asked(code)
        etag = _etag(found, "json")
        if is_known(etag):
            return kept(Response(status=304), etag)
        with force_locale(_LANGUAGE):
            content = {
                "data_set": code,
                "title": str(data.title),
                "basis": str(data.basis),
                "as_of": found.as_of.isoformat() if found else None,
                "year": found.part or None if found else None,
                "years": found.parts if found and data.is_by_year else None,
                "rows": [
                    {each.key: each.in_json(row.get(each.key)) for each in data.columns}
                    for row in (found.rows() if found else ())
                ],
            }
        body = json.dumps(content, ensure_ascii=False).encode()
        return public_file(body, _name(code, found, "json"), "application/json", etag=etag)


def _asked(code: str) -> tuple[DataSet, Published | None]:
    """Return the data set of the address as of the day named.  Aborts where there is none."""
    _require_patience()
    data = SETS.get(code) or abort(404)
    typed, year = _text("day"), _text("year")
    try:
        day = date.fromisoformat(typed) if typed else None
    except ValueError:
        abort(404)
    if year and not (data.is_by_year and year.isascii() and year.isdigit() and len(year) == 4):
        abort(404)
    return data, publishing.find(code, year or None if data.is_by_year else "", day)


def _require_patience() -> None:
    if not _limit.allows(request.remote_addr or ""):
        abort(429)


def _text(name: str) -> str:
    return request.args.get(name, "").strip()[:_LONGEST]


def _sought(data: DataSet, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the rows that have the text that is searched for, of those that name somebody."""
    sought = _text("q").casefold()
    if not sought or not data.names_by:
        return rows
    return [
        row
        for row in rows
        if any(sought in str(row[key]).casefold() for key in _NAMED & row.keys())
    ]


_NAMED = {"name", "uscc", "successors", "document_no"}


def _page(total: int) -> int:
    typed = _text("page")
    page = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 7 else 1
    return min(max(page, 1), max(-(-total // SHOWN), 1))


def _etag(found: Published | None, form: str) -> str:
    return f"{found.as_of}-{found.part}-{found.digest[:24]}-{form}" if found else f"none-{form}"


def _name(code: str, found: Published | None, ending: str) -> str:
    part = f"_{found.part}" if found and found.part else ""
    return f"{code}{part}_{found.as_of if found else 'none'}.{ending}"


_limit = RateLimit(most=60)
