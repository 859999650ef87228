"""集团查看: a company's consent, and what the head of its group then reads (rules-2026 N128)."""

from __future__ import annotations

from typing import Any

from flask import g, request
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, select, true
from sqlalchemy.orm import aliased

from app.domain.trading_day import BEIJING
from app.extensions import transaction
from app.models import (
    Account,
    CompanyGroupMember,
    GroupConsent,
    Holding,
    Instrument,
    Notice,
    plans_on,
)
from app.operations.accounts import group_view
from app.operations.compliance import notices
from app.operations.records import clock
from app.operations.records.actor import Actor
from app.operations.records.catalogue import SECTORS
from app.security.roles import AUTHORITIES, ENTERPRISES, REPRESENTATIVE
from app.views.applications.switch import CHANGED_AT, CHANGED_BY, CHANGED_FILTER, SwitchPage
from app.views.chapters import ACCOUNTS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage
from app.views.page import current_actor

GUIDE = {"enterprise": "集团查看", "province": "查询", "registry": "集团查看"}
GIVEN = {True: (_("Consent given"), "green"), False: (_("No consent"), "grey")}


class GroupConsentView(SwitchPage):
    """集团查看授权: whether the head of the group may read this enterprise."""

    route_base = "/group-consents"
    title = _("Consent to the group's view")
    menu = MenuEntry(ACCOUNTS, 11)
    guide = {"enterprise": "集团查看"}
    grants = {REPRESENTATIVE: "list export switch"}
    act = "account.group_consent"
    history, recorded = GroupConsent, "is_given"
    states = GIVEN
    labels = (_("Take the consent back"), _("Give consent"))
    questions = (
        _("The head of the group then no longer sees this enterprise. Continue?"),
        _("The head of the group then reads this enterprise's holdings and notices. Continue?"),
    )
    results = (_("The consent is taken back"), _("The consent is given"))
    dangerous_state = True
    columns = (
        CHANGED_AT,
        Column("head", _("Head of its group")),
        Column("is_given", _("Changed to"), kind="status", choices=GIVEN),
        *CHANGED_BY,
    )
    filters = (CHANGED_FILTER,)
    help = (
        _("The head only reads: holdings and compliance notices, never applications or money"),
        _(
            "The consent counts while the enterprise is in the group; it can be taken back at any time"
        ),
        _("Each change, and each reading by the head, is in the operation log"),
    )
    empty_hint = _("Consent was never given")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the head."""
        head = aliased(Account)
        joined = super().rows(conditions).join(head, head.id == GroupConsent.head_id)
        return joined.add_columns(head.name.label("head"))

    @classmethod
    def change(cls, actor: Actor, *, is_on: bool) -> None:
        """Give the consent, or take it back."""
        group_view.change(actor, gives=is_on, now=clock.now())

    def _is_on(self) -> bool:
        if "group_consent" not in g:  # Both the state and the button ask.
            head = group_view.head_of(g.user.account_id, _today())
            is_given = head is not None and group_view.is_given(g.user.account_id, head.id)
            g.group_consent = is_given
        return bool(g.group_consent)


class _GroupPage(ListPage):
    """What a head reads of the companies that consent; its readings are logged."""

    guide = GUIDE
    grants = {f"{ENTERPRISES} {AUTHORITIES}": "list export"}
    account_column = "head_id"
    filters: tuple[Filter, ...] = (Filter("company", _("Company"), on=("member_no", "account")),)
    help: tuple[Any, ...] = (
        _("Companies of the group appear once they have consented, until they take it back"),
    )
    empty_hint = _("No company of a group has consented that its head reads it")

    def check(self, conditions: Conditions) -> None:
        """Log the reading by a head."""
        if g.user.account_id is not None and request.method == "GET":
            with transaction():
                group_view.note_reading(current_actor(), self.route_base)

    def of_group(self, model: Any, *columns: Any) -> Select[Any]:
        """Return a model's rows of the companies that may be read, with their head."""
        head = aliased(Account)
        return (
            select(
                CompanyGroupMember.head_id, head.name.label("head"), model.account_id,
                Account.member_no, Account.name.label("account"), *columns,
            )
            .select_from(CompanyGroupMember)
            .join(head, head.id == CompanyGroupMember.head_id)
            .join(Account, Account.id == CompanyGroupMember.account_id)
            .join(model, model.account_id == CompanyGroupMember.account_id)
            .where(group_view.readable(CompanyGroupMember, _today()))
        )  # fmt: skip


_OF_WHOM = (
    Column("head", _("Head of its group"), is_of_others=True),
    Column("member_no", _("Member number"), kind="code"),
    Column("account", _("Member name")),
)


class GroupHoldingView(_GroupPage):
    """集团持仓: the holdings of the companies of a group, for its head."""

    route_base = "/group-holdings"
    title = _("Holdings of the group")
    menu = MenuEntry(ACCOUNTS, 12)
    key = ("account_id", "instrument_id")
    columns = (
        *_OF_WHOM,
        Column("code", _("Instrument code"), kind="code"),
        Column("vintage", _("Vintage"), kind="code"),
        Column("available", _("Available in registry"), kind="quantity"),
        Column("frozen_all", _("Frozen in registry"), kind="quantity"),
        Column("trading", _("Held in trading"), kind="quantity"),
        Column("total", _("Total holding"), kind="quantity"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a company and instrument."""
        frozen = Holding.reserved + Holding.frozen
        on_the_way = Holding.pending_to_trading + Holding.pending_to_registry
        return (
            self.of_group(
                Holding, Holding.instrument_id, Instrument.code, Instrument.vintage,
                Holding.available, frozen.label("frozen_all"), Holding.trading,
                (Holding.available + frozen + Holding.trading + on_the_way).label("total"),
            )
            .join(Instrument, Instrument.id == Holding.instrument_id)
            .where(Instrument.is_of_tonnes())
        )  # fmt: skip


class GroupNoticeView(_GroupPage):
    """集团履约: the notices of the companies of a group, for its head."""

    route_base = "/group-notices"
    title = _("Compliance of the group")
    menu = MenuEntry(ACCOUNTS, 13)
    columns = (
        *_OF_WHOM,
        Column("year", _("Compliance year"), kind="code"),
        Column("sector", _("Sector"), choices=SECTORS),
        Column("number", _("Notice number"), kind="code"),
        Column("obligation", _("Obligation"), kind="quantity"),
        Column("surrendered", _("Surrendered for the notice"), kind="quantity"),
        Column("gap", _("Gap"), kind="quantity"),
        Column("deadline", _("Deadline"), kind="datetime"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a notice that is not taken back."""
        figures, plan = notices.surrender_figures(), plans_on(_today())
        return (
            self.of_group(
                Notice, Notice.id, Notice.year, Notice.sector, Notice.number, Notice.obligation,
                figures.c.surrendered,
                func.greatest(Notice.obligation - figures.c.surrendered, 0).label("gap"),
                plan.c.surrender_by.label("deadline"),
            )
            .outerjoin(plan, (plan.c.year == Notice.year) & (plan.c.sector == Notice.sector))
            .outerjoin(figures, true())
            .where(Notice.withdrawn_at.is_(None))
        )  # fmt: skip


def _today() -> Any:
    return clock.now().astimezone(BEIJING).date()
