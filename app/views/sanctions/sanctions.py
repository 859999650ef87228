"""冻结收缴管理 and its enquiries: what authorities' documents do, by two officers (manual 七-二, 七-三)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, Select, case, literal, select
from sqlalchemy.orm import aliased

from app.domain.trading_day import BEIJING
from app.domain.workflow import Status
from app.models import Application, ApplicationLine
from app.models.figures import line_draw
from app.operations.records import clock
from app.operations.records.catalogue import CONFISCATION_REASONS, FREEZE_REASONS, Titles
from app.views.applications.choosable_lines import SOURCE_COLUMNS, form_columns
from app.views.applications.desk import DrawsOnDocuments
from app.views.applications.form import (
    DATE_INPUT,
    PLEASE_CHOOSE,
    DayField,
    DocumentForm,
    DocumentLinesForm,
    OfferedField,
    Required,
)
from app.views.applications.list import of_line_draw, usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import ENQUIRIES, SANCTIONS, MenuEntry
from app.views.enquiries.lines import LINE_COLUMNS, LINE_FILTERS, ApprovedLines, given_back
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction

SOON = timedelta(days=30)  # 到期提醒
EXPIRY = {
    "expired": (_("Expired"), "red"),
    "soon": (_("Ends within 30 days"), "amber"),
}


def expiry(left: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return whether a freeze that still holds something has ended, or ends soon."""
    today = clock.now().astimezone(BEIJING).date()
    return case(
        (left <= 0, literal("")),
        (Application.ends_on < today, literal("expired")),
        (Application.ends_on <= today + SOON, literal("soon")),
        else_=literal(""),
    )


DOCUMENT_COLUMNS = (
    Column("document_no", _("Number of the authority document"), kind="code"),
    Column("authority", _("Deciding authority")),
    Column("starts_on", _("In force from"), kind="date"),
)
UNTIL_COLUMNS = (
    Column("ends_on", _("In force until"), kind="date"),
    Column("expiry", _("Expiry"), kind="status", choices=EXPIRY),
)
EXPIRY_FILTER = Filter("expiry", _("Expiry"), kind="choice", choices=EXPIRY)
DOCUMENT_FILTER = Filter("document", _("Number of the authority document"), on=("document_no",))
AUTHORITY_FILTER = Filter("authority", _("Deciding authority"), on=("authority",))
FILTERS = (DOCUMENT_FILTER, *usual_filters(), AUTHORITY_FILTER)
# The quantities fit a narrow screen when what can be looked up elsewhere is not shown at first.
HIDDEN = ("member_no", "instruments", "created_at")
OF_WHAT = usual_columns(
    "number", "member_no", "account", "instrument_codes", "instruments", hidden=HIDDEN
)
TWO_OFFICERS = _("One officer enters it by the authority's document, another confirms it")
STANDING = usual_columns("created_at", "status", hidden=HIDDEN)


class _TakingDesk(OfficerDesk):
    """A document that takes tonnes, of which later documents may give back."""

    form_columns: tuple[dict[str, Any], ...]
    filters = FILTERS
    giving_back: str  # the endpoint of the page that gives back
    give_back_label: Any

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what was given back, what is left, and what of it no document is about to give back."""
        holds = Application.status.in_([Status.IN_REVIEW, Status.APPROVED])
        left = of_line_draw(line_draw.c.quantity - line_draw.c.drawn)
        left = case((holds, left), else_=literal(0, BigInteger))
        return (
            super()
            .rows(conditions)
            .add_columns(
                of_line_draw(line_draw.c.drawn).label("drawn"),
                left.label("left"),
                of_line_draw(line_draw.c.remaining).label("remaining"),
                expiry(left).label("expiry"),
            )
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """What remains can be given back; what a document under review gives back does not."""
        yield from super().actions(row)
        if self.may("write") and row.stored_status == Status.APPROVED and row.remaining > 0:
            address = url_for(f"{self.giving_back}.new", account=row.account_id, source=row.id)
            yield RowAction(self.give_back_label, address)


class _GivingBackDesk(DrawsOnDocuments, OfficerDesk):
    """A document that gives back, in part or in whole, what an earlier one took."""

    form = DocumentLinesForm
    filters = FILTERS
    columns: tuple[Column, ...] = (
        *OF_WHAT,
        *DOCUMENT_COLUMNS,
        Column("quantity", _("Quantity"), kind="quantity"),
        *STANDING,
    )


HANDLED_COLUMNS = (
    Column("handled_at", _("Handled at"), kind="datetime"),
    Column("number", _("Application number"), kind="code", is_shown=False),
)
ENQUIRY_FILTERS = (
    LINE_FILTERS[0],
    DOCUMENT_FILTER,
    Filter("handled", _("Handled at"), kind="date_range", on=("handled_at",)),
    *LINE_FILTERS[1:],
    AUTHORITY_FILTER,
)
READ_ONLY = _("Entered by the registry upon the authority's document; it cannot be cancelled here")


class _TakenEnquiry(ApprovedLines):
    """What documents took, and what is left of it."""

    help: tuple[Any, ...] = (READ_ONLY,)

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what was given back and what is left."""
        left = ApplicationLine.quantity - given_back()
        return (
            super()
            .rows(conditions)
            .add_columns(
                given_back().label("drawn"),
                left.label("left"),
                expiry(left).label("expiry"),
            )
        )


class _GivenBackEnquiry(ApprovedLines):
    """What documents gave back, and of which document."""

    filters = ENQUIRY_FILTERS
    help: tuple[Any, ...] = (READ_ONLY,)

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the document that it was drawn from."""
        source, taken = aliased(ApplicationLine), aliased(Application)
        document = (
            select(taken.document_no)
            .join(source, source.application_id == taken.id)
            .where(source.id == ApplicationLine.source_line_id)
            .scalar_subquery()
        )
        return super().rows(conditions).add_columns(document.label("source_document"))


def _taken_columns(
    quantities: tuple[Column, ...], reasons: Titles, *more: Column
) -> tuple[Column, ...]:
    """Return the columns of an enquiry into what was taken."""
    category = Column("category", _("Type"), choices=reasons)
    return (*LINE_COLUMNS, *quantities, *DOCUMENT_COLUMNS, *more, category, *HANDLED_COLUMNS)


def _given_back_columns(quantity: Column) -> tuple[Column, ...]:
    """Return the columns of an enquiry into what was given back."""
    source = Column("source_document", _("Document drawn from"), kind="code")
    return (*LINE_COLUMNS, quantity, *DOCUMENT_COLUMNS, source, *HANDLED_COLUMNS)


# Freezes --------------------------------------------------------------------------------------

FROZEN_QUANTITIES = (
    Column("quantity", _("Frozen quantity"), kind="quantity"),
    Column("drawn", _("Unfrozen quantity"), kind="quantity"),
    Column("left", _("Still frozen"), kind="quantity"),
)


class FreezeForm(DocumentLinesForm):
    """冻结."""

    ends_on = DayField(_("In force until"), [Required()], render_kw=DATE_INPUT)
    category = OfferedField(_("Reason"), FREEZE_REASONS, PLEASE_CHOOSE)


class FreezeView(_TakingDesk):
    """冻结: the list of freezes with what is left of each, and 新增."""

    route_base = "/freezes"
    kind = "freeze"
    title = _("Freezes")
    menu = MenuEntry(SANCTIONS, 1)
    guide = {"registry": "冻结与解冻"}
    form_title = _("New freeze")
    form = FreezeForm
    giving_back, give_back_label = "UnfreezeView", _("Unfreeze")
    quantity_title = _("Frozen quantity")
    form_columns = form_columns(_("Frozen quantity"))
    columns: tuple[Column, ...] = (
        *OF_WHAT,
        *DOCUMENT_COLUMNS[:2],
        replace(DOCUMENT_COLUMNS[2], is_shown=False),
        *UNTIL_COLUMNS,
        Column("category", _("Reason"), choices=FREEZE_REASONS, is_shown=False),
        *FROZEN_QUANTITIES,
        *STANDING,
    )
    filters = (
        *FILTERS,
        EXPIRY_FILTER,
        Filter("reason", _("Reason"), kind="choice", on=("category",), choices=FREEZE_REASONS),
    )
    confirm = _("The quantity is frozen at once and stays so until it is lifted. Submit it?")
    help = (
        TWO_OFFICERS,
        _("A freeze above what is available is refused, with the figure that can be frozen"),
        _("A freeze holds for at most three years; those that end within 30 days are marked"),
        _("A freeze that has ended still holds until it is lifted by a document"),
    )


class UnfreezeView(_GivingBackDesk):
    """解冻: part or all of a freeze is lifted."""

    route_base = "/unfreezes"
    kind = "unfreeze"
    draws_on = "freeze"
    title = _("Unfreezes")
    menu = MenuEntry(SANCTIONS, 2)
    guide = {"registry": "冻结与解冻"}
    form_title = _("New unfreeze")
    picker_title = _("Choose freezes")
    quantity_title = _("Unfrozen quantity")
    form_columns = form_columns(_("Unfrozen quantity"), SOURCE_COLUMNS)
    help = (
        TWO_OFFICERS,
        _("Part of a freeze may be lifted, never more than is left of that document"),
    )


class FreezeEnquiryView(_TakenEnquiry):
    """冻结查询 (manual 七-二-1)."""

    route_base = "/enquiries/freezes"
    title = _("Freeze enquiry")
    menu = MenuEntry(ENQUIRIES, 3)
    guide = {"enterprise": "二冻结解冻查询", "province": "查询", "registry": "信息查询"}
    kind = "freeze"
    columns = _taken_columns(FROZEN_QUANTITIES, FREEZE_REASONS, *UNTIL_COLUMNS)
    filters = (
        *ENQUIRY_FILTERS,
        Filter("type", _("Type"), kind="choice", on=("category",), choices=FREEZE_REASONS),
        EXPIRY_FILTER,
    )
    help = (READ_ONLY, _("A freeze that has ended still holds until it is lifted by a document"))


class UnfreezeEnquiryView(_GivenBackEnquiry):
    """解冻查询 (manual 七-二-2)."""

    route_base = "/enquiries/unfreezes"
    title = _("Unfreeze enquiry")
    menu = MenuEntry(ENQUIRIES, 4)
    guide = {"enterprise": "二冻结解冻查询", "province": "查询", "registry": "信息查询"}
    kind = "unfreeze"
    columns = _given_back_columns(Column("quantity", _("Unfrozen quantity"), kind="quantity"))


# Confiscations --------------------------------------------------------------------------------

CONFISCATED_QUANTITIES = (
    Column("quantity", _("Confiscated quantity"), kind="quantity"),
    Column("drawn", _("Refunded quantity"), kind="quantity"),
    Column("left", _("Still confiscated"), kind="quantity"),
)


class ConfiscationForm(DocumentLinesForm):
    """收缴."""

    category = OfferedField(_("Reason"), CONFISCATION_REASONS, PLEASE_CHOOSE)


class ConfiscationView(_TakingDesk):
    """收缴: available tonnes are taken without the holder's consent."""

    route_base = "/confiscations"
    kind = "confiscation"
    title = _("Confiscations")
    menu = MenuEntry(SANCTIONS, 3)
    guide = {"registry": "收缴与收缴退还"}
    form_title = _("New confiscation")
    form = ConfiscationForm
    giving_back, give_back_label = "ConfiscationRefundView", _("Refund")
    quantity_title = _("Confiscated quantity")
    form_columns = form_columns(_("Confiscated quantity"))
    columns: tuple[Column, ...] = (
        *OF_WHAT,
        *DOCUMENT_COLUMNS,
        Column("category", _("Reason"), choices=CONFISCATION_REASONS),
        *CONFISCATED_QUANTITIES,
        *STANDING,
    )
    filters = (
        *FILTERS,
        Filter(
            "reason", _("Reason"), kind="choice", on=("category",), choices=CONFISCATION_REASONS
        ),
    )
    confirm = _("The quantity is held at once and confiscated once it is confirmed. Submit it?")
    help = (
        TWO_OFFICERS,
        _("A quantity is at most what is available in the registry"),
        _("What was confiscated may be refunded in parts, to whom and of what it was taken"),
    )


class ConfiscationRefundView(_GivingBackDesk):
    """收缴退还: what was taken under a document goes back."""

    route_base = "/confiscation-refunds"
    kind = "confiscation_refund"
    draws_on = "confiscation"
    title = _("Confiscation refunds")
    menu = MenuEntry(SANCTIONS, 4)
    guide = {"registry": "收缴与收缴退还"}
    form_title = _("New confiscation refund")
    picker_title = _("Choose confiscations")
    quantity_title = _("Refunded quantity")
    form_columns = form_columns(_("Refunded quantity"), SOURCE_COLUMNS)
    help = (
        TWO_OFFICERS,
        _("Never more than was taken under that document; it goes back to the same enterprise"),
    )


class ConfiscationEnquiryView(_TakenEnquiry):
    """收缴查询 (manual 七-三-1)."""

    route_base = "/enquiries/confiscations"
    title = _("Confiscation enquiry")
    menu = MenuEntry(ENQUIRIES, 5)
    guide = {"enterprise": "三收缴退还查询", "province": "查询", "registry": "信息查询"}
    kind = "confiscation"
    columns = _taken_columns(CONFISCATED_QUANTITIES, CONFISCATION_REASONS)
    filters = (
        *ENQUIRY_FILTERS,
        Filter("type", _("Type"), kind="choice", on=("category",), choices=CONFISCATION_REASONS),
    )


class ConfiscationRefundEnquiryView(_GivenBackEnquiry):
    """收缴退还查询 (manual 七-三-2)."""

    route_base = "/enquiries/confiscation-refunds"
    title = _("Confiscation refund enquiry")
    menu = MenuEntry(ENQUIRIES, 6)
    guide = {"enterprise": "三收缴退还查询", "province": "查询", "registry": "信息查询"}
    kind = "confiscation_refund"
    columns = _given_back_columns(Column("quantity", _("Refunded quantity"), kind="quantity"))


# Restrictions ---------------------------------------------------------------------------------


class _AccountDocument(OfficerDesk):
    """A document about the account as a whole."""

    form = DocumentForm
    columns: tuple[Column, ...] = (
        *usual_columns("number", "member_no", "account", hidden=HIDDEN),
        *DOCUMENT_COLUMNS,
        Column("reason", _("Reason for the application")),
        *STANDING,
    )
    filters = (DOCUMENT_FILTER, *usual_filters(has_lines=False), AUTHORITY_FILTER)


class RestrictionView(_AccountDocument):
    """账户限制: debits are refused, credits and surrender allowed (domain.md 11.7)."""

    route_base = "/restrictions"
    kind = "restriction"
    title = _("Account restrictions")
    menu = MenuEntry(SANCTIONS, 5)
    guide = {"registry": "账户限制与解除限制"}
    form_title = _("New account restriction")
    confirm = _("Once it is confirmed, transfers and other debits of the account are refused.")
    help = (
        TWO_OFFICERS,
        _("Transfers, custody and cancellation are refused then; credits and surrender are not"),
    )


class RestrictionLiftingView(_AccountDocument):
    """解除限制: the account works as before."""

    route_base = "/restriction-liftings"
    kind = "restriction_lifting"
    title = _("Liftings of restrictions")
    menu = MenuEntry(SANCTIONS, 6)
    guide = {"registry": "账户限制与解除限制"}
    form_title = _("New lifting of a restriction")
    help = (TWO_OFFICERS,)
