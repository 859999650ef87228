"""关联对方重点排放单位 (manual 六-一): the links that the registry makes, and those in force."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, select
from sqlalchemy.orm import aliased

from app.domain.kinds.custody import CustodyLink
from app.extensions import db
from app.models import Account, Application, ApplicationParty
from app.models import CustodyLink as Link
from app.security.roles import READERS
from app.views.applications.enterprises_field import EnterprisesField
from app.views.applications.form import ApplicationForm, Required
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.chapters import CUSTODY, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage


class LinkForm(ApplicationForm):
    """关联对方重点排放单位."""

    receivers = EnterprisesField(_("Enterprises to link"), [Required()])

    def content(self) -> dict[str, Any]:
        """Name the enterprises that are ticked."""
        return {**super().content(), "receivers": tuple(self.receivers.data)}


def receivers_of(account_id: int) -> list[Account]:
    """Return the enterprises that an account is linked with."""
    return db.session.get_one(Account, account_id).receivers


def named(accounts: Iterable[Account]) -> str:
    """Return accounts as a page names them."""
    return "、".join(f"{each.name}（{each.member_no}）" for each in accounts)


class CustodyLinkView(OfficerDesk):
    """关联对方重点排放单位: who may receive what an enterprise has in custody, by two officers."""

    route_base = "/custody-links"
    kind = CustodyLink.code
    title = _("Links of enterprises")
    menu = MenuEntry(CUSTODY, 2)
    guide = {"registry": "存管返还管理"}
    form_title = _("Link an enterprise with others")
    form = LinkForm
    columns: tuple[Column, ...] = (
        *usual_columns("number", "member_no", "account"),
        Column("receivers", _("Linked enterprises")),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(has_lines=False),
        Filter("receiver", _("Linked enterprise"), on=("receivers",)),
    )
    help = (
        _("Links the enterprise that deposits with those that may receive what it has in custody"),
        _(
            "One officer enters the link, another confirms it; then the enterprise can apply for returns"
        ),
        _("An enterprise without an account is opened first"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the other enterprises."""
        other = aliased(Account)
        names = (
            select(func.string_agg(other.name + "（" + other.member_no + "）", "、"))
            .join(ApplicationParty, ApplicationParty.account_id == other.id)
            .where(ApplicationParty.application_id == Application.id)
            .correlate(Application)
            .scalar_subquery()
        )
        return super().rows(conditions).add_columns(names.label("receivers"))

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Show what it is linked with already."""
        linked = named(receivers_of(account_id)) or gettext("None")
        return [*super().form_facts(account_id), (_("Linked already"), linked, "text")]

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Tick the enterprises that were chosen."""
        chosen = [each.account_id for each in application.parties]
        return {**super().typed_before(application), "receivers": chosen}


class LinkedEnterpriseView(ListPage):
    """The links in force: an enterprise sees whom it may return to."""

    route_base = "/linked-enterprises"
    title = _("Linked enterprises")
    guide = {"enterprise": "一存管返还", "province": "查询", "registry": "存管返还管理"}
    grants = {READERS: "list export"}
    key = ("account_id", "receiver_id")
    account_column = "account_id"
    columns = (
        Column("member_no", _("Member number"), is_of_others=True, kind="code"),
        Column("account", _("Member name"), is_of_others=True),
        Column("receiver_no", _("Member number of the linked enterprise"), kind="code"),
        Column("receiver", _("Linked enterprise")),
        Column("linked_at", _("Linked at"), kind="datetime"),
    )
    filters = (
        Filter("receiver", _("Linked enterprise"), on=("receiver_no", "receiver")),
        Filter("linked", _("Linked on"), kind="date_range", on=("linked_at",)),
        Filter("member", _("Member"), is_of_others=True, on=("member_no", "account")),
    )
    help = (
        _("The registry links an enterprise with those that may receive what it has in custody"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a link."""
        receiver = aliased(Account)
        statement: Select = (
            select(
                Link.account_id,
                Link.receiver_id,
                Account.member_no,
                Account.name.label("account"),
                receiver.member_no.label("receiver_no"),
                receiver.name.label("receiver"),
                Link.linked_at,
            )
            .join(Account, Account.id == Link.account_id)
            .join(receiver, receiver.id == Link.receiver_id)
        )
        return statement
