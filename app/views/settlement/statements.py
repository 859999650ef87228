"""结算单: the statements of a participant's settled days, as pages and files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Response, abort, g
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import force_locale, gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, exists

from app.domain.money import plain_yuan, yuan
from app.domain.trading_day import BEIJING
from app.extensions import transaction
from app.models import ReportedFund, Trade, TradeDefault
from app.operations.records.log import record
from app.security.roles import AUDITOR, READERS
from app.security.scope import require_scope
from app.views.attestations import statement
from app.views.chapters import SETTLEMENT, MenuEntry
from app.views.lists.columns import TONNES, YUAN, Column, spreadsheet_text
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.page import current_actor
from app.views.settlement import figures
from app.views.settlement.figures import Statement
from app.views.settlement.trades import A_TONNE, METHODS, SIDES, STATES, market_link

SHOWN = 200  # trades on the page; the files have more
DRAWN = 5_000  # trades in the PDF; the CSV has all
WHOLE, SHORT = "whole", "short"
OUTCOMES = {WHOLE: (_("All delivered"), "green"), SHORT: (_("With defaults"), "red")}
TITLE = "结算单"
_LANGUAGE = "zh"  # of the files, whatever that of the pages
ACCEPTED = _("A statement without an objection by the time named is accepted")


class StatementView(ListPage):
    """结算单: a day's, once its trades are delivered (结算管理规则 9)."""

    route_base = "/statements"
    title = _("Settlement statements")
    menu = MenuEntry(SETTLEMENT, 3)
    guide = {
        "enterprise": "结算单",
        "province": "结算单",
        "registry": "结算单",
        "administration": "结算单",
    }
    grants = {f"{READERS} {AUDITOR}": "list export show download"}
    key = ("package_id", "account_id")
    account_column = "account_id"
    columns = (
        Column("day", _("Trading day"), kind="date"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("venue", _("Trading venue"), kind="code", is_shown=False),
        Column("bought", _("Bought for"), kind="money"),
        Column("sold", _("Sold for"), kind="money"),
        Column("fees", _("Fees"), kind="money"),
        Column("outcome", _("Delivery"), kind="status", choices=OUTCOMES),
        Column("settled_at", _("Settled at"), kind="datetime"),
    )
    filters = (
        Filter("day", _("Trading day"), kind="date_range"),
        Filter("member", _("Member name"), on=("account",), is_of_others=True),
        Filter("member_no", _("Member number"), kind="prefix", is_of_others=True),
    )
    help = (
        _("One statement a settled day with trades; amounts here are those of the trades as dealt"),
        ACCEPTED,
    )
    empty_hint = _("A statement stands here once the trades of a day are delivered")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a statement."""
        parties = (Trade.buyer_id == ReportedFund.account_id) | (
            Trade.seller_id == ReportedFund.account_id
        )
        defaulted = exists().where(
            TradeDefault.trade_id == Trade.id, Trade.package_id == ReportedFund.package_id, parties
        )
        return figures.statements().add_columns(
            case((defaulted, SHORT), else_=WHOLE).label("outcome")
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        number = figures.statement_number(row.day, row.venue, row.member_no)
        yield RowAction(_("Details"), self.url("show", id=number))
        if self.may("download"):
            yield RowAction("PDF", self.url("pdf", id=number), keeps_place=False)

    def tools(self) -> Iterable[RowAction]:
        yield market_link()

    @expose("/<id>")
    @has_access
    @permission_name("show")
    def show(self, id: str) -> Any:
        found = _found(id)
        tables = _tables(found, most=SHOWN)
        actions: list[dict[str, Any]] = []
        if self.may("download"):
            for label, method in (("PDF", "pdf"), ("CSV", "csv_file")):
                url = self.url(method, id=found.number)
                actions.append({"label": label, "url": url, "icon": "download"})
        detail = {
            "title": gettext("Settlement statement"),
            "number": found.number,
            "actions": actions,
            "sections": [{"title": "", "items": _facts(found)}],
            "tables": [each.shown() for each in tables],
            "help": _notes(found),
            "back_url": back_url(self.url("list")),
        }
        return self.render_template("parts/detail.html", detail=detail, crumb=found.number)

    @expose("/<id>/statement.pdf")
    @has_access
    @permission_name("download")
    def pdf(self, id: str) -> Response:
        """Send the PDF, the same bytes each time."""
        found = _found(id)
        if found.trades > DRAWN:
            abort(413)
        with force_locale(_LANGUAGE):
            content = statement.draw(
                TITLE, found.number, _facts(found), [each.shown() for each in _tables(found)],
                _notes(found),
            )  # fmt: skip
        return _file(found, content, "pdf", "application/pdf")

    @expose("/<id>/statement.csv")
    @has_access
    @permission_name("download")
    def csv_file(self, id: str) -> Response:
        found = _found(id)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        with force_locale(_LANGUAGE):
            for label, value, kind in _raw_facts(found):
                writer.writerow([str(label), _plain(value, kind)])
            for table in _tables(found):
                writer.writerows([[], [str(table.title)], *table.lines()])
        return _file(found, ("\ufeff" + text.getvalue()).encode(), "csv", "text/csv")


@dataclass(frozen=True, slots=True)
class StatementTable:
    """A table of a statement, for page and files; columns are (label, kind, unit)."""

    title: Any
    columns: Sequence[tuple[Any, str, Any]]
    rows: Sequence[Sequence[Any]]

    def shown(self) -> dict[str, Any]:
        """Return it as a page shows it (parts/cells.html)."""
        columns = [
            {"label": str(label), "kind": kind, "unit": str(unit)}
            for label, kind, unit in self.columns
        ]
        kinds = [kind for _label, kind, _unit in self.columns]
        rows = [[_shown(*each) for each in zip(row, kinds, strict=True)] for row in self.rows]
        return {"title": str(self.title), "columns": columns, "rows": rows}

    def lines(self) -> list[list[str]]:
        """Return it as a file has it, headings first."""
        headings = [
            f"{label}（{unit}）" if unit else str(label) for label, _k, unit in self.columns
        ]
        kinds = [kind for _label, kind, _unit in self.columns]
        rows = [[_plain(*each) for each in zip(row, kinds, strict=True)] for row in self.rows]
        return [headings, *rows]


def _found(number: str) -> Statement:
    """Return a statement in the member's scope; another one does not exist."""
    row = figures.find(number)
    require_scope(row.account_id, g.user)
    return figures.statement(row)


def _raw_facts(found: Statement) -> list[tuple[Any, Any, str]]:
    return [
        (_("Statement number"), found.number, "code"),
        (_("Member number"), found.member_no, "code"),
        (_("Member name"), found.account, "text"),
        (_("Trading day"), found.day, "date"),
        (_("As of"), found.as_of, "datetime"),
        (_("Objections until"), found.deadline, "datetime"),
        (_("Trades delivered"), found.delivered, "number"),
        (_("Trades not delivered"), found.undelivered, "number"),
        (_("Bought for"), found.bought, "money"),
        (_("Sold for"), found.sold, "money"),
        (_("Fees"), found.fees, "money"),
        (_("Net amount"), found.sold - found.bought - found.fees, "money"),
    ]


def _facts(found: Statement) -> list[tuple[Any, ...]]:
    return [
        (str(label), _shown(value, kind), kind, str(YUAN) if kind == "money" else "")
        for label, value, kind in _raw_facts(found)
    ]


def _notes(found: Statement) -> list[str]:
    notes = [
        gettext("Figures are the ledger's at the instant named, when the day's delivery ended"),
        gettext(
            "Objections are accepted until %(time)s, the opening of the next trading day; without"
            " one the statement is accepted",
            time=f"{found.deadline.astimezone(BEIJING):%Y-%m-%d %H:%M}",
        ),
        gettext("Sale proceeds of the day buy at once and are withdrawable from the next opening"),
    ]
    if found.trades > SHOWN:
        notes.append(
            gettext(
                "The page shows the first %(shown)s of %(all)s trades; the CSV file has all of them",
                shown=SHOWN,
                all=found.trades,
            )
        )
    return notes


def _tables(found: Statement, most: int | None = None) -> list[StatementTable]:
    return [_positions(found), _money(found), _trades(found, most)]


def _positions(found: Statement) -> StatementTable:
    columns = (
        (_("Instrument code"), "code", ""),
        (_("Instrument name"), "text", ""),
        (_("Opening balance"), "number", TONNES),
        (_("Bought"), "number", TONNES),
        (_("Sold"), "number", TONNES),
        (_("Moved in and out"), "number", TONNES),
        (_("Closing balance"), "number", TONNES),
    )
    rows = [
        (each.code, each.name, each.opening, each.bought, each.sold, each.other, each.closing)
        for each in found.positions
    ]
    return StatementTable(_("Held in trading"), columns, rows)


def _money(found: Statement) -> StatementTable:
    columns = (
        (_("Money account"), "text", ""),
        (_("Opening: available"), "money", ""),
        (_("Opening: proceeds"), "money", ""),
        (_("Bought"), "money", ""),
        (_("Sold"), "money", ""),
        (_("Fee"), "money", ""),
        (_("Paid in and out"), "money", ""),
        (_("Closing: available"), "money", ""),
        (_("Closing: proceeds"), "money", ""),
        (_("Usable"), "money", ""),
    )
    rows = [
        (each.name, each.opening_available, each.opening_proceeds, each.bought, each.sold,
         each.fees, each.other, each.available, each.proceeds, each.usable)
        for each in found.money
    ]  # fmt: skip
    return StatementTable(_("Money (yuan)"), columns, rows)


def _trades(found: Statement, most: int | None) -> StatementTable:
    columns = (
        (_("Trade number"), "code", ""),
        (_("Time of the trade"), "datetime", ""),
        (_("Trading method"), "text", ""),
        (_("Instrument code"), "code", ""),
        (_("Side"), "text", ""),
        (_("Traded quantity"), "number", TONNES),
        (_("Price"), "money", A_TONNE),
        (_("Traded amount"), "money", YUAN),
        (_("Fee"), "money", YUAN),
        (_("Delivery"), "status", ""),
    )
    rows = [
        (each.deal_no, each.dealt_at, METHODS[each.method], each.code, SIDES[each.side],
         each.quantity, each.price, each.amount, each.fee, STATES[each.state])
        for each in figures.trades(found, most)
    ]  # fmt: skip
    return StatementTable(_("Trades of the day"), columns, rows)


def _shown(value: Any, kind: str) -> Any:
    if kind == "money":
        return yuan(value)
    if kind == "status":
        title, tone = value
        return {"label": str(title), "tone": tone}
    if kind == "datetime":
        return f"{value.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
    return value if kind in ("number", "date") else str(value)


def _plain(value: Any, kind: str) -> str:
    if kind == "money":
        return plain_yuan(value)
    if kind == "status":
        return str(value[0])
    shown = str(_shown(value, kind))
    return spreadsheet_text(shown, is_code=kind == "code") if kind in ("text", "code") else shown


def _file(found: Statement, content: bytes, ending: str, media_type: str) -> Response:
    with transaction():
        record(
            current_actor(),
            "statement.download",
            subject=found.number,
            account_id=found.account_id,
            format=ending,
        )
    name = quote(f"{TITLE}_{found.number}.{ending}")
    headers = {
        "Content-Disposition": f"attachment; filename=\"statement.{ending}\"; filename*=UTF-8''{name}"
    }
    return Response(content, mimetype=media_type, headers=headers)
