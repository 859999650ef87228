"""夜间比对: where the CCER registry and this one differ about what is frozen (N89)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import flash, redirect
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, func, select

from app.extensions import db, transaction
from app.models import Account, OffsetComparison, OffsetDifference
from app.operations.offsets import comparison
from app.operations.records import clock
from app.security.roles import OFFICERS
from app.views.chapters import OFFSETS, MenuEntry
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage, RowAction
from app.views.page import current_actor

STANDS = {True: (_("Offset restricted"), "red"), False: (_("Earlier comparison"), "grey")}


class OffsetComparisonView(ListPage):
    """Differences, the last comparison's above earlier ones."""

    route_base = "/offset-comparisons"
    title = _("Comparison with the CCER registry")
    menu = MenuEntry(OFFSETS, 5)
    guide = {"registry": "ccer抵销"}
    grants = {OFFICERS: "list export compare"}
    account_column = "account_id"
    columns = (
        Column("compared_at", _("Time of comparison"), kind="datetime"),
        Column("uscc", _("Unified social credit code"), kind="code"),
        Column("member_no", _("Member number"), kind="code"),
        Column("account", _("Member name")),
        Column("ours", _("Mirrored here"), kind="quantity"),
        Column("theirs", _("Frozen there"), kind="quantity"),
        Column("difference", _("Difference"), kind="quantity"),
        Column("stands", _("Status"), kind="status", choices=STANDS),
    )
    filters = (
        Filter("compared", _("Time of comparison"), kind="date_range", on=("compared_at",)),
        Filter("member", _("Member"), on=("member_no", "account")),
        Filter("uscc", _("Unified social credit code"), kind="prefix"),
    )
    help = (
        _("Every night: frozen there = waiting for offset + in applications + ordered here"),
        _("A difference restricts offset of that enterprise alone, until a comparison finds none"),
        _("A unit about which a message's outcome is unknown may be frozen there or not"),
    )
    empty_hint = _("No difference was found")

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return one row a difference."""
        last = (
            select(func.max(OffsetComparison.id))
            .where(OffsetComparison.compared_at.is_not(None))
            .scalar_subquery()
        )
        found: Select = (
            select(
                OffsetDifference.id,
                OffsetDifference.account_id,
                OffsetComparison.compared_at,
                OffsetDifference.uscc,
                Account.member_no,
                Account.name.label("account"),
                OffsetDifference.ours,
                OffsetDifference.theirs,
                (OffsetDifference.ours - OffsetDifference.theirs).label("difference"),
                (OffsetDifference.comparison_id == last).label("stands"),
            )
            .join(OffsetComparison, OffsetComparison.id == OffsetDifference.comparison_id)
            .outerjoin(Account, Account.id == OffsetDifference.account_id)
        )
        return found

    def state(self) -> tuple[Any, str] | None:
        """Say when the registries were compared last, and with what result."""
        found = select(OffsetComparison).where(OffsetComparison.compared_at.is_not(None))
        last = db.session.scalars(found.order_by(OffsetComparison.id.desc()).limit(1)).first()
        if last is None:
            return _("Not compared yet"), "grey"
        text = gettext(
            "%(day)s: %(enterprises)s enterprises compared, %(differences)s differ",
            day=last.day, enterprises=last.enterprises, differences=last.differences,
        )  # fmt: skip
        return text, "red" if last.differences else "green"

    def tools(self) -> Iterable[RowAction]:
        if self.may("compare"):
            yield RowAction(
                _("Compare now"), self.url("compare"), method="post", icon="arrows-diff",
                keeps_place=False,
            )  # fmt: skip

    @expose("/compare", methods=["POST"])
    @has_access
    @permission_name("compare")
    def compare(self) -> Any:
        """Let the worker compare at once."""
        with transaction():
            comparison.ask(current_actor(), now=clock.now())
        flash(gettext("The registries are compared now; look again in a few seconds"), "success")
        return redirect(self.url("list"))
