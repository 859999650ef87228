"""履约日历: the dates of the plans and of the ministry, for all roles (rules-2026 N06)."""

from __future__ import annotations

from typing import Any

from flask import g
from flask_babel import lazy_gettext as _
from sqlalchemy import Select, case, literal, select, true

from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Notice
from app.models.parameter import setting
from app.operations.compliance import calendar
from app.operations.compliance.notices import surrender_figures
from app.operations.records import clock
from app.operations.records.catalogue import EVERY_SECTOR, SECTORS, sectors_after
from app.security.roles import READERS
from app.security.scope import scoped
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.plans import GUIDE, sectors_in_scope
from app.views.lists.columns import Column
from app.views.lists.conditions import Filter
from app.views.lists.listing import Conditions, ListPage

DONE, PAST, SOON, LATER = "done", "past", "soon", "later"
STATES = {
    SOON: (_("Coming soon"), "amber"),
    LATER: (_("Later"), "blue"),
    DONE: (_("Done"), "green"),
    PAST: (_("Past"), "grey"),
}
TITLES = {item: title for item, (title, _party) in calendar.ITEMS.items()}


class ComplianceCalendarView(ListPage):
    """The dates of the sectors in scope, the next ones first."""

    route_base = "/compliance-calendar"
    title = _("Compliance calendar")
    menu = MenuEntry(COMPLIANCE, 9)
    guide = GUIDE
    grants = {READERS: "list export"}
    account_column = None  # Dates are of sectors.
    columns = (
        Column("due_on", _("Due on"), kind="date"),
        Column("days", _("Days left"), kind="number"),
        Column("about", _("What is due"), choices=TITLES),
        Column("year", _("Compliance year"), kind="code"),
        Column("sector", _("Sector"), choices=sectors_after(_("All sectors"))),
        Column("party", _("Who acts"), choices=calendar.PARTIES),
        Column("source", _("Sources"), is_shown=False),
        Column("state", _("Status"), kind="status", choices=STATES),
    )
    filters = (
        Filter("year", _("Compliance year"), kind="number"),
        Filter("sector", _("Sector"), kind="choice", choices=SECTORS),
        Filter("party", _("Who acts"), kind="choice", choices=calendar.PARTIES),
        Filter("state", _("Status"), kind="choice", choices=STATES),
        Filter("due_on", _("Due on"), kind="date_range"),
    )
    key = ("place", "id")
    help = (
        _("The dates are those of the plans, and of the ministry's yearly notices"),
        _(
            "Who must act is reminded 30, 7 and 1 days before, unless it is done; parameters set the days"
        ),
    )

    def rows(self, conditions: Conditions) -> Select[Any]:
        """Return the dates of the sectors in scope; of surrenders whether all notices are fulfilled."""
        today = clock.now().astimezone(BEIJING).date()
        each = calendar.dates(today).subquery("each").c
        soon = max(int(setting(db.session, name)) for name in calendar.STEPS)
        owing, owed = _notices(each, gap=True), _notices(each, gap=False)
        is_done = (each.item == "surrender_by") & owed & ~owing
        days = each.due_on - literal(today)
        statement: Select = select(
            each.id,
            # The list is sorted by its key, downwards: what comes next stands first, what is past last.
            case((each.due_on >= today, 100_000 - days), else_=days).label("place"),
            each.year,
            each.sector,
            case((each.item == calendar.MINISTRY, each.title), else_=each.item).label("about"),
            each.due_on,
            case((days >= 0, days)).label("days"),
            each.party,
            each.source,
            case(
                (is_done, literal(DONE)),
                (each.due_on < today, literal(PAST)),
                (days <= soon, literal(SOON)),
                else_=literal(LATER),
            ).label("state"),
        )
        mine = sectors_in_scope(g.user)
        if mine is None:
            return statement
        return statement.where(each.sector.in_(mine) | (each.sector == EVERY_SECTOR))


def _notices(each: Any, *, gap: bool) -> Any:
    """Return the condition that there are notices of a date's year and sector in scope (with a gap)."""
    figures = surrender_figures()
    found = (
        select(Notice.id)
        .join(figures, true())
        .where(
            Notice.year == each.year,
            Notice.sector == each.sector,
            Notice.withdrawn_at.is_(None),
        )
    )
    if gap:
        found = found.where(figures.c.surrendered < Notice.obligation)
    return scoped(found, Notice.account_id, g.user).correlate(each.id.table).exists()
