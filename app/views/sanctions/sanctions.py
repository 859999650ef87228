"""冻结收缴管理: what authorities' documents do, by two officers (manual 七-二, 七-三)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import request, url_for
from flask_babel import lazy_gettext as _
from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, literal, select

from app.domain.trading_day import BEIJING
from app.domain.workflow import Status
from app.models import Application
from app.models.figures import line_draw
from app.operations.records import clock
from app.operations.records.catalogue import CONFISCATION_REASONS, FREEZE_REASONS
from app.views.applications.choosable_lines import SOURCE_COLUMNS, form_columns, lines_left
from app.views.applications.form import (
    DATE_INPUT,
    Choosable,
    DayField,
    DocumentForm,
    DocumentLinesForm,
    Filled,
    OfferedField,
    Required,
    is_picking,
)
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import SANCTIONS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, RowAction

SOON = timedelta(days=30)  # 到期提醒
EXPIRY = {
    "expired": (_("Expired"), "red"),
    "soon": (_("Ends within 30 days"), "amber"),
}
CHOOSE = _("Please choose")


class FreezeForm(DocumentLinesForm):
    """冻结."""

    ends_on = DayField(_("In force until"), [Required()], render_kw=DATE_INPUT)
    category = OfferedField(_("Reason"), FREEZE_REASONS, CHOOSE)


class ConfiscationForm(DocumentLinesForm):
    """收缴."""

    category = OfferedField(_("Reason"), CONFISCATION_REASONS, CHOOSE)


def _tonnes(figure: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a figure of `line_draw` over an application's lines; for the rows shown alone."""
    return (
        select(cast(func.coalesce(func.sum(figure), 0), BigInteger))
        .where(line_draw.c.application_id == Application.id)
        .correlate(Application)
        .scalar_subquery()
    )


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
UNTIL_COLUMN = Column("ends_on", _("In force until"), kind="date")
DOCUMENT_FILTER = Filter("document", _("Number of the authority document"), on=("document_no",))
AUTHORITY_FILTER = Filter("authority", _("Deciding authority"), on=("authority",))
FILTERS = (
    DOCUMENT_FILTER,
    *usual_filters("draft", "in_review", "approved", "returned", "withdrawn"),
    AUTHORITY_FILTER,
)
# The quantities fit a narrow screen when what can be looked up elsewhere is not shown at first.
HIDDEN = ("member_no", "instruments", "created_at")
OF_WHAT = usual_columns(
    "number", "member_no", "account", "instrument_codes", "instruments", hidden=HIDDEN
)
STANDING = usual_columns("created_at", "status", hidden=HIDDEN)


class _Taking(OfficerDesk):
    """A document that takes tonnes, of which later documents may give back."""

    form_columns: tuple[dict[str, Any], ...]
    filters = FILTERS
    giving_back: str  # the endpoint of the page that gives back
    give_back_label: Any

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what was given back, what is left, and what of it no document is about to give back."""
        holds = Application.status.in_([Status.IN_REVIEW, Status.APPROVED])
        left = _tonnes(line_draw.c.quantity - line_draw.c.drawn)
        left = case((holds, left), else_=literal(0, BigInteger))
        return (
            super()
            .rows(conditions)
            .add_columns(
                _tonnes(line_draw.c.drawn).label("drawn"),
                left.label("left"),
                _tonnes(line_draw.c.remaining).label("remaining"),
                expiry(left).label("expiry"),
            )
        )

    def actions(self, row: Any) -> Iterable[RowAction]:
        """What remains can be given back; what a document under review gives back does not."""
        yield from super().actions(row)
        if self.may("write") and row.stored_status == Status.APPROVED and row.remaining > 0:
            address = url_for(f"{self.giving_back}.new", account=row.account_id, source=row.id)
            yield RowAction(self.give_back_label, address)


class _GivingBack(OfficerDesk):
    """A document that gives back, in part or in whole, what an earlier one took."""

    form = DocumentLinesForm
    draws_on: str
    filters = FILTERS
    picker_columns = SOURCE_COLUMNS
    columns: tuple[Column, ...] = (
        *OF_WHAT,
        *DOCUMENT_COLUMNS,
        Column("quantity", _("Quantity"), kind="quantity"),
        *STANDING,
    )

    def offered(self, account_id: int) -> list[Choosable]:
        """Return what is left of the earlier documents, or of the one that the address names."""
        source = request.args.get("source", type=int)
        return lines_left(
            account_id, self.draws_on, *((Application.id == source,) if source else ())
        )

    def _form_page(self, filled: Filled, account_id: int, application: Application | None) -> Any:
        """Begin with the lines of the document that the address names."""
        begins = application is None and not (filled.form.is_submitted() or is_picking())
        if "source" in request.args and begins:
            for key, each in filled.offered.items():
                if not each.refusal:
                    filled.form.lines.append_entry({"choice": key})
        return super()._form_page(filled, account_id, application)


class FreezeView(_Taking):
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
        UNTIL_COLUMN,
        Column("expiry", _("Expiry"), kind="status", choices=EXPIRY),
        Column("category", _("Reason"), choices=FREEZE_REASONS, is_shown=False),
        Column("quantity", _("Frozen quantity"), kind="quantity"),
        Column("drawn", _("Unfrozen quantity"), kind="quantity"),
        Column("left", _("Still frozen"), kind="quantity"),
        *STANDING,
    )
    filters = (
        *FILTERS,
        Filter("expiry", _("Expiry"), kind="choice", choices=EXPIRY),
        Filter("reason", _("Reason"), kind="choice", on=("category",), choices=FREEZE_REASONS),
    )
    confirm = _("The quantity is frozen at once and stays so until it is lifted. Submit it?")
    help = (
        _("One officer enters it by the authority's document, another confirms it"),
        _("A freeze above what is available is refused, with the figure that can be frozen"),
        _("A freeze holds for at most three years; those that end within 30 days are marked"),
        _("A freeze that has ended still holds until it is lifted by a document"),
    )


class UnfreezeView(_GivingBack):
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
        _("One officer enters it by the authority's document, another confirms it"),
        _("Part of a freeze may be lifted, never more than is left of that document"),
    )


class ConfiscationView(_Taking):
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
        Column("quantity", _("Confiscated quantity"), kind="quantity"),
        Column("drawn", _("Refunded quantity"), kind="quantity"),
        Column("left", _("Still confiscated"), kind="quantity"),
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
        _("One officer enters it by the authority's document, another confirms it"),
        _("A quantity is at most what is available in the registry"),
        _("What was confiscated may be refunded in parts, to whom and of what it was taken"),
    )


class ConfiscationRefundView(_GivingBack):
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
        _("One officer enters it by the authority's document, another confirms it"),
        _("Never more than was taken under that document; it goes back to the same enterprise"),
    )


class _AccountDocument(OfficerDesk):
    """A document about the account as a whole."""

    form = DocumentForm
    columns: tuple[Column, ...] = (
        *usual_columns("number", "member_no", "account", hidden=HIDDEN),
        *DOCUMENT_COLUMNS,
        Column("reason", _("Reason for the application")),
        *STANDING,
    )
    filters = tuple(each for each in FILTERS if each.name != "instrument")


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
        _("One officer enters it by the authority's document, another confirms it"),
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
    help = (_("One officer enters it by the authority's document, another confirms it"),)
