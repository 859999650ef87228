"""履约规划: what covers the rest of each open notice, what to buy, and what keeps its use or loses it."""

from __future__ import annotations

from typing import Any

from flask import abort, g, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext
from flask_babel import lazy_gettext as _

from app.domain.compliance.planner import FOREVER, covered
from app.operations.compliance import planning
from app.operations.compliance.planning import Planned
from app.operations.records import clock
from app.operations.records.catalogue import SECTORS
from app.security.roles import ENTERPRISES
from app.views.page import Page

TONNES = _("tonnes")
LINE_COLUMNS = (
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Quantity to surrender"), "kind": "number", "unit": TONNES},
    {"label": _("Last compliance year that accepts it"), "kind": "code"},
)
UNIT_COLUMNS = (
    {"label": _("Serial block"), "kind": "code"},
    {"label": _("Project"), "kind": "text"},
    {"label": _("CCER to offset"), "kind": "number", "unit": TONNES},
)
LEFT_COLUMNS = (
    {"label": _("Instrument code"), "kind": "code"},
    {"label": _("Instrument name"), "kind": "text"},
    {"label": _("Left in the registry"), "kind": "number", "unit": TONNES},
    {"label": _("Held in trading"), "kind": "number", "unit": TONNES},
    {"label": _("Last compliance year that accepts it"), "kind": "code"},
    {"label": _("Note"), "kind": "text"},
)


class SurrenderPlanView(Page):
    """履约规划 of an enterprise: a proposal, of which nothing is submitted."""

    route_base = "/surrender-plan"
    default_view = "show"
    title = _("Plan of surrender")
    guide = {"enterprise": "一履约通知书查询"}
    grants = {ENTERPRISES: "show"}
    help = (
        _("What loses its use first is used first; the notice that is due first is covered first"),
        _("An allowance is kept for the notice that accepts nothing else, where that covers more"),
        _(
            "CCER comes first, in whole units, up to what is left of each notice's share; it is applied"
            " for apart, and not after its last day"
        ),
        _(
            "What is under review is not proposed again; what is held in trading has to come home first"
        ),
        _(
            "It is a proposal by the plans in force today: fill in the form, check it, and submit it"
        ),
    )

    @expose("/")
    @has_access
    @permission_name("show")
    def show(self) -> Any:
        if g.user.account_id is None:
            abort(404)
        planned = planning.for_account(g.user.account_id, clock.now())
        return self.render_template(
            "compliance/plan.html",
            title=self.title,
            notices=[self._notice(row, planned) for row in planned.notices],
            line_columns=LINE_COLUMNS,
            unit_columns=UNIT_COLUMNS,
            left_columns=LEFT_COLUMNS,
            left=_left(planned),
            help=self.help,
            back_url=url_for("ComplianceView.list"),
        )

    def _notice(self, row: Any, planned: Planned) -> dict[str, Any]:
        lines = planned.proposal.lines.get(row.id, {})
        offsets = planned.proposal.offsets.get(row.id, {})
        units = [each for each in planned.units if each.id in offsets]
        missing = planned.proposal.missing[row.id]
        named = {each.id: each for each in planned.holdings}
        facts = [
            (_("Deadline"), row.deadline, "datetime"),
            (_("Rest of the obligation"), row.rest, "number", TONNES),
            (
                _("Covered by what you hold"),
                covered(planned.proposal).get(row.id, 0),
                "number",
                TONNES,
            ),
            (_("To buy"), missing, "number", TONNES),
        ]
        if missing:
            vintages = "、".join(map(str, sorted(row.vintages)))
            facts.append((_("Vintages that count"), vintages, "text"))
        may_apply = lines and self.may("write", "SurrenderView")
        apply_url = url_for("SurrenderView.new", notice=row.id, planned=1) if may_apply else ""
        may_offset = units and self.may("write", "OffsetView")
        offset_url = url_for("OffsetView.new", notice=row.id, unit=[*offsets]) if may_offset else ""
        return {
            "title": gettext(
                "%(year)s, %(sector)s: notice %(number)s",
                year=row.year,
                sector=SECTORS.get(row.sector, row.sector),
                number=row.number,
            ),
            "number": row.number,
            "facts": facts,
            "rows": [
                [named[id_].code, named[id_].name, tonnes, _year(planned.last_years[id_])]
                for id_, tonnes in lines.items()
            ],
            "apply_url": apply_url,
            "units": [[each.serial, each.project_name, each.quantity] for each in units],
            "offset_url": offset_url,
        }


def _left(planned: Planned) -> list[list[Any]]:
    """Return what the proposal leaves, and whether it counts for a later year."""
    left = planned.proposal.left
    return [
        [each.code, each.name, left.get(each.id, 0), each.trading,
         _year(planned.last_years[each.id]), _note(planned.last_years[each.id], planned)]
        for each in planned.holdings
        if left.get(each.id, 0) or each.trading
    ]  # fmt: skip


def _year(last_year: int) -> str:
    return f"{last_year}" if 0 < last_year < FOREVER else ""


def _note(last_year: int, planned: Planned) -> Any:
    if not last_year:
        return _("No plan in force accepts it")
    latest = max((row.year for row in planned.notices), default=0)
    if last_year > latest:
        return _("Counts for a later year, too")
    return _(
        "Loses its use after that year; apply for carry-over where the plan allows it, or sell it"
    )
