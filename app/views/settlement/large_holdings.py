"""大户持仓 and 关联企业集团: who holds more than its limit, and who is summed (rules-2026 N127)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import aliased

from app.domain.kinds.settlement import CompanyGroup
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import (
    Account,
    Application,
    ApplicationParty,
    CompanyGroupMember,
    LargeHolding,
    LargeHoldingRun,
)
from app.operations.records import clock
from app.security.roles import AUDITOR, AUTHORITIES
from app.views.applications.enterprises_field import EnterprisesField
from app.views.applications.form import DATE_INPUT, ApplicationForm, DayField, Required
from app.views.applications.list import usual_columns, usual_filters
from app.views.applications.officer_desk import OfficerDesk
from app.views.applications.texts import StringField
from app.views.chapters import SETTLEMENT, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction

GUIDE = {"province": "大户持仓", "registry": "大户持仓", "administration": "结算的查询"}


class LargeHoldingView(ListPage):
    """大户持仓: members above their limits on a settled day, alone or with their group."""

    route_base = "/large-holdings"
    beneath = ("CompanyGroupMemberView",)
    title = _("Large holdings")
    menu = MenuEntry(SETTLEMENT, 10)
    guide = GUIDE
    grants = {f"{AUTHORITIES} {AUDITOR}": "list export"}
    key = ("day", "account_id", "vintage")
    account_column = "account_id"
    columns = (
        Column("day", _("Trading day"), kind="date"),
        Column("member_no", _("Member number"), kind="code"),
        Column("account", _("Member name")),
        Column("vintage", _("Vintage"), kind="code"),
        Column("quantity", _("Own holding"), kind="quantity"),
        Column("head_no", _("Head of its group"), kind="code"),
        Column("total", _("With its group"), kind="quantity"),
        Column("most", _("Limit"), kind="quantity"),
        Column("excess", _("Above the limit by"), kind="quantity"),
        Column("since", _("Above it since"), kind="date"),
        Column("due_on", _("Report due on"), kind="date"),
    )
    filters = (
        Filter("day", _("Trading day"), kind="date_range"),
        Filter("member", _("Member"), on=("member_no", "account")),
        Filter("vintage", _("Vintage"), kind="number"),
        Filter("head", _("Head of its group"), kind="prefix", on=("head_no",)),
    )
    help = (
        _("Found after each settled day; a deal stands, whatever a member then holds"),
        _("A holding counts wherever it lies: in the registry, in trading, in transit, in custody"),
        _("Linked companies are summed against the limit of their head's class"),
    )
    empty_hint = _("Nobody holds more than its limit")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a member, vintage and day."""
        head = aliased(Account)
        alone = LargeHolding.head_id == LargeHolding.account_id
        is_group = (LargeHolding.total > LargeHolding.quantity) | ~alone
        statement: Select = (
            select(
                LargeHolding.day,
                LargeHolding.account_id,
                LargeHolding.vintage,
                Account.member_no,
                Account.name.label("account"),
                LargeHolding.quantity,
                LargeHolding.total,
                LargeHolding.most,
                (LargeHolding.total - LargeHolding.most).label("excess"),
                LargeHolding.since,
                LargeHoldingRun.due_on,
                case((is_group, head.member_no)).label("head_no"),
            )
            .join(Account, Account.id == LargeHolding.account_id)
            .join(head, head.id == LargeHolding.head_id)
            .join(LargeHoldingRun, LargeHoldingRun.day == LargeHolding.day)
        )
        return statement

    def tools(self) -> Iterable[RowAction]:
        if self.may("list", "CompanyGroupMemberView"):
            groups = url_for("CompanyGroupMemberView.list")
            yield RowAction(_("Linked companies"), groups, icon="sitemap", keeps_place=False)


class GroupForm(ApplicationForm):
    """关联企业集团."""

    document_no = StringField(
        _("Number of the document"), [Required()], render_kw={"maxlength": 100}
    )
    starts_on = DayField(_("In force from"), [Required()], render_kw=DATE_INPUT)
    receivers = EnterprisesField(_("Linked companies"))

    def content(self) -> dict[str, Any]:
        """Name the companies that are ticked."""
        return {**super().content(), "receivers": tuple(self.receivers.data)}


class CompanyGroupView(OfficerDesk):
    """关联企业集团, by two officers: the whole group each time."""

    route_base = "/company-groups"
    kind = CompanyGroup.code
    title = _("Groups of linked companies")
    menu = MenuEntry(SETTLEMENT, 11)
    guide = {"registry": "大户持仓"}
    form_title = _("Group of linked companies")
    form = GroupForm
    columns = (
        *usual_columns("number", "member_no", "account"),
        Column("companies", _("Linked companies")),
        Column("document_no", _("Number of the document"), kind="code"),
        Column("starts_on", _("In force from"), kind="date"),
        Column("reason", _("Reason for the application")),
        *usual_columns("created_at", "status"),
    )
    filters = (
        *usual_filters(has_lines=False),
        Filter("company", _("Linked company"), on=("companies",)),
    )
    help = (
        _(
            "Choose the head, then tick every other company of its group: what is not ticked leaves it"
        ),
        _("Nothing ticked dissolves the group; a company is in one group at a time"),
        _("One officer enters it by a document, another confirms it"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Add the companies."""
        other = aliased(Account)
        names = (
            select(func.string_agg(other.name + "（" + other.member_no + "）", "、"))
            .join(ApplicationParty, ApplicationParty.account_id == other.id)
            .where(ApplicationParty.application_id == Application.id)
            .correlate(Application)
            .scalar_subquery()
        )
        return super().rows(conditions).add_columns(
            names.label("companies"), Application.document_no, Application.starts_on
        )  # fmt: skip

    def form_facts(self, account_id: int) -> list[tuple[Any, ...]]:
        """Show which companies the group has today."""
        linked = "、".join(f"{name}（{number}）" for _id, name, number in _companies(account_id))
        return [
            *super().form_facts(account_id),
            (_("Linked companies today"), linked or gettext("None"), "text"),
        ]

    def new_form(self, account_id: int) -> Any:
        """Begin with the group as it is."""
        return self.form(data={"receivers": [row.id for row in _companies(account_id)]})

    def typed_before(self, application: Application) -> dict[str, Any]:
        """Tick the companies that were chosen."""
        chosen = [each.account_id for each in application.parties]
        return {**super().typed_before(application), "receivers": chosen}

    def tools(self) -> Iterable[RowAction]:
        yield from super().tools()
        groups = url_for("CompanyGroupMemberView.list")
        yield RowAction(_("Linked companies"), groups, icon="sitemap", keeps_place=False)


class CompanyGroupMemberView(ListPage):
    """The groups with their companies, now and before."""

    route_base = "/linked-companies"
    title = _("Linked companies")
    guide = GUIDE
    grants = {f"{AUTHORITIES} {AUDITOR}": "list export"}
    account_column = "account_id"
    columns = (
        Column("head_no", _("Head of its group"), kind="code"),
        Column("head", _("Name of the head")),
        Column("member_no", _("Member number"), kind="code"),
        Column("account", _("Member name")),
        Column("starts_on", _("In force from"), kind="date"),
        Column("ends_on", _("Ended on"), kind="date"),
        Column("number", _("Application number"), kind="code"),
    )
    filters = (
        Filter("head", _("Head of its group"), on=("head_no", "head")),
        Filter("member", _("Member"), on=("member_no", "account")),
        Filter("starts_on", _("In force from"), kind="date_range"),
    )
    help = (
        _("A company that a later application leaves out, or another one dissolves, has ended"),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a membership."""
        head = aliased(Account)
        statement: Select = (
            select(
                CompanyGroupMember.id,
                CompanyGroupMember.account_id,
                head.member_no.label("head_no"),
                head.name.label("head"),
                Account.member_no,
                Account.name.label("account"),
                CompanyGroupMember.starts_on,
                CompanyGroupMember.ends_on,
                Application.number,
            )
            .join(head, head.id == CompanyGroupMember.head_id)
            .join(Account, Account.id == CompanyGroupMember.account_id)
            .join(Application, Application.id == CompanyGroupMember.application_id)
        )
        return statement

    def tools(self) -> Iterable[RowAction]:
        holdings = url_for("LargeHoldingView.list")
        yield RowAction(_("Large holdings"), holdings, icon="chart-bar", keeps_place=False)


def _companies(head_id: int) -> list[Any]:
    """Return the companies linked with a head today, itself left out, as (id, name, number)."""
    today, member = clock.now().astimezone(BEIJING).date(), CompanyGroupMember
    statement = (
        select(Account.id, Account.name, Account.member_no)
        .join(member, member.account_id == Account.id)
        .where(
            member.head_id == head_id,
            member.account_id != head_id,
            member.starts_on <= today,
            member.ends_on.is_(None) | (member.ends_on > today),
        )
        .order_by(Account.member_no)
    )
    return list(db.session.execute(statement))
