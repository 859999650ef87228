"""履约统计: progress of compliance by year, province and sector, and the gap list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import g, request, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    cast,
    func,
    null,
    select,
    tuple_,
)

from app.domain.regions import PROVINCES
from app.domain.trading_day import BEIJING
from app.extensions import db
from app.models import Account, Notice, plans_on
from app.models.figures import notice_surrender_line
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.security.roles import AUTHORITIES
from app.security.scope import scope_of, scoped
from app.views.chapters import COMPLIANCE, MenuEntry
from app.views.compliance.obligations import LATE, OVERDUE, NoticeList
from app.views.lists.columns import Column
from app.views.lists.listing import Conditions, RowAction
from app.views.page import Page


@dataclass(frozen=True, slots=True)
class Share:
    """A line of the statistics: enterprises and tonnes, total and done."""

    year: int
    province: str | None
    sector: str | None
    enterprises: int
    fulfilled: int
    late: int  # with a notice that was fulfilled after its deadline
    overdue: int  # with a notice that is not fulfilled after its deadline
    obligation: int
    surrendered: int  # per enterprise at most its obligation
    gap: int

    @property
    def by_count(self) -> str:
        """Enterprises that have fulfilled, in per cent."""
        return percent(self.fulfilled, self.enterprises)

    @property
    def by_tonnes(self) -> str:
        """Surrendered tonnes of those due, in per cent."""
        return percent(self.surrendered, self.obligation)


def percent(part: int, whole: int) -> str:
    """Return a percentage with two decimals, rounded down: 100.00% means all (R80)."""
    if not whole:
        return ""
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02d}%"


def shares(member: Any, *, only_latest: bool = False) -> list[Share]:
    """Return the statistics of all years (or the latest) in the member's scope, in one statement.

    Each year has a total, and a line per province and per sector.
    """
    wanted: ColumnElement[bool] = Notice.withdrawn_at.is_(None)
    if only_latest:
        latest = select(func.max(Notice.year)).where(wanted)
        wanted &= Notice.year == latest.scalar_subquery()
    used, now = _surrendered(wanted), clock.now()
    plan = plans_on(now.astimezone(BEIJING).date())
    enterprises = Account.__table__
    statement = (
        select(
            Notice.year,
            enterprises.c.province,
            Notice.sector,
            *_counts(used, plan, now),
            func.grouping(enterprises.c.province, Notice.sector).label("level"),
        )
        .select_from(Notice)
        .join(enterprises, enterprises.c.id == Notice.account_id)
        .outerjoin(used, used.c.notice_id == Notice.id)
        .outerjoin(plan, (plan.c.year == Notice.year) & (plan.c.sector == Notice.sector))
        .where(wanted)
        .group_by(
            func.grouping_sets(
                tuple_(Notice.year),
                tuple_(Notice.year, enterprises.c.province),
                tuple_(Notice.year, Notice.sector),
            )
        )
    )
    rows = db.session.execute(scoped(statement, enterprises.c.id, member)).all()
    return [_share(row) for row in rows]


def _counts(used: Any, plan: Any, now: datetime) -> list[Any]:
    """Return the columns of a line: enterprises by the state of their notices, and tonnes."""
    surrendered = func.coalesce(used.c.surrendered, 0)
    state = func.notice_state(
        Notice.obligation, surrendered, used.c.last_at, plan.c.surrender_by, null(), now
    )
    owing = func.count(Notice.account_id.distinct())
    tonnes = {
        "obligation": Notice.obligation,
        "surrendered": func.least(surrendered, Notice.obligation),
        "gap": func.greatest(Notice.obligation - surrendered, 0),
    }
    return [
        owing.label("enterprises"),
        # Who owes for two sectors has fulfilled once both notices are (C10).
        (owing - owing.filter(surrendered < Notice.obligation)).label("fulfilled"),
        owing.filter(state == LATE).label("late"),
        owing.filter(state == OVERDUE).label("overdue"),
        *(cast(func.sum(each), BigInteger).label(name) for name, each in tonnes.items()),
    ]


def _surrendered(wanted: ColumnElement[bool]) -> Any:
    """Return the tonnes surrendered and not refunded, by notice, and the last submission of them."""
    line = notice_surrender_line
    return (
        select(
            line.c.notice_id,
            cast(func.sum(line.c.surrendered), BigInteger).label("surrendered"),
            func.max(line.c.counted_at).label("last_at"),
        )
        .join(Notice, Notice.id == line.c.notice_id)
        .where(wanted)
        .group_by(line.c.notice_id)
        .subquery("used")
    )


_BY_SECTOR, _BY_PROVINCE = 2, 1  # GROUPING(): a bit for each aggregated column.


def _share(row: Any) -> Share:
    """Distinguish an unknown sector ("") from all sectors (None)."""
    found = dict(row._mapping)
    level = found.pop("level")
    found["province"] = (row.province or "") if level == _BY_PROVINCE else None
    found["sector"] = (row.sector or "") if level == _BY_SECTOR else None
    return Share(**found)


class ComplianceStatisticsView(Page):
    """履约统计: figures, charts with their tables, links to the gap list."""

    route_base = "/compliance-statistics"
    beneath = ("ComplianceGapView",)
    default_view = "index"
    title = _("Compliance statistics")
    menu = MenuEntry(COMPLIANCE, 5)
    guide = {"province": "履约统计", "registry": "履约统计"}
    grants = {AUTHORITIES: "show"}

    @expose("/")
    @has_access
    @permission_name("show")
    def index(self) -> Any:
        """Show one year, and all years for comparison."""
        found = shares(g.user)
        totals = [each for each in found if each.province is None and each.sector is None]
        years = sorted((each.year for each in totals), reverse=True)
        asked = request.args.get("year", "")
        year = int(asked) if asked in {str(each) for each in years} else max(years, default=0)
        chosen = [each for each in found if each.year == year]
        parts = []
        if scope_of(g.user) == "all":
            by_province = [each for each in chosen if each.province is not None]
            parts.append(_part("province", _("By province"), by_province))
        by_sector = [each for each in chosen if each.sector is not None]
        parts.append(_part("sector", _("By sector"), by_sector))
        parts.append(_part("year", _("By year"), totals))
        return self.render_template(
            "compliance/statistics.html",
            title=self.title,
            years=years,
            year=year,
            total=next((each for each in totals if each.year == year), None),
            parts=[part for part in parts if part["rows"]],
            gaps_url=url_for("ComplianceGapView.list", year=year),
            here=url_for("ComplianceStatisticsView.index"),
        )


_COLUMN_TITLES = {
    "province": _("Province"),
    "sector": _("Sector"),
    "year": _("Compliance year"),
}


def _part(key: str, title: Any, lines: Sequence[Share]) -> dict[str, Any]:
    """Return one breakdown: its table and the data of its chart."""
    names: Any = {"province": PROVINCES, "sector": SECTORS}.get(key, {})
    ordered = sorted(lines, key=lambda each: str(getattr(each, key)))
    named = [(_name(names, getattr(each, key)), each) for each in ordered]
    columns = ((_COLUMN_TITLES[key], "link"), *_FIGURES)
    return {
        "key": key,
        "title": title,
        "columns": [
            {"label": label, "kind": kind, "unit": unit[0] if unit else ""}
            for label, kind, *unit in columns
        ],
        "rows": [_row(key, name, each) for name, each in named],
        "chart": _chart(named),
    }


_FIGURES: tuple[tuple[Any, ...], ...] = (
    (_("Enterprises"), "number"),
    (_("Fulfilled"), "number"),
    (_("Fulfilled after the deadline"), "number"),
    (_("Overdue and not fulfilled"), "number"),
    (_("Completion by count"), "percent"),
    (_("Obligation"), "number", _("tonnes")),
    (_("Surrendered for the notice"), "number", _("tonnes")),
    (_("Completion by tonnes"), "percent"),
    (_("Gap"), "number", _("tonnes")),
)


def _row(key: str, name: str, each: Share) -> tuple[Any, ...]:
    return (
        _gaps_link(key, name, each),
        each.enterprises,
        each.fulfilled,
        each.late,
        each.overdue,
        each.by_count,
        each.obligation,
        each.surrendered,
        each.by_tonnes,
        each.gap,
    )


def _chart(named: Sequence[tuple[str, Share]]) -> dict[str, Any]:
    """Return the data of a chart: both percentages of each line."""
    return {
        "names": [name for name, _each in named],
        "series": [
            {
                "name": gettext("Completion by count"),
                "values": [_number(each.by_count) for _name, each in named],
            },
            {
                "name": gettext("Completion by tonnes"),
                "values": [_number(each.by_tonnes) for _name, each in named],
            },
        ],
    }


def _name(names: Any, value: Any) -> str:
    return str(names.get(value, value)) if value else gettext("Not stated")


def _gaps_link(key: str, name: str, each: Share) -> dict[str, str]:
    """Return the address of the gap list for a line."""
    chosen = {"year": each.year, key: getattr(each, key)}
    return {"label": name, "url": url_for("ComplianceGapView.list", **chosen)}


def _number(text: str) -> float | None:
    return float(text.removesuffix("%")) if text else None


class ComplianceGapView(NoticeList):
    """缺口清单: notices with a gap."""

    route_base = "/compliance-gaps"
    title = _("Compliance gaps")
    guide = {"province": "履约统计", "registry": "履约统计"}
    grants = {AUTHORITIES: "list export"}
    columns = tuple(
        Column("gap", _("Gap"), kind="quantity") if each.key == "remaining" else each
        for each in NoticeList.columns
        if each.key not in ("reminded_at", "gap")
    )
    filters = tuple(
        next(each for each in NoticeList.filters if each.name == name)
        for name in ("year", "province", "sector", "state", "member", "deadline")
    )
    help = (_("Gap = obligation - surrendered; what is pending review still counts as missing"),)

    def tools(self) -> Iterable[RowAction]:
        back = url_for("ComplianceStatisticsView.index")
        yield RowAction(_("Compliance statistics"), back, icon="chart-bar", keeps_place=False)

    def rows(self, conditions: Conditions) -> Select[Any]:
        found = super().rows(conditions).subquery("behind")
        return select(found).where(found.c.gap > 0)
