"""来源追溯: from a holding back to the issues and transfers that it came from (docs/adr/0093)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from flask import Response, g
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import force_locale, gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, literal, select

from app.domain.errors import NotFound
from app.domain.moves import BUCKET_TITLES, HELD_BUCKETS, Bucket
from app.extensions import db, transaction
from app.models import Account, Holding, Instrument
from app.operations.ledger import tracing
from app.operations.ledger.tracing import Step, Trail
from app.operations.records.log import record
from app.security.roles import AUDITOR, READERS
from app.security.scope import require_scope, scope_of
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.enquiries.lines import BUSINESS_TITLES, LINE_COLUMNS, LINE_FILTERS
from app.views.lists.columns import TONNES, Column
from app.views.lists.listing import Conditions, ListPage, RowAction, back_url
from app.views.lists.public_file import csv_content
from app.views.lists.sheets import Sheet
from app.views.page import current_actor

SHOWN = 200  # steps on the page; the file has all
_LANGUAGE = "zh"  # of the file
ENDS = {
    tracing.ISSUED: (_("Issued"), "green"),
    tracing.BEYOND: (_("Another holder's; not followed"), "grey"),
    tracing.LIMIT: (_("Longer than is followed"), "amber"),
    "": (_("Followed"), "blue"),
}
RULE = _(
    "Units of an instrument are alike. What came in first is taken to leave first, so the trail is an"
    " attribution by this rule: it shows where the tonnes come from, and is no title to certain units"
)


class TrailView(ListPage):
    """来源追溯: holdings, and the trail of each."""

    route_base = "/holding-trails"
    title = _("Trail of holdings")
    menu = MenuEntry(ENQUIRIES, 8)
    guide = {
        "enterprise": "来源追溯",
        "province": "来源追溯",
        "registry": "来源追溯",
        "administration": "账户的查询",
    }
    grants = {f"{READERS} {AUDITOR}": "list export show download"}
    key = ("account_id", "instrument_id")
    account_column = "account_id"
    columns = (
        *LINE_COLUMNS,
        Column("vintage", _("Vintage"), kind="code"),
        Column("total", _("Total holding"), kind="quantity"),
    )
    filters = LINE_FILTERS
    help = (
        RULE,
        _("What waits at an authority is kept for each enterprise, and followed so"),
        _("Carried-over allowances lead to the older ones that were recalled for them"),
    )
    empty_hint = _("Holdings stand here once allowances were issued or bought")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a holding of an enterprise that holds something."""
        total = sum((getattr(Holding, each.column) for each in HELD_BUCKETS), start=literal(0))
        found: Select = (
            select(
                Holding.account_id,
                Holding.instrument_id,
                Account.member_no,
                Account.name.label("account"),
                Instrument.code,
                Instrument.name.label("instrument"),
                Instrument.vintage,
                total.label("total"),
            )
            .join(Account, Account.id == Holding.account_id)
            .join(Instrument, Instrument.id == Holding.instrument_id)
            .where(Account.kind == "enterprise", Instrument.is_of_tonnes(), total > 0)
        )
        return found

    def actions(self, row: Any) -> Iterable[RowAction]:
        url = self.url("show", number=f"{row.member_no}-{row.code}")
        yield RowAction(_("Trail"), url)

    @expose("/<number>")
    @has_access
    @permission_name("show")
    def show(self, number: str) -> Any:
        """Show what a holding came from, and the steps in between."""
        holder, what, found = _found(number)
        tables = [_origins(found), _steps(found, SHOWN)]
        url = self.url("csv_file", number=number)
        detail = {
            "title": gettext("Trail of a holding"),
            "number": what.code,
            "actions": [{"label": "CSV", "url": url, "icon": "download"}]
            if self.may("download")
            else [],
            "sections": [{"title": "", "items": _facts(holder, what, found)}],
            "tables": [each.shown() for each in tables],
            "help": _notes(found),
            "back_url": back_url(self.url("list")),
        }
        return self.render_template("parts/detail.html", detail=detail, crumb=what.code)

    @expose("/<number>/trail.csv")
    @has_access
    @permission_name("download")
    def csv_file(self, number: str) -> Response:
        """Send all steps."""
        holder, what, found = _found(number)
        with force_locale(_LANGUAGE):
            facts = _facts(holder, what, found)
            lines = [[str(label), str(value)] for label, value, *_kind in facts]
            for table in (_origins(found), _steps(found)):
                lines += [[], [str(table.title)], *table.lines()]
        with transaction():
            record(
                current_actor(), "trail.download", subject=what.code, account_id=holder.id,
                steps=len(found.steps),
            )  # fmt: skip
        name = quote(f"来源追溯_{holder.member_no}_{what.code}.csv")
        disposition = f"attachment; filename=\"trail.csv\"; filename*=UTF-8''{name}"
        headers = {"Content-Disposition": disposition}
        return Response(csv_content(lines), mimetype="text/csv", headers=headers)


def _found(number: str) -> tuple[Account, Instrument, Trail]:
    """Return the trail of a holding in the member's scope; another one does not exist."""
    member_no, _dash, code = number.partition("-")
    held = (
        select(Account, Instrument)
        .join(Holding, Holding.account_id == Account.id)
        .join(Instrument, Instrument.id == Holding.instrument_id)
        .where(Account.member_no == member_no, Account.kind == "enterprise")
        .where(Instrument.code == code, Instrument.is_of_tonnes())
    )
    found = db.session.execute(held).one_or_none()
    if found is None:
        raise NotFound(_("There is no such record"))
    holder, what = found
    require_scope(holder.id, g.user)
    return holder, what, tracing.trace(holder.id, what.id, _may_look_into)


def _may_look_into(step: Step) -> bool:
    """Tell whether the reader may follow tonnes into the account that they came from.

    An enterprise looks into its own, and into what waited for it at its province.
    """
    match scope_of(g.user):
        case "all":
            return True
        case "province":
            return step.from_province == g.user.province
        case _:
            waited = step.from_kind == "province" and step.to_account == g.user.account_id
            return step.from_account == g.user.account_id or waited


def _facts(holder: Account, what: Instrument, found: Trail) -> list[tuple[Any, ...]]:
    issued = sum(each.tonnes for each in found.ends if each.end == tracing.ISSUED)
    facts: list[tuple[Any, ...]] = [
        (gettext("Member number"), holder.member_no, "code"),
        (gettext("Member name"), holder.name, "text"),
        (gettext("Instrument code"), what.code, "code"),
        (gettext("Instrument name"), what.name, "text"),
        (gettext("Total holding"), found.tonnes, "number", str(TONNES)),
        (gettext("Followed to an issue"), issued, "number", str(TONNES)),
    ]
    if found.rest:
        rest = gettext("Not followed: more than is read")
        facts.append((rest, found.rest, "number", str(TONNES)))
    return facts


def _notes(found: Trail) -> list[str]:
    notes = [
        str(RULE),
        gettext("Moves within an account (review, freeze, transfer to trading) are no steps"),
        gettext("An issue that was reversed is left out, together with its reversal"),
    ]
    if len(found.steps) > SHOWN:
        notes.append(
            gettext(
                "The page shows the first %(shown)s of %(all)s steps; the CSV file has all of them",
                shown=SHOWN,
                all=len(found.steps),
            )
        )
    return notes


def _origins(found: Trail) -> Sheet:
    """Return the ends of the trail, those of one document together."""
    columns = (
        (_("Came from"), "status", ""),
        (_("Business"), "text", ""),
        (_("Document number"), "code", ""),
        (_("Instrument code"), "code", ""),
        (_("Vintage"), "text", ""),
        (_("Time"), "datetime", ""),
        (_("Quantity"), "number", TONNES),
    )
    sums: dict[tuple[Any, ...], int] = {}
    for each in found.ends:
        of = (each.end, each.business, each.document, each.code, each.vintage, each.at)
        sums[of] = sums.get(of, 0) + each.tonnes
    rows = [
        (ENDS[end], _business(business), document, code, str(vintage), at, tonnes)
        for (end, business, document, code, vintage, at), tonnes in sums.items()
    ]
    return Sheet(_("Where it came from"), columns, rows)


def _steps(found: Trail, most: int | None = None) -> Sheet:
    columns = (
        (_("Step back"), "number", ""),
        (_("Time"), "datetime", ""),
        (_("Member name"), "text", ""),
        (_("Instrument code"), "code", ""),
        (_("Quantity"), "number", TONNES),
        (_("Business"), "text", ""),
        (_("Document number"), "code", ""),
        (_("Out of"), "text", ""),
        (_("Part of the holding"), "text", ""),
        (_("Behind it"), "status", ""),
    )
    rows = [
        (each.level, each.at, each.account, each.code, each.tonnes, _business(each.business),
         each.document, _giver(each), BUCKET_TITLES[Bucket(each.from_bucket)], ENDS[each.end])
        for each in found.steps[:most]
    ]  # fmt: skip
    return Sheet(_("Steps"), columns, rows)


def _business(code: str) -> str:
    return str(BUSINESS_TITLES.get(code, code))


def _giver(step: Step) -> str:
    """Return who gave the tonnes; another holder that the reader may not look into is not named."""
    if step.end == tracing.BEYOND:
        return gettext("Another account")
    return step.from_name
