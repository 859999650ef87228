"""年度对账单: an enterprise's year, as page, PDF and CSV."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from flask import Response, g
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import force_locale, gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Integer, Select, exists, func, select

from app.domain.errors import NotFound
from app.domain.trading_day import BEIJING
from app.extensions import db, transaction
from app.models import Account, Entry, Holding
from app.operations.publicity import year
from app.operations.publicity.year import YearStatement
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.operations.records.log import record
from app.security.roles import AUDITOR, READERS
from app.security.scope import require_scope
from app.views.attestations import sheets
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.enquiries.lines import BUSINESS_TITLES
from app.views.lists.columns import TONNES, YUAN, Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.lists.public_file import csv_content
from app.views.lists.sheets import Sheet, plain_value, shown_value
from app.views.page import current_actor

TITLE = "年度对账单"
FIRST_YEAR = 2021  # when the registry began
_LANGUAGE = "zh"  # of the files
_NUMBER = re.compile(r"(20[0-9]{2})-([^-/]{1,20})", re.ASCII)


class YearlyStatementView(ListPage):
    """年度对账单: one a year and enterprise that has held something by its end."""

    route_base = "/yearly-statements"
    title = _("Yearly statements")
    menu = MenuEntry(ENQUIRIES, 9)
    guide = {
        "enterprise": "年度对账单",
        "province": "年度对账单",
        "registry": "年度对账单",
        "administration": "账户的查询",
    }
    grants = {f"{READERS} {AUDITOR}": "list export show download"}
    key = ("year", "account_id")
    account_column = "account_id"
    columns = (
        Column("year", _("Year"), kind="code"),
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
    )
    filters = (
        Filter("year", _("Year"), kind="number"),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    help = (
        _("A statement is as of 24:00 of 31 December in Beijing; this year's is as of now"),
        _(
            "Moves between parts of one's own holding, such as freezes and transfers, are no movements"
        ),
    )
    empty_hint = _("A statement stands here once the enterprise holds allowances or money")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a year and enterprise."""
        latest = clock.now().astimezone(BEIJING).year
        years = (
            func.generate_series(FIRST_YEAR, latest, type_=Integer)
            .table_valued("year")
            .render_derived(name="y")
        )
        ends = func.make_timestamptz(years.c.year + 1, 1, 1, 0, 0, 0, BEIJING.key)
        begun = exists().where(
            Holding.account_id == Account.id,
            Entry.account_id == Holding.account_id,
            Entry.instrument_id == Holding.instrument_id,
            Entry.seq == 1,
            Entry.at < ends,
        )
        found: Select = (
            select(
                years.c.year.cast(Integer).label("year"),
                Account.id.label("account_id"),
                Account.member_no,
                Account.name.label("account"),
            )
            .select_from(Account)
            .join(years, Account.kind == "enterprise")
            .where(begun)
        )
        return found

    def actions(self, row: Any) -> Iterable[RowAction]:
        number = f"{row.year}-{row.member_no}"
        yield RowAction(_("Details"), self.url("show", number=number))
        if self.may("download"):
            yield RowAction("PDF", self.url("pdf", number=number), keeps_place=False)

    @expose("/<number>")
    @has_access
    @permission_name("show")
    def show(self, number: str) -> Any:
        account, found = _found(number)
        actions = [
            {"label": label, "url": self.url(method, number=number), "icon": "download"}
            for label, method in (("PDF", "pdf"), ("CSV", "csv_file"))
            if self.may("download")
        ]
        detail = {
            "title": gettext("Yearly statement"),
            "number": number,
            "actions": actions,
            "sections": [{"title": "", "items": _facts(number, account, found)}],
            "tables": [each.shown() for each in _filled(found)],
            "help": _notes(),
            "back_url": back_url(self.url("list")),
        }
        return self.render_template("parts/detail.html", detail=detail, crumb=number)

    @expose("/<number>/statement.pdf")
    @has_access
    @permission_name("download")
    def pdf(self, number: str) -> Response:
        """Send the PDF, of a year that is over the same bytes each time."""
        account, found = _found(number)
        with force_locale(_LANGUAGE):
            tables = [each.shown() for each in _filled(found)]
            facts = [(*each, "") for each in _facts(number, account, found)]
            content = sheets.draw(TITLE, number, facts, tables, _notes())
        return _file(number, account, content, "pdf", "application/pdf")

    @expose("/<number>/statement.csv")
    @has_access
    @permission_name("download")
    def csv_file(self, number: str) -> Response:
        account, found = _found(number)
        with force_locale(_LANGUAGE):
            lines = [
                [str(label), plain_value(value, kind)]
                for label, value, kind in _facts(number, account, found)
            ]
            for table in _tables(found):
                lines += [[], [str(table.title)], *table.lines()]
        return _file(number, account, csv_content(lines), "csv", "text/csv")


def _found(number: str) -> tuple[Account, YearStatement]:
    """Return a statement in the member's scope; another one does not exist."""
    parts, now = _NUMBER.fullmatch(number), clock.now()
    latest = now.astimezone(BEIJING).year
    if parts is None or not FIRST_YEAR <= int(parts[1]) <= latest:
        raise NotFound(_("There is no such record"))
    known = select(Account).where(Account.member_no == parts[2], Account.kind == "enterprise")
    account = db.session.scalars(known).one_or_none()
    require_scope(account.id if account else None, g.user)
    assert account
    return account, year.read(account.id, int(parts[1]), now=now)


def _facts(number: str, account: Account, found: YearStatement) -> list[tuple[str, str, str]]:
    return [
        (gettext("Number of the statement"), number, "code"),
        (gettext("Member number"), account.member_no, "code"),
        (gettext("Member name"), account.name, "text"),
        (gettext("Year"), str(found.year), "text"),
        (gettext("As of"), shown_value(found.as_of, "datetime"), "text"),
    ]


def _notes() -> list[str]:
    return [
        gettext("Opening balance + in - out = closing balance, for each instrument"),
        gettext("The registry's records are the final basis of ownership"),
    ]


def _tables(found: YearStatement) -> list[Sheet]:
    return [
        _sheet(_("Holdings of the year"), _HOLDINGS, found.holdings),
        _sheet(_("Movements by business"), _movements("number", TONNES), found.movements),
        _sheet(_("Compliance notices"), _NOTICES, found.notices),
        _sheet(_("CCER offset in the year"), _OFFSETS, found.offsets),
        _sheet(_("Adjustment notices"), _CLAIMS, found.claims),
        _sheet(_("Money (yuan)"), _MONEY, found.money),
        _sheet(_("Money by business"), _movements("money", YUAN), found.money_movements),
    ]


def _filled(found: YearStatement) -> list[Sheet]:
    """Return what page and PDF show: the holdings, and the tables that have rows."""
    first, *others = _tables(found)
    return [first, *(each for each in others if each.rows)]


_Columns = Sequence[tuple[str, Any, str, Any]]  # key, title, kind, unit
_INSTRUMENT: _Columns = (
    ("code", _("Instrument code"), "code", ""),
    ("name", _("Instrument name"), "text", ""),
)
_HOLDINGS: _Columns = (
    *_INSTRUMENT,
    ("opening", _("Opening balance"), "number", TONNES),
    ("closing", _("Closing balance"), "number", TONNES),
    ("available", _("Available in registry"), "number", TONNES),
    ("frozen", _("Frozen in registry"), "number", TONNES),
    ("in_transit", _("In transit"), "number", TONNES),
    ("trading", _("Held in trading"), "number", TONNES),
    ("custody", _("In custody"), "number", TONNES),
)
_NOTICES: _Columns = (
    ("number", _("Notice number"), "code", ""),
    ("year", _("Compliance year"), "text", ""),
    ("sector", _("Sector"), "text", ""),
    ("obligation", _("Obligation"), "number", TONNES),
    ("allowances", _("Allowances surrendered in the year"), "number", TONNES),
    ("offsets", _("CCER in the year"), "number", TONNES),
    ("surrendered", _("Surrendered in all"), "number", TONNES),
    ("gap", _("Gap"), "number", TONNES),
)
_OFFSETS: _Columns = (
    ("at", _("Time"), "datetime", ""),
    ("project_no", _("Project number"), "code", ""),
    ("project_name", _("Project name"), "text", ""),
    ("serial", _("Serial numbers"), "code", ""),
    ("quantity", _("Quantity"), "number", TONNES),
    ("notice", _("Notice number"), "code", ""),
)
_CLAIMS: _Columns = (
    ("number", _("Application number"), "code", ""),
    ("document_no", _("Document"), "code", ""),
    ("code", _("Instrument code"), "code", ""),
    ("ends_on", _("Return by"), "date", ""),
    ("claimed", _("Claimed"), "number", TONNES),
    ("returned", _("Returned or netted"), "number", TONNES),
    ("open", _("Still to be returned"), "number", TONNES),
)
_MONEY: _Columns = (
    ("name", _("Money account"), "text", ""),
    ("opening", _("Opening amount"), "money", ""),
    ("closing", _("Closing amount"), "money", ""),
)


def _movements(kind: str, unit: Any) -> _Columns:
    return (
        *_INSTRUMENT,
        ("business", _("Business"), "text", ""),
        ("movements", _("Movements"), "number", ""),
        ("credited", _("In"), kind, unit),
        ("debited", _("Out"), kind, unit),
    )


def _sheet(title: Any, columns: _Columns, rows: Sequence[Any]) -> Sheet:
    named = {"business": BUSINESS_TITLES, "sector": SECTORS}
    found = []
    for row in rows:
        values = row._mapping
        found.append(
            [
                str(named[key].get(values[key], values[key])) if key in named else values[key]
                for key, *_rest in columns
            ]
        )
    return Sheet(title, [each[1:] for each in columns], found)


def _file(number: str, account: Account, content: bytes, ending: str, media_type: str) -> Response:
    with transaction():
        record(
            current_actor(), "yearly_statement.download", subject=number, account_id=account.id,
            format=ending,
        )  # fmt: skip
    name = quote(f"{TITLE}_{number}.{ending}")
    disposition = f"attachment; filename=\"statement.{ending}\"; filename*=UTF-8''{name}"
    return Response(content, mimetype=media_type, headers={"Content-Disposition": disposition})
