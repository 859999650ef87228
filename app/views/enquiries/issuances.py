"""配额发放查询 (manual 三; domain.md 11.16): what was issued to an enterprise."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, func, literal

from app.models import ApplicationLine
from app.models.figures import waiting_line
from app.operations.records.catalogue import ISSUANCE_TYPES
from app.views.applications.list import approved_at
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.enquiries.lines import LINE_COLUMNS, LINE_FILTERS, ApprovedLines
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions

ISSUED, AT_AUTHORITY, IN_PART, REVERSED = "issued", "at_authority", "in_part", "reversed"
STAGES = {
    ISSUED: (_("Issued"), "green"),
    AT_AUTHORITY: (_("At the authority"), "amber"),
    IN_PART: (_("Issued in part"), "amber"),
    REVERSED: (_("Reversed"), "grey"),
}


class IssuanceEnquiryView(ApprovedLines):
    """配额发放查询."""

    route_base = "/enquiries/issuances"
    title = _("Issuance enquiry")
    menu = MenuEntry(ENQUIRIES, 1)
    guide = {"enterprise": "三配额发放查询", "province": "查询", "registry": "信息查询"}
    kind = "issuance"
    columns = (
        *LINE_COLUMNS,
        Column("vintage", _("Compliance year"), kind="code"),
        Column("category", _("Issuance type"), choices=ISSUANCE_TYPES),
        Column("quantity", _("Issued quantity"), kind="quantity"),
        Column("handled_at", _("Issued at"), kind="datetime"),
        Column("remaining", _("Waiting at the authority"), kind="quantity"),
        Column("since", _("At the authority since"), kind="datetime"),
        Column("status", _("Status"), kind="status", choices=STAGES),
        Column("number", _("Application number"), kind="code", is_shown=False),
    )
    filters = (
        *LINE_FILTERS,
        Filter("year", _("Compliance year"), kind="number", on=("vintage",)),
        Filter("type", _("Issuance type"), kind="choice", on=("category",), choices=ISSUANCE_TYPES),
        Filter("handled", _("Issued at"), kind="date_range", on=("handled_at",)),
        Filter("status", _("Status"), kind="choice", choices=STAGES),
    )
    help = (
        _("Every issue to the account; what was issued stands in the holdings at once"),
        _(
            "What is at the authority is issued by the province; until then it is not among the holdings"
        ),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add what waits at the province, and since when (N15)."""
        wait = waiting_line.c
        status = case(
            (func.is_reversed(ApplicationLine.id), literal(REVERSED)),
            (wait.drawn == 0, literal(AT_AUTHORITY)),
            (wait.drawn < wait.quantity, literal(IN_PART)),
            else_=literal(ISSUED),
        )
        left, rows = wait.quantity - wait.drawn, super().rows(conditions)
        return rows.outerjoin(waiting_line, wait.line_id == ApplicationLine.id).with_only_columns(
            *(each for each in rows.selected_columns if each.name != "status"),
            left.label("remaining"),
            case((left > 0, approved_at())).label("since"),
            status.label("status"),
            maintain_column_froms=True,
        )
