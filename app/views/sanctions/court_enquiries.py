"""司法冻结查询, for holders and authorities (rules-2026 N97)."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, literal, select

from app.domain.kinds.sanctions.court import CourtFreeze
from app.domain.workflow import Status
from app.models import Account, Application, CourtLapse, CourtOrder, Instrument
from app.security.roles import READERS
from app.views.chapters import ENQUIRIES, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage
from app.views.sanctions.court_orders import EXPIRY
from app.views.sanctions.courts import ANY, MEASURES, expiry_of, of_measure, place_of

READ_ONLY = _("Entered by the registry upon the court's paper; it cannot be cancelled here")


class CourtFreezeEnquiryView(ListPage):
    """司法冻结查询: the place in the queue, what is effective and what is queued, and the end."""

    route_base = "/enquiries/court-freezes"
    title = _("Judicial freeze enquiry")
    menu = MenuEntry(ENQUIRIES, 7)
    guide = {"enterprise": "二冻结解冻查询", "province": "查询", "registry": "信息查询"}
    grants = {READERS: "list export"}
    account_column = "account_id"
    columns = (
        Column("member_no", _("Member number"), is_of_others=True, kind="code", is_shown=False),
        Column("account", _("Member name"), is_of_others=True),
        Column("target", _("Instrument code"), choices={ANY: _("Whole account")}),
        Column("document_no", _("Number of the ruling"), kind="code"),
        Column("authority", _("Court")),
        Column("served_at", _("Time of service"), kind="datetime"),
        Column("place", _("Place in the queue"), kind="number"),
        Column("ordered", _("Ordered"), kind="quantity"),
        Column("effective", _("Effective"), kind="quantity"),
        Column("queued", _("Queued"), kind="quantity"),
        Column("money", _("Effective, money"), kind="money", is_shown=False),
        Column("until", _("In force until"), kind="date"),
        Column("expiry", _("Expiry"), kind="status", choices=EXPIRY),
        Column("lapse", _("Entry of the end by itself"), kind="code", is_shown=False),
        Column("category", _("Measure"), choices=MEASURES[CourtFreeze.code], is_shown=False),
        Column("number", _("Application number"), kind="code", is_shown=False),
    )
    filters = (
        Filter("target", _("Instrument code"), kind="prefix", on=("target",)),
        Filter("ruling", _("Number of the ruling"), on=("document_no",)),
        Filter("court", _("Court"), on=("authority",)),
        Filter("expiry", _("Expiry"), kind="choice", choices=EXPIRY),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    help = (
        READ_ONLY,
        _(
            "Courts are served in the order of service; when one ends, the next takes effect by itself"
        ),
        _("An order that nobody renews ends by itself at 24:00 of its last day"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row an order that two officers confirmed."""
        is_money = func.coalesce(Instrument.kind == "money", False)
        return (
            select(
                CourtOrder.application_id.label("id"),
                CourtOrder.account_id,
                Account.member_no,
                Account.name.label("account"),
                func.coalesce(Instrument.code, literal(ANY)).label("target"),
                Application.document_no,
                Application.authority,
                CourtOrder.served_at,
                place_of(CourtOrder).label("place"),
                of_measure(CourtOrder.quantity, is_money).label("ordered"),
                of_measure(CourtOrder.effective, is_money).label("effective"),
                of_measure(CourtOrder.queued, is_money).label("queued"),
                of_measure(CourtOrder.effective, is_money, of_money=True).label("money"),
                CourtOrder.ends_on.label("until"),
                expiry_of(CourtOrder).label("expiry"),
                CourtLapse.number.label("lapse"),
                Application.category,
                Application.number,
            )
            .join(Application, Application.id == CourtOrder.application_id)
            .join(Account, Account.id == CourtOrder.account_id)
            .outerjoin(Instrument, Instrument.id == CourtOrder.instrument_id)
            .outerjoin(CourtLapse, CourtLapse.order_id == CourtOrder.application_id)
            .where(Application.status == Status.APPROVED)
        )
