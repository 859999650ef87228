"""配额调整通知书 and 配额缴回: claims by two officers, and what enterprises return (rules-2026 N26)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from flask import url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    case,
    func,
    literal,
    select,
)
from sqlalchemy.orm import aliased

from app.domain.kinds.compliance.claim import AllowanceClaim, AllowanceReturn
from app.domain.trading_day import BEIJING
from app.domain.workflow import Status
from app.extensions import db
from app.models import Account, Application, Instrument
from app.models.figures import claim_part, claimable, line_draw
from app.models.parameter import setting
from app.operations.records import calendar, clock
from app.operations.records.catalogue import CLAIM_REASONS
from app.views.applications.choosable_lines import form_columns
from app.views.applications.desk import ApplicationDesk, DrawsOnDocuments
from app.views.applications.form import (
    DATE_INPUT,
    PLEASE_CHOOSE,
    Choosable,
    DayField,
    LinesForm,
    OfferedField,
    Required,
)
from app.views.applications.list import approved_at, of_line_draw, usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk, Revocable
from app.views.applications.texts import StringField
from app.views.chapters import ISSUANCE, MenuEntry
from app.views.compliance.deductions import GUIDE, REASON
from app.views.enquiries.lines import LINE_COLUMNS, LINE_FILTERS, ApprovedLines, lines
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction

OPEN, OVERDUE, CLOSED, ENDED, UNDECIDED = "open", "overdue", "closed", "revoked", ""
STATES = {
    OPEN: (_("To be returned"), "amber"),
    OVERDUE: (_("Overdue"), "red"),
    CLOSED: (_("Returned in full"), "green"),
    ENDED: (_("Decision revoked"), "grey"),
}
STATE_COLUMN = Column("state", _("Returning"), kind="status", choices=STATES)
STATE_FILTER = Filter("state", _("Returning"), kind="choice", choices=STATES)
CLAIM_COLUMNS = (
    Column("quantity", _("Claimed quantity"), kind="quantity"),
    Column("drawn", _("Returned and netted"), kind="quantity"),
    Column("pending", _("Pending review"), kind="quantity"),
    Column("left", _("Still open"), kind="quantity"),
    Column("ends_on", _("Return by"), kind="date"),
    STATE_COLUMN,
)


def state_of(left: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return whether an approved claim of which something is left is overdue."""
    today = clock.now().astimezone(BEIJING).date()
    return case(
        (Application.status != Status.APPROVED, literal(UNDECIDED)),
        (Application.revoked_by_id.is_not(None), literal(ENDED)),
        (left <= 0, literal(CLOSED)),
        (Application.ends_on < today, literal(OVERDUE)),
        else_=literal(OPEN),
    )


class ClaimForm(LinesForm):
    """配额调整通知书."""

    document_no = StringField(
        _("Number of the authority document"), [Required()], render_kw={"maxlength": 100}
    )
    starts_on = DayField(_("Date of the document"), [Required()], render_kw=DATE_INPUT)
    ends_on = DayField(_("Return by"), [Required()], render_kw=DATE_INPUT)
    category = OfferedField(_("Reason"), CLAIM_REASONS, PLEASE_CHOOSE)
    reason = REASON


class ClaimView(Revocable, OfficerDesk):
    """配额调整通知书办理: what was issued too much is claimed; nothing is taken."""

    route_base = "/adjustment-notice-decisions"
    kind = AllowanceClaim.code
    title = _("Adjustment notice decisions")
    menu = MenuEntry(ISSUANCE, 10)
    guide = {"registry": GUIDE["registry"]}
    form_title = _("New adjustment notice")
    form = ClaimForm
    quantity_title = _("Claimed quantity")
    form_columns = form_columns(
        _("Claimed quantity"),
        (
            {"label": _("Instrument code"), "kind": "code"},
            {"label": _("Instrument name"), "kind": "text"},
            {"label": _("Issued and not claimed"), "kind": "number", "unit": _("tonnes")},
        ),
    )
    columns = (
        *usual_columns("number", "member_no", "account", "instrument_codes", hidden=("member_no",)),
        Column("category", _("Reason"), choices=CLAIM_REASONS),
        *CLAIM_COLUMNS,
        Column("document_no", _("Number of the authority document"), kind="code", is_shown=False),
        *usual_columns("created_at", "status", hidden=("created_at",)),
    )
    filters = (
        *usual_filters(),
        STATE_FILTER,
        Filter("reason", _("Reason"), kind="choice", on=("category",), choices=CLAIM_REASONS),
    )
    confirm = _("The enterprise is asked to return the quantity once it is approved. Submit it?")
    help = (
        _("One officer enters it by the authority's document, another confirms it"),
        _("Nothing is taken: the enterprise returns it, and its next issues of the vintage are netted"),
        _("At most what was issued to the enterprise and was not claimed yet"),
        _("The last day is ten working days from today unless another one is entered"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what came back of it."""
        left = of_line_draw(line_draw.c.remaining + line_draw.c.pending)
        return (
            super()
            .rows(conditions)
            .add_columns(
                of_line_draw(line_draw.c.drawn).label("drawn"),
                of_line_draw(line_draw.c.pending).label("pending"),
                case(
                    (Application.status == Status.APPROVED, left), else_=literal(0, BigInteger)
                ).label("left"),
                state_of(left).label("state"),
            )
        )

    def offered(self, account_id: int) -> list[Choosable]:
        """Return the allowances issued to the enterprise, with what of them is not claimed."""
        rows = db.session.execute(
            select(Instrument.id, Instrument.code, Instrument.name, claimable.c.claimable)
            .join(claimable, claimable.c.instrument_id == Instrument.id)
            .where(claimable.c.account_id == account_id, Instrument.kind == "allowance")
            .order_by(Instrument.code)
        )
        return [
            Choosable(
                row.id,
                row.code,
                row.name,
                row.claimable,
                refusal="" if row.claimable > 0 else _("Nothing left"),
            )
            for row in rows
        ]

    def new_form(self, account_id: int) -> Any:
        """Begin with the usual last day."""
        today = clock.now().astimezone(BEIJING).date()
        days = setting(db.session, "claim_days")
        return self.form(data={"ends_on": calendar.working_day_after(today, days)})


class ClaimEnquiryView(ApprovedLines):
    """配额调整通知书: what is claimed, returned and open; overdue ones are marked."""

    route_base = "/adjustment-notices"
    title = _("Adjustment notices")
    menu = MenuEntry(ISSUANCE, 9)
    guide = GUIDE
    kind = AllowanceClaim.code
    key = ("id", "account_id")
    columns = (
        Column("number", _("Number of the notice"), kind="code"),
        *(replace(each, is_shown=False) if each.key in ("member_no", "instrument") else each
          for each in LINE_COLUMNS),
        Column("category", _("Reason"), choices=CLAIM_REASONS),
        *CLAIM_COLUMNS,
        Column("document_no", _("Number of the authority document"), kind="code", is_shown=False),
        Column("handled_at", _("Issued at"), kind="datetime", is_shown=False),
        Column("first_owed_by", _("First owed by"), is_shown=False),
    )  # fmt: skip
    filters = (
        Filter("number", _("Number of the notice"), kind="prefix", on=("number",)),
        *LINE_FILTERS,
        STATE_FILTER,
        Filter("ends_on", _("Return by"), kind="date_range"),
    )
    help = (
        _("What was issued too much is returned by an application of the enterprise (allowance returns)"),
        _("Later issues of the same vintage are netted by what is open, in the issue itself"),
        _("A notice closes once nothing is open; its province urges one that is overdue"),
        _("After a merger or a division successors owe what was open, under the same number"),
    )  # fmt: skip

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what came back, what waits for its review, and what is open."""
        left = claim_part.c.quantity - claim_part.c.drawn
        first = aliased(Account)
        named = select(first.name).where(
            first.id == Application.account_id, first.id != claim_part.c.account_id
        )
        return lines(
            approved_at().label("handled_at"),
            Application.id.label("application_id"),
            claim_part.c.drawn,
            claim_part.c.pending,
            left.label("left"),
            state_of(left).label("state"),
            named.correlate(Application, claim_part).scalar_subquery().label("first_owed_by"),
            parts=claim_part,
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """An enterprise returns what is open and does not wait for its review."""
        yield from super().actions(row)
        may_return = self.may("write", AllowanceReturnView.__name__)
        if may_return and row.left > row.pending:
            yield RowAction(
                _("Return"), url_for("AllowanceReturnView.new", source=row.application_id)
            )


RETURN_COLUMNS: tuple[dict[str, Any], ...] = (
    {"label": _("Number of the notice"), "kind": "code"},
    {"label": _("Number of the authority document"), "kind": "code"},
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Claimed quantity"), "kind": "number", "unit": _("tonnes")},
    {"label": _("Still open"), "kind": "number", "unit": _("tonnes")},
)


class AllowanceReturnView(DrawsOnDocuments, ApplicationDesk):
    """配额缴回: the enterprise returns what a notice claims, in part or in whole."""

    route_base = "/allowance-returns"
    kind = AllowanceReturn.code
    draws_on = AllowanceClaim.code
    parts = claim_part
    title = _("Allowance returns")
    menu = MenuEntry(ISSUANCE, 11)
    guide = GUIDE
    form_title = _("Allowance return application")
    form = LinesForm
    picker_title = _("Choose adjustment notices")
    picker_columns = RETURN_COLUMNS
    quantity_title = _("Quantity to give back")
    form_columns = form_columns(_("Quantity to give back"), RETURN_COLUMNS)
    columns = (
        *usual_columns("number", "member_no", "account", "instrument_codes", "instruments"),
        Column("quantity", _("Quantity to give back"), kind="quantity"),
        *usual_columns("created_at", "status"),
    )
    filters = usual_filters()
    confirm = _("What is returned does not come back. Submit it?")
    help = (
        _("What is returned comes out of what is available in the registry, never beyond what is open"),
        _("The registry reviews it; until then the quantity is held"),
        _("A notice may be returned in parts; it closes once nothing is open"),
    )  # fmt: skip

    def next_step(self, application: Application) -> Any:
        return gettext("The registry reviews it")


MOST_SHOWN = 3


def open_claims(account_id: int | None) -> ScalarSelect[Any]:
    """Return an enterprise's open claims as JSON, the earliest due first, as a column for any statement."""
    left = claim_part.c.quantity - claim_part.c.drawn
    found = (
        select(
            Application.id,
            Application.number,
            Application.ends_on,
            Instrument.name,
            left.label("left"),
            claim_part.c.remaining,
        )
        .join(claim_part, claim_part.c.application_id == Application.id)
        .join(Instrument, Instrument.id == claim_part.c.instrument_id)
        .where(claim_part.c.account_id == account_id, left > 0)
        .order_by(Application.ends_on, Application.id)
        .limit(MOST_SHOWN)
        .subquery("claim")
    )
    row = func.to_jsonb(found.table_valued())
    return select(func.jsonb_agg(row)).scalar_subquery()


def claims_due(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what `open_claims` found as the home page shows what is due."""
    return [
        {
            "text": gettext(
                "Adjustment notice %(number)s: %(left)s tonnes of %(instrument)s are to be returned",
                number=row["number"],
                left=f"{row['left']:,}",
                instrument=row["name"],
            ),
            "by": gettext("Return by"),
            "day": date.fromisoformat(row["ends_on"]),
            "about": (gettext("Adjustment notice"), url_for("ClaimEnquiryView.list", number=row["number"])),
            "act": (gettext("Return"), url_for("AllowanceReturnView.new", source=row["id"]))
            if row["remaining"] > 0
            else None,
        }
        for row in found
    ]  # fmt: skip
