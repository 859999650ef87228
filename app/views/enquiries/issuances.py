"""配额发放查询 (manual 三; domain.md 11.16): what was issued to an enterprise."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import CompoundSelect, Select, case, false, func, literal, select, true

from app.domain.kinds.issuance import Issuance
from app.domain.workflow import Status
from app.models import Account, Application, ApplicationLine, CarryOverGrant, Instrument
from app.models.figures import waiting_line
from app.operations.records.catalogue import ISSUANCE_TYPES
from app.security.roles import READERS
from app.views.applications.list import approved_at
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.enquiries.lines import LINE_COLUMNS, LINE_FILTERS
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage

ISSUED, AT_AUTHORITY, IN_PART, REVERSED = "issued", "at_authority", "in_part", "reversed"
STAGES = {
    ISSUED: (_("Issued"), "green"),
    AT_AUTHORITY: (_("At the authority"), "amber"),
    IN_PART: (_("Issued in part"), "amber"),
    REVERSED: (_("Reversed"), "grey"),
}


class IssuanceEnquiryView(ListPage):
    """配额发放查询."""

    route_base = "/enquiries/issuances"
    title = _("Issuance enquiry")
    menu = MenuEntry(ENQUIRIES, 1)
    guide = {"enterprise": "三配额发放查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    account_column = "account_id"
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
        _("What was granted by carry-over has the number of the carry-over application"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row an issue, with what waits at the province (N15), or a carry-over (N71)."""
        wait, issue = waiting_line.c, _issues().subquery("issue")
        status = case(
            (issue.c.is_granted, literal(ISSUED)),
            (func.is_reversed(issue.c.id), literal(REVERSED)),
            (wait.drawn == 0, literal(AT_AUTHORITY)),
            (wait.drawn < wait.quantity, literal(IN_PART)),
            else_=literal(ISSUED),
        )
        left = wait.quantity - wait.drawn
        category = case((issue.c.is_granted, literal("carry_over")), else_=Application.category)
        found: Select = (
            select(
                issue.c.id,
                issue.c.account_id,
                Account.member_no,
                Account.name.label("account"),
                Instrument.code,
                Instrument.name.label("instrument"),
                Instrument.vintage,
                category.label("category"),
                issue.c.quantity,
                approved_at().label("handled_at"),
                left.label("remaining"),
                case((left > 0, approved_at())).label("since"),
                status.label("status"),
                Application.number,
            )
            .select_from(issue)
            .join(Application, Application.id == issue.c.application_id)
            .join(Account, Account.id == issue.c.account_id)
            .join(Instrument, Instrument.id == issue.c.instrument_id)
            .outerjoin(waiting_line, wait.line_id == issue.c.id)
            .where(Instrument.is_of_tonnes())
        )
        return found


def _issues() -> CompoundSelect[int, int, int, int, int, bool]:
    """Return lines of approved issues, and carry-overs, each as its application's first line."""
    line, grant = ApplicationLine, CarryOverGrant
    of_grant = line.application_id == grant.application_id
    first = select(func.min(line.id)).where(of_grant).correlate(grant).scalar_subquery()
    issued = (
        select(line.id, line.application_id, Application.account_id, line.instrument_id,
               line.quantity, false().label("is_granted"))
        .join(Application, Application.id == line.application_id)
        .where(Application.kind == Issuance.code, Application.status == Status.APPROVED)
    )  # fmt: skip
    granted = select(first, grant.application_id, grant.account_id,
                     grant.instrument_id, grant.quantity, true())  # fmt: skip
    return issued.union_all(granted)
