"""司法冻结查询 for holders and authorities, and 司法扣划公告 for everybody (rules-2026 N97, N106)."""

from __future__ import annotations

import csv
import io
from typing import Any

from flask import Response, abort, request
from flask_appbuilder import expose
from flask_babel import force_locale
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, Select, cast, func, literal, select, text

from app.domain.kinds.sanctions.court import CourtFreeze
from app.domain.money import plain_yuan, yuan
from app.domain.trading_day import BEIJING
from app.domain.workflow import Status
from app.extensions import db
from app.models import Account, Application, CourtLapse, CourtOrder
from app.security.gate import RateLimit
from app.security.roles import READERS
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.lists.columns import Column, spreadsheet_text
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage
from app.views.page import Page
from app.views.sanctions.court_orders import EXPIRY
from app.views.sanctions.courts import ANY, MEASURES, expiry_of, of_measure, place_of

READ_ONLY = _("Entered by the registry upon the court's paper; it cannot be cancelled here")


class CourtFreezeEnquiryView(ListPage):
    """司法冻结查询: the place in the queue, what is effective and what is queued, and the end."""

    route_base = "/enquiries/court-freezes"
    title = _("Judicial freeze enquiry")
    menu = MenuEntry(ENQUIRIES, 7)
    guide = {"enterprise": "二冻结解冻查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    account_column = "account_id"
    columns = (
        Column("member_no", _("Member number"), is_of_others=True, kind="code", is_shown=False),
        Column("account", _("Member name"), is_of_others=True),
        Column("target", _("Instrument code"), choices={ANY: _("Whole account")}),
        Column("document_no", _("Number of the ruling"), kind="code"),
        Column("authority", _("Court")),
        Column("served_at", _("Time of service"), kind="datetime"),
        Column("place", _("Place in the queue"), kind="number"),
        Column("ordered", _("Ordered"), kind="quantity"),
        Column("effective", _("Effective"), kind="quantity"),
        Column("queued", _("Queued"), kind="quantity"),
        Column("money", _("Effective, money"), kind="money", is_shown=False),
        Column("until", _("In force until"), kind="date"),
        Column("expiry", _("Expiry"), kind="status", choices=EXPIRY),
        Column("lapse", _("Entry of the end by itself"), kind="code", is_shown=False),
        Column("category", _("Measure"), choices=MEASURES[CourtFreeze.code], is_shown=False),
        Column("number", _("Application number"), kind="code", is_shown=False),
    )
    filters = (
        Filter("target", _("Instrument code"), kind="prefix", on=("target",)),
        Filter("ruling", _("Number of the ruling"), on=("document_no",)),
        Filter("court", _("Court"), on=("authority",)),
        Filter("expiry", _("Expiry"), kind="choice", choices=EXPIRY),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    help = (
        READ_ONLY,
        _(
            "Courts are served in the order of service; when one ends, the next takes effect by itself"
        ),
        _("An order that nobody renews ends by itself at 24:00 of its last day"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row an order that two officers confirmed."""
        said = Application.proposal
        code = func.nullif(func.jsonb_extract_path_text(said, "instrument_code"), "")
        return (
            select(
                CourtOrder.application_id.label("id"),
                CourtOrder.account_id,
                Account.member_no,
                Account.name.label("account"),
                func.coalesce(code, literal(ANY)).label("target"),
                Application.document_no,
                Application.authority,
                CourtOrder.served_at,
                place_of(CourtOrder).label("place"),
                of_measure(cast(CourtOrder.quantity, BigInteger), said).label("ordered"),
                of_measure(CourtOrder.effective, said).label("effective"),
                of_measure(CourtOrder.queued, said).label("queued"),
                of_measure(CourtOrder.effective, said, of_money=True).label("money"),
                CourtOrder.ends_on.label("until"),
                expiry_of(CourtOrder).label("expiry"),
                CourtLapse.number.label("lapse"),
                Application.category,
                Application.number,
            )
            .join(Application, Application.id == CourtOrder.application_id)
            .join(Account, Account.id == CourtOrder.account_id)
            .outerjoin(CourtLapse, CourtLapse.order_id == CourtOrder.application_id)
            .where(Application.status == Status.APPROVED)
        )


MOST = 200  # deductions on a page, the latest; the file has all of a year
_DEDUCTIONS = text("""
    SELECT e.at, c.name, i.code, i.name AS instrument, i.kind, l.quantity, a.document_no
      FROM application a
      JOIN LATERAL (SELECT max(v.at) AS at FROM application_event v
                     WHERE v.application_id = a.id AND v.action = 'approve') e ON true
      JOIN account c ON c.id = a.account_id
      JOIN application_line l ON l.application_id = a.id
      JOIN instrument i ON i.id = l.instrument_id
     WHERE a.kind = 'court_assignment' AND a.status = 'approved'
     ORDER BY a.id DESC, l.id LIMIT :most
""")
# Key, title and kind: nothing of the case (N106).
COLUMNS: tuple[tuple[str, Any, str], ...] = (
    ("at", _("Date"), "date"),
    ("name", _("Enterprise"), "text"),
    ("code", _("Instrument code"), "code"),
    ("instrument", _("Instrument"), "text"),
    ("quantity", _("Quantity (tonnes)"), "number"),
    ("amount", _("Amount (yuan)"), "money"),
    ("document_no", _("Document"), "code"),
)


class DeductionNoticeView(Page):
    """司法扣划公告, without signing in."""

    route_base = "/deductions"
    default_view = "show"
    title = _("Public notice of judicial deductions")

    @expose("/")
    def show(self) -> Any:
        """Show the latest deductions."""
        rows = [
            [
                yuan(row[key]) if key == "amount" and row[key] else row[key]
                for key, *_rest in COLUMNS
            ]
            for row in _read(MOST)
        ]
        return self.render_template(
            "sanctions/deductions.html",
            columns=[{"label": str(title), "kind": kind} for _key, title, kind in COLUMNS],
            rows=rows,
            most=MOST,
            url=self.url,
        )

    @expose("/deductions.csv")
    def csv_file(self) -> Response:
        """Send them as a file that anybody may keep for some minutes."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\r\n")
        with force_locale("zh"):
            writer.writerow([str(title) for _key, title, _kind in COLUMNS])
        for row in _read(MOST_IN_FILE):
            writer.writerow([_plain(row[key], kind) for key, _title, kind in COLUMNS])
        response = Response(("\ufeff" + file.getvalue()).encode(), mimetype="text/csv")
        response.headers["Content-Disposition"] = 'attachment; filename="deductions.csv"'
        response.cache_control.public = True
        response.cache_control.max_age = CACHED
        return response


MOST_IN_FILE, CACHED = 10_000, 300


def _read(most: int) -> list[dict[str, Any]]:
    """Return the deductions, tonnes and money apart.  Aborts where too much was asked."""
    if not _limit.allows(request.remote_addr or ""):
        abort(429)
    found = []
    for row in db.session.execute(_DEDUCTIONS, {"most": most}).mappings():
        is_money = row["kind"] == "money"
        tonnes, fen = (None, row["quantity"]) if is_money else (row["quantity"], None)
        day = row["at"].astimezone(BEIJING).date()
        found.append({**row, "at": day, "quantity": tonnes, "amount": fen})
    return found


def _plain(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind == "money":
        return plain_yuan(value)
    if kind in ("text", "code"):
        return spreadsheet_text(value, is_code=kind == "code")
    return str(value)


_limit = RateLimit(most=60)
