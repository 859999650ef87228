"""What makes up 登记冻结量: applications under review and authorities' documents."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, Select, and_, case, literal, or_, select

from app.domain.kinds import KINDS
from app.domain.kinds.base import Hold
from app.domain.kinds.pledge import Pledge
from app.domain.kinds.sanctions.court_disposal import CourtSaleEnd
from app.domain.moves import Bucket
from app.domain.workflow import Status
from app.models import Account, Application, ApplicationLine, CourtHold, CourtOrder, Instrument
from app.views.applications.list import SHOWN_STATUSES
from app.views.enquiries.holdings import HOLDING_FILTERS, OfHolding
from app.views.enquiries.lines import BUSINESS_TITLES, LINE_COLUMNS, given_back, lines
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions


def _holding(bucket: Bucket, *, is_approved: bool) -> ColumnElement[bool]:
    """Return whether an application is in that state, and of a kind whose tonnes are in the bucket then.

    A transfer is under review only while it waits for a second operator, and is reserved meanwhile.
    """
    codes = [
        code
        for code, kind in KINDS.items()
        if Hold(is_approved, bucket, 1) in kind.holds
        or Hold(is_approved, bucket, 1, at_receiver=True) in kind.holds
        or (bucket is Bucket.RESERVED and kind.settles_at_day_end)
    ]
    codes = [code for code in codes if code != CourtSaleEnd.code]  # Its order says it.
    status = Status.APPROVED if is_approved else Status.IN_REVIEW
    return and_(Application.kind.in_(codes), Application.status == status)


class FrozenPartView(OfHolding):
    """登记冻结量 of a holding by its reasons: applications under review and authorities' documents."""

    route_base = "/holdings/frozen"
    title = _("What is frozen")
    columns = (
        *LINE_COLUMNS,
        Column(
            "part",
            _("Reason"),
            choices={
                "reserved": _("Held by an application"),
                "frozen": _("Frozen by an authority"),
                "court": _("Frozen by a court"),
                "pledge": _("Pledged"),
            },
        ),
        Column("kind", _("Business"), choices=BUSINESS_TITLES),
        Column("number", _("Application number"), kind="code"),
        Column("held", _("Quantity held"), kind="quantity"),
        Column("document_no", _("Number of the authority document"), kind="code"),
        Column("authority", _("Deciding authority")),
        Column("ends_on", _("In force until"), kind="date"),
        Column("submitted_at", _("Submitted at"), kind="datetime"),
        Column("status", _("Status"), kind="status", choices=SHOWN_STATUSES),
    )
    filters = (
        *HOLDING_FILTERS,
        Filter("code", _("Instrument code"), kind="prefix", on=("code",)),
        Filter("number", _("Application number"), kind="prefix", on=("number",)),
        Filter("document", _("Number of the authority document"), on=("document_no",)),
    )
    help = (
        _(
            "An application holds its quantity while it is under review; returned or withdrawn it frees it"
        ),
        _("A freeze holds what is left of it until it is lifted by a document"),
        _("What is pledged is released on the pledgee's word"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a line that holds something now."""
        held = ApplicationLine.quantity - given_back()
        reserved = _holding(Bucket.RESERVED, is_approved=False)
        asked = _holding(Bucket.FROZEN, is_approved=False)
        kept = and_(_holding(Bucket.FROZEN, is_approved=True), held > 0)
        part = case(
            (and_(kept, Application.kind == Pledge.code), literal("pledge")),
            (or_(asked, kept), literal("frozen")),
            else_=literal("reserved"),
        )
        found = lines(held.label("held"), part.label("part")).where(or_(reserved, asked, kept))
        both = found.union_all(_by_courts(found)).subquery("part_of_holding")
        return select(*both.c)


def _by_courts(like: Select[Any]) -> Select[Any]:
    """Return the same of what courts' orders have frozen, in the columns of ``like``."""
    known: dict[str, Any] = {
        # Numbered apart from lines, which are counted upwards.
        "id": -(CourtHold.order_id * 10_000 + CourtHold.instrument_id),
        "account_id": CourtOrder.account_id,
        "member_no": Account.member_no,
        "account": Account.name,
        "instrument_id": Instrument.id,
        "code": Instrument.code,
        "instrument": Instrument.name,
        "vintage": Instrument.vintage,
        "quantity": CourtHold.quantity,
        "ends_on": CourtOrder.ends_on,
        "held": CourtHold.quantity,
        "part": literal("court"),
    }
    columns: list[Any] = [
        known[each.name] if each.name in known else getattr(Application, each.name)
        for each in like.selected_columns
    ]
    return (
        select(*columns)
        .select_from(CourtHold)
        .join(CourtOrder, CourtOrder.application_id == CourtHold.order_id)
        .join(Application, Application.id == CourtOrder.application_id)
        .join(Account, Account.id == CourtOrder.account_id)
        .join(Instrument, Instrument.id == CourtHold.instrument_id)
        .where(Instrument.is_of_tonnes())
    )
