"""配额发放查询 (manual 三; domain.md 11.16): what was issued to an enterprise."""

from __future__ import annotations

from flask_babel import lazy_gettext as _

from app.domain.workflow import Status
from app.operations.records.catalogue import ISSUANCE_TYPES
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.enquiries.lines import LINE_COLUMNS, LINE_FILTERS, ApprovedLines
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter


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
        Column(
            "status",
            _("Status"),
            kind="status",
            choices={str(Status.APPROVED): (_("Issued"), "green")},
        ),
        Column("number", _("Application number"), kind="code", is_shown=False),
    )
    filters = (
        *LINE_FILTERS,
        Filter("year", _("Compliance year"), kind="number", on=("vintage",)),
        Filter("type", _("Issuance type"), kind="choice", on=("category",), choices=ISSUANCE_TYPES),
        Filter("handled", _("Issued at"), kind="date_range", on=("handled_at",)),
    )
    help = (_("Every issue to the account; what was issued stands in the holdings at once"),)
